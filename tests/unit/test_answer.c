#include "support/test.h"

#include "service/answer.h"
#include "service/reasons.h"

static void status_codes_stand_for_statuses(void **state)
{
    static const struct {
        enum ks_status status;
        int code;
    } cases[] = {
        {KS_OK, 200},        {KS_NOT_FOUND, 404}, {KS_EXISTS, 409},       {KS_STALE, 412},
        {KS_INVALID, 400},   {KS_FORBIDDEN, 403}, {KS_UNAUTHORIZED, 401}, {KS_LIMIT, 403},
        {KS_TOO_LARGE, 413}, {KS_BUSY, 503},      {KS_FULL, 503},         {KS_DISK_FULL, 503},
        {KS_IO, 503},        {KS_CORRUPT, 500},   {KS_UNAVAILABLE, 503},  {KS_NEEDS_WRITE, 500},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(answer_status_code(cases[i].status), cases[i].code);
    }
}

static void a_refusal_carries_text_and_reason_and_nothing_of_before(void **state)
{
    struct ks_failure why = {0};
    struct answer answer;

    (void)state;
    answer_init(&answer);
    answer.max_age_s = 180;
    buf_add_cstr(&answer.body, "{\"half\":");
    buf_add_cstr(&answer.tenant_id, "secret-tenant");
    (void)ks_fail(&why, KS_LIMIT, REASON_DEVICE_LIMIT, "at most %d \"things\"", 3);
    answer_refuse(&answer, KS_LIMIT, &why);
    assert_int_equal(answer.status, 403);
    assert_int_equal(answer.max_age_s, ANSWER_NO_DIRECTIVE);
    assert_string_equal(answer.reason, "device-limit");
    assert_int_equal(answer.tenant_id.len, 0);
    assert_span(buf_span(&answer.body),
                "{\"description\":\"at most 3 \\\"things\\\"\",\"reason\":\"device-limit\"}");
    answer_refuse(&answer, KS_BUSY, NULL);
    assert_span(buf_span(&answer.body), "{\"description\":\"busy\",\"reason\":\"busy\"}");
    answer_done(&answer);
}

static void failure_text_that_is_no_utf8_is_made_so(void **state)
{
    static const struct {
        const char *text;
        const char *json;
    } cases[] = {
        {"a\xC3\xA4o", "\"a\xC3\xA4o\""},
        {"cut \xE2\x82", "\"cut ??\""},
        {"\xC0\x80", "\"??\""},
        {"\xED\xA0\x80", "\"???\""},
        {"\xF0\x9F\x98\x80.", "\"\xF0\x9F\x98\x80.\""},
        {"\xF4\x90\x80\x80", "\"????\""},
        {"\xFF\n", "\"?\\u000A\""},
        {"", "\"\""},
    };
    struct buf out;

    (void)state;
    buf_init(&out, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        buf_clear(&out);
        answer_add_text(&out, cases[i].text);
        assert_span(buf_span(&out), cases[i].json);
    }
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_codes_stand_for_statuses),
        cmocka_unit_test(a_refusal_carries_text_and_reason_and_nothing_of_before),
        cmocka_unit_test(failure_text_that_is_no_utf8_is_made_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
