#include "net/reactor.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/lock.h"

struct reactor {
    struct event_base *base;
    struct event *wakeup; /* readable when posts wait or the loop must end */
    int wakeup_fd;
    pthread_t thread;
    bool running; /* the thread is to be joined */
    char name[16];
    _Atomic bool stopping;
    _Atomic unsigned load;
    struct counters_slot *counters;
    unsigned char read_buffer[REACTOR_READ_BUFFER];

    struct lock lock; /* guards the two below */
    struct reactor_post *first;
    struct reactor_post *last;
};

/* Which reactor the running thread is; NULL on all others. */
static _Thread_local const struct reactor *reactor_current;

static struct reactor_post *reactor_take_posts(struct reactor *reactor)
{
    struct reactor_post *first;

    lock_take(&reactor->lock);
    first = reactor->first;
    reactor->first = NULL;
    reactor->last = NULL;
    lock_give(&reactor->lock);
    return first;
}

static void reactor_run_posts(struct reactor *reactor, bool discard)
{
    struct reactor_post *post = reactor_take_posts(reactor);

    while (post != NULL) {
        struct reactor_post *next = post->next; /* run frees the post */

        post->next = NULL;
        post->run(post, discard);
        post = next;
    }
}

static void reactor_on_wakeup(evutil_socket_t fd, short what, void *arg)
{
    struct reactor *reactor = arg;
    uint64_t count;
    ssize_t n = read((int)fd, &count, sizeof(count));

    (void)n; /* only the readiness counts */
    (void)what;
    reactor_run_posts(reactor, false);
    if (atomic_load(&reactor->stopping)) {
        (void)event_base_loopbreak(reactor->base);
    }
}

enum ks_status reactor_open(struct reactor **out, const char *thread_name, struct ks_failure *why)
{
    struct reactor *reactor = calloc(1, sizeof(*reactor));

    if (reactor == NULL) {
        abort();
    }
    lock_init(&reactor->lock);
    (void)snprintf(reactor->name, sizeof(reactor->name), "%s", thread_name);
    reactor->wakeup_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    reactor->base = reactor->wakeup_fd >= 0 ? event_base_new() : NULL;
    if (reactor->base != NULL) {
        reactor->wakeup = event_new(reactor->base, reactor->wakeup_fd, EV_READ | EV_PERSIST,
                                    reactor_on_wakeup, reactor);
    }
    if (reactor->wakeup == NULL || event_add(reactor->wakeup, NULL) != 0) {
        enum ks_status st =
            ks_fail(why, KS_IO, NULL, "cannot make an event loop: %s", ks_errno_text(errno));

        reactor_close(reactor);
        return st;
    }
    reactor->counters = counters_slot_open();
    *out = reactor;
    return KS_OK;
}

static void *reactor_main(void *arg)
{
    struct reactor *reactor = arg;

    reactor_current = reactor;
    (void)event_base_loop(reactor->base, EVLOOP_NO_EXIT_ON_EMPTY);
    reactor_current = NULL;
    return NULL;
}

enum ks_status reactor_start(struct reactor *reactor, struct ks_failure *why)
{
    int rc;

    assert(!reactor->running);
    rc = pthread_create(&reactor->thread, NULL, reactor_main, reactor);
    if (rc != 0) {
        return ks_fail(why, KS_IO, NULL, "cannot start thread %s: %s", reactor->name,
                       ks_errno_text(rc));
    }
    (void)pthread_setname_np(reactor->thread, reactor->name);
    reactor->running = true;
    return KS_OK;
}

static void reactor_wake(struct reactor *reactor)
{
    uint64_t one = 1;
    ssize_t n = write(reactor->wakeup_fd, &one, sizeof(one));

    (void)n; /* a full counter is as readable as it can be */
}

void reactor_stop(struct reactor *reactor)
{
    assert(!reactor_is_current(reactor));
    atomic_store(&reactor->stopping, true);
    if (reactor->running) {
        reactor_wake(reactor);
        (void)pthread_join(reactor->thread, NULL);
        reactor->running = false;
    }
    reactor_run_posts(reactor, true);
}

void reactor_close(struct reactor *reactor)
{
    if (reactor == NULL) {
        return;
    }
    reactor_stop(reactor);
    if (reactor->wakeup != NULL) {
        event_free(reactor->wakeup);
    }
    if (reactor->base != NULL) {
        event_base_free(reactor->base);
    }
    if (reactor->wakeup_fd >= 0) {
        close(reactor->wakeup_fd);
    }
    lock_done(&reactor->lock);
    free(reactor);
}

void reactor_post(struct reactor *reactor, struct reactor_post *post)
{
    bool was_empty;

    post->next = NULL;
    lock_take(&reactor->lock);
    was_empty = reactor->first == NULL;
    if (was_empty) {
        reactor->first = post;
    } else {
        reactor->last->next = post;
    }
    reactor->last = post;
    lock_give(&reactor->lock);
    if (was_empty) {
        reactor_wake(reactor);
    }
}

bool reactor_is_current(const struct reactor *reactor)
{
    return reactor_current == reactor;
}

struct event_base *reactor_base(struct reactor *reactor)
{
    return reactor->base;
}

struct counters_slot *reactor_counters(struct reactor *reactor)
{
    return reactor->counters;
}

unsigned char *reactor_read_buffer(struct reactor *reactor)
{
    return reactor->read_buffer;
}

_Atomic unsigned *reactor_load(struct reactor *reactor)
{
    return &reactor->load;
}

static void reactor_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct reactor_timer *timer = arg;

    (void)fd;
    (void)what;
    timer->at = 0;
    timer->fire(timer->arg);
}

void reactor_timer_init(struct reactor_timer *timer, struct reactor *reactor,
                        void (*fire)(void *arg), void *arg)
{
    timer->fire = fire;
    timer->arg = arg;
    timer->event = evtimer_new(reactor->base, reactor_on_timer, timer);
    if (timer->event == NULL) {
        abort();
    }
}

void reactor_timer_set(struct reactor_timer *timer, int64_t in_ms)
{
    int64_t ms = in_ms > 0 ? in_ms : 0;
    struct timeval in = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    int64_t now = clock_monotonic_ms();
    int64_t set_for = timer->at > now ? timer->at : now; /* one that is due is set for now */

    if (timer->at != 0 && set_for == now + ms) {
        return; /* its call may be under way: adding it once more would take that back */
    }
    timer->at = now + ms;
    if (evtimer_add(timer->event, &in) != 0) {
        abort();
    }
}

void reactor_timer_clear(struct reactor_timer *timer)
{
    timer->at = 0;
    (void)evtimer_del(timer->event);
}

void reactor_timer_done(struct reactor_timer *timer)
{
    if (timer->event != NULL) {
        event_free(timer->event);
        timer->event = NULL;
        timer->at = 0;
    }
}
