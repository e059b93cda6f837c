#include "base/pool.h"

#include <assert.h>
#include <stdlib.h>

#include "base/lock.h"

/* Jobs of one peer, oldest first. Peers share a bucket when their keys collide: fairness suffers a
 * little then, nothing else does. */
enum { POOL_BUCKETS = 64 };

struct pool_lane_queue {
    struct pool_job *first[POOL_BUCKETS];
    struct pool_job *last[POOL_BUCKETS];
    size_t waiting[POOL_BUCKETS];
    size_t turn; /* bucket to look at next */
    size_t count;
};

struct pool {
    size_t depth;
    unsigned workers;
    pthread_t *threads;
    struct lock lock; /* guards all below */
    pthread_cond_t work;
    struct pool_lane_queue lane[POOL_LANES];
    bool stopping;
};

static void pool_push_locked(struct pool_lane_queue *lane, struct pool_job *job)
{
    size_t bucket = (size_t)(job->peer % POOL_BUCKETS);

    job->next = NULL;
    if (lane->first[bucket] == NULL) {
        lane->first[bucket] = job;
    } else {
        lane->last[bucket]->next = job;
    }
    lane->last[bucket] = job;
    lane->waiting[bucket]++;
    lane->count++;
}

/* Round robin over the peers. */
static struct pool_job *pool_pop_locked(struct pool_lane_queue *lane)
{
    struct pool_job *job;

    assert(lane->count > 0);
    while (lane->first[lane->turn] == NULL) {
        lane->turn = (lane->turn + 1) % POOL_BUCKETS;
    }
    job = lane->first[lane->turn];
    lane->first[lane->turn] = job->next;
    lane->waiting[lane->turn]--;
    lane->turn = (lane->turn + 1) % POOL_BUCKETS;
    lane->count--;
    return job;
}

static struct pool_job *pool_next_locked(struct pool *pool)
{
    for (int i = 0; i < POOL_LANES; i++) {
        if (pool->lane[i].count > 0) {
            return pool_pop_locked(&pool->lane[i]);
        }
    }
    return NULL;
}

static void *pool_main(void *arg)
{
    struct pool *pool = arg;

    for (;;) {
        struct pool_job *job = NULL;

        lock_take(&pool->lock);
        while (!pool->stopping && (job = pool_next_locked(pool)) == NULL) {
            (void)pthread_cond_wait(&pool->work, &pool->lock.mutex);
        }
        lock_give(&pool->lock);
        if (job == NULL) {
            return NULL;
        }
        job->run(job, false);
    }
}

struct pool *pool_open(unsigned workers, size_t depth)
{
    struct pool *pool = calloc(1, sizeof(*pool));

    assert(workers > 0);
    if (pool == NULL) {
        abort();
    }
    pool->depth = depth;
    pool->workers = workers;
    lock_init(&pool->lock);
    if (pthread_cond_init(&pool->work, NULL) != 0) {
        abort();
    }
    pool->threads = calloc(workers, sizeof(*pool->threads));
    if (pool->threads == NULL) {
        abort();
    }
    for (unsigned i = 0; i < workers; i++) {
        if (pthread_create(&pool->threads[i], NULL, pool_main, pool) != 0) {
            abort();
        }
        (void)pthread_setname_np(pool->threads[i], "pool");
    }
    return pool;
}

void pool_close(struct pool *pool)
{
    struct pool_job *job;

    if (pool == NULL) {
        return;
    }
    lock_take(&pool->lock);
    pool->stopping = true;
    (void)pthread_cond_broadcast(&pool->work);
    lock_give(&pool->lock);
    for (unsigned i = 0; i < pool->workers; i++) {
        (void)pthread_join(pool->threads[i], NULL);
    }
    while ((job = pool_next_locked(pool)) != NULL) { /* no other thread is left */
        job->run(job, true);
    }
    (void)pthread_cond_destroy(&pool->work);
    lock_done(&pool->lock);
    free(pool->threads);
    free(pool);
}

/* What one peer may have waiting: no one address takes the whole lane. */
static size_t pool_share(const struct pool *pool)
{
    return pool->depth < 4 ? pool->depth : pool->depth / 4;
}

enum ks_status pool_submit(struct pool *pool, enum pool_lane lane, struct pool_job *job,
                           struct ks_failure *why)
{
    bool full;

    lock_take(&pool->lock);
    full = pool->stopping || pool->lane[lane].count >= pool->depth ||
           pool->lane[lane].waiting[job->peer % POOL_BUCKETS] >= pool_share(pool);
    if (!full) {
        pool_push_locked(&pool->lane[lane], job);
        (void)pthread_cond_signal(&pool->work);
    }
    lock_give(&pool->lock);
    if (full) {
        return ks_fail(why, KS_BUSY, "busy", "too many passwords wait to be hashed; try again");
    }
    return KS_OK;
}
