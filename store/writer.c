#include "store/writer.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/lock.h"
#include "base/log.h"
#include "store/store.h"

enum {
    PURGE_A_TURN = 500,   /* entries swept between batches */
    SWEEP_EVERY = 16,     /* batches, when there is always one waiting */
    WATCH_EVERY_MS = 100, /* look at the file system's free space */
    HOUSEKEEPING_EVERY_MS = 30000,
};

struct lane {
    struct writer_job *first;
    struct writer_job *last;
    size_t count;
};

struct writer {
    struct store *store;
    struct writer_options options;
    char *dir;
    struct counters_slot *counters;
    pthread_t thread;
    bool joined;

    /* The writer thread's own. */
    int64_t watched_at;
    int64_t housekept_at;
    bool purging;     /* the purge list is not known to be empty */
    unsigned unswept; /* batches since the last sweep */

    struct lock lock; /* guards all below */
    pthread_cond_t work;
    struct lane lane[WRITER_LANES];
    unsigned turn; /* lane to take from next */
    bool stopping;
    bool disk_low;
    bool read_only;
};

/* ---- batches: lists of jobs ---- */

struct batch {
    struct writer_job *job[WRITER_BATCH];
    size_t count;
};

static struct writer_job *pop(struct lane *lane)
{
    struct writer_job *job = lane->first;

    lane->first = job->next;
    if (lane->first == NULL) {
        lane->last = NULL;
    }
    lane->count--;
    job->next = NULL;
    return job;
}

/* The lanes in turn, so that a bulk load over HTTP does not hold up logins, nor they it. */
static void take_batch_locked(struct writer *writer, struct batch *batch)
{
    batch->count = 0;
    while (batch->count < WRITER_BATCH) {
        unsigned tried = 0;

        while (tried < WRITER_LANES && writer->lane[writer->turn].count == 0) {
            writer->turn = (writer->turn + 1) % WRITER_LANES;
            tried++;
        }
        if (tried == WRITER_LANES) {
            return;
        }
        batch->job[batch->count++] = pop(&writer->lane[writer->turn]);
        writer->turn = (writer->turn + 1) % WRITER_LANES;
    }
}

static void set_status(struct writer_job *job, enum ks_status status, const struct ks_failure *why)
{
    job->status = status;
    job->why = *why;
}

static void fail_jobs(struct writer_job *const *jobs, size_t count, enum ks_status status,
                      const struct ks_failure *why)
{
    for (size_t i = 0; i < count; i++) {
        set_status(jobs[i], status, why);
    }
}

static void answer_batch(struct writer *writer, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct writer_job *job = batch->job[i];
        bool failed = job->status == KS_IO || job->status == KS_FULL ||
                      job->status == KS_DISK_FULL || job->status == KS_CORRUPT;

        counters_add(writer->counters, failed ? COUNTER_STORE_FAILURES : COUNTER_STORE_JOBS, 1);
        job->done(job, job->status, &job->why);
    }
    batch->count = 0;
}

/* ---- health ---- */

static void become_read_only(struct writer *writer, const struct ks_failure *why)
{
    struct log_text text;

    log_error("store-read-only", "why=%s action=\"check the disk, then restart\"",
              log_text(&text, span_cstr(why->text)));
    lock_take(&writer->lock);
    writer->read_only = true;
    lock_give(&writer->lock);
}

static void watch_disk(struct writer *writer)
{
    int64_t now = clock_monotonic_ms();
    struct statvfs fs;
    bool low;
    bool was;

    if (now - writer->watched_at < WATCH_EVERY_MS) {
        return;
    }
    writer->watched_at = now;
    low = statvfs(writer->dir, &fs) == 0 &&
          (uint64_t)fs.f_bavail * fs.f_frsize < writer->options.min_free;
    lock_take(&writer->lock);
    was = writer->disk_low;
    writer->disk_low = low;
    lock_give(&writer->lock);
    if (low && !was) {
        log_warn("disk-full",
                 "dir=%s action=\"writes are refused until there is more space than "
                 "store.min-free\"",
                 writer->dir);
    } else if (was && !low) {
        log_info("disk-has-space", "dir=%s", writer->dir);
    }
}

static enum ks_status health_locked(const struct writer *writer, struct ks_failure *why)
{
    if (writer->stopping) {
        return ks_fail(why, KS_UNAVAILABLE, "busy", "the registry is shutting down");
    }
    if (writer->read_only) {
        return ks_fail(why, KS_UNAVAILABLE, "read-only",
                       "the store is read-only after an I/O error; restart the registry");
    }
    if (writer->disk_low) {
        return ks_fail(why, KS_DISK_FULL, "disk-full",
                       "the file system has less space than store.min-free");
    }
    return KS_OK;
}

enum ks_status writer_health(struct writer *writer, struct ks_failure *why)
{
    enum ks_status st;

    lock_take(&writer->lock);
    st = health_locked(writer, why);
    lock_give(&writer->lock);
    return st;
}

