/*
 * search_run: one search on its way through the store, in steps: where it stands is kept here, and
 * no step needs the snapshot of the one before.
 *
 * Without filters the total is what the store counts, and the walk ends with the page. Everything
 * else looks at each record that the query allows (search_source.h) once, or, where a page of
 * another order than that of ids lies behind more rows than fit into memory, once for as many rows
 * as fit.
 *
 * What changes between two steps is found or not, and counted or not; records that stand unchanged
 * are found and counted once. A tenant that loses all its devices meanwhile begins anew.
 *
 * Threads:   one at a time; the transaction of a step is a reader of that thread.
 * Ownership: the query and the tenant's id are borrowed.
 * Errors:    KS_NOT_FOUND "unknown-tenant", or "not-found" when nothing matches; KS_INVALID when
 *            the page is larger than an answer may be; the store's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"
#include "service/search_query.h"

struct search_run;
struct store_txn;

struct search_bounds {
    size_t rows;      /* kept at once, of an order other than that of the ids */
    size_t row_bytes; /* the same in bytes */
};

/* Searches devices of the tenant; NULL: tenants. */
struct search_run *search_run_open(const struct search_query *query, const struct span *tenant,
                                   const struct search_bounds *bounds);
/* Takes NULL. */
void search_run_close(struct search_run *run);
/* Goes on until `is_time_up` says so, which is asked every few records. *ended: the answer's JSON
 * has been appended to `out`, whose bound is the answer's. */
KS_MUST_CHECK enum ks_status search_run_step(struct search_run *run, struct store_txn *txn,
                                             bool (*is_time_up)(void *arg), void *arg, bool *ended,
                                             struct buf *out, struct ks_failure *why);
