/* Request messages and answers: what one writes, the other reads. */
#include "support/test.h"

#include <string.h>

#include "amqp/codec.h"
#include "amqp/request.h"
#include "amqp/response.h"

struct message {
    struct buf bytes;
};

static struct message *section(struct message *m, uint8_t descriptor)
{
    codec_write_descriptor(&m->bytes, descriptor);
    return m;
}

/* message-id, subject, reply-to, correlation-id; NULL leaves one out. */
static void properties(struct message *m, const char *id, const char *subject, const char *reply,
                       const char *correlation)
{
    const char *const fields[] = {id, NULL, NULL, subject, reply, correlation};
    size_t list;

    (void)section(m, 0x73);
    list = codec_begin_list(&m->bytes);
    for (size_t i = 0; i < 6; i++) {
        if (fields[i] == NULL) {
            codec_write_null(&m->bytes);
        } else {
            codec_write_string(&m->bytes, span_cstr(fields[i]));
        }
    }
    codec_end_compound(&m->bytes, list, 6);
}

static void data(struct message *m, const char *body)
{
    codec_write_binary(&section(m, 0x75)->bytes, span_cstr(body));
}

static struct message *fresh(void)
{
    static struct message m;

    buf_done(&m.bytes);
    buf_init(&m.bytes, 0);
    return &m;
}

static enum request_verdict parse(const struct message *m, struct request *out)
{
    return request_parse(buf_span(&m->bytes), out);
}

static void a_request_is_read(void **state)
{
    struct message *m = fresh();
    struct request r;
    size_t map;

    (void)state;
    properties(m, "id-1", "get", "tenant/r", NULL);
    (void)section(m, 0x74);
    map = codec_begin_map(&m->bytes);
    codec_write_string(&m->bytes, SPAN("device_id"));
    codec_write_string(&m->bytes, SPAN("D1"));
    codec_write_string(&m->bytes, SPAN("gateway_id"));
    codec_write_int(&m->bytes, 7); /* of another type: absent */
    codec_write_string(&m->bytes, SPAN("traceparent"));
    codec_write_string(&m->bytes, SPAN("00-x"));
    codec_end_compound(&m->bytes, map, 6);
    data(m, "{}");
    assert_int_equal(parse(m, &r), REQUEST_OK);
    assert_span(r.correlation, "\xA1\x04id-1");
    assert_span(r.subject, "get");
    assert_span(r.reply_to, "tenant/r");
    assert_true(r.has_device_id);
    assert_span(r.device_id, "D1");
    assert_false(r.has_gateway_id);
    assert_true(r.has_body);
    assert_span(r.body, "{}");
    for (size_t n = 1; n < m->bytes.len; n++) {
        (void)request_parse(span_of(m->bytes.ptr, n), &r); /* no cut reads past its end */
    }
}

static void the_correlation_id_wins(void **state)
{
    struct message *m = fresh();
    struct request r;

    (void)state;
    properties(m, "id-1", "get", "r", "corr");
    assert_int_equal(parse(m, &r), REQUEST_OK);
    assert_span(r.correlation, "\xA1\x04"
                               "corr");
}

static void what_is_missing_makes_it_malformed(void **state)
{
    static const struct {
        const char *id, *subject, *reply, *correlation;
        enum request_verdict verdict;
    } cases[] = {
        {NULL, "get", "r", NULL, REQUEST_MALFORMED},
        {"i", NULL, "r", NULL, REQUEST_MALFORMED},
        {"i", "get", NULL, NULL, REQUEST_MALFORMED},
        {NULL, "get", "r", "c", REQUEST_OK},
        {"", "", "", NULL, REQUEST_OK},
    };
    struct request r;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message *m = fresh();

        properties(m, cases[i].id, cases[i].subject, cases[i].reply, cases[i].correlation);
        assert_int_equal(parse(m, &r), cases[i].verdict);
    }
    assert_int_equal(parse(fresh(), &r), REQUEST_MALFORMED); /* no section at all */
}

static void sections_out_of_order_do_not_count(void **state)
{
    struct message *m = fresh();
    struct request r;

    (void)state;
    properties(m, "i", "get", "r", NULL);
    data(m, "first");
    data(m, "second");
    properties(m, "other", "put", "s", NULL);
    assert_int_equal(parse(m, &r), REQUEST_OK);
    assert_span(r.body, "first");
    assert_span(r.subject, "get");
}

