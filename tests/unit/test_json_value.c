/* JSON as AMQP values: each kind, and how deep it may be. */
#include "support/test.h"

#include <string.h>

#include "amqp/codec.h"
#include "amqp/json_value.h"
#include "base/json_scan.h"

static struct buf out;

static int set_up(void **state)
{
    (void)state;
    buf_init(&out, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_done(&out);
    return 0;
}

/* Writes the member "v" of an object. */
static bool write(struct span object)
{
    struct json_members members;
    const struct json_member *member;

    assert_ok(json_scan_object(object, &members, why));
    member = json_members_find(&members, SPAN("v"));
    assert_non_null(member);
    buf_clear(&out);
    return json_value_write(&out, member->value, member->kind);
}

static void each_kind_has_its_type(void **state)
{
    static const struct {
        const char *json;
        enum codec_type type;
    } cases[] = {
        {"{\"v\":1}", CODEC_INT},
        {"{\"v\":-2147483649}", CODEC_LONG},
        {"{\"v\":1.5}", CODEC_DOUBLE},
        {"{\"v\":1e3}", CODEC_DOUBLE},
        {"{\"v\":true}", CODEC_BOOL},
        {"{\"v\":false}", CODEC_BOOL},
        {"{\"v\":null}", CODEC_NULL},
        {"{\"v\":\"\\u00e9\"}", CODEC_STRING},
        {"{\"v\":{\"a\":[1,{}]}}", CODEC_MAP},
        {"{\"v\":[\"a\",[],{}]}", CODEC_LIST},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct codec_reader r;
        enum codec_type type;

        assert_true(write(span_cstr(cases[i].json)));
        r = codec_reader_of(buf_span(&out));
        assert_true(codec_peek(&r, &type));
        assert_int_equal(type, cases[i].type);
        assert_true(codec_skip(&r, NULL));
        assert_int_equal(codec_left(&r), 0);
    }
}

/* An array in so many others. */
static bool write_nested(size_t depth)
{
    struct buf text;
    bool ok;

    buf_init(&text, 0);
    buf_add_cstr(&text, "{\"v\":");
    for (size_t i = 0; i < depth; i++) {
        buf_add_char(&text, '[');
    }
    for (size_t i = 0; i < depth; i++) {
        buf_add_char(&text, ']');
    }
    buf_add_char(&text, '}');
    ok = write(buf_span(&text));
    buf_done(&text);
    return ok;
}

static void depth_is_bounded(void **state)
{
    (void)state;
    assert_true(write_nested(8));
    assert_false(write_nested(9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_kind_has_its_type, set_up, tear_down),
        cmocka_unit_test_setup_teardown(depth_is_bounded, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
