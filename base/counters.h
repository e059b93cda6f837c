/*
 * counters: event counts that cost a thread one uncontended increment.
 *
 * Every thread that counts owns a `struct counters_slot` and is its only writer (relaxed load and
 * store, no locked instruction); a reader sums all slots. The set of counters is one table,
 * COUNTERS, so that a name, its help text and its index cannot drift apart.
 *
 * Threads:   counters_add from the slot's owner only; counters_sum from any thread.
 * Ownership: slots are registered once and live until counters_done.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define COUNTERS(X)                                                                                \
    X(CONNECTIONS_ACCEPTED, "connections_accepted", "AMQP connections accepted")                   \
    X(CONNECTIONS_REFUSED, "connections_refused", "AMQP connections over the cap")                 \
    X(LOGINS_OK, "logins_ok", "SASL logins that succeeded")                                        \
    X(LOGINS_FAILED, "logins_failed", "SASL logins that failed")                                   \
    X(GUARD_VIOLATIONS, "guard_violations", "connections ended by the frame guard")                \
    X(REQUESTS, "requests", "AMQP requests taken")                                                 \
    X(REQUESTS_REJECTED, "requests_rejected", "AMQP requests refused as malformed")                \
    X(ANSWERS, "answers", "AMQP answers sent")                                                     \
    X(ANSWERS_DROPPED, "answers_dropped", "answers whose connection or link had gone")             \
    X(PROVISIONED, "provisioned", "devices provisioned by certificate")                            \
    X(EDGE_PROVISIONED, "edge_provisioned", "devices provisioned behind a gateway")                \
    X(PROVISIONING_REFUSED, "provisioning_refused", "provisioning requests refused")               \
    X(PROVISIONING_REPORTED, "provisioning_reported",                                              \
      "certificates that failed verification in mode report")                                      \
    X(HTTP_REQUESTS, "http_requests", "management API requests")                                   \
    X(OUTBOX_SENT, "outbox_sent", "events and notifications that the broker accepted")             \
    X(OUTBOX_RESENT, "outbox_resent", "sent again: after a rejection or a lost connection")        \
    X(OUTBOX_REJECTED, "outbox_rejected", "refusals of messages and links by the broker")          \
    X(OUTBOX_PARKED, "outbox_parked", "events parked since the broker kept rejecting them")        \
    X(OUTBOX_DISCARDED, "outbox_discarded", "events given up with their device or tenant")         \
    X(OUTBOX_REFUSED, "outbox_refused", "devices refused since too many events wait")              \
    X(OUTBOX_WAITS_OUT, "outbox_waits_out", "logins answered before their event was accepted")     \
    X(SEARCHES, "searches", "searches answered")                                                   \
    X(SEARCHES_REFUSED, "searches_refused", "searches refused: too many, or shutting down")        \
    X(SEARCHES_DROPPED, "searches_dropped", "searches whose client had gone")                      \
    X(STORE_BATCHES, "store_batches", "write transactions committed")                              \
    X(STORE_JOBS, "store_jobs", "write jobs answered after a commit")                              \
    X(STORE_FAILURES, "store_failures", "write jobs failed by the store")                          \
    X(STORE_REFUSED, "store_refused", "write jobs refused: queue full, disk full, read-only")

enum counter {
#define COUNTER_ENUM(id, name, help) COUNTER_##id,
    COUNTERS(COUNTER_ENUM)
#undef COUNTER_ENUM
        COUNTER_COUNT
};

/* Own cache lines: no false sharing between threads. */
struct counters_slot {
    _Alignas(64) _Atomic uint64_t value[COUNTER_COUNT];
    struct counters_slot *next;
};

/* A new zeroed slot, owned by the facility; the calling thread (or the thread it is handed to) is
 * its one writer. */
struct counters_slot *counters_slot_open(void);
/* The sum over all slots, at some moment. */
uint64_t counters_sum(enum counter counter);
const char *counters_name(enum counter counter);
const char *counters_help(enum counter counter);
/* Frees all slots; no thread counts any more. */
void counters_done(void);

static inline void counters_add(struct counters_slot *slot, enum counter counter, uint64_t n)
{
    uint64_t old = atomic_load_explicit(&slot->value[counter], memory_order_relaxed);

    atomic_store_explicit(&slot->value[counter], old + n, memory_order_relaxed);
}
