/* The writer on real LMDB, with faults between the two where it takes them. */
#include "support/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/counters.h"
#include "store/lmdb/lmdb_kv.h"
#include "store/store.h"
#include "store/writer.h"
#include "support/fault_kv.h"

enum { JOBS = 32, LANE_DEPTH = 24 };

/* What a job does when it is run. */
enum act {
    ACT_INSERT,           /* a tenant named by the job's number */
    ACT_REFUSE,           /* KS_LIMIT, nothing written */
    ACT_INSERT_THEN_FAIL, /* KS_INVALID, something written */
    ACT_READ,             /* KS_OK, nothing written */
    ACT_WAIT,             /* until `go`, then as ACT_READ */
};

struct job {
    struct writer_job job; /* first */
    struct ks_failure why;
    size_t commits_at_done;
    enum act act;
    enum writer_lane lane;
    int number;
    unsigned runs;
    unsigned dones;
    enum ks_status status;
};

static struct test_dir dir;
static struct kv *kv;
static struct store *store;
static struct writer *writer;
static struct job jobs[JOBS];
static int job_count;

/* Written on the writer's thread, read by the test after it has waited for the jobs. */
static const struct job *first_runs[JOBS];
static int first_run_count;
static const struct job *dones[JOBS];
static int done_count;
static sem_t done;    /* posted for each job answered */
static sem_t entered; /* by ACT_WAIT */
static sem_t go;

/* ---- support ---- */

static void open_store(void)
{
    const struct lmdb_kv_options options = {
        .dir = dir.path, .map_size = UINT64_C(256) << 20, .max_readers = 8};
    struct kv *inner = NULL;

    assert_ok(lmdb_kv_open(&inner, &options, why));
    kv = fault_kv_open(inner);
    assert_ok(store_open(&store, kv, why));
}

static void open_writer(uint64_t min_free)
{
    const struct writer_options options = {
        .dir = dir.path, .min_free = min_free, .lane_depth = LANE_DEPTH};

    assert_ok(writer_open(&writer, store, &options, why));
}

static int set_up(void **state)
{
    (void)state;
    test_log_begin();
    test_dir_make(&dir);
    sem_init(&done, 0, 0);
    sem_init(&entered, 0, 0);
    sem_init(&go, 0, 0);
    job_count = 0;
    first_run_count = 0;
    done_count = 0;
    open_store();
    return 0;
}

static void fail_on(const char *text, void *arg)
{
    (void)arg;
    fail_msg("inconsistent: %s", text);
}

static int tear_down(void **state)
{
    struct store_txn *txn = NULL;

    (void)state;
    writer_close(writer);
    writer = NULL;
    assert_ok(store_reader_open(store, &txn, why));
    assert_ok(store_reader_renew(txn, why));
    assert_ok(store_verify(txn, fail_on, NULL, why));
    store_reader_close(txn);
    store_close(store);
    counters_done();
    test_dir_remove(&dir);
    sem_destroy(&done);
    sem_destroy(&entered);
    sem_destroy(&go);
    test_log_done();
    return 0;
}

static enum ks_status insert(struct store_txn *txn, int number, struct ks_failure *why)
{
    struct store_tenant tenant = {.max_devices = -1,
                                  .max_credentials_per_device = -1,
                                  .document = SPAN("{}"),
                                  .answer = {.text = SPAN("{}")}};
    char id[16];
    uint32_t space;

    (void)snprintf(id, sizeof(id), "T%d", number);
    tenant.id = span_cstr(id);
    return store_tenant_insert(txn, &tenant, &space, why);
}

static enum ks_status run(struct writer_job *base, struct store_txn *txn, struct ks_failure *why)
{
    struct job *job = (struct job *)base;
    enum ks_status st;

