/* What evhttp gets to see: each case whole, cut in two at every byte, and byte by byte. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "http/head.h"
#include "http/inlet.h"

#define GET  "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST "POST /a HTTP/1.1\r\nHost: h\r\n"

enum { MAX_PAYLOAD = 10 };

struct passed {
    struct buf text; /* chunks joined, each body in brackets */
    enum inlet_verdict verdict;
    uint64_t heads;
    uint64_t whole;
    enum inlet_phase phase;
};

/* Joins the chunks of a body: how it was cut is of no matter. */
static struct span join_chunks(struct span rest, struct buf *to)
{
    buf_add_char(to, '[');
    while (rest.len > 0) {
        size_t size = 0;

        while (hex_digit(rest.ptr[0]) >= 0) {
            size = size << 4 | (size_t)hex_digit(rest.ptr[0]);
            rest = span_of(rest.ptr + 1, rest.len - 1);
        }
        assert_memory_equal(rest.ptr, "\r\n", 2);
        assert_true(rest.len >= size + 4);
        buf_add(to, rest.ptr + 2, size);
        assert_memory_equal(rest.ptr + 2 + size, "\r\n", 2);
        rest = span_of(rest.ptr + size + 4, rest.len - size - 4);
        if (size == 0) {
            buf_add_char(to, ']');
            return rest;
        }
    }
    return rest;
}

static void read_passed(struct span out, struct buf *to)
{
    static const char chunked[] = "Transfer-Encoding: chunked\r\n";

    while (out.len > 0) {
        const char *end = memmem(out.ptr, out.len, "\r\n\r\n", 4);
        const char *mark;
        size_t len;

        if (end == NULL) {
            buf_add_span(to, out); /* the rest of a body of a length */
            return;
        }
        len = (size_t)(end - out.ptr) + 4;
        mark = memmem(out.ptr, len, chunked, sizeof(chunked) - 1);
        buf_add(to, out.ptr, len);
        out = span_of(out.ptr + len, out.len - len);
        if (mark != NULL) {
            out = join_chunks(out, to);
        }
    }
}

static void feed(struct inlet *inlet, struct span part, struct buf *out)
{
    char *exact = malloc(part.len + 1); /* so that a sanitizer sees what is read behind it */

    assert_non_null(exact);
    memcpy(exact, part.ptr, part.len);
    (void)inlet_feed(inlet, span_of(exact, part.len), out);
    free(exact);
}

/* Cut at `at`; at every byte if that is 0. */
static void pass(struct span text, size_t at, struct passed *passed)
{
    struct inlet inlet;
    struct buf out;

    buf_init(&out, 0);
    buf_init(&passed->text, 0);
    inlet_init(&inlet, MAX_PAYLOAD);
    if (at > 0) {
        feed(&inlet, span_of(text.ptr, at), &out);
        feed(&inlet, span_of(text.ptr + at, text.len - at), &out);
    } else {
        for (size_t i = 0; i < text.len; i++) {
            feed(&inlet, span_of(text.ptr + i, 1), &out);
        }
    }
    read_passed(buf_span(&out), &passed->text);
    passed->verdict = inlet.verdict;
    passed->heads = inlet.heads;
    passed->whole = inlet.whole;
    passed->phase = inlet_phase(&inlet);
    inlet_done(&inlet);
    buf_done(&out);
}

struct inlet_case {
    const char *given;
    const char *passed;
    enum inlet_verdict verdict;
    enum inlet_phase phase;
};

static void check(const struct inlet_case *one, size_t at)
{
    struct passed passed;
    struct span expected = span_cstr(one->passed);

    pass(span_cstr(one->given), at, &passed);
    if (passed.verdict != one->verdict || !span_eq(buf_span(&passed.text), expected)) {
        fail_msg("cut at %zu: verdict %d\n%s\nmade\n%.*s", at, passed.verdict, one->given,
                 SPAN_ARG(buf_span(&passed.text)));
    }
    if (one->verdict == INLET_FINE) {
        assert_int_equal(passed.phase, one->phase);
        assert_true(passed.whole == passed.heads ||
                    (passed.phase == INLET_BODY && passed.whole + 1 == passed.heads));
    }
    buf_done(&passed.text);
}

