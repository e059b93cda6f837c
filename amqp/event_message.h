/*
 * event_message: outbox entries as AMQP messages, as Hono 2.7 sends them: the device provisioning
 * notification (an event without a body) and change notifications (JSON).
 *
 * Threads: any; pure. Source: Hono's Event API page; docs/events.md.
 */
#pragma once

#include "amqp/event_extras.h"
#include "base/buf.h"
#include "base/uuid.h"
#include "store/store.h"

enum { EVENT_ADDRESS_MAX = 256, EVENT_MESSAGE_MAX = 128 << 10 };

/* Where it goes, with a NUL: event/<tenant>, notification/registry-tenant, …-device. */
void event_message_address(enum store_outbox_kind kind, struct span tenant_id,
                           char out[EVENT_ADDRESS_MAX]);

/* A whole message, always: what it is made of is bounded far below EVENT_MESSAGE_MAX, which is the
 * least that `out`, which is cleared first, holds. `extras` count for events only. The message-id
 * is <instance>-<seq>: the same at every try. */
void event_message_encode(const struct store_outbox_entry *entry, uint64_t seq,
                          const struct uuid *instance, const struct event_extras *extras,
                          struct buf *out);
