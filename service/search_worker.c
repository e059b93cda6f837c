#include "service/search_worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/lock.h"
#include "service/answer.h"
#include "service/reasons.h"
#include "store/store.h"

const struct search_limits search_default_limits = {
    .searches = 16,
    .slice_ms = 20,
    .work_ms = 10000,
    .answer_ms = 25000, /* a connection waits for 30 s */
    .answer_bytes = 16 << 20,
    .bounds = {.rows = 10000, .row_bytes = 4 << 20},
    .now_ms = clock_monotonic_ms,
};

struct search {
    struct search *next;
    struct arena arena; /* of the query */
    struct search_query query;
    struct span tenant;
    struct search_run *run;
    const _Atomic bool *dropped;
    management_answered *answered;
    void *arg;
    struct management_response response;
    int64_t begun_ms;
    int64_t worked_ms;
};

struct search_worker {
    struct store_txn *txn; /* the thread's */
    struct search_limits limits;
    struct counters_slot *counters; /* the thread's */
    pthread_t thread;
    bool joined;

    struct lock lock; /* guards all below */
    pthread_cond_t work;
    struct search *first; /* of those that wait for a turn */
    struct search *last;
    size_t count;     /* with the one that has it */
    uint64_t refused; /* not yet counted */
    bool stopping;
};

static void push_locked(struct search_worker *worker, struct search *search)
    LOCK_REQUIRES(worker->lock);
static struct search *pop_locked(struct search_worker *worker) LOCK_REQUIRES(worker->lock);
static enum ks_status refusal_locked(const struct search_worker *worker, struct ks_failure *why)
    LOCK_REQUIRES(worker->lock);

/* ---- answers ---- */

static void search_free(struct search *search)
{
    search_run_close(search->run);
    management_response_done(&search->response);
    arena_done(&search->arena);
    free(search);
}

static void answer(struct search *search, enum ks_status status, const struct ks_failure *why)
{
    if (status == KS_OK) {
        search->response.status = answer_status_code(status);
    } else {
        management_refuse(&search->response, answer_status_code(status), answer_reason(status, why),
                          why->text[0] != '\0' ? why->text : ks_status_name(status));
    }
    search->answered(search->arg, &search->response);
    search_free(search);
}

/* ---- the queue ---- */

static void push_locked(struct search_worker *worker, struct search *search)
{
    search->next = NULL;
    if (worker->first == NULL) {
        worker->first = search;
    } else {
        worker->last->next = search;
    }
    worker->last = search;
}

static struct search *pop_locked(struct search_worker *worker)
{
    struct search *search = worker->first;

    if (search != NULL) {
        worker->first = search->next;
    }
    return search;
}

static enum ks_status refusal_locked(const struct search_worker *worker, struct ks_failure *why)
{
    if (worker->stopping) {
        return ks_fail(why, KS_UNAVAILABLE, REASON_UNAVAILABLE, "the registry is shutting down");
    }
    if (worker->count >= worker->limits.searches) {
        return ks_fail(why, KS_BUSY, REASON_BUSY, "%zu searches are under way; try again",
                       worker->count);
    }
    return KS_OK;
}

/* ---- a slice ---- */

struct slice {
    const struct search_limits *limits;
    int64_t until_ms;
};

static bool is_time_up(void *arg)
{
    const struct slice *slice = arg;

    return slice->limits->now_ms() >= slice->until_ms;
}

static enum ks_status check_time(const struct search_limits *limits, const struct search *search,
                                 int64_t now, struct ks_failure *why)
{
    if (search->worked_ms >= limits->work_ms) {
        return ks_fail(why, KS_BUSY, REASON_SEARCH_LIMIT,
                       "the search took longer than %lld s; narrow it: a filter on /id with a text "
                       "before the first wildcard, isGateway, no sortJson, or an earlier page",
                       (long long)limits->work_ms / 1000);
    }
    if (now - search->begun_ms >= limits->answer_ms) {
        return ks_fail(why, KS_BUSY, REASON_BUSY,
                       "too many searches are under way for this one to end within %lld s; try "
                       "again",
                       (long long)limits->answer_ms / 1000);
    }
    return KS_OK;
}

/* *ended: it is to be answered with what is returned. */
static enum ks_status work(struct search_worker *worker, struct search *search, bool *ended,
                           struct ks_failure *why)
{
    const struct search_limits *limits = &worker->limits;
    int64_t begin = limits->now_ms();
    struct slice slice = {.limits = limits, .until_ms = begin + limits->slice_ms};
    int64_t now;
    enum ks_status st = store_reader_renew(worker->txn, why);

    *ended = false;
    if (st == KS_OK) {
        st = search_run_step(search->run, worker->txn, is_time_up, &slice, ended,
                             &search->response.body, why);
    }
    store_reader_reset(worker->txn); /* no page is kept while others have their turns */
    if (st == KS_OK && !*ended) {
        now = limits->now_ms();
        search->worked_ms += now - begin;
        st = check_time(limits, search, now, why);
    }
    *ended = *ended || st != KS_OK;
    return st;
}

static bool is_dropped(const struct search *search)
{
    return search->dropped != NULL && atomic_load(search->dropped);
}