static void check_all(const struct inlet_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t at = 0; at <= strlen(cases[i].given); at++) {
            check(&cases[i], at);
        }
    }
}
#define CHECK_ALL(cases) check_all(cases, sizeof(cases) / sizeof((cases)[0]))

static void heads_are_written_in_one_plain_form(void **state)
{
    static const struct inlet_case cases[] = {
        {GET, GET, INLET_FINE, INLET_IDLE},
        {GET GET, GET GET, INLET_FINE, INLET_IDLE},
        {"\r\n\r\n" GET, GET, INLET_FINE, INLET_IDLE},
        {GET "\r\n", GET, INLET_FINE, INLET_HEAD}, /* no way to keep it alive for ever */
        {"\r\n", "", INLET_FINE, INLET_HEAD},
        {"GET /a HTTP/1.1\r\nHost:h\r\nx:\t a b \t\r\ny:\r\n\r\n",
         "GET /a HTTP/1.1\r\nHost: h\r\nx: a b\r\ny: \r\n\r\n", INLET_FINE, INLET_IDLE},
        {"HEAD ///a//b?c#d HTTP/1.0\r\n\r\n", "HEAD /a//b?c#d HTTP/1.0\r\n\r\n", INLET_FINE,
         INLET_IDLE},
        {"GET http://h:1/a?b HTTP/1.1\r\n\r\n", "GET /a?b HTTP/1.1\r\n\r\n", INLET_FINE,
         INLET_IDLE},
        {"GET HTTPS://[::1]?b HTTP/1.1\r\n\r\n", "GET /?b HTTP/1.1\r\n\r\n", INLET_FINE,
         INLET_IDLE},
        {"GET http://@:x:%/a HTTP/1.1\r\n\r\n", "GET /a HTTP/1.1\r\n\r\n", INLET_FINE, INLET_IDLE},
        {"OPTIONS * HTTP/1.1\r\n\r\n", "OPTIONS / HTTP/1.1\r\n\r\n", INLET_FINE, INLET_IDLE},
        {"CONNECT h:1 HTTP/1.1\r\n\r\n", "PATCH / HTTP/1.1\r\n\r\n", INLET_FINE, INLET_IDLE},
        {"get /a HTTP/1.1\r\n\r\n", "PATCH /a HTTP/1.1\r\n\r\n", INLET_FINE, INLET_IDLE},
        {"GET /\xC3\xA4 HTTP/1.1\r\nx: \xFF\r\n\r\n", "GET /\xC3\xA4 HTTP/1.1\r\nx: \xFF\r\n\r\n",
         INLET_FINE, INLET_IDLE},
        {"GET / HTTP/1.1\r\nConnection: Upgrade , CLOSE\r\nKeep-Alive: 1\r\n\r\n",
         "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", INLET_FINE, INLET_IDLE},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
         "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", INLET_FINE, INLET_IDLE},
        {"GET / HTTP/1.1\r\nConnection: keep-alive\r\nProxy-Connection: x\r\n\r\n",
         "GET / HTTP/1.1\r\n\r\n", INLET_FINE, INLET_IDLE},
        {"GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", INLET_FINE,
         INLET_IDLE},
        {"GET / HTTP/1.1\r\nExpect: x\r\n\r\n", "GET / HTTP/1.1\r\n" HEAD_EXPECTS ": 1\r\n\r\n",
         INLET_FINE, INLET_IDLE},
        {"GET / HTTP/1.0\r\nExpect: x\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", INLET_FINE, INLET_IDLE},
        {"GET / HTTP/1.1\r\nHost: h\r", "", INLET_FINE, INLET_HEAD},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void what_two_parsers_could_read_differently_is_refused(void **state)
{
    static const struct inlet_case cases[] = {
        {"GET / HTTP/1.1\n", "", INLET_MALFORMED, 0},
        {"GET  / HTTP/1.1\r\n", "", INLET_MALFORMED, 0},
        {"GET /  HTTP/1.1\r\n", "", INLET_MALFORMED, 0},
        {"GET / HTTP/1.1 \r\n", "", INLET_MALFORMED, 0},
        {" GET / HTTP/1.1\r\n", "", INLET_MALFORMED, 0},
        {"GET / HTTP/2.0\r\n", "", INLET_MALFORMED, 0},
        {"GET / HTTP/1.10\r\n", "", INLET_MALFORMED, 0},
        {"GET / http/1.1\r\n", "", INLET_MALFORMED, 0},
        {"GET\r\n", "", INLET_MALFORMED, 0},
        {"GET /\r\n", "", INLET_MALFORMED, 0},
        {"G@T / HTTP/1.1\r\n", "", INLET_MALFORMED, 0},
        {"GET /\x01 HTTP/1.1\r\n", "", INLET_MALFORMED, 0},
        {"GET /\t HTTP/1.1\r\n", "", INLET_MALFORMED, 0},
        {"GET /\r HTTP/1.1\r\n", "", INLET_MALFORMED, 0},
        {"AMQP\x03\x01", "", INLET_MALFORMED, 0},
        {"GET / HTTP/1.1\r\n x: folded\r\n\r\n", "", INLET_MALFORMED, 0},
        {"GET / HTTP/1.1\r\nx: y\r\n\tfolded\r\n\r\n", "", INLET_MALFORMED, 0},
        {"GET / HTTP/1.1\r\nx : y\r\n\r\n", "", INLET_MALFORMED, 0},
        {"GET / HTTP/1.1\r\nx\r\n\r\n", "", INLET_MALFORMED, 0},
        {"GET / HTTP/1.1\r\n: y\r\n\r\n", "", INLET_MALFORMED, 0},
        {"GET / HTTP/1.1\r\n(expects): 1\r\n\r\n", "", INLET_MALFORMED, 0},
        {"GET / HTTP/1.1\r\nx: y\n\r\n", "", INLET_MALFORMED, 0},
        {"GET / HTTP/1.1\r\nx: y\rz\r\n\r\n", "", INLET_MALFORMED, 0},
        {"GET / HTTP/1.1\r\nx: y\x7F\r\n\r\n", "", INLET_MALFORMED, 0},
        {"GET / HTTP/1.1\r\nx: y\r\n\n", "", INLET_MALFORMED, 0},
        {"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "", INLET_MALFORMED, 0},
        {POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "", INLET_MALFORMED, 0},
        {POST "Content-Length: 2, 2\r\n\r\n{}", "", INLET_MALFORMED, 0},
        {POST "Content-Length: +2\r\n\r\n{}", "", INLET_MALFORMED, 0},
        {POST "Content-Length: -2\r\n\r\n{}", "", INLET_MALFORMED, 0},
        {POST "Content-Length: 0x2\r\n\r\n{}", "", INLET_MALFORMED, 0},
        {POST "Content-Length: 2 2\r\n\r\n{}", "", INLET_MALFORMED, 0},
        {POST "Content-Length:\r\n\r\n{}", "", INLET_MALFORMED, 0},
        {POST "Content-Length: 18446744073709551618\r\n\r\n", "", INLET_MALFORMED, 0},
        {POST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "", INLET_MALFORMED, 0},
        {POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", "", INLET_MALFORMED, 0},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "",
         INLET_MALFORMED, 0},
        {POST "Transfer-Encoding: gzip\r\n\r\n", "", INLET_MALFORMED, 0},
        {POST "Transfer-Encoding: gzip, chunked\r\n\r\n", "", INLET_MALFORMED, 0},
        {POST "Transfer-Encoding: \vchunked\r\n\r\n", "", INLET_MALFORMED, 0},
        {POST "Transfer-Encoding: chunked;q=1\r\n\r\n", "", INLET_MALFORMED, 0},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "", INLET_MALFORMED, 0},
        {GET "x\r\n", GET, INLET_MALFORMED, 0}, /* what came before it stays */
    };

    (void)state;
    CHECK_ALL(cases);
}

#define LENGTH(n)    POST "Content-Length: " n "\r\n\r\n"
#define CHUNKED      POST "Transfer-Encoding: chunked\r\n\r\n"
#define TOO_LARGE(n) POST HEAD_TOO_LARGE ": " n "\r\n\r\n"

static void bodies_of_a_length_are_passed_on_or_dropped(void **state)
{
    static const struct inlet_case cases[] = {
        {LENGTH("2") "{}" GET, LENGTH("2") "{}" GET, INLET_FINE, INLET_IDLE},
        {LENGTH("10") "0123456789", LENGTH("10") "0123456789", INLET_FINE, INLET_IDLE},
        {LENGTH("5") "012", LENGTH("5") "012", INLET_FINE, INLET_BODY},
        {LENGTH("0") GET, POST "\r\n" GET, INLET_FINE, INLET_IDLE},
        {POST "\r\n" GET, POST "\r\n" GET, INLET_FINE, INLET_IDLE},
        {POST "content-length:\t002\r\n\r\n{}", LENGTH("2") "{}", INLET_FINE, INLET_IDLE},
        {POST "Expect: 100-CONTINUE\r\nContent-Length: 2\r\n\r\n{}",
         POST "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{}", INLET_FINE, INLET_IDLE},
        {LENGTH("11") "01234567890" GET, TOO_LARGE("11") GET, INLET_FINE, INLET_IDLE},
        {POST "Expect: 100-continue\r\nContent-Length: 99\r\n\r\n", TOO_LARGE("99"), INLET_FINE,
         INLET_BODY},
        {"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" GET, GET GET, INLET_FINE,
         INLET_IDLE},
        {"HEAD / HTTP/1.1\r\nContent-Length: 30\r\n\r\n" GET, "HEAD / HTTP/1.1\r\n\r\n", INLET_FINE,
         INLET_IDLE},
    };

    (void)state;
    assert_int_equal(sizeof(GET) - 1, 28);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct inlet_case one = cases[i];

        if (strstr(one.given, "HEAD") == one.given) {
            one.phase = INLET_BODY; /* two bytes of it are missing */
        }
        check_all(&one, 1);
    }
}

