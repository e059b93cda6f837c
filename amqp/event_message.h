/*
 * event_message: outbox entries as AMQP messages, as Hono 2.7 sends them: the device provisioning
 * notification (an event without a body) and change notifications (JSON).
 *
 * Threads: any; pure. Source: Hono's Event API page; docs/events.md.
 */
#pragma once

#include "base/buf.h"
#include "base/uuid.h"
#include "service/event_details.h"
#include "store/store.h"

enum { EVENT_ADDRESS_MAX = 256, EVENT_MESSAGE_MAX = 128 << 10 };

/* Where it goes, with a NUL: event/<tenant>, notification/registry-tenant, …-device. */
void event_message_address(enum store_outbox_kind kind, struct span tenant_id,
                           char out[EVENT_ADDRESS_MAX]);

/* `details` count for events only. The message-id is <instance>-<seq>: the same at every try. */
void event_message_encode(const struct store_outbox_entry *entry, uint64_t seq,
                          const struct uuid *instance, const struct event_details *details,
                          struct buf *out);