    if (job->runs++ == 0) {
        first_runs[first_run_count++] = job;
    }
    switch (job->act) {
    case ACT_INSERT:
        return insert(txn, job->number, why);
    case ACT_REFUSE:
        return ks_fail(why, KS_LIMIT, "device-limit", "refused");
    case ACT_INSERT_THEN_FAIL:
        st = insert(txn, job->number, why);
        return st == KS_OK ? ks_fail(why, KS_INVALID, "bad", "failed") : st;
    case ACT_WAIT:
        sem_post(&entered);
        sem_wait(&go);
        return KS_OK;
    case ACT_READ:
        break;
    }
    return KS_OK;
}

static void answer(struct writer_job *base, enum ks_status status, const struct ks_failure *why)
{
    struct job *job = (struct job *)base;

    job->dones++;
    job->status = status;
    job->why = *why;
    job->commits_at_done = fault_kv_commits(kv);
    dones[done_count++] = job;
    sem_post(&done);
}

static struct job *make(enum act act, enum writer_lane lane)
{
    struct job *job = &jobs[job_count];

    assert_true(job_count < JOBS);
    *job = (struct job){
        .job = {.run = run, .done = answer}, .act = act, .lane = lane, .number = job_count};
    job_count++;
    return job;
}

static struct job *submit_to(enum writer_lane lane, enum act act)
{
    struct job *job = make(act, lane);

    assert_ok(writer_submit(writer, lane, &job->job, why));
    return job;
}

static struct job *submit(enum act act)
{
    return submit_to(WRITER_MANAGEMENT, act);
}

static void wait_for(int count)
{
    for (int i = 0; i < count; i++) {
        sem_wait(&done);
    }
}

/* Holds the writer in a job of its own, so that what is submitted now becomes one batch. */
static struct job *hold(void)
{
    struct job *job = submit(ACT_WAIT);

    sem_wait(&entered);
    return job;
}

static void let_go(void)
{
    sem_post(&go);
}

static bool has_tenant(int number)
{
    struct store_txn *txn = NULL;
    char id[16];
    uint32_t space;
    enum ks_status st;

    (void)snprintf(id, sizeof(id), "T%d", number);
    assert_ok(store_reader_open(store, &txn, why));
    assert_ok(store_reader_renew(txn, why));
    st = store_tenant_find(txn, span_cstr(id), &space, NULL);
    store_reader_close(txn);
    return st == KS_OK;
}

static void nap(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&time, NULL);
}

/* ---- batches ---- */

static void a_job_is_answered_after_its_commit(void **state)
{
    size_t before;
    struct job *job;

    (void)state;
    open_writer(0);
    before = fault_kv_commits(kv);
    job = submit(ACT_INSERT);
    wait_for(1);
    assert_int_equal(job->status, KS_OK);
    assert_int_equal(job->commits_at_done, before + 1);
    assert_true(has_tenant(job->number));
}

static void jobs_that_wait_share_a_commit_and_keep_their_order(void **state)
{
    size_t before;

    (void)state;
    open_writer(0);
    before = fault_kv_commits(kv);
    hold();
    for (int i = 0; i < 10; i++) {
        (void)submit(ACT_INSERT);
    }
    let_go();
    wait_for(11);
    assert_int_equal(fault_kv_commits(kv), before + 1);
    for (int i = 0; i < 11; i++) {
        assert_int_equal(jobs[i].runs, 1);
        assert_int_equal(jobs[i].status, KS_OK);
        assert_ptr_equal(dones[i], &jobs[i]);
    }
}

static void lanes_take_turns(void **state)
{
    (void)state;
    open_writer(0);
    hold();
    for (int i = 0; i < 4; i++) {
        (void)submit_to(WRITER_MANAGEMENT, ACT_INSERT);
    }
    for (int i = 0; i < 4; i++) {
        (void)submit_to(WRITER_AMQP, ACT_INSERT);
    }
    let_go();
    wait_for(9);
    for (int i = 2; i < 9; i++) {
        assert_int_not_equal(first_runs[i]->lane, first_runs[i - 1]->lane);
    }
}

