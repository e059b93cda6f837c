#include "support/test.h"

#include "base/clock.h"
#include "service/answer.h"
#include "service/splice.h"

static struct arena arena;
static struct buf out;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena);
    buf_init(&out, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&arena);
    buf_done(&out);
    return 0;
}

static struct store_answer answer_of(const char *text, const struct store_segment *segments,
                                     size_t count)
{
    return (struct store_answer){.text = span_cstr(text),
                                 .segments = store_segments_encode(&arena, segments, count)};
}

static void elements_are_left_out_with_their_commas(void **state)
{
    static const char text[] = "{\"s\":[a,bb,c]}";
    static const char *const shown_as[] = {
        "{\"s\":[]}",  "{\"s\":[a]}",   "{\"s\":[bb]}",   "{\"s\":[a,bb]}",
        "{\"s\":[c]}", "{\"s\":[a,c]}", "{\"s\":[bb,c]}", "{\"s\":[a,bb,c]}",
    };

    (void)state;
    for (unsigned set = 0; set < 8; set++) {
        const struct store_segment segments[] = {
            {CLOCK_MIN, CLOCK_MAX, 6, 1, (set & 1) != 0},
            {CLOCK_MIN, CLOCK_MAX, 8, 2, (set & 2) != 0},
            {CLOCK_MIN, CLOCK_MAX, 11, 1, (set & 4) != 0},
        };
        struct store_answer answer = answer_of(text, segments, 3);
        size_t shown;
        int64_t until_ms;

        buf_clear(&out);
        assert_ok(splice_answer(&out, &answer, 0, &shown, &until_ms, why));
        assert_span(buf_span(&out), shown_as[set]);
        assert_int_equal(shown, (set & 1) + (set >> 1 & 1) + (set >> 2));
        assert_true(until_ms == CLOCK_MAX);
    }
}

static void the_next_boundary_bounds_what_is_true(void **state)
{
    static const struct {
        int64_t now_ms;
        size_t shown;
        int64_t until_ms;
    } cases[] = {
        {99, 0, 99}, {0, 0, 99}, {100, 1, 200}, {200, 1, 200}, {201, 0, CLOCK_MAX},
    };
    const struct store_segment segments[] = {{100, 200, 0, 1, true}, {CLOCK_MIN, 150, 2, 1, false}};
    struct store_answer answer = answer_of("a,b", segments, 2);

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t shown;
        int64_t until_ms;

        assert_ok(splice_answer(&out, &answer, cases[i].now_ms, &shown, &until_ms, why));
        assert_int_equal(shown, cases[i].shown);
        assert_true(until_ms == cases[i].until_ms);
    }
}

static void an_answer_without_elements_goes_out_as_it_is(void **state)
{
    struct store_answer answer = answer_of("{}", NULL, 0);
    size_t shown;
    int64_t until_ms;

    (void)state;
    assert_ok(splice_answer(&out, &answer, 0, &shown, &until_ms, why));
    assert_span(buf_span(&out), "{}");
    assert_int_equal(shown, 0);
}

static void segments_that_do_not_fit_are_corrupt(void **state)
{
    static const struct store_segment cases[][2] = {
        {{0, 0, 0, 1, true}, {0, 0, 2, 2, true}},
        {{0, 0, 2, 1, true}, {0, 0, 0, 1, true}},
        {{0, 0, 0, 2, true}, {0, 0, 1, 1, true}},
        {{0, 0, 0, 1, true}, {0, 0, 9, 0, true}},
        {{0, 0, 0, UINT32_MAX, true}, {0, 0, 2, 1, true}},
        {{0, 0, UINT32_MAX, 1, true}, {0, 0, 2, 1, true}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct store_answer answer = answer_of("a,b", cases[i], 2);
        size_t shown;
        int64_t until_ms;

        assert_status(KS_CORRUPT, splice_answer(&out, &answer, 0, &shown, &until_ms, why));
        assert_int_equal(out.len, 0);
    }
}

static void an_age_is_never_zero_unless_caching_is_off(void **state)
{
    static const struct {
        int configured_s;
        int64_t now_ms;
        int64_t until_ms;
        int expected;
    } cases[] = {
        {180, 0, CLOCK_MAX, 180}, {180, 0, 180000, 180}, {180, 0, 179999, 179}, {180, 0, 1000, 1},
        {180, 0, 999, 1},         {180, 5, 5, 1},        {0, 0, CLOCK_MAX, 0},  {-1, 0, 5, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(splice_max_age(cases[i].configured_s, cases[i].now_ms, cases[i].until_ms),
                         cases[i].expected);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(elements_are_left_out_with_their_commas),
        TEST(the_next_boundary_bounds_what_is_true),
        TEST(an_answer_without_elements_goes_out_as_it_is),
        TEST(segments_that_do_not_fit_are_corrupt),
        TEST(an_age_is_never_zero_unless_caching_is_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
