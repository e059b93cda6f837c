#include "amqp/event_message.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "amqp/codec.h"

enum {
    SECTION_HEADER = 0x70,
    SECTION_ANNOTATIONS = 0x72,
    SECTION_PROPERTIES = 0x73,
    SECTION_APPLICATION_PROPERTIES = 0x74,
    SECTION_DATA = 0x75,
};

static const struct span provisioning_type = {
    .ptr = "application/vnd.eclipse-hono-device-provisioning-notification",
    .len = sizeof("application/vnd.eclipse-hono-device-provisioning-notification") - 1};

void event_message_address(enum store_outbox_kind kind, struct span tenant_id,
                           char out[EVENT_ADDRESS_MAX])
{
    switch (kind) {
    case STORE_OUTBOX_EVENT:
        (void)snprintf(out, EVENT_ADDRESS_MAX, "event/%.*s", SPAN_ARG(tenant_id));
        break;
    case STORE_OUTBOX_TENANT_CHANGE:
        (void)snprintf(out, EVENT_ADDRESS_MAX, "notification/registry-tenant");
        break;
    case STORE_OUTBOX_DEVICE_CHANGE:
        (void)snprintf(out, EVENT_ADDRESS_MAX, "notification/registry-device");
        break;
    }
}

/* ---- sections ---- */

static void write_header(bool durable, int64_t ttl_s, struct buf *out)
{
    size_t list;
    uint64_t ttl_ms = (uint64_t)ttl_s > UINT32_MAX / 1000 ? UINT32_MAX : (uint64_t)ttl_s * 1000;

    codec_write_descriptor(out, SECTION_HEADER);
    list = codec_begin_list(out);
    codec_write_bool(out, durable);
    if (ttl_s > 0) {
        codec_write_null(out); /* priority */
        codec_write_uint(out, (uint32_t)ttl_ms);
    }
    codec_end_compound(out, list, ttl_s > 0 ? 3 : 1);
}

static void write_annotations(const struct store_outbox_entry *entry, struct buf *out)
{
    struct buf resource;
    size_t map;

    buf_init(&resource, 0);
    buf_printf(&resource, "event/%.*s/%.*s", SPAN_ARG(entry->tenant_id),
               SPAN_ARG(entry->device_id));
    codec_write_descriptor(out, SECTION_ANNOTATIONS);
    map = codec_begin_map(out);
    codec_write_symbol(out, SPAN("tenant_id"));
    codec_write_string(out, entry->tenant_id);
    codec_write_symbol(out, SPAN("device_id"));
    codec_write_string(out, entry->device_id);
    codec_write_symbol(out, SPAN("resource"));
    codec_write_string(out, buf_span(&resource));
    codec_end_compound(out, map, 6);
    buf_done(&resource);
}

struct properties {
    struct span to;
    struct span content_type;
    struct span content_encoding; /* empty: none */
    uint64_t seq;
    const struct uuid *instance;
    int64_t created_ms;
};

static void write_properties(const struct properties *properties, struct buf *out)
{
    char id[UUID_TEXT_LEN + 24];
    size_t list;

    uuid_format(properties->instance, id);
    (void)snprintf(id + UUID_TEXT_LEN, sizeof(id) - UUID_TEXT_LEN, "-%" PRIu64, properties->seq);
    codec_write_descriptor(out, SECTION_PROPERTIES);
    list = codec_begin_list(out);
    codec_write_string(out, span_cstr(id)); /* message-id */
    codec_write_null(out);                  /* user-id */
    codec_write_string(out, properties->to);
    codec_write_null(out); /* subject */
    codec_write_null(out); /* reply-to */
    codec_write_null(out); /* correlation-id */
    codec_write_symbol(out, properties->content_type);
    if (properties->content_encoding.len > 0) {
        codec_write_symbol(out, properties->content_encoding);
    } else {
        codec_write_null(out);
    }
    codec_write_null(out); /* absolute-expiry-time */
    codec_write_timestamp(out, properties->created_ms);
    codec_end_compound(out, list, 10);
}

static uint32_t write_text(struct buf *out, struct span name, struct span value)
{
    codec_write_string(out, name);
    codec_write_string(out, value);
    return 2;
}

/* ---- messages ---- */

static void write_event_properties(const struct store_outbox_entry *entry,
                                   const struct event_extras *extras, struct buf *out)
{
    uint32_t count = extras->count;
    size_t map;

    codec_write_descriptor(out, SECTION_APPLICATION_PROPERTIES);
    map = codec_begin_map(out);
    buf_add_span(out, extras->properties);
    count += write_text(out, SPAN("hono_registration_status"), SPAN("NEW"));
    count += write_text(out, SPAN("tenant_id"), entry->tenant_id);
    count += write_text(out, SPAN("device_id"), entry->device_id);
    if (entry->gateway_id.len > 0) {
        count += write_text(out, SPAN("gateway_id"), entry->gateway_id);
    } else if (extras->gateway_id.len > 0) {
        buf_add_span(out, extras->gateway_id);
        count += 2;
    }
    count += write_text(out, SPAN("orig_adapter"), SPAN("hono-device-registry"));
    count += write_text(out, SPAN("orig_address"), SPAN("event"));
    count += write_text(out, SPAN("JMS_AMQP_CONTENT_TYPE"), provisioning_type);
    if (extras->content_encoding.len > 0) {
        count += write_text(out, SPAN("JMS_AMQP_CONTENT_ENCODING"), extras->content_encoding);
    }
    codec_write_string(out, SPAN("qos"));
    codec_write_int(out, 1);
    codec_end_compound(out, map, count + 2);
}

static void encode_event(const struct store_outbox_entry *entry, const struct event_extras *extras,
                         struct properties *properties, struct buf *out)
{
    properties->content_type = provisioning_type;
    properties->content_encoding = extras->content_encoding;
    write_header(true, extras->ttl_s, out);
    write_annotations(entry, out);
    write_properties(properties, out);
    write_event_properties(entry, extras, out);
}

static void encode_notification(const struct store_outbox_entry *entry,
                                struct properties *properties, struct buf *out)
{
    properties->content_type = SPAN("application/json");
    write_properties(properties, out);
    codec_write_descriptor(out, SECTION_DATA);
    codec_write_binary(out, entry->body);
}

void event_message_encode(const struct store_outbox_entry *entry, uint64_t seq,
                          const struct uuid *instance, const struct event_extras *extras,
                          struct buf *out)
{
    char address[EVENT_ADDRESS_MAX];
    struct properties properties = {
        .seq = seq, .instance = instance, .created_ms = entry->created_ms};

    buf_clear(out);
    event_message_address(entry->kind, entry->tenant_id, address);
    properties.to = span_cstr(address);
    if (entry->kind == STORE_OUTBOX_EVENT) {
        encode_event(entry, extras, &properties, out);
    } else {
        encode_notification(entry, &properties, out);
    }
    assert(!out->overflow); /* ids, bodies and extras are bounded */
}
