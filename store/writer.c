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
#include "store/writer_batch.h"

enum {
    PURGE_A_TURN = 500, /* entries swept between batches */
    SWEEP_EVERY = 16,   /* batches, when there is always one waiting */
    FULL_FOR_MS = 30000,
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
    unsigned turn;    /* lane to take from next */
    uint64_t refused; /* by writer_submit, not yet counted */
    bool stopping;
    bool disk_low;
    bool read_only;
    int64_t full_at;
    enum ks_status full; /* KS_FULL, KS_DISK_FULL: what the last write met; else KS_OK */
};

/* ---- queues ---- */

static void push(struct lane *lane, struct writer_job *job)
{
    job->next = NULL;
    if (lane->first == NULL) {
        lane->first = job;
    } else {
        lane->last->next = job;
    }
    lane->last = job;
    lane->count++;
}

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

static void take_batch_locked(struct writer *writer, struct writer_batch *batch)
    LOCK_REQUIRES(writer->lock);
static enum ks_status refusal_locked(const struct writer *writer, struct ks_failure *why)
    LOCK_REQUIRES(writer->lock);
static enum ks_status stopping_locked(const struct writer *writer, struct ks_failure *why)
    LOCK_REQUIRES(writer->lock);
static bool has_work_locked(const struct writer *writer) LOCK_REQUIRES(writer->lock);

/* The lanes in turn, so that a bulk load over HTTP does not hold up logins, nor they it. */
static void take_batch_locked(struct writer *writer, struct writer_batch *batch)
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
    struct log_text dir;
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
                 "dir=%s free=%llu min-free=%llu action=\"writes are refused until there is more "
                 "space than store.min-free\"",
                 log_text(&dir, span_cstr(writer->dir)),
                 (unsigned long long)fs.f_bavail * fs.f_frsize,
                 (unsigned long long)writer->options.min_free);
    } else if (was && !low) {
        log_info("disk-has-space", "dir=%s", log_text(&dir, span_cstr(writer->dir)));
    }
}

/* Whether writes find room, by the last batch that tried. A failure is not refused in advance: a
 * deletion may go through. */
static void note_room(struct writer *writer, const struct writer_batch *batch, unsigned commits)
{
    enum ks_status full = KS_OK;
    enum ks_status was;

    for (size_t i = 0; i < batch->count; i++) {
        enum ks_status st = batch->job[i]->status;

        full = st == KS_FULL || st == KS_DISK_FULL ? st : full;
    }
    if (full == KS_OK && commits == 0) {
        return; /* nothing was tried */
    }
    lock_take(&writer->lock);
    was = writer->full;
    writer->full = full;
    writer->full_at = full != KS_OK ? clock_monotonic_ms() : 0;
    lock_give(&writer->lock);
    if (full != KS_OK && was == KS_OK) {
        log_warn("store-full", "why=%s action=\"%s\"", ks_status_name(full),
                 full == KS_FULL ? "raise store.map-size" : "make room on the disk");
    } else if (full == KS_OK && was != KS_OK) {
        log_info("store-has-room", "why=\"a write went through again\"");
    }
}

/* Told for a while only: an orchestrator that sends no more writes must not wait for one. */
static enum ks_status room_locked(const struct writer *writer, struct ks_failure *why)
{
    if (clock_monotonic_ms() - writer->full_at > FULL_FOR_MS) {
        return KS_OK;
    }
    if (writer->full == KS_FULL) {
        return ks_fail(why, KS_FULL, "store-full",
                       "the last write found the store full; raise store.map-size");
    }
    return writer->full == KS_OK
               ? KS_OK
               : ks_fail(why, KS_DISK_FULL, "disk-full", "the last write found the disk full");
}

/* Why writes are refused; KS_OK if they are not. */
static enum ks_status refusal_locked(const struct writer *writer, struct ks_failure *why)
{
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

static enum ks_status refusal(struct writer *writer, struct ks_failure *why)
{
    enum ks_status st;

