/*
 * import_line: one line of an export, taken apart: which members it has, each with the raw text of
 * its value. What stands inside the documents is not looked at here.
 *
 * Threads:   any; pure.
 * Ownership: the line's spans borrow from the text; texts that are read live in the arena.
 * Errors:    KS_INVALID, naming the member.
 * Source:    docs/export.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"
#include "base/uuid.h"

enum import_line_kind { IMPORT_HEADER, IMPORT_TENANT, IMPORT_DEVICE };

enum import_member {
    IMPORT_FORMAT,  /* koseki-export */
    IMPORT_VERSION, /* of Koseki in the header, else the ETag */
    IMPORT_TENANTS,
    IMPORT_DEVICES,
    IMPORT_CREDENTIALS, /* how many in the header, else the set */
    IMPORT_TENANT_ID,
    IMPORT_DEVICE_ID,
    IMPORT_CREDENTIALS_VERSION,
    IMPORT_CREATED,
    IMPORT_UPDATED,
    IMPORT_PROVISIONED,
    IMPORT_NOTIFIED,
    IMPORT_DOCUMENT,
    IMPORT_MEMBERS
};

struct import_line {
    enum import_line_kind kind;
    struct span value[IMPORT_MEMBERS]; /* raw; ptr NULL: not there */
    struct span unknown;               /* the name of a member that no line has; ptr NULL: none */
};

/* The kind is told by the members; all of that kind are there, none is there twice, and no other.
 */
KS_MUST_CHECK enum ks_status import_line_read(struct span text, struct import_line *out,
                                              struct ks_failure *why);

/* Values of a line that was read. */
KS_MUST_CHECK enum ks_status import_line_text(const struct import_line *line,
                                              enum import_member member, struct arena *arena,
                                              struct span *out, struct ks_failure *why);
KS_MUST_CHECK enum ks_status import_line_uuid(const struct import_line *line,
                                              enum import_member member, struct uuid *out,
                                              struct ks_failure *why);
/* An integer of 0 to `max`. */
KS_MUST_CHECK enum ks_status import_line_number(const struct import_line *line,
                                                enum import_member member, uint64_t max,
                                                uint64_t *out, struct ks_failure *why);
KS_MUST_CHECK enum ks_status import_line_flag(const struct import_line *line,
                                              enum import_member member, bool *out,
                                              struct ks_failure *why);
/* KS_INVALID, the text behind the member's name. */
enum ks_status import_line_refuse(enum import_member member, struct ks_failure *why,
                                  const char *text);
