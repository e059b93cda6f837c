#include "support/test.h"

#include "base/clock.h"

static void timestamps_are_read_as_hono_reads_them(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } cases[] = {
        {"1970-01-01T00:00:01Z", 1000},
        {"1970-01-01t00:00:01z", 1000},
        {"1970-01-01T00:00Z", 0},
        {"1970-01-01T00:00:00.5Z", 500},
        {"1970-01-01T00:00:00.Z", 0},
        {"1970-01-01T00:00:00.123456789Z", 123},
        {"1970-01-01T02:00:00+02:00", 0},
        {"1970-01-01T02:00:00+02", 0},
        {"1970-01-01T01:00:30+01:00:30", 0},
        {"1969-12-31T23:00:00-01:00", 0},
        {"1970-01-01T18:00:00+18:00", 0},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"+10000-01-01T00:00:00Z", 253402300800000},
        {"1970-01-01T00:00:01+0200", -1},
        {"1970-01-01T19:00:00+19:00", -1},
        {"1970-01-01T00:00:00.1234567890Z", -1},
        {"1970-01-01T00:00:00,5Z", -1},
        {"1970-01-01T24:00:00Z", -1},
        {"1970-01-01T00:60:00Z", -1},
        {"1970-01-01T00:00:60Z", -1},
        {"1970-02-30T00:00:00Z", -1},
        {"1900-02-29T00:00:00Z", -1},
        {"1970-13-01T00:00:00Z", -1},
        {"1970-01-01T00:00:00", -1},
        {"1970-01-01", -1},
        {"1970-01-01T00:00:00Z[UTC]", -1},
        {"10000-01-01T00:00:00Z", -1},
        {"", -1},
        {"now", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ms = -7;
        bool ok = clock_parse(span_cstr(cases[i].text), &ms);

        if (ok != (cases[i].ms != -1) || (ok && ms != cases[i].ms)) {
            fail_msg("%s: %d %lld", cases[i].text, ok, (long long)ms);
        }
    }
}

static void times_are_written_in_utc(void **state)
{
    struct clock_text text;

    (void)state;
    clock_format(951782400999, &text);
    assert_string_equal(text.text, "2000-02-29T00:00:00Z");
    clock_format(-1, &text);
    assert_string_equal(text.text, "1969-12-31T23:59:59Z");
    clock_format(253402300800000, &text);
    assert_string_equal(text.text, "+10000-01-01T00:00:00Z");
    clock_format_ns(1000000001, &text);
    assert_string_equal(text.text, "1970-01-01T00:00:01.000000001Z");
}

static void what_is_written_is_read_back(void **state)
{
    struct clock_text text;
    int64_t back;

    (void)state;
    for (int64_t ms = -62135596800000; ms < 253402300800000; ms += 86399999000) {
        clock_format(ms, &text);
        assert_true(clock_parse(span_cstr(text.text), &back));
        assert_int_equal(back, ms - ((ms % 1000) + 1000) % 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timestamps_are_read_as_hono_reads_them),
        cmocka_unit_test(times_are_written_in_utc),
        cmocka_unit_test(what_is_written_is_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