static void a_full_lane_refuses_and_the_other_takes(void **state)
{
    struct job *late;

    (void)state;
    open_writer(0);
    hold();
    for (int i = 0; i < LANE_DEPTH; i++) {
        (void)submit(ACT_READ);
    }
    late = make(ACT_READ, WRITER_MANAGEMENT);
    assert_status(KS_BUSY, writer_submit(writer, WRITER_MANAGEMENT, &late->job, why));
    (void)submit_to(WRITER_AMQP, ACT_READ);
    let_go();
    wait_for(LANE_DEPTH + 2);
    assert_int_equal(late->dones, 0);
    writer_stop(writer);
    assert_int_equal(counters_sum(COUNTER_STORE_REFUSED), 1);
    assert_int_equal(counters_sum(COUNTER_STORE_JOBS), LANE_DEPTH + 2);
}

static void a_job_that_refuses_leaves_the_others_alone(void **state)
{
    size_t before;
    struct job *refused;

    (void)state;
    open_writer(0);
    before = fault_kv_commits(kv);
    hold();
    (void)submit(ACT_INSERT);
    refused = submit(ACT_REFUSE);
    (void)submit(ACT_INSERT);
    let_go();
    wait_for(4);
    assert_int_equal(refused->status, KS_LIMIT);
    assert_string_equal(refused->why.reason, "device-limit");
    assert_int_equal(jobs[1].status, KS_OK);
    assert_int_equal(jobs[3].status, KS_OK);
    assert_int_equal(jobs[3].runs, 1);
    assert_int_equal(fault_kv_commits(kv), before + 1);
}

static void nothing_is_committed_for_jobs_that_only_read(void **state)
{
    size_t before;

    (void)state;
    open_writer(0);
    before = fault_kv_commits(kv);
    (void)submit(ACT_READ);
    wait_for(1);
    assert_int_equal(fault_kv_commits(kv), before);
}

static void who_fails_after_writing_fails_alone(void **state)
{
    size_t before;
    struct job *first;
    struct job *second;

    (void)state;
    open_writer(0);
    before = fault_kv_commits(kv);
    hold();
    (void)submit(ACT_INSERT);
    first = submit(ACT_INSERT_THEN_FAIL);
    (void)submit(ACT_INSERT);
    second = submit(ACT_INSERT_THEN_FAIL);
    (void)submit(ACT_INSERT);
    let_go();
    wait_for(6);
    assert_int_equal(first->status, KS_INVALID);
    assert_string_equal(first->why.reason, "bad");
    assert_int_equal(second->status, KS_INVALID);
    assert_false(has_tenant(first->number));
    assert_false(has_tenant(second->number));
    for (int i = 1; i < 6; i += 2) {
        assert_int_equal(jobs[i].status, KS_OK);
        assert_true(has_tenant(i));
    }
    assert_int_equal(fault_kv_commits(kv), before + 1);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(jobs[i].dones, 1);
        assert_ptr_equal(dones[i], &jobs[i]);
    }
}

enum { CROWD = 4, CROWD_JOBS = 150 };

struct crowd_job {
    struct writer_job job; /* first */
    unsigned runs;
    unsigned dones;
};

struct member {
    struct crowd_job jobs[CROWD_JOBS];
    pthread_t thread;
    enum writer_lane lane;
};

static enum ks_status run_crowd(struct writer_job *base, struct store_txn *txn,
                                struct ks_failure *why)
{
    const struct store_outbox_entry event = {
        .kind = STORE_OUTBOX_EVENT, .tenant_id = SPAN("T1"), .device_id = SPAN("D1")};
    uint64_t seq;

    ((struct crowd_job *)base)->runs++;
    return store_outbox_append(txn, &event, &seq, why);
}

static void answer_crowd(struct writer_job *base, enum ks_status status,
                         const struct ks_failure *why)
{
    (void)why;
    ((struct crowd_job *)base)->dones += status == KS_OK;
}

static void *submit_all(void *arg)
{
    struct member *member = arg;

    for (int i = 0; i < CROWD_JOBS; i++) {
        struct crowd_job *job = &member->jobs[i];

        *job = (struct crowd_job){.job = {.run = run_crowd, .done = answer_crowd}};
        while (writer_submit(writer, member->lane, &job->job, NULL) == KS_BUSY) {
            nap(1);
        }
    }
    return NULL;
}

