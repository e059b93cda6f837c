/*
 * verify: what the files of store_verify share. It cross-checks a snapshot both ways: what a record
 * names must be in the indexes, what an index names must be in a record, counters must be what
 * there is to count. Cost: a few look-ups for each entry, and no memory that grows with the store.
 *
 * Threads: as store/store.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/txn.h"

/* What there is in a key space. */
struct verify_sum {
    uint64_t devices;
    uint64_t credentials;
    uint64_t parked;
    uint64_t listed; /* credentials, in the lists of the devices */
    /* Hashes of all gateways in `via` less those that are counted: 0 if the counts are right. */
    uint64_t gateways;
};

struct verify {
    struct store_txn *txn;
    void (*found)(const char *text, void *arg);
    void *arg;
    uint64_t count;        /* inconsistencies */
    uint64_t next_space;   /* no key space may be at or above */
    uint64_t outbox_seq;   /* no event may be above */
    struct verify_sum sum; /* of the key space that verify_sums is at */
};

typedef void verify_visit(struct verify *v, struct span key, struct span value);

void verify_report(struct verify *v, const char *format, ...) KS_PRINTF(2, 3);
/* A record that cannot be read is an inconsistency, not the end of the checks: it is reported and
 * does not stick to the transaction. True for KS_OK. */
bool verify_usable(struct verify *v, enum ks_status st, const struct ks_failure *why);
/* Visits each entry of a table whose key begins with `prefix`. */
KS_MUST_CHECK enum ks_status verify_each(struct verify *v, enum kv_table table,
                                         const struct key *prefix, verify_visit *visit,
                                         struct ks_failure *why);
/* That the counters of a tenant's key space are right: one pass, however many gateways. */
void verify_sums(struct verify *v, uint32_t space, struct span tenant_id);
