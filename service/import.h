/*
 * import: reads the lines of an export into an empty store: docs/export.md.
 *
 * Every document passes the readers of the management API and is rendered anew; indexes, counters
 * and what adapters are answered are made from the lines. What is in normal form already is stored
 * as it came, members in their order: so an export of the store equals the file. Limits of devices
 * and credentials do not count: what was there may be there again.
 *
 * Threads:   one.
 * Ownership: a line is borrowed for the call. Memory does not grow with the lines, but for eight
 *            bytes for each tenant.
 * Errors:    KS_INVALID, KS_EXISTS, KS_TOO_LARGE: the text names the line and what is wrong with
 *            it. Else the store's. The first error is the end: nothing may be called but
 *            import_close, and the store is to be thrown away.
 */
#pragma once

#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

struct import;
struct kv;
struct store;

struct import_options {
    struct store *store;
    struct kv *load;     /* a load_kv: the store's engine */
    int max_bcrypt_cost; /* of the hashes that are taken */
};

struct import_counts {
    uint64_t lines;
    uint64_t tenants;
    uint64_t devices;
    uint64_t credentials;
};

KS_MUST_CHECK enum ks_status import_open(struct import **out, const struct import_options *options,
                                         struct ks_failure *why);
/* The next line, without its newline. */
KS_MUST_CHECK enum ks_status import_line(struct import *import, struct span line,
                                         struct ks_failure *why);
/* There is no more: checks that all came that the header tells of, and writes it. */
KS_MUST_CHECK enum ks_status import_finish(struct import *import, struct ks_failure *why);
struct import_counts import_counts(const struct import *import);
/* Takes NULL. */
void import_close(struct import *import);
