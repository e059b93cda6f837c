/*
 * event_details: what a tenant adds to the events of its devices: defaults and a time to live, as
 * they stand when the event is sent.
 *
 * Threads:   any; pure.
 * Ownership: `defaults` is in the arena.
 * Source:    Hono's downstream messages: ttl is the smaller of `defaults.ttl` and
 *            `resource-limits.max-ttl`; what is no positive number counts as not set.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"

struct store_tenant; /* store/store.h */

struct event_details {
    struct span defaults; /* a JSON object; empty: none */
    int64_t ttl_s;        /* 0: none */
};

KS_MUST_CHECK enum ks_status event_details_read(const struct store_tenant *tenant,
                                                struct arena *arena, struct event_details *out,
                                                struct ks_failure *why);
