/* What is said to a broker before the engine: its address, SASL. */
#include "support/test.h"

#include <stdio.h>

#include "amqp/broker_url.h"
#include "amqp/sasl_client.h"

static void addresses(void **state)
{
    const struct {
        const char *text;
        const char *host_port; /* NULL: refused */
        bool tls;
    } cases[] = {
        {"amqp://broker", "broker:5672", false},
        {"amqps://broker", "broker:5671", true},
        {"AMQPS://broker:1234/", "broker:1234", true},
        {"amqp://127.0.0.1:5673", "127.0.0.1:5673", false},
        {"amqp://[::1]", "[::1]:5672", false},
        {"amqp://[::1]:9", "[::1]:9", false},
        {"broker:5672", NULL, false},
        {"http://broker", NULL, false},
        {"amqp://", NULL, false},
        {"amqp://:5672", NULL, false},
        {"amqp://broker:99999", NULL, false},
        {"amqp://broker:", NULL, false},
        {"amqp://user:secret@broker", NULL, false},
        {"amqp://broker/path", NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct broker_url url;
        struct ks_failure why = {0};
        enum ks_status st = broker_url_parse(cases[i].text, &url, &why);

        if ((st == KS_OK) != (cases[i].host_port != NULL)) {
            fail_msg("%s: %s", cases[i].text, why.text);
        }
        if (st == KS_OK) {
            assert_string_equal(url.host_port, cases[i].host_port);
            assert_int_equal(url.tls, cases[i].tls);
        } else {
            assert_null(strstr(why.text, "secret"));
        }
    }
}

#define HEADER    "AMQP\3\1\0\0"
#define FRAME(n)  "\0\0\0" n "\2\1\0\0\0\x53"
#define ONE_PLAIN FRAME("\x15") "\x40\xc0\x08\x01\xa3\x05PLAIN"
#define ARRAY                                                                                      \
    FRAME("\x21")                                                                                  \
    "\x40\xc0\x14\x01\xe0\x11\x02\xa3\x05PLAIN\x08"                                                \
    "EXTERNAL"
#define OUTCOME(code) FRAME("\x10") "\x44\xc0\x03\x01\x50" code

/* Feeds the bytes cut at `at`, then the rest. */
static enum ks_status feed(struct sasl_client *client, struct span in, size_t at, struct buf *out)
{
    size_t taken = 0;
    size_t before;
    enum ks_status st;

    sasl_client_begin(client, out);
    st = sasl_client_take(client, span_of(in.ptr, at), &taken, out, NULL);
    if (st == KS_OK && !client->done) {
        before = taken;
        st = sasl_client_take(client, span_of(in.ptr + before, in.len - before), &taken, out, NULL);
    }
    return st;
}

static void check(const struct sasl_client *like, struct span in, enum ks_status expected,
                  bool done, const char *sent, size_t sent_len)
{
    for (size_t at = 0; at <= in.len; at++) {
        struct sasl_client client = *like;
        struct buf out;

        buf_init(&out, 0);
        if (feed(&client, in, at, &out) != expected || client.done != done) {
            fail_msg("cut at %zu", at);
        }
        if (sent != NULL) {
            assert_int_equal(out.len, sent_len);
            assert_memory_equal(out.ptr, sent, sent_len);
        }
        buf_done_secret(&out);
    }
}

static void logins(void **state)
{
    const struct sasl_client plain = {.peer = "the broker", .user = "u", .password = "p"};
    const struct sasl_client external = {.peer = "the broker", .certificate = true};
    const struct sasl_client nobody = {.peer = "the broker", .user = NULL};
    static const char init[] =
        HEADER "\0\0\0\x21\2\1\0\0\0\x53\x41\xd0\0\0\0\x11\0\0\0\2\xa3\5PLAIN"
               "\xa0\4\0u\0p";

    (void)state;
    check(&plain, SPAN(HEADER ONE_PLAIN OUTCOME("\0")), KS_OK, true, init, sizeof(init) - 1);
    check(&plain, SPAN(HEADER ARRAY OUTCOME("\0")), KS_OK, true, init, sizeof(init) - 1);
    check(&external, SPAN(HEADER ARRAY OUTCOME("\0")), KS_OK, true, NULL, 0);
    check(&plain, SPAN(HEADER ONE_PLAIN OUTCOME("\1")), KS_UNAUTHORIZED, false, NULL, 0);
    check(&plain, SPAN(HEADER ONE_PLAIN OUTCOME("\3")), KS_UNAVAILABLE, false, NULL, 0);
    check(&nobody, SPAN(HEADER ARRAY), KS_INVALID, false, HEADER, 8);
    check(&external, SPAN(HEADER ONE_PLAIN), KS_INVALID, false, HEADER, 8);
}

static void failures_say_who_refuses(void **state)
{
    struct sasl_client client = {.peer = "the broker", .user = "u", .password = "p"};
    const struct span in = SPAN(HEADER ONE_PLAIN OUTCOME("\1"));
    struct ks_failure why = {0};
    size_t taken = 0;
    struct buf out;

    (void)state;
    buf_init(&out, 0);
    assert_int_equal(sasl_client_take(&client, in, &taken, &out, &why), KS_UNAUTHORIZED);
    assert_string_equal(why.text,
                        "the broker refuses the login (PLAIN): user or password is wrong");
    buf_done_secret(&out);
}

static void what_is_no_sasl_is_refused(void **state)
{
    const struct sasl_client plain = {.peer = "the broker", .user = "u", .password = "p"};
    const struct span cases[] = {
        SPAN("HTTP/1.1"),
        SPAN("AMQP\0\1\0\0"),
        SPAN(HEADER OUTCOME("\0")),            /* before the mechanisms */
        SPAN(HEADER ONE_PLAIN ONE_PLAIN),      /* twice */
        SPAN(HEADER "\0\0\0\7\2\1\0\0"),       /* shorter than its header */
        SPAN(HEADER "\0\1\0\0\2\1\0\0"),       /* too long */
        SPAN(HEADER "\0\0\0\x10\2\0\0\0"),     /* of AMQP */
        SPAN(HEADER FRAME("\x0b") "\x40"),     /* no list */
        SPAN(HEADER FRAME("\x0c") "\x40\x45"), /* an empty one */
        SPAN(HEADER FRAME("\x13") "\x40\xc0\x06\x01\xe0\x03\x02\xa3\x05"), /* cut */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(&plain, cases[i], KS_INVALID, false, NULL, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(logins),
        cmocka_unit_test(failures_say_who_refuses),
        cmocka_unit_test(what_is_no_sasl_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