static void many_threads_may_submit(void **state)
{
    static struct member members[CROWD];
    struct store_txn *txn = NULL;
    struct store_stat stat;

    (void)state;
    open_writer(0);
    for (int i = 0; i < CROWD; i++) {
        members[i].lane = (enum writer_lane)(i % WRITER_LANES);
        assert_int_equal(pthread_create(&members[i].thread, NULL, submit_all, &members[i]), 0);
    }
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(pthread_join(members[i].thread, NULL), 0);
    }
    writer_stop(writer);
    for (int i = 0; i < CROWD * CROWD_JOBS; i++) {
        const struct crowd_job *job = &members[i / CROWD_JOBS].jobs[i % CROWD_JOBS];

        assert_int_equal(job->runs, 1);
        assert_int_equal(job->dones, 1);
    }
    assert_ok(store_reader_open(store, &txn, why));
    assert_ok(store_reader_renew(txn, why));
    assert_ok(store_stat(txn, &stat, why));
    store_reader_close(txn);
    assert_int_equal(stat.outbox.waiting[STORE_EVENTS], CROWD * CROWD_JOBS);
    assert_int_equal(counters_sum(COUNTER_STORE_JOBS), CROWD * CROWD_JOBS);
}

/* ---- faults ---- */

static void a_full_transaction_is_halved_until_it_fits(void **state)
{
    enum { PUTS_OF_A_JOB = 4 }; /* record, id, next space, counters */
    size_t before;

    (void)state;
    open_writer(0);
    before = fault_kv_commits(kv);
    hold();
    for (int i = 0; i < 8; i++) {
        (void)submit(ACT_INSERT);
    }
    fault_kv_fail_puts(kv, (size_t)2 * PUTS_OF_A_JOB, KS_FULL);
    let_go();
    wait_for(9);
    for (int i = 1; i < 9; i++) {
        assert_int_equal(jobs[i].status, KS_OK);
        assert_true(has_tenant(i));
    }
    assert_int_equal(fault_kv_commits(kv), before + 4);
}

static void what_does_not_fit_alone_is_refused_as_full(void **state)
{
    struct ks_failure failure = {0};

    (void)state;
    test_log_expect("store-full");
    open_writer(0);
    hold();
    for (int i = 0; i < 5; i++) {
        (void)submit(ACT_INSERT);
    }
    (void)submit(ACT_REFUSE);
    fault_kv_fail_puts(kv, 1, KS_FULL);
    let_go();
    wait_for(7);
    for (int i = 1; i < 6; i++) {
        assert_int_equal(jobs[i].status, KS_FULL);
        assert_false(has_tenant(i));
    }
    assert_int_equal(jobs[6].status, KS_LIMIT);
    assert_int_equal(writer_health(writer, &failure), KS_FULL);
    assert_string_equal(failure.reason, "store-full");
    fault_kv_fail_puts(kv, 0, KS_OK);
    (void)submit(ACT_INSERT);
    wait_for(1);
    assert_int_equal(jobs[7].status, KS_OK);
    assert_ok(writer_health(writer, why));
    assert_int_equal(test_log_count("store-full"), 1);
}

static void an_io_error_at_commit_fails_the_batch_and_ends_writing(void **state)
{
    struct ks_failure failure = {0};
    struct job *late;

    (void)state;
    test_log_expect("store-read-only");
    open_writer(0);
    hold();
    for (int i = 0; i < 3; i++) {
        (void)submit(ACT_INSERT);
    }
    fault_kv_fail_commits(kv, KS_IO);
    let_go();
    wait_for(4);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(jobs[i].status, KS_IO);
        assert_int_equal(jobs[i].runs, 1);
        assert_false(has_tenant(i));
    }
    assert_int_equal(writer_health(writer, &failure), KS_UNAVAILABLE);
    assert_string_equal(failure.reason, "read-only");
    fault_kv_fail_commits(kv, KS_OK);
    late = submit(ACT_INSERT);
    wait_for(1);
    assert_int_equal(late->status, KS_UNAVAILABLE);
    assert_string_equal(late->why.reason, "read-only");
    assert_int_equal(late->runs, 0);
    assert_int_equal(test_log_count("store-read-only"), 1);
}

