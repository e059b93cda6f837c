/*
 * lock: a mutex that clang's thread-safety analysis follows. `_locked` functions say
 * LOCK_REQUIRES(lock). Which lock guards what, and the order, stands in docs/threads.md.
 */
#pragma once

#include <pthread.h>
#include <stdlib.h>

#if defined(__clang__)
#define LOCK_ATTR(x) __attribute__((x))
#else
#define LOCK_ATTR(x)
#endif
#define LOCK_REQUIRES(l) LOCK_ATTR(requires_capability(l))

struct LOCK_ATTR(capability("mutex")) lock {
    pthread_mutex_t mutex;
};

static inline void lock_init(struct lock *lock)
{
    if (pthread_mutex_init(&lock->mutex, NULL) != 0) {
        abort();
    }
}

static inline void lock_done(struct lock *lock)
{
    (void)pthread_mutex_destroy(&lock->mutex);
}

static inline void lock_take(struct lock *lock) LOCK_ATTR(acquire_capability(*lock))
    LOCK_ATTR(no_thread_safety_analysis);
static inline void lock_take(struct lock *lock)
{
    if (pthread_mutex_lock(&lock->mutex) != 0) {
        abort();
    }
}

static inline void lock_give(struct lock *lock) LOCK_ATTR(release_capability(*lock))
    LOCK_ATTR(no_thread_safety_analysis);
static inline void lock_give(struct lock *lock)
{
    if (pthread_mutex_unlock(&lock->mutex) != 0) {
        abort();
    }
}