/* ---- running ---- */

enum run_result {
    RUN_COMMITTED,
    RUN_FAILED,   /* all jobs of the run have their status */
    RUN_OFFENDER, /* a job failed after it had written; nothing was committed */
    RUN_FULL,     /* the transaction or the map is full; nothing was committed */
};

static enum run_result commit(struct writer *writer, struct store_txn *txn,
                              struct writer_job *const *jobs, size_t count)
{
    struct ks_failure why = {0};
    enum ks_status st = store_write_commit(txn, &why);

    if (st == KS_OK) {
        counters_add(writer->counters, COUNTER_STORE_BATCHES, 1);
        return RUN_COMMITTED;
    }
    if (st == KS_FULL) {
        fail_jobs(jobs, count, st, &why);
        return RUN_FULL;
    }
    if (st == KS_IO || st == KS_CORRUPT) {
        become_read_only(writer, &why);
    }
    fail_jobs(jobs, count, st == KS_IO ? KS_UNAVAILABLE : st, &why);
    return RUN_FAILED;
}

/* Runs the jobs in one transaction and commits. *offender: whose fault RUN_OFFENDER is. */
static enum run_result run_jobs(struct writer *writer, struct writer_job *const *jobs, size_t count,
                                size_t *offender)
{
    struct store_txn *txn = NULL;
    struct ks_failure why = {0};
    enum ks_status st = store_write_begin(writer->store, &txn, &why);

    if (st != KS_OK) {
        if (st == KS_IO) {
            become_read_only(writer, &why);
        }
        fail_jobs(jobs, count, st == KS_IO ? KS_UNAVAILABLE : st, &why);
        return RUN_FAILED;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t before = store_txn_writes(txn);
        struct writer_job *job = jobs[i];

        job->why = (struct ks_failure){0};
        job->status = job->run(job, txn, &job->why);
        if (store_txn_error(txn, &why) == KS_OK &&
            (job->status == KS_OK || store_txn_writes(txn) == before)) {
            continue;
        }
        st = store_txn_error(txn, &why);
        store_write_abort(txn);
        if (st != KS_OK) {
            set_status(job, st, &why);
        }
        if (st == KS_FULL && count > 1) {
            return RUN_FULL;
        }
        *offender = i;
        return RUN_OFFENDER;
    }
    if (store_txn_writes(txn) == 0) { /* nothing to make durable */
        store_write_abort(txn);
        return RUN_COMMITTED;
    }
    return commit(writer, txn, jobs, count);
}

/* A failed run gave statuses that do not count: the jobs run again. Terminates: each step has fewer
 * jobs, or removes one for good. */
static void run_all(struct writer *writer, struct writer_job **jobs, size_t count)
{
    while (count > 0) {
        size_t offender = 0;

        switch (run_jobs(writer, jobs, count, &offender)) {
        case RUN_COMMITTED:
        case RUN_FAILED:
            return;
        case RUN_FULL:
            if (count == 1) {
                return; /* it alone does not fit: its status says so */
            }
            run_all(writer, jobs, count / 2);
            jobs += count / 2;
            count -= count / 2;
            break;
        case RUN_OFFENDER:
            if (count == 1) {
                return;
            }
            {
                struct writer_job *guilty = jobs[offender];

                for (size_t i = offender; i + 1 < count; i++) {
                    jobs[i] = jobs[i + 1];
                }
                jobs[count - 1] = guilty;
                run_all(writer, jobs, count - 1);
                jobs += count - 1; /* then the offender alone */
                count = 1;
            }
            break;
        }
    }
}

static void run_batch(struct writer *writer, struct batch *batch)
{
    struct writer_job *jobs[WRITER_BATCH];
    struct ks_failure why = {0};
    enum ks_status st;

    watch_disk(writer);
    lock_take(&writer->lock);
    st = writer->read_only || writer->disk_low ? health_locked(writer, &why) : KS_OK;
    lock_give(&writer->lock);
    if (st != KS_OK && why.reason != NULL && strcmp(why.reason, "busy") != 0) {
        counters_add(writer->counters, COUNTER_STORE_REFUSED, batch->count);
        fail_jobs(batch->job, batch->count, st, &why);
    } else {
        for (size_t i = 0; i < batch->count; i++) {
            jobs[i] = batch->job[i]; /* run_all reorders its own; answers keep theirs */
        }
        run_all(writer, jobs, batch->count);
    }
    answer_batch(writer, batch);
}