static void bodies_in_chunks_are_cut_anew(void **state)
{
    static const struct inlet_case cases[] = {
        {CHUNKED "2\r\n{}\r\n0\r\n\r\n" GET, CHUNKED "[{}]" GET, INLET_FINE, INLET_IDLE},
        {CHUNKED "0\r\n\r\n", CHUNKED "[]", INLET_FINE, INLET_IDLE},
        {CHUNKED "1\r\na\r\n0002 ;x=\"y\"\r\nbc\r\n00\r\n\r\n", CHUNKED "[abc]", INLET_FINE,
         INLET_IDLE},
        {CHUNKED "A\r\n0123456789\r\n0\r\n\r\n", CHUNKED "[0123456789]", INLET_FINE, INLET_IDLE},
        {CHUNKED "a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n" GET, CHUNKED "[0123456789x]" GET,
         INLET_FINE, INLET_IDLE},
        {CHUNKED "14\r\n0123456789abcdefghij\r\n0\r\n\r\n" GET, CHUNKED "[0123456789a]" GET,
         INLET_FINE, INLET_IDLE},
        {CHUNKED "1\r\na\r\n0\r\nContent-Length: 5\r\nX: y\r\n\r\n" GET, CHUNKED "[a]" GET,
         INLET_FINE, INLET_IDLE},
        {"DELETE / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" GET,
         "DELETE / HTTP/1.1\r\n\r\n" GET, INLET_FINE, INLET_IDLE},
        {CHUNKED "2\r\n{", CHUNKED "[{", INLET_FINE, INLET_BODY},
        {CHUNKED "2\n{}\r\n0\r\n\r\n", CHUNKED "[", INLET_BROKEN_BODY, 0},
        {CHUNKED "2\r\n{}x\r\n", CHUNKED "[{}", INLET_BROKEN_BODY, 0},
        {CHUNKED "2\r\n{}\n", CHUNKED "[{}", INLET_BROKEN_BODY, 0},
        {CHUNKED "\r\n2\r\n", CHUNKED "[", INLET_BROKEN_BODY, 0},
        {CHUNKED "-2\r\n", CHUNKED "[", INLET_BROKEN_BODY, 0},
        {CHUNKED "+2\r\n", CHUNKED "[", INLET_BROKEN_BODY, 0},
        {CHUNKED " 2\r\n", CHUNKED "[", INLET_BROKEN_BODY, 0},
        {CHUNKED "0x2\r\n", CHUNKED "[", INLET_BROKEN_BODY, 0},
        {CHUNKED "2 2\r\n", CHUNKED "[", INLET_BROKEN_BODY, 0},
        {CHUNKED "2;a\x01\r\n", CHUNKED "[", INLET_BROKEN_BODY, 0},
        {CHUNKED "1000000000000000\r\n", CHUNKED "[", INLET_BROKEN_BODY, 0},
        {CHUNKED "0\r\nx y\r\n", CHUNKED "[", INLET_BROKEN_BODY, 0},
        {CHUNKED "0\r\nx: y\n", CHUNKED "[", INLET_BROKEN_BODY, 0},
    };

    (void)state;
    CHECK_ALL(cases);
}

