/* The small parts of base: uuid, digest, buf, arena, utf8, counters, log texts. */
#include "support/test.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/counters.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/utf8.h"
#include "base/uuid.h"

static void uuids_are_version_4_and_read_back(void **state)
{
    struct uuid a = uuid_random();
    struct uuid b = uuid_random();
    struct uuid back;
    char text[UUID_TEXT_LEN + 1];

    (void)state;
    assert_false(uuid_eq(&a, &b));
    uuid_format(&a, text);
    assert_int_equal(strlen(text), UUID_TEXT_LEN);
    assert_int_equal(text[14], '4');
    assert_non_null(strchr("89ab", text[19]));
    assert_true(uuid_parse(span_cstr(text), &back));
    assert_true(uuid_eq(&a, &back));
    text[8] = 'x';
    assert_false(uuid_parse(span_cstr(text), &back));
    assert_false(uuid_parse(SPAN("123"), &back));
}

static void digests_are_those_of_the_standard(void **state)
{
    static const unsigned char abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea};
    struct sha256 of = sha256_of(SPAN("abc"));
    struct sha256 one = sha256_of_pair(SPAN("a"), SPAN("bc"));
    struct sha256 other = sha256_of_pair(SPAN("ab"), SPAN("c"));

    (void)state;
    assert_memory_equal(of.bytes, abc, sizeof(abc));
    assert_false(sha256_eq(&one, &other));
    assert_true(secret_eq(SPAN("x"), SPAN("x")));
    assert_false(secret_eq(SPAN("x"), SPAN("y")));
    assert_false(secret_eq(SPAN("x"), SPAN("xx")));
}

static void a_buffer_keeps_its_bound(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 10);
    buf_add_cstr(&buf, "12345");
    buf_add_cstr(&buf, "123456");
    assert_true(buf.overflow);
    assert_span(buf_span(&buf), "12345");
    buf_add_char(&buf, 'x');
    assert_span(buf_span(&buf), "12345");
    buf_clear(&buf);
    buf_add_json(&buf, SPAN("a\"\n"));
    assert_true(buf.overflow); /* "a\"\u000A" has 11 characters */
    buf_done(&buf);
    buf_init(&buf, 0);
    buf_add_json(&buf, SPAN("a\"\\\n\xC3\xA9"));
    assert_span(buf_span(&buf), "\"a\\\"\\\\\\u000A\xC3\xA9\"");
    buf_done(&buf);
}

static void an_arena_gives_aligned_zeroed_memory(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena);
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 10000; size += 501) {
            unsigned char *at = arena_alloc(&arena, size);

            assert_int_equal((uintptr_t)at % 16, 0);
            for (size_t i = 0; i < size; i++) {
                assert_int_equal(at[i], 0);
            }
            memset(at, 0xff, size);
        }
        assert_span(arena_span(&arena, SPAN("kept")), "kept");
        arena_reset(&arena);
    }
    arena_done(&arena);
}

static void utf8_is_checked_to_the_letter(void **state)
{
    (void)state;
    assert_true(utf8_valid(SPAN("a\xC3\xA9\xE4\xB8\x96\xF0\x9F\x98\x80")));
    assert_false(utf8_valid(SPAN("\x80")));
    assert_false(utf8_valid(SPAN("\xC1\x81")));
    assert_false(utf8_valid(SPAN("\xE0\x80\x80")));
    assert_false(utf8_valid(SPAN("\xED\xA0\x80")));
    assert_false(utf8_valid(SPAN("\xF4\x90\x80\x80")));
    assert_false(utf8_valid(SPAN("\xF5\x80\x80\x80")));
    assert_false(utf8_valid(SPAN("\xC3")));
}

static void utf8_is_mended_in_place(void **state)
{
    const struct {
        const char *text;
        const char *mended;
    } cases[] = {
        {"", ""},
        {"a\xC3\xA9", "a\xC3\xA9"},
        {"a\xC3", "a?"},
        {"\xF0\x9F\x98", "???"},
        {"\xFFz\xC3\xC3\xA9\x80", "?z?\xC3\xA9?"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%s", cases[i].text);
        utf8_mend(text);
        assert_string_equal(text, cases[i].mended);
    }
}

static void *count(void *arg)
{
    struct counters_slot *slot = counters_slot_open();

    (void)arg;
    for (int i = 0; i < 10000; i++) {
        counters_add(slot, COUNTER_REQUESTS, 1);
    }
    return NULL;
}

static void counters_of_all_threads_are_summed(void **state)
{
    pthread_t thread[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, count, NULL), 0);
    }
    (void)counters_sum(COUNTER_REQUESTS); /* while they count */
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
    }
    assert_int_equal(counters_sum(COUNTER_REQUESTS), 40000);
    assert_int_equal(counters_sum(COUNTER_ANSWERS), 0);
    assert_string_equal(counters_name(COUNTER_REQUESTS), "requests");
    counters_done();
}

static char line[512];

static void keep(const char *text, size_t len, void *arg)
{
    (void)arg;
    (void)snprintf(line, sizeof(line), "%.*s", (int)len, text);
}

static void log_lines_have_both_forms_and_peer_text_is_escaped(void **state)
{
    struct log_text text;

    (void)state;
    log_capture(keep, NULL);
    log_setup(LOG_LEVEL_INFO, false);
    log_debug("quiet", "a=%d", 1);
    assert_string_equal(line, "");
    log_info("login", "user=%s n=%d", log_text(&text, SPAN("a b\"\n=x")), 5);
    assert_non_null(strstr(line, " level=info event=login user=\"a b\\\"\\u000a=x\" n=5\n"));
    log_announce("ready", "amqp.listen=127.0.0.1:1");
    assert_string_equal(line, "event=ready amqp.listen=127.0.0.1:1\n");
    log_setup(LOG_LEVEL_INFO, true);
    log_info("login", "user=%s n=%d", log_text(&text, SPAN("a b\"\n=x")), 5);
    assert_non_null(
        strstr(line, "\"event\":\"login\",\"user\":\"a b\\\"\\u000a=x\",\"n\":\"5\"}\n"));
    log_announce("ready", "amqp.listen=127.0.0.1:1 ops.listen=[::1]:2");
    assert_string_equal(line, "{\"event\":\"ready\",\"amqp.listen\":\"127.0.0.1:1\","
                              "\"ops.listen\":\"[::1]:2\"}\n");
    log_setup(LOG_LEVEL_INFO, false);
    log_capture(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uuids_are_version_4_and_read_back),
        cmocka_unit_test(digests_are_those_of_the_standard),
        cmocka_unit_test(a_buffer_keeps_its_bound),
        cmocka_unit_test(an_arena_gives_aligned_zeroed_memory),
        cmocka_unit_test(utf8_is_checked_to_the_letter),
        cmocka_unit_test(utf8_is_mended_in_place),
        cmocka_unit_test(counters_of_all_threads_are_summed),
        cmocka_unit_test(log_lines_have_both_forms_and_peer_text_is_escaped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