static void a_full_disk_fails_the_batch_only(void **state)
{
    struct ks_failure failure = {0};

    (void)state;
    test_log_expect("store-full");
    open_writer(0);
    for (int i = 0; i < 2; i++) {
        int held = job_count;

        hold();
        (void)submit(ACT_INSERT);
        (void)submit(ACT_INSERT);
        if (i == 0) {
            fault_kv_fail_commits(kv, KS_DISK_FULL);
        } else {
            fault_kv_fail_puts(kv, 5, KS_DISK_FULL); /* LMDB spills pages before the commit */
        }
        let_go();
        wait_for(3);
        for (int k = held + 1; k < held + 3; k++) {
            assert_int_equal(jobs[k].status, KS_DISK_FULL);
            assert_int_equal(jobs[k].runs, 1);
            assert_false(has_tenant(k));
        }
        fault_kv_fail_commits(kv, KS_OK);
        fault_kv_fail_puts(kv, 0, KS_OK);
    }
    assert_int_equal(writer_health(writer, &failure), KS_DISK_FULL);
    assert_string_equal(failure.reason, "disk-full");
    (void)submit(ACT_INSERT);
    wait_for(1);
    assert_int_equal(jobs[job_count - 1].status, KS_OK);
    assert_ok(writer_health(writer, why));
}

/* ---- the watermark ---- */

static uint64_t free_bytes(void)
{
    struct statvfs fs;

    assert_int_equal(statvfs(dir.path, &fs), 0);
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

static void below_the_watermark_writes_are_refused_until_there_is_space(void **state)
{
    const uint64_t margin = UINT64_C(512) << 20; /* others use the file system too */
    struct ks_failure failure = {0};
    char path[300];
    struct job *job;
    int fd;

    (void)state;
    if (free_bytes() < 4 * margin) {
        skip();
    }
    (void)snprintf(path, sizeof(path), "%s/ballast", dir.path);
    test_log_expect("disk-full");
    open_writer(free_bytes() - margin);
    assert_ok(writer_health(writer, why));
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)(2 * margin)), 0);
    close(fd);
    nap(150);
    job = submit(ACT_INSERT);
    wait_for(1);
    assert_int_equal(job->status, KS_DISK_FULL);
    assert_string_equal(job->why.reason, "disk-full");
    assert_int_equal(job->runs, 0);
    assert_int_equal(writer_health(writer, &failure), KS_DISK_FULL);
    assert_int_equal(unlink(path), 0);
    for (int i = 0; i < 50 && writer_health(writer, NULL) != KS_OK; i++) {
        nap(100); /* without a job to remind it */
    }
    assert_ok(writer_health(writer, why));
    job = submit(ACT_INSERT);
    wait_for(1);
    assert_int_equal(job->status, KS_OK);
}

/* ---- the end ---- */

static void *stop(void *arg)
{
    writer_stop(arg);
    return NULL;
}

static void what_waits_at_the_stop_is_done(void **state)
{
    pthread_t thread;
    struct job *late;

    (void)state;
    open_writer(0);
    hold();
    for (int i = 0; i < 5; i++) {
        (void)submit(ACT_INSERT);
    }
    assert_int_equal(pthread_create(&thread, NULL, stop, writer), 0);
    while (writer_health(writer, NULL) != KS_UNAVAILABLE) {
        nap(1);
    }
    late = make(ACT_INSERT, WRITER_AMQP);
    assert_status(KS_UNAVAILABLE, writer_submit(writer, WRITER_AMQP, &late->job, why));
    let_go();
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (int i = 1; i < 6; i++) {
        assert_int_equal(jobs[i].dones, 1);
        assert_int_equal(jobs[i].status, KS_OK);
        assert_true(has_tenant(i));
    }
    assert_int_equal(late->dones, 0);
    writer_stop(writer);
}