/* Sweeps a bit of what deleted tenants left behind. */
static void sweep(struct writer *writer)
{
    struct store_txn *txn = NULL;
    struct ks_failure why = {0};
    size_t removed = 0;
    bool done = false;
    enum ks_status st;

    if (!writer->purging || writer_health(writer, &why) != KS_OK) {
        return;
    }
    st = store_write_begin(writer->store, &txn, &why);
    if (st == KS_OK) {
        st = store_purge(txn, PURGE_A_TURN, &removed, &done, &why);
        if (st == KS_OK && store_txn_writes(txn) > 0) {
            st = store_write_commit(txn, &why);
        } else {
            store_write_abort(txn);
        }
    }
    if (st != KS_OK) {
        struct log_text text;

        log_warn("purge-failed", "why=%s action=\"tried again after the next write\"",
                 log_text(&text, span_cstr(why.text)));
        if (st == KS_IO) {
            become_read_only(writer, &why);
        }
    }
    writer->purging = st == KS_OK && !done;
}

static void keep_house(struct writer *writer)
{
    int64_t now = clock_monotonic_ms();

    if (writer->options.housekeeping != NULL &&
        now - writer->housekept_at >= HOUSEKEEPING_EVERY_MS) {
        writer->housekept_at = now;
        writer->options.housekeeping(writer->options.housekeeping_arg);
    }
}

static bool has_work_locked(const struct writer *writer)
{
    for (int i = 0; i < WRITER_LANES; i++) {
        if (writer->lane[i].count > 0) {
            return true;
        }
    }
    return false;
}

/* Waits for jobs, at most a second, so that the watermark lifts and house is kept without jobs too;
 * not at all while there is something to sweep. False: stopping, and all is done. */
static bool wait_for_work(struct writer *writer, struct batch *batch)
{
    struct timespec until;
    bool more;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    lock_take(&writer->lock);
    if (!has_work_locked(writer) && !writer->stopping && !writer->purging) {
        (void)pthread_cond_timedwait(&writer->work, &writer->lock.mutex, &until);
    }
    take_batch_locked(writer, batch);
    more = batch->count > 0 || !writer->stopping;
    lock_give(&writer->lock);
    return more;
}

static void *writer_main(void *arg)
{
    struct writer *writer = arg;
    struct batch *batch = calloc(1, sizeof(*batch));

    if (batch == NULL) {
        abort();
    }
    while (wait_for_work(writer, batch)) {
        bool idle = batch->count == 0;

        if (idle) {
            watch_disk(writer);
        } else {
            run_batch(writer, batch);
            writer->purging = true; /* a delete may have been among them; a look costs one seek */
        }
        if (idle || ++writer->unswept >= SWEEP_EVERY) {
            sweep(writer);
            writer->unswept = 0;
        }
        keep_house(writer);
    }
    free(batch);
    return NULL;
}

/* ---- the interface ---- */

enum ks_status writer_open(struct writer **out, struct store *store,
                           const struct writer_options *options, struct ks_failure *why)
{
    struct writer *writer = calloc(1, sizeof(*writer));
    pthread_condattr_t monotonic;
    int rc;

    if (writer == NULL || (writer->dir = strdup(options->dir)) == NULL) {
        abort();
    }
    writer->store = store;
    writer->options = *options;
    writer->counters = counters_slot_open();
    writer->watched_at = INT64_MIN / 2;
    writer->housekept_at = clock_monotonic_ms();
    writer->purging = true; /* what a process before us left */
    lock_init(&writer->lock);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    if (pthread_cond_init(&writer->work, &monotonic) != 0) {
        abort();
    }
    (void)pthread_condattr_destroy(&monotonic);
    watch_disk(writer);
    rc = pthread_create(&writer->thread, NULL, writer_main, writer);
    if (rc != 0) {
        writer->joined = true;
        writer_close(writer);
        return ks_fail(why, KS_IO, NULL, "cannot start the writer thread: %s", ks_errno_text(rc));
    }
    (void)pthread_setname_np(writer->thread, "writer");
    *out = writer;
    return KS_OK;
}

enum ks_status writer_submit(struct writer *writer, enum writer_lane lane, struct writer_job *job,
                             struct ks_failure *why)
{
    struct lane *queue = &writer->lane[lane];
    enum ks_status st = KS_OK;

    job->next = NULL;
    lock_take(&writer->lock);
    if (writer->stopping) {
        st = health_locked(writer, why);
    } else if (queue->count >= writer->options.lane_depth) {
        st = ks_fail(why, KS_BUSY, "busy", "too many writes wait; try again");
    } else {
        if (queue->first == NULL) {
            queue->first = job;
        } else {
            queue->last->next = job;
        }
        queue->last = job;
        queue->count++;
        (void)pthread_cond_signal(&writer->work);
    }
    lock_give(&writer->lock);
    return st;
}

void writer_stop(struct writer *writer)
{
    lock_take(&writer->lock);
    writer->stopping = true;
    (void)pthread_cond_signal(&writer->work);
    lock_give(&writer->lock);
    if (!writer->joined) {
        (void)pthread_join(writer->thread, NULL);
        writer->joined = true;
    }
}

void writer_close(struct writer *writer)
{
    if (writer == NULL) {
        return;
    }
    writer_stop(writer);
    (void)pthread_cond_destroy(&writer->work);
    lock_done(&writer->lock);
    free(writer->dir);
    free(writer);
}