    lock_take(&writer->lock);
    st = refusal_locked(writer, why);
    lock_give(&writer->lock);
    return st;
}

static enum ks_status stopping_locked(const struct writer *writer, struct ks_failure *why)
{
    return writer->stopping ? ks_fail(why, KS_UNAVAILABLE, "busy", "the registry is shutting down")
                            : KS_OK;
}

enum ks_status writer_health(struct writer *writer, struct ks_failure *why)
{
    enum ks_status st;

    lock_take(&writer->lock);
    st = stopping_locked(writer, why);
    if (st == KS_OK) {
        st = refusal_locked(writer, why);
    }
    if (st == KS_OK) {
        st = room_locked(writer, why);
    }
    lock_give(&writer->lock);
    return st;
}

/* ---- the thread ---- */

static enum counter counter_of(enum ks_status status)
{
    return status == KS_IO || status == KS_FULL || status == KS_DISK_FULL || status == KS_CORRUPT
               ? COUNTER_STORE_FAILURES
               : COUNTER_STORE_JOBS;
}

static void run_batch(struct writer *writer, struct writer_batch *batch)
{
    struct ks_failure why = {0};
    unsigned commits = 0;
    bool refused;
    enum ks_status st;

    watch_disk(writer);
    st = refusal(writer, &why);
    refused = st != KS_OK;
    if (refused) {
        writer_batch_fail(batch, st, &why);
    } else {
        st = writer_batch_run(batch, writer->store, &commits, &why);
        if (st != KS_OK && st != KS_DISK_FULL) {
            become_read_only(writer, &why);
        }
    }
    if (!refused) {
        note_room(writer, batch, commits);
    }
    counters_add(writer->counters, COUNTER_STORE_BATCHES, commits);
    writer->purging |= commits > 0; /* a deletion may have been among them: a look is one seek */
    for (size_t i = 0; i < batch->count; i++) {
        struct writer_job *job = batch->job[i];

        counters_add(writer->counters, refused ? COUNTER_STORE_REFUSED : counter_of(job->status),
                     1);
        job->done(job, job->status, &job->why);
    }
}

/* Sweeps a bit of what deleted tenants left behind. */
static void sweep(struct writer *writer)
{
    struct store_txn *txn = NULL;
    struct ks_failure why = {0};
    size_t removed = 0;
    bool done = false;
    enum ks_status st;

    if (!writer->purging || refusal(writer, &why) != KS_OK) {
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
static bool wait_for_work(struct writer *writer, struct writer_batch *batch)
{
    struct timespec until;
    uint64_t refused;
    bool more;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    lock_take(&writer->lock);
    if (!has_work_locked(writer) && !writer->stopping &&
        !(writer->purging && refusal_locked(writer, NULL) == KS_OK)) {
        (void)pthread_cond_timedwait(&writer->work, &writer->lock.mutex, &until);
    }
    take_batch_locked(writer, batch);
    more = batch->count > 0 || !writer->stopping;
    refused = writer->refused;
    writer->refused = 0;
    lock_give(&writer->lock);
    counters_add(writer->counters, COUNTER_STORE_REFUSED, refused);
    return more;
}

static void *writer_main(void *arg)
{
    struct writer *writer = arg;
    struct writer_batch batch = {0};

    while (wait_for_work(writer, &batch)) {
        bool idle = batch.count == 0;

        if (idle) {
            watch_disk(writer);
        } else {
            run_batch(writer, &batch);
        }
        if (idle || ++writer->unswept >= SWEEP_EVERY) {
            sweep(writer);
            writer->unswept = 0;
        }
        keep_house(writer);
    }
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
    enum ks_status st;

    lock_take(&writer->lock);
    st = stopping_locked(writer, why);
    if (st == KS_OK && writer->lane[lane].count >= writer->options.lane_depth) {
        st = ks_fail(why, KS_BUSY, "busy", "too many writes wait; try again");
        writer->refused++;
    }
    if (st == KS_OK) {
        push(&writer->lane[lane], job);
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
