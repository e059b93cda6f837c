#include "amqp/sasl.h"

#include <string.h>

#include "amqp/codec.h"
#include "base/utf8.h"

enum {
    HEADER_SIZE = 8,
    FRAME_TYPE_SASL = 1,
    PERFORMATIVE_MECHANISMS = 0x40,
    PERFORMATIVE_INIT = 0x41,
    PERFORMATIVE_OUTCOME = 0x44,
};

static const char sasl_header[HEADER_SIZE] = {'A', 'M', 'Q', 'P', 3, 1, 0, 0};

void sasl_init(struct sasl *sasl, bool external)
{
    *sasl = (struct sasl){.state = SASL_HEADER, .external = external};
}

/* ---- output ---- */

/* Writes a frame around `body`. */
static void write_frame(struct buf *out, const struct buf *body)
{
    uint32_t size = (uint32_t)(HEADER_SIZE + body->len);
    const unsigned char head[HEADER_SIZE] = {(unsigned char)(size >> 24),
                                             (unsigned char)(size >> 16),
                                             (unsigned char)(size >> 8),
                                             (unsigned char)size,
                                             2,
                                             FRAME_TYPE_SASL,
                                             0,
                                             0};

    buf_add(out, head, sizeof(head));
    buf_add_span(out, buf_span(body));
}

/* An array of symbols; EXTERNAL only when there is a certificate to go by. */
static void write_mechanisms(const struct sasl *sasl, struct buf *out)
{
    static const unsigned char both[] = "\xE0\x11\x02\xA3\x08"
                                        "EXTERNAL"
                                        "\x05PLAIN";
    static const unsigned char plain[] = "\xE0\x08\x01\xA3\x05PLAIN";
    struct buf body;
    size_t begin;

    buf_init(&body, 0);
    codec_write_descriptor(&body, PERFORMATIVE_MECHANISMS);
    begin = codec_begin_list(&body);
    if (sasl->external) {
        buf_add(&body, both, sizeof(both) - 1);
    } else {
        buf_add(&body, plain, sizeof(plain) - 1);
    }
    codec_end_compound(&body, begin, 1);
    buf_add(out, sasl_header, sizeof(sasl_header));
    write_frame(out, &body);
    buf_done(&body);
}

void sasl_decide(struct sasl *sasl, enum sasl_code code, struct buf *out)
{
    struct buf body;
    size_t begin;

    buf_init(&body, 0);
    codec_write_descriptor(&body, PERFORMATIVE_OUTCOME);
    begin = codec_begin_list(&body);
    codec_write_ubyte(&body, (uint8_t)code);
    codec_end_compound(&body, begin, 1);
    write_frame(out, &body);
    buf_done(&body);
    sasl->state = SASL_DONE;
}

/* ---- input ---- */

/* authzid NUL authcid NUL password: exactly three fields (RFC 4616). */
static bool split_plain(struct span response, struct sasl_login *login)
{
    const char *end = response.ptr + response.len;
    const char *first = response.len == 0 ? NULL : memchr(response.ptr, 0, response.len);
    const char *second;

    if (first == NULL) {
        return false;
    }
    second = memchr(first + 1, 0, (size_t)(end - first - 1));
    if (second == NULL) {
        return false;
    }
    login->authorize_as = span_of(response.ptr, (size_t)(first - response.ptr));
    login->user = span_of(first + 1, (size_t)(second - first - 1));
    login->password = span_of(second + 1, (size_t)(end - second - 1));
    return login->user.len > 0 && login->password.len > 0 && !span_has_nul(login->password) &&
           utf8_valid(response);
}

/* Section 5.3.3.2: mechanism, initial-response, hostname. False: not a readable init. */
static bool read_init(struct span body, struct span *mechanism, struct span *response)
{
    struct codec_reader r = codec_reader_of(body);
    struct codec_reader in;
    uint64_t descriptor;
    uint32_t count;

    *response = span_of("", 0);
    if (!codec_read_descriptor(&r, &descriptor) || descriptor != PERFORMATIVE_INIT ||
        !codec_read_list(&r, &in, &count) || r.at != r.end || count < 1 || count > 3 ||
        !codec_read_symbol(&in, mechanism)) {
        return false;
    }
    if (count > 1 && !codec_take_null(&in) && !codec_read_binary(&in, response)) {
        return false;
    }
    return count < 3 || codec_skip(&in, NULL);
}

/* What the init asks for; false: outcome 1. */
static bool choose(const struct sasl *sasl, struct span mechanism, struct span response,
                   struct sasl_login *login)
{
    if (span_eq(mechanism, SPAN("PLAIN"))) {
        login->mechanism = SASL_PLAIN;
        return split_plain(response, login);
    }
    if (span_eq(mechanism, SPAN("EXTERNAL")) && sasl->external) {
        login->mechanism = SASL_EXTERNAL;
        login->authorize_as = response;
        return utf8_valid(response);
    }
    return false;
}

static enum sasl_step take_init(struct sasl *sasl, struct span body, struct buf *out,
                                struct sasl_login *login)
{
    struct span mechanism;
    struct span response;

    if (!read_init(body, &mechanism, &response)) {
        return SASL_STEP_BROKEN;
    }
    if (!choose(sasl, mechanism, response, login)) {
        sasl_decide(sasl, SASL_CODE_AUTH, out);
        return SASL_STEP_REFUSED;
    }
    sasl->state = SASL_DECIDING;
    return SASL_STEP_LOGIN;
}

static uint32_t frame_size(struct span in)
{
    const unsigned char *p = (const unsigned char *)in.ptr;

    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

enum sasl_step sasl_input(struct sasl *sasl, struct span input, size_t *consumed, struct buf *out,
                          struct sasl_login *login)
{
    size_t size;
    size_t doff;

    *consumed = 0;
    if (sasl->state == SASL_HEADER) {
        size_t n = input.len < HEADER_SIZE ? input.len : HEADER_SIZE;

        if (memcmp(input.ptr, sasl_header, n) != 0) {
            write_mechanisms(sasl, out); /* so that a lost client sees whom it has met */
            return SASL_STEP_BROKEN;
        }
        if (n < HEADER_SIZE) {
            return SASL_STEP_MORE;
        }
        write_mechanisms(sasl, out);
        sasl->state = SASL_INIT;
        *consumed = HEADER_SIZE;
        input = span_of(input.ptr + HEADER_SIZE, input.len - HEADER_SIZE);
    }
    if (input.len < HEADER_SIZE) {
        return SASL_STEP_MORE;
    }
    size = frame_size(input);
    doff = (size_t)4 * (unsigned char)input.ptr[4];
    if (size > SASL_FRAME_MAX || doff < HEADER_SIZE || size < doff ||
        input.ptr[5] != FRAME_TYPE_SASL) {
        return SASL_STEP_BROKEN;
    }
    if (input.len < size) {
        return SASL_STEP_MORE;
    }
    *consumed += size;
    return take_init(sasl, span_of(input.ptr + doff, size - doff), out, login);
}