/* Its place is free before its client can know. */
static void end(struct search_worker *worker, struct search *search, enum ks_status status,
                const struct ks_failure *why)
{
    lock_take(&worker->lock);
    worker->count--;
    lock_give(&worker->lock);
    counters_add(worker->counters, COUNTER_SEARCHES, 1);
    answer(search, status, why);
}

static void turn(struct search_worker *worker, struct search *search)
{
    struct ks_failure why = {0};
    bool ended = true;
    enum ks_status st;

    if (is_dropped(search)) {
        counters_add(worker->counters, COUNTER_SEARCHES_DROPPED, 1);
        st = ks_fail(&why, KS_UNAVAILABLE, REASON_UNAVAILABLE, "nobody waits for the answer");
    } else {
        st = work(worker, search, &ended, &why);
    }
    if (ended) {
        end(worker, search, st, &why);
        return;
    }
    lock_take(&worker->lock);
    push_locked(worker, search);
    lock_give(&worker->lock);
}

/* ---- the thread ---- */

/* Waits for a search; NULL: stopping. */
static struct search *take(struct search_worker *worker)
{
    struct search *search;
    uint64_t refused;

    lock_take(&worker->lock);
    while (worker->first == NULL && !worker->stopping) {
        (void)pthread_cond_wait(&worker->work, &worker->lock.mutex);
    }
    search = worker->stopping ? NULL : pop_locked(worker);
    refused = worker->refused;
    worker->refused = 0;
    lock_give(&worker->lock);
    counters_add(worker->counters, COUNTER_SEARCHES_REFUSED, refused);
    return search;
}

static void *worker_main(void *arg)
{
    struct search_worker *worker = arg;
    struct search *search;

    while ((search = take(worker)) != NULL) {
        turn(worker, search);
    }
    return NULL;
}

enum ks_status search_worker_open(struct search_worker **out, struct store *store,
                                  const struct search_limits *limits, struct ks_failure *why)
{
    struct search_worker *worker = calloc(1, sizeof(*worker));
    enum ks_status st;
    int rc;

    if (worker == NULL) {
        abort();
    }
    worker->limits = *limits;
    st = store_reader_open(store, &worker->txn, why);
    if (st != KS_OK) {
        free(worker);
        return st;
    }
    worker->counters = counters_slot_open();
    lock_init(&worker->lock);
    if (pthread_cond_init(&worker->work, NULL) != 0) {
        abort();
    }
    rc = pthread_create(&worker->thread, NULL, worker_main, worker);
    if (rc != 0) {
        worker->joined = true;
        search_worker_close(worker);
        return ks_fail(why, KS_IO, NULL, "cannot start the search thread: %s", ks_errno_text(rc));
    }
    (void)pthread_setname_np(worker->thread, "search");
    *out = worker;
    return KS_OK;
}

void search_worker_stop(struct search_worker *worker)
{
    struct ks_failure why = {0};
    struct search *search;
    enum ks_status st;

    lock_take(&worker->lock);
    worker->stopping = true;
    st = refusal_locked(worker, &why);
    (void)pthread_cond_signal(&worker->work);
    lock_give(&worker->lock);
    if (!worker->joined) {
        (void)pthread_join(worker->thread, NULL);
        worker->joined = true;
    }
    lock_take(&worker->lock);
    while ((search = pop_locked(worker)) != NULL) {
        worker->count--;
        lock_give(&worker->lock);
        answer(search, st, &why);
        lock_take(&worker->lock);
    }
    lock_give(&worker->lock);
}

void search_worker_close(struct search_worker *worker)
{
    if (worker == NULL) {
        return;
    }
    search_worker_stop(worker);
    (void)pthread_cond_destroy(&worker->work);
    lock_done(&worker->lock);
    store_reader_close(worker->txn);
    free(worker);
}

/* ---- the begin ---- */

static bool of_devices(enum management_op op)
{
    return op == MANAGEMENT_DEVICE_SEARCH;
}

/* KS_OK: the search is the thread's. */
static enum ks_status submit(struct search_worker *worker, struct search *search,
                             struct ks_failure *why)
{
    enum ks_status st;

    lock_take(&worker->lock);
    st = refusal_locked(worker, why);
    if (st == KS_OK) {
        push_locked(worker, search);
        worker->count++;
        (void)pthread_cond_signal(&worker->work);
    } else {
        worker->refused++;
    }
    lock_give(&worker->lock);
    return st;
}

void search_begin(struct search_worker *worker, const struct management_request *request,
                  const _Atomic bool *dropped, management_answered *answered, void *arg)
{
    struct search *search = calloc(1, sizeof(*search));
    struct ks_failure why = {0};
    enum ks_status st;

    if (search == NULL) {
        abort();
    }
    search->dropped = dropped;
    search->answered = answered;
    search->arg = arg;
    search->begun_ms = worker->limits.now_ms();
    arena_init(&search->arena);
    management_response_init(&search->response);
    search->response.body.max = worker->limits.answer_bytes;
    st = search_query_read(request->query, of_devices(request->op), &search->arena, &search->query,
                           &why);
    if (st == KS_OK) {
        search->tenant = arena_span(&search->arena, request->tenant_id);
        search->run =
            search_run_open(&search->query, of_devices(request->op) ? &search->tenant : NULL,
                            &worker->limits.bounds);
        st = submit(worker, search, &why);
    }
    if (st != KS_OK) {
        answer(search, st, &why);
    }
}
