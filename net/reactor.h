/*
 * reactor: a thread with an event loop that owns its connections for life and waits for nothing
 * else. Other threads reach it by posts.
 *
 * Threads:   reactor_open, _start, _stop, _close on the thread that set up the process;
 *            reactor_post from any thread; everything else on the reactor's own thread (or before
 *            _start).
 * Ownership: a post is handed over: it is run once on the reactor's thread, or, when the reactor
 *            has stopped, run with `discard` true on the closing thread, so that nothing leaks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct counters_slot;
struct event_base;
struct reactor;

struct reactor_post {
    void (*run)(struct reactor_post *post, bool discard);
    struct reactor_post *next; /* the reactor's */
};

/* Bytes of the one read buffer that all connections of a reactor share. */
enum { REACTOR_READ_BUFFER = 64 << 10 };

KS_MUST_CHECK enum ks_status reactor_open(struct reactor **out, const char *thread_name,
                                          struct ks_failure *why);
KS_MUST_CHECK enum ks_status reactor_start(struct reactor *reactor, struct ks_failure *why);
/* Ends the loop after the events at hand, joins the thread, discards what is still posted. Whoever
 * posts to it (writer, pool) has been stopped before. Idempotent. */
void reactor_stop(struct reactor *reactor);
/* Stops if need be, frees. Takes NULL. */
void reactor_close(struct reactor *reactor);

/* Wakes the loop at most once for any number of posts. */
void reactor_post(struct reactor *reactor, struct reactor_post *post);
bool reactor_is_current(const struct reactor *reactor);

struct event_base *reactor_base(struct reactor *reactor);
struct counters_slot *reactor_counters(struct reactor *reactor);
unsigned char *reactor_read_buffer(struct reactor *reactor);
/* Its connections, as counted by whoever places them. */
_Atomic unsigned *reactor_load(struct reactor *reactor);

/* A timer of the reactor's thread, embedded in its owner. */
struct reactor_timer {
    struct event *event;
    void (*fire)(void *arg);
    void *arg;
    int64_t at; /* monotonic ms it is set for; 0: not set */
};
void reactor_timer_init(struct reactor_timer *timer, struct reactor *reactor,
                        void (*fire)(void *arg), void *arg);
/* (Re)arms it; fires once. Whoever arms it again and again for a time that has come does not keep
 * it from firing. */
void reactor_timer_set(struct reactor_timer *timer, int64_t in_ms);
void reactor_timer_clear(struct reactor_timer *timer);
/* Takes a zeroed one. */
void reactor_timer_done(struct reactor_timer *timer);
