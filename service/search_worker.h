/*
 * search_worker: the thread that searches: a scan over a million devices takes a second, which no
 * reactor has.
 *
 * Searches take turns in slices; between two slices nothing of the store is held, so that no search
 * keeps old pages from being reused, and a short one waits for no long one to end. What a
 * search may cost is bounded: how many there are, the time each works and waits, its memory, its
 * answer.
 *
 * Threads:   search_begin from any, never blocks; `answered` is called by it, on the search thread
 *            or (what is left at the end) by search_worker_stop. It must not block.
 * Ownership: the request is copied. `dropped` is borrowed until `answered`.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/management.h"
#include "service/search_run.h"

struct search_worker;
struct service;
struct store;

struct search_limits {
    size_t searches;     /* that there are at once: the one that works and those that wait */
    int64_t slice_ms;    /* of one search before the others have their turns */
    int64_t work_ms;     /* of one search */
    int64_t answer_ms;   /* from its begin to its answer */
    size_t answer_bytes; /* of one search */
    struct search_bounds bounds;
    int64_t (*now_ms)(void); /* monotonic */
};
extern const struct search_limits search_default_limits;

KS_MUST_CHECK enum ks_status search_worker_open(struct search_worker **out, struct store *store,
                                                const struct search_limits *limits,
                                                struct ks_failure *why);
/* Answers all that is under way with "unavailable", after the slice that is being worked at; joins
 * the thread. From here on searches are refused. Idempotent. */
void search_worker_stop(struct search_worker *worker);
/* Stops if need be. Takes NULL. */
void search_worker_close(struct search_worker *worker);

/* Takes a *_SEARCH through to its answer. Nobody waits for it any more once *dropped is set (NULL:
 * somebody always does): it ends at the next slice. */
void search_begin(struct search_worker *worker, const struct management_request *request,
                  const _Atomic bool *dropped, management_answered *answered, void *arg);