/* `count` times the part, between two texts. */
static char *repeated(const char *before, const char *part, size_t count, const char *after)
{
    struct buf text;

    buf_init(&text, 0);
    buf_add_cstr(&text, before);
    for (size_t i = 0; i < count; i++) {
        buf_add_cstr(&text, part);
    }
    buf_add_cstr(&text, after);
    buf_add_char(&text, '\0');
    return text.ptr;
}

static void sizes_are_bounded(void **state)
{
    static const struct {
        const char *before;
        const char *part;
        size_t count;
        const char *after;
        enum inlet_verdict verdict;
    } cases[] = {
        {"GET /", "a", 4096 - 14, " HTTP/1.1\r\n\r\n", INLET_FINE},
        {"GET /", "a", 4097 - 14, " HTTP/1.1\r\n\r\n", INLET_LINE_TOO_LONG},
        {"", "A", 1 << 20, "", INLET_LINE_TOO_LONG},
        {"GET / HTTP/1.1\r\nx: ", "y", 8192 - 3, "\r\n\r\n", INLET_FINE},
        {"GET / HTTP/1.1\r\nx: ", "y", 8193 - 3, "\r\n\r\n", INLET_FIELDS_TOO_LARGE},
        {"GET / HTTP/1.1\r\n", "xy: z\r\n", 1170, "\r\n", INLET_FINE},
        {"GET / HTTP/1.1\r\n", "xy: z\r\n", 1172, "\r\n", INLET_FIELDS_TOO_LARGE},
        {CHUNKED "1;", "x", 1022, "\r\na\r\n0\r\n\r\n", INLET_FINE},
        {CHUNKED "1;", "x", 1023, "\r\na\r\n0\r\n\r\n", INLET_BROKEN_BODY},
        {CHUNKED "0\r\n", "xy: z\r\n", 1170, "\r\n", INLET_FINE},
        {CHUNKED "0\r\n", "xy: z\r\n", 1171, "\r\n", INLET_BROKEN_BODY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = repeated(cases[i].before, cases[i].part, cases[i].count, cases[i].after);

        for (size_t at = 0; at < 3; at++) {
            struct passed passed;

            pass(span_cstr(text), at, &passed);
            if (passed.verdict != cases[i].verdict) {
                fail_msg("case %zu, cut at %zu: verdict %d", i, at, passed.verdict);
            }
            buf_done(&passed.text);
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_written_in_one_plain_form),
        cmocka_unit_test(what_two_parsers_could_read_differently_is_refused),
        cmocka_unit_test(bodies_of_a_length_are_passed_on_or_dropped),
        cmocka_unit_test(bodies_in_chunks_are_cut_anew),
        cmocka_unit_test(sizes_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
