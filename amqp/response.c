#include "amqp/response.h"

#include <stdio.h>

#include "amqp/codec.h"
#include "base/uuid.h"

enum { SECTION_PROPERTIES = 0x73, SECTION_APPLICATION_PROPERTIES = 0x74, SECTION_DATA = 0x75 };

/* endpoint[/tenant[/device]]; `endpoint//device` if only the device is known. */
static void write_to(const struct response *response, struct buf *out)
{
    struct span parts[] = {response->endpoint, SPAN("/"), response->tenant_id, SPAN("/"),
                           response->device_id};
    size_t count = response->device_id.len > 0 ? 5 : response->tenant_id.len > 0 ? 3 : 1;
    size_t len = 0;
    unsigned char head[5] = {0xB1};

    for (size_t i = 0; i < count; i++) {
        len += parts[i].len;
    }
    head[1] = (unsigned char)(len >> 24);
    head[2] = (unsigned char)(len >> 16);
    head[3] = (unsigned char)(len >> 8);
    head[4] = (unsigned char)len;
    buf_add(out, head, sizeof(head));
    for (size_t i = 0; i < count; i++) {
        buf_add_span(out, parts[i]);
    }
}

static void write_properties(const struct response *response, struct buf *out)
{
    struct uuid id = uuid_random();
    char text[UUID_TEXT_LEN + 1];
    bool has_body = response->body.len > 0;
    size_t begin;

    uuid_format(&id, text);
    codec_write_descriptor(out, SECTION_PROPERTIES);
    begin = codec_begin_list(out);
    codec_write_string(out, span_of(text, UUID_TEXT_LEN)); /* message-id */
    codec_write_null(out);                                 /* user-id */
    write_to(response, out);
    codec_write_null(out); /* subject */
    codec_write_null(out); /* reply-to */
    buf_add_span(out, response->correlation);
    if (has_body) {
        codec_write_symbol(out, SPAN("application/json"));
    }
    codec_end_compound(out, begin, has_body ? 7 : 6);
}

static uint32_t write_property(struct buf *out, struct span name, struct span value)
{
    if (value.len == 0) {
        return 0;
    }
    codec_write_string(out, name);
    codec_write_string(out, value);
    return 2;
}

static void write_application_properties(const struct response *response, struct buf *out)
{
    char directive[32] = "";
    size_t begin;
    uint32_t count = 2;

    if (response->max_age_s > 0) {
        (void)snprintf(directive, sizeof(directive), "max-age = %d", response->max_age_s);
    } else if (response->max_age_s == 0) {
        (void)snprintf(directive, sizeof(directive), "no-cache");
    }
    codec_write_descriptor(out, SECTION_APPLICATION_PROPERTIES);
    begin = codec_begin_map(out);
    codec_write_string(out, SPAN("status"));
    codec_write_int(out, response->status); /* any other type is "missing" to Hono's clients */
    count += write_property(out, SPAN("tenant_id"), response->tenant_id);
    count += write_property(out, SPAN("device_id"), response->device_id);
    count += write_property(out, SPAN("cache_control"), span_cstr(directive));
    codec_end_compound(out, begin, count);
}

void response_encode(const struct response *response, struct buf *out)
{
    write_properties(response, out);
    write_application_properties(response, out);
    if (response->body.len > 0) {
        codec_write_descriptor(out, SECTION_DATA);
        codec_write_binary(out, response->body);
    }
}

/* ---- frames ---- */

enum { PERFORMATIVE_OPEN = 0x10, PERFORMATIVE_CLOSE = 0x18, TYPE_ERROR = 0x1D };

static size_t begin_frame(struct buf *out)
{
    static const unsigned char head[8] = {0, 0, 0, 0, 2, 0, 0, 0};

    buf_add(out, head, sizeof(head));
    return out->len - sizeof(head);
}

static void end_frame(struct buf *out, size_t begin)
{
    size_t size = out->len - begin;

    for (size_t i = 0; i < 4 && !out->overflow; i++) {
        out->ptr[begin + i] = (char)(size >> (8 * (3 - i)));
    }
}

void response_encode_open(struct span container, struct buf *out)
{
    size_t frame = begin_frame(out);
    size_t list;

    codec_write_descriptor(out, PERFORMATIVE_OPEN);
    list = codec_begin_list(out);
    codec_write_string(out, container);
    codec_end_compound(out, list, 1);
    end_frame(out, frame);
}

void response_encode_close(struct span condition, struct span description, struct buf *out)
{
    size_t frame = begin_frame(out);
    size_t list;
    size_t error;

    codec_write_descriptor(out, PERFORMATIVE_CLOSE);
    list = codec_begin_list(out);
    codec_write_descriptor(out, TYPE_ERROR);
    error = codec_begin_list(out);
    codec_write_symbol(out, condition);
    codec_write_string(out, description);
    codec_end_compound(out, error, 2);
    codec_end_compound(out, list, 1);
    end_frame(out, frame);
}