static void bodies_of_other_kinds(void **state)
{
    struct message *m = fresh();
    struct request r;

    (void)state;
    properties(m, "i", "get", "r", NULL);
    codec_write_string(&section(m, 0x77)->bytes, SPAN("{}"));
    assert_int_equal(parse(m, &r), REQUEST_OK);
    assert_span(r.body, "{}");
    m = fresh();
    properties(m, "i", "get", "r", NULL);
    codec_write_binary(&section(m, 0x77)->bytes, SPAN("{}"));
    assert_int_equal(parse(m, &r), REQUEST_OK);
    assert_false(r.has_body);
    m = fresh();
    properties(m, "i", "get", "r", NULL);
    data(m, "");
    assert_int_equal(parse(m, &r), REQUEST_OK);
    assert_false(r.has_body);
}

static void what_is_no_message_is_undecodable(void **state)
{
    static const char *const texts[] = {"x", "\x40", "\xC0\x01", "\xA1\x01x"};
    struct message *m = fresh();
    struct request r;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(request_parse(span_cstr(texts[i]), &r), REQUEST_UNDECODABLE);
    }
    properties(m, "i", "g\xFFt", "r", NULL);
    assert_int_equal(parse(m, &r), REQUEST_UNDECODABLE); /* not UTF-8 */
}

static void ids_are_bounded(void **state)
{
    char id[400];
    struct message *m = fresh();
    struct request r;

    (void)state;
    memset(id, 'i', sizeof(id));
    id[sizeof(id) - 1] = '\0';
    properties(m, id, "get", "r", NULL);
    assert_int_equal(parse(m, &r), REQUEST_MALFORMED);
}

static void deep_nesting_is_refused(void **state)
{
    struct buf bytes;
    struct codec_reader reader;

    (void)state;
    for (int depth = CODEC_DEPTH; depth <= CODEC_DEPTH + 1; depth++) {
        buf_init(&bytes, 0);
        for (int i = 0; i < depth; i++) {
            unsigned char head[3] = {0xC0, (unsigned char)(3 * (depth - i) - 2), 1};

            buf_add(&bytes, head, 3);
        }
        bytes.ptr[bytes.len - 2] = 2;
        for (int i = 0; i < depth; i++) {
            bytes.ptr[3 * i + 1] = (char)(3 * (depth - i) - 1);
        }
        buf_add_char(&bytes, 0x40);
        reader = codec_reader_of(buf_span(&bytes));
        assert_int_equal(codec_skip(&reader, NULL), depth == CODEC_DEPTH);
        buf_done(&bytes);
    }
}

static void an_answer_is_what_hono_clients_expect(void **state)
{
    const struct response response = {.endpoint = SPAN("credentials"),
                                      .tenant_id = SPAN("T1"),
                                      .device_id = SPAN("D1"),
                                      .correlation = SPAN("\x53\x07"),
                                      .status = 200,
                                      .max_age_s = 180,
                                      .body = SPAN("{\"a\":1}")};
    struct buf out;
    struct request back;

    (void)state;
    buf_init(&out, 0);
    response_encode(&response, &out);
    assert_non_null(memmem(out.ptr, out.len, "\xA1\x06status\x71\x00\x00\x00\xC8", 13));
    assert_non_null(memmem(out.ptr, out.len, "max-age = 180", 13));
    assert_non_null(memmem(out.ptr, out.len, "credentials/T1/D1", 17));
    assert_non_null(memmem(out.ptr, out.len,
                           "\xA3\x10"
                           "application/json",
                           18));
    assert_int_equal(request_parse(buf_span(&out), &back), REQUEST_MALFORMED); /* no subject */
    assert_span(back.correlation, "\x53\x07");
    assert_span(back.body, "{\"a\":1}");
    assert_span(back.device_id, "D1");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_read),
        cmocka_unit_test(the_correlation_id_wins),
        cmocka_unit_test(what_is_missing_makes_it_malformed),
        cmocka_unit_test(sections_out_of_order_do_not_count),
        cmocka_unit_test(bodies_of_other_kinds),
        cmocka_unit_test(what_is_no_message_is_undecodable),
        cmocka_unit_test(ids_are_bounded),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(an_answer_is_what_hono_clients_expect),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    (void)fresh();
    return rc;
}
