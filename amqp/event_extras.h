/*
 * event_extras: what a tenant adds to the events of its devices, as AMQP: written once, and kept
 * while the tenant's record stands, so that long `defaults` cost each event a copy and no more.
 *
 * Threads:   one; event_extras_encode any, pure.
 * Ownership: results are in the arena. That of a cache is its own: it is reset from time to time.
 * Source:    Hono's downstream messages. What cannot be told as AMQP, or takes too much room, is
 *            left out as a whole.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"
#include "base/uuid.h"
#include "service/event_details.h"

struct store_txn;

enum {
    EVENT_DEFAULTS_MAX = 32 << 10, /* bytes in the message */
    EVENT_ENCODING_MAX = 255,
    EVENT_EXTRAS_KEPT = 64, /* tenants */
};

struct event_extras {
    int64_t ttl_s;          /* 0: none */
    struct span properties; /* encoded names and values, in turn */
    uint32_t count;         /* of both */
    struct span gateway_id; /* one name and its value, for an event that names no gateway itself */
    struct span content_encoding; /* a symbol's text; empty: none */
};

void event_extras_encode(const struct event_details *details, struct arena *arena,
                         struct event_extras *out);

struct event_extras_kept {
    uint32_t space;
    struct uuid version;
    struct event_extras extras;
};

/* Zeroed at first. */
struct event_extras_cache {
    size_t count;
    struct event_extras_kept kept[EVENT_EXTRAS_KEPT];
};

/* Of the tenant of a key space: one that has gone adds nothing, whoever has its name now. *out
 * stands until the next call. */
KS_MUST_CHECK enum ks_status event_extras_get(struct event_extras_cache *cache, struct arena *arena,
                                              struct store_txn *txn, uint32_t space,
                                              struct event_extras *out, struct ks_failure *why);
