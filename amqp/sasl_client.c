#include "amqp/sasl_client.h"

#include <string.h>

#include "amqp/codec.h"

enum { HEADER_SIZE = 8, MECHANISMS = 0x40, INIT = 0x41, OUTCOME = 0x44 };

static const char header[HEADER_SIZE] = {'A', 'M', 'Q', 'P', 3, 1, 0, 0};

static const char *mechanism_of(const struct sasl_client *client)
{
    return client->user != NULL ? "PLAIN" : client->certificate ? "EXTERNAL" : "ANONYMOUS";
}

void sasl_client_begin(struct sasl_client *client, struct buf *out)
{
    (void)client;
    buf_add(out, header, sizeof(header));
}

static void add_response(const struct sasl_client *client, struct buf *body)
{
    struct buf response;

    buf_init(&response, 0);
    if (client->user != NULL) {
        buf_add_char(&response, '\0');
        buf_add_cstr(&response, client->user);
        buf_add_char(&response, '\0');
        buf_add_cstr(&response, client->password);
    }
    codec_write_binary(body, buf_span(&response));
    buf_done_secret(&response);
}

static void add_init(const struct sasl_client *client, struct buf *out)
{
    unsigned char head[8] = {0, 0, 0, 0, 2, 1, 0, 0};
    struct buf body;
    size_t list;
    size_t size;

    buf_init(&body, 0);
    codec_write_descriptor(&body, INIT);
    list = codec_begin_list(&body);
    codec_write_symbol(&body, span_cstr(mechanism_of(client)));
    add_response(client, &body);
    codec_end_compound(&body, list, 2);
    size = sizeof(head) + body.len;
    for (size_t i = 0; i < 4; i++) {
        head[i] = (unsigned char)(size >> (8 * (3 - i)));
    }
    buf_add(out, head, sizeof(head));
    buf_add_span(out, buf_span(&body));
    buf_done_secret(&body);
}

/* One symbol, or an array of them. */
static bool offers(struct codec_reader *fields, struct span wanted)
{
    struct codec_reader inside;
    struct span symbol;
    uint32_t count = 0;
    enum codec_type type;

    if (!codec_peek(fields, &type)) {
        return false;
    }
    if (type == CODEC_SYMBOL) {
        return codec_read_symbol(fields, &symbol) && span_eq(symbol, wanted);
    }
    if (type != CODEC_ARRAY || !codec_read_array(fields, &inside, &count) ||
        codec_left(&inside) == 0 || (*inside.at != 0xA3 && *inside.at != 0xB3)) {
        return false;
    }
    for (bool wide = *inside.at++ == 0xB3; count > 0; count--) {
        size_t size = 0;

        for (size_t i = wide ? 4 : 1; i > 0; i--) {
            if (codec_left(&inside) == 0) {
                return false;
            }
            size = size << 8 | *inside.at++;
        }
        if (codec_left(&inside) < size) {
            return false;
        }
        if (span_eq(span_of((const char *)inside.at, size), wanted)) {
            return true;
        }
        inside.at += size;
    }
    return false;
}

static enum ks_status take_outcome(struct sasl_client *client, struct codec_reader *fields,
                                   struct ks_failure *why)
{
    uint8_t code = 0;

    if (!codec_read_ubyte(fields, &code)) {
        return ks_fail(why, KS_INVALID, NULL, "%s sent a malformed SASL outcome", client->peer);
    }
    if (code == 0) {
        client->done = true;
        return KS_OK;
    }
    return code == 1
               ? ks_fail(why, KS_UNAUTHORIZED, NULL, "%s refuses the login (%s)%s", client->peer,
                         mechanism_of(client),
                         client->user != NULL ? ": user or password is wrong" : "")
               : ks_fail(why, KS_UNAVAILABLE, NULL, "%s cannot check logins now", client->peer);
}

static enum ks_status take_frame(struct sasl_client *client, struct span body, struct buf *out,
                                 struct ks_failure *why)
{
    struct codec_reader reader = codec_reader_of(body);
    struct codec_reader fields;
    uint64_t descriptor = 0;
    uint32_t count = 0;

    if (!codec_read_descriptor(&reader, &descriptor) ||
        !codec_read_list(&reader, &fields, &count)) {
        return ks_fail(why, KS_INVALID, NULL, "%s sent a malformed SASL frame", client->peer);
    }
    if (descriptor == MECHANISMS && !client->has_init) {
        if (count == 0 || !offers(&fields, span_cstr(mechanism_of(client)))) {
            return ks_fail(why, KS_INVALID, NULL, "%s does not offer the mechanism %s",
                           client->peer, mechanism_of(client));
        }
        add_init(client, out);
        client->has_init = true;
        return KS_OK;
    }
    if (descriptor == OUTCOME && client->has_init) {
        return take_outcome(client, &fields, why);
    }
    return ks_fail(why, KS_INVALID, NULL, "%s sent a SASL frame out of turn", client->peer);
}

static size_t frame_size(struct span in)
{
    const unsigned char *at = (const unsigned char *)in.ptr;

    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

enum ks_status sasl_client_take(struct sasl_client *client, struct span in, size_t *taken,
                                struct buf *out, struct ks_failure *why)
{
    size_t at = 0;
    enum ks_status st = KS_OK;

    *taken = 0;
    while (st == KS_OK && !client->done && in.len - at >= HEADER_SIZE) {
        struct span rest = span_of(in.ptr + at, in.len - at);
        size_t size = HEADER_SIZE;

        if (!client->has_header) {
            client->has_header = memcmp(rest.ptr, header, HEADER_SIZE) == 0;
            if (!client->has_header) {
                return ks_fail(why, KS_INVALID, NULL, "%s does not speak AMQP 1.0 with SASL",
                               client->peer);
            }
        } else {
            size = frame_size(rest);
            if (size < HEADER_SIZE || size > SASL_CLIENT_FRAME_MAX || rest.ptr[4] != 2 ||
                rest.ptr[5] != 1) {
                return ks_fail(why, KS_INVALID, NULL, "%s sent a malformed SASL frame",
                               client->peer);
            }
            if (rest.len < size) {
                break;
            }
            st = take_frame(client, span_of(rest.ptr + HEADER_SIZE, size - HEADER_SIZE), out, why);
        }
        at += size;
        *taken = at;
    }
    return st;
}