/* ---- sweeping ---- */

enum { DEVICES = 1700 };

/* A tenant with many devices, deleted. */
static void leave_behind(void)
{
    struct store_tenant tenant = {
        .id = SPAN("old"), .document = SPAN("{}"), .answer = {.text = SPAN("{}")}};
    struct store_txn *txn = NULL;
    uint32_t space = 0;

    assert_ok(store_write_begin(store, &txn, why));
    assert_ok(store_tenant_insert(txn, &tenant, &space, why));
    for (int i = 0; i < DEVICES; i++) {
        char id[16];
        const struct store_device device = {
            .id = span_of(id, (size_t)snprintf(id, sizeof(id), "D%d", i)),
            .document = SPAN("{}"),
            .answer = SPAN("{}")};

        assert_ok(store_device_insert(txn, space, &device, why));
    }
    assert_ok(store_write_commit(txn, why));
    assert_ok(store_write_begin(store, &txn, why));
    assert_ok(store_tenant_delete(txn, space, why));
    assert_ok(store_write_commit(txn, why));
}

static uint64_t purging(void)
{
    struct store_txn *txn = NULL;
    struct store_stat stat;

    assert_ok(store_reader_open(store, &txn, why));
    assert_ok(store_reader_renew(txn, why));
    assert_ok(store_stat(txn, &stat, why));
    store_reader_close(txn);
    return stat.purging;
}

static void what_another_process_left_is_swept_in_small_steps(void **state)
{
    size_t before;

    (void)state;
    leave_behind();
    store_close(store);
    open_store();
    before = fault_kv_commits(kv);
    assert_int_equal(purging(), 1);
    open_writer(0);
    for (int i = 0; i < 1000 && purging() > 0; i++) {
        nap(50);
    }
    assert_int_equal(purging(), 0);
    assert_true(fault_kv_most_deletions(kv) <= 501); /* the last step takes it off the list */
    assert_int_equal(fault_kv_commits(kv), before + (DEVICES / 500) + 1);
}

static void a_deletion_is_swept_after_its_job(void **state)
{
    (void)state;
    open_writer(0);
    nap(50); /* it has found nothing to sweep */
    leave_behind();
    (void)submit(ACT_INSERT);
    wait_for(1);
    for (int i = 0; i < 1000 && purging() > 0; i++) {
        nap(50);
    }
    assert_int_equal(purging(), 0);
}

static int64_t cpu_ms(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void nothing_spins_while_sweeping_is_refused(void **state)
{
    int64_t before;

    (void)state;
    test_log_expect("disk-full");
    leave_behind();
    open_writer(UINT64_MAX);
    before = cpu_ms();
    nap(500);
    assert_true(cpu_ms() - before < 250);
    assert_int_equal(purging(), 1);
}

int main(void)
{
#define WRITER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WRITER_TEST(a_job_is_answered_after_its_commit),
        WRITER_TEST(jobs_that_wait_share_a_commit_and_keep_their_order),
        WRITER_TEST(lanes_take_turns),
        WRITER_TEST(a_full_lane_refuses_and_the_other_takes),
        WRITER_TEST(a_job_that_refuses_leaves_the_others_alone),
        WRITER_TEST(nothing_is_committed_for_jobs_that_only_read),
        WRITER_TEST(who_fails_after_writing_fails_alone),
        WRITER_TEST(many_threads_may_submit),
        WRITER_TEST(a_full_transaction_is_halved_until_it_fits),
        WRITER_TEST(what_does_not_fit_alone_is_refused_as_full),
        WRITER_TEST(an_io_error_at_commit_fails_the_batch_and_ends_writing),
        WRITER_TEST(a_full_disk_fails_the_batch_only),
        WRITER_TEST(below_the_watermark_writes_are_refused_until_there_is_space),
        WRITER_TEST(what_waits_at_the_stop_is_done),
        WRITER_TEST(what_another_process_left_is_swept_in_small_steps),
        WRITER_TEST(a_deletion_is_swept_after_its_job),
        WRITER_TEST(nothing_spins_while_sweeping_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
