#include "support/test.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "base/pool.h"

enum { ORDER_MAX = 64 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t order[ORDER_MAX]; /* peers, as they were served */
static size_t order_count;
static unsigned discarded;
static sem_t gate;
static sem_t entered;

struct job {
    struct pool_job pool; /* first */
    bool waits;
};

static void run(struct pool_job *pool_job, bool discard)
{
    struct job *job = (struct job *)pool_job;

    if (job->waits && !discard) {
        sem_post(&entered);
        sem_wait(&gate);
    }
    pthread_mutex_lock(&mutex);
    if (discard) {
        discarded++;
    } else if (order_count < ORDER_MAX) {
        order[order_count++] = job->pool.peer;
    }
    pthread_mutex_unlock(&mutex);
    free(job);
}

static enum ks_status submit(struct pool *pool, enum pool_lane lane, uint64_t peer, bool waits)
{
    struct job *job = calloc(1, sizeof(*job));
    enum ks_status st;

    job->pool.run = run;
    job->pool.peer = peer;
    job->waits = waits;
    st = pool_submit(pool, lane, &job->pool, NULL);
    if (st != KS_OK) {
        free(job);
    }
    return st;
}

static int set_up(void **state)
{
    (void)state;
    order_count = 0;
    discarded = 0;
    sem_init(&gate, 0, 0);
    sem_init(&entered, 0, 0);
    return 0;
}

/* One worker that is busy until the gate opens. */
static struct pool *busy_pool(size_t depth)
{
    struct pool *pool = pool_open(1, depth);

    assert_int_equal(submit(pool, POOL_URGENT, 0, true), KS_OK);
    sem_wait(&entered);
    return pool;
}

static void open_gate_and_wait(size_t count)
{
    sem_post(&gate);
    for (;;) {
        size_t n;

        pthread_mutex_lock(&mutex);
        n = order_count;
        pthread_mutex_unlock(&mutex);
        if (n >= count) {
            return;
        }
        sched_yield();
    }
}

static void urgent_jobs_come_first_and_peers_take_turns(void **state)
{
    static const uint64_t expected[] = {0, 7, 7, 1, 2, 1, 1};
    struct pool *pool = busy_pool(16);

    (void)state;
    assert_int_equal(submit(pool, POOL_NORMAL, 1, false), KS_OK);
    assert_int_equal(submit(pool, POOL_NORMAL, 1, false), KS_OK);
    assert_int_equal(submit(pool, POOL_NORMAL, 1, false), KS_OK);
    assert_int_equal(submit(pool, POOL_NORMAL, 2, false), KS_OK);
    assert_int_equal(submit(pool, POOL_URGENT, 7, false), KS_OK);
    assert_int_equal(submit(pool, POOL_URGENT, 7, false), KS_OK);
    open_gate_and_wait(7);
    assert_memory_equal(order, expected, sizeof(expected));
    pool_close(pool);
}

static void one_peer_has_a_quarter_of_a_lane_waiting(void **state)
{
    struct pool *pool = busy_pool(8);

    (void)state;
    assert_int_equal(submit(pool, POOL_NORMAL, 1, false), KS_OK);
    assert_int_equal(submit(pool, POOL_NORMAL, 1, false), KS_OK);
    assert_int_equal(submit(pool, POOL_NORMAL, 1, false), KS_BUSY);
    assert_int_equal(submit(pool, POOL_NORMAL, 2, false), KS_OK);
    open_gate_and_wait(4);
    pool_close(pool);
}

static void a_full_lane_is_busy_and_the_other_is_not(void **state)
{
    struct pool *pool = busy_pool(2);

    (void)state;
    assert_int_equal(submit(pool, POOL_NORMAL, 1, false), KS_OK);
    assert_int_equal(submit(pool, POOL_NORMAL, 2, false), KS_OK);
    assert_int_equal(submit(pool, POOL_NORMAL, 3, false), KS_BUSY);
    assert_int_equal(submit(pool, POOL_URGENT, 4, false), KS_OK);
    open_gate_and_wait(4);
    pool_close(pool);
}

struct late_opener {
    struct pool *pool;
    unsigned submitted;
};

/* Opens the gate once the pool refuses jobs, that is once its close has begun. */
static void *open_gate_when_stopping(void *arg)
{
    struct late_opener *opener = arg;

    while (submit(opener->pool, POOL_NORMAL, 1, false) == KS_OK) {
        opener->submitted++;
        sched_yield();
    }
    sem_post(&gate);
    return NULL;
}

static void jobs_that_never_ran_are_discarded_at_the_end(void **state)
{
    struct late_opener opener = {.pool = busy_pool(SIZE_MAX)};
    pthread_t thread;

    (void)state;
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(submit(opener.pool, POOL_NORMAL, i, false), KS_OK);
    }
    assert_int_equal(pthread_create(&thread, NULL, open_gate_when_stopping, &opener), 0);
    pool_close(opener.pool);
    pthread_join(thread, NULL);
    assert_int_equal(order_count, 1);
    assert_int_equal(discarded, 5 + opener.submitted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(urgent_jobs_come_first_and_peers_take_turns, set_up),
        cmocka_unit_test_setup(one_peer_has_a_quarter_of_a_lane_waiting, set_up),
        cmocka_unit_test_setup(a_full_lane_is_busy_and_the_other_is_not, set_up),
        cmocka_unit_test_setup(jobs_that_never_ran_are_discarded_at_the_end, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
