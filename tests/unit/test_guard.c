/* The frame guard: each rule with a frame that breaks it, after a sequence that is fine. */
#include "support/test.h"

#include <string.h>

#include "amqp/codec.h"
#include "amqp/guard.h"
#include "base/buf.h"

static const struct guard_limits limits = {.max_frame = 4096,
                                           .max_message = 1000,
                                           .max_sessions = 4,
                                           .max_session_begins = 6,
                                           .max_links = 5};

static struct guard guard;
static struct ks_failure why;
static struct guard_event event;

/* ---- frames, by hand ---- */

struct frame {
    struct buf bytes;
    size_t list;
    uint32_t fields;
};

static struct frame start(uint8_t descriptor, uint16_t channel)
{
    struct frame f = {0};
    const unsigned char head[8] = {
        0, 0, 0, 0, 2, 0, (unsigned char)(channel >> 8), (unsigned char)channel};

    buf_init(&f.bytes, 0);
    buf_add(&f.bytes, head, sizeof(head));
    codec_write_descriptor(&f.bytes, descriptor);
    f.list = codec_begin_list(&f.bytes);
    return f;
}

static void null(struct frame *f)
{
    codec_write_null(&f->bytes);
    f->fields++;
}

static void uint(struct frame *f, uint32_t value)
{
    const unsigned char bytes[5] = {0x70, (unsigned char)(value >> 24),
                                    (unsigned char)(value >> 16), (unsigned char)(value >> 8),
                                    (unsigned char)value};

    buf_add(&f->bytes, bytes, sizeof(bytes));
    f->fields++;
}

static void flag(struct frame *f, bool value)
{
    buf_add_char(&f->bytes, value ? 0x41 : 0x42);
    f->fields++;
}

static void text(struct frame *f, const char *value)
{
    codec_write_string(&f->bytes, span_cstr(value));
    f->fields++;
}

static void tag(struct frame *f, size_t len)
{
    static const char zeros[64];

    codec_write_binary(&f->bytes, span_of(zeros, len));
    f->fields++;
}

/* Closes the list, adds payload, fixes the size, asks the guard. */
static enum guard_verdict ask_with(struct frame f, size_t payload)
{
    enum guard_verdict verdict;

    codec_end_compound(&f.bytes, f.list, f.fields);
    for (size_t i = 0; i < payload; i++) {
        buf_add_char(&f.bytes, 'x');
    }
    for (int i = 0; i < 4; i++) {
        f.bytes.ptr[i] = (char)(f.bytes.len >> (8 * (3 - i)));
    }
    verdict = guard_check(&guard, buf_span(&f.bytes), 0, &event, &why);
    buf_done(&f.bytes);
    return verdict;
}

static enum guard_verdict ask(struct frame f)
{
    return ask_with(f, 0);
}

static enum guard_verdict open_frame(void)
{
    struct frame f = start(0x10, 0);

    text(&f, "peer");
    return ask(f);
}

static enum guard_verdict begin(uint16_t channel)
{
    struct frame f = start(0x11, channel);

    null(&f);
    uint(&f, 0);
    uint(&f, 100);
    uint(&f, 100);
    return ask(f);
}

static enum guard_verdict attach(uint16_t channel, const char *name, uint32_t handle, bool receives)
{
    struct frame f = start(0x12, channel);

    text(&f, name);
    uint(&f, handle);
    flag(&f, receives);
    return ask(f);
}

/* id, tag: -1 leaves the field null. */
static enum guard_verdict transfer(uint32_t handle, int id, int tag_len, bool more, size_t payload)
{
    struct frame f = start(0x14, 0);

    uint(&f, handle);
    if (id >= 0) {
        uint(&f, (uint32_t)id);
    } else {
        null(&f);
    }
    if (tag_len >= 0) {
        tag(&f, (size_t)tag_len);
    } else {
        null(&f);
    }
    null(&f);
    flag(&f, false);
    flag(&f, more);
    return ask_with(f, payload);
}

static enum guard_verdict flow(uint32_t handle, uint32_t delivery_count, uint32_t credit)
{
    struct frame f = start(0x13, 0);

    null(&f);
    uint(&f, 10);
    uint(&f, 0);
    uint(&f, 10);
    uint(&f, handle);
    uint(&f, delivery_count);
    uint(&f, credit);
    return ask(f);
}

static enum guard_verdict detach(uint32_t handle)
{
    struct frame f = start(0x16, 0);

    uint(&f, handle);
    return ask(f);
}

static enum guard_verdict plain(uint8_t descriptor, uint16_t channel)
{
    return ask(start(descriptor, channel));
}

/* ---- tests ---- */

static int set_up(void **state)
{
    (void)state;
    guard_init(&guard, &limits);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    guard_done(&guard);
    return 0;
}

/* An open session on channel 0, a reply link on handle 0, a request link on handle 1 with credit.
 */
static int set_up_links(void **state)
{
    (void)set_up(state);
    assert_int_equal(open_frame(), GUARD_PASS);
    assert_int_equal(begin(0), GUARD_PASS);
    assert_int_equal(attach(0, "reply", 0, true), GUARD_PASS);
    assert_int_equal(attach(0, "request", 1, false), GUARD_PASS);
    guard_grant(&guard, 0, 1, 3);
    return 0;
}

static void what_hono_sends_passes(void **state)
{
    (void)state;
    assert_int_equal(flow(0, 0, 200), GUARD_PASS);
    for (int id = 0; id < 10; id++) {
        assert_int_equal(transfer(1, id, 4, false, 300), GUARD_PASS);
        assert_int_equal(event.kind, GUARD_FRAME_TRANSFER);
        guard_grant(&guard, 0, 1, 1);
    }
    assert_int_equal(transfer(1, 10, 4, true, 300), GUARD_PASS);
    assert_int_equal(transfer(1, -1, -1, true, 300), GUARD_PASS);
    assert_int_equal(transfer(1, 10, -1, false, 300), GUARD_PASS);
    assert_int_equal(detach(0), GUARD_PASS);
    assert_int_equal(attach(0, "reply", 0, true), GUARD_PASS);
    assert_int_equal(plain(0x17, 0), GUARD_PASS);
    assert_int_equal(begin(0), GUARD_PASS);
    assert_int_equal(plain(0x18, 0), GUARD_PASS);
    assert_int_equal(plain(0x18, 0), GUARD_FAIL_CONNECTION);
}

static void frame_headers_are_checked_before_the_body_comes(void **state)
{
    static const struct {
        unsigned char head[8];
        bool ok;
    } cases[] = {
        {{0, 0, 0, 8, 2, 0, 0, 0}, true},   {{0, 0, 16, 0, 2, 0, 0, 0}, true},
        {{0, 0, 16, 1, 2, 0, 0, 0}, false}, {{0, 0, 0, 7, 2, 0, 0, 0}, false},
        {{0, 0, 0, 8, 1, 0, 0, 0}, false},  {{0, 0, 0, 8, 3, 0, 0, 0}, false},
        {{0, 0, 0, 8, 2, 1, 0, 0}, false},  {{0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0}, false},
        {{0, 0, 0, 12, 3, 0, 0, 0}, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size;

        assert_int_equal(guard_frame_size(span_of(cases[i].head, 8), 4096, &size, &why),
                         cases[i].ok);
    }
}

static void nothing_goes_before_open_and_open_goes_once(void **state)
{
    struct frame f;

    (void)state;
    assert_int_equal(begin(0), GUARD_FAIL_CONNECTION);
    f = start(0x10, 0);
    assert_int_equal(ask(f), GUARD_FAIL_CONNECTION); /* no container-id */
    f = start(0x10, 1);
    text(&f, "c");
    assert_int_equal(ask(f), GUARD_FAIL_CONNECTION); /* on channel 1 */
    f = start(0x10, 0);
    text(&f, "c");
    null(&f);
    uint(&f, 511);
    assert_int_equal(ask(f), GUARD_FAIL_CONNECTION);
    for (uint32_t idle_ms = 1; idle_ms <= 100; idle_ms += 33) {
        guard_done(&guard);
        guard_init(&guard, &limits);
        f = start(0x10, 0);
        text(&f, "c");
        null(&f);
        null(&f);
        null(&f);
        uint(&f, idle_ms);
        assert_int_equal(ask(f), idle_ms < 100 ? GUARD_FAIL_CONNECTION : GUARD_PASS);
    }
    guard_done(&guard);
    guard_init(&guard, &limits);
    assert_int_equal(open_frame(), GUARD_PASS);
    assert_int_equal(open_frame(), GUARD_FAIL_CONNECTION);
}

static void sessions_are_bounded_live_and_in_life(void **state)
{
    struct frame f = start(0x11, 1);

    (void)state;
    assert_int_equal(open_frame(), GUARD_PASS);
    uint(&f, 0); /* remote-channel is a ushort: of the wrong type */
    assert_int_equal(ask(f), GUARD_FAIL_CONNECTION);
    assert_int_equal(begin(4), GUARD_FAIL_CONNECTION);
    for (uint16_t c = 0; c < 4; c++) {
        assert_int_equal(begin(c), GUARD_PASS);
    }
    assert_int_equal(begin(0), GUARD_FAIL_CONNECTION);
    assert_int_equal(plain(0x17, 0), GUARD_PASS);
    assert_int_equal(begin(0), GUARD_PASS);
    assert_int_equal(plain(0x17, 0), GUARD_PASS);
    assert_int_equal(plain(0x17, 0), GUARD_FAIL_CONNECTION);
    assert_int_equal(begin(0), GUARD_PASS);
    assert_int_equal(plain(0x17, 0), GUARD_PASS);
    assert_int_equal(begin(0), GUARD_FAIL_CONNECTION); /* the seventh in this life */
}

static void links_are_attached_once_and_bounded(void **state)
{
    char name[1100];

    (void)state;
    memset(name, 'n', sizeof(name));
    name[1025] = '\0';
    assert_int_equal(attach(0, "x", 1, true), GUARD_FAIL_CONNECTION); /* handle in use */
    assert_int_equal(attach(0, "x", 65536, true), GUARD_FAIL_CONNECTION);
    assert_int_equal(attach(0, "", 2, true), GUARD_FAIL_CONNECTION);
    assert_int_equal(attach(0, name, 2, true), GUARD_FAIL_CONNECTION);
    assert_int_equal(attach(1, "x", 2, true), GUARD_FAIL_CONNECTION); /* no session */
    assert_int_equal(attach(0, "c", 3, false), GUARD_PASS);
    assert_int_equal(attach(0, "d", 65535, false), GUARD_PASS);
    assert_int_equal(attach(0, "e", 5, false), GUARD_PASS);
    assert_int_equal(attach(0, "f", 6, false), GUARD_FAIL_CONNECTION); /* the sixth */
    assert_int_equal(detach(65535), GUARD_PASS);
    assert_int_equal(detach(65535), GUARD_FAIL_CONNECTION);
}

static void a_name_is_taken_once_in_each_role(void **state)
{
    (void)state;
    assert_int_equal(attach(0, "reply", 2, false), GUARD_PASS);
    assert_int_equal(attach(0, "reply", 3, true), GUARD_FAIL_CONNECTION);
}

static void transfers_belong_to_a_link_where_the_peer_sends(void **state)
{
    (void)state;
    assert_int_equal(transfer(0, 0, 4, false, 1), GUARD_FAIL_CONNECTION);
    assert_int_equal(transfer(9, 0, 4, false, 1), GUARD_FAIL_CONNECTION);
    assert_int_equal(transfer(1, -1, 4, false, 1), GUARD_FAIL_CONNECTION); /* no delivery-id */
    assert_int_equal(transfer(1, 0, -1, false, 1), GUARD_FAIL_CONNECTION); /* no tag */
    assert_int_equal(transfer(1, 0, 33, false, 1), GUARD_FAIL_CONNECTION); /* a long tag */
    assert_int_equal(transfer(1, 0, 4, true, 1), GUARD_PASS);
    assert_int_equal(transfer(1, 1, 4, false, 1),
                     GUARD_FAIL_CONNECTION); /* not the one under way */
}

static void more_deliveries_than_credit_fail_the_link_only(void **state)
{
    (void)state;
    for (int id = 0; id < 3; id++) {
        assert_int_equal(transfer(1, id, 4, false, 1), GUARD_PASS);
    }
    assert_int_equal(transfer(1, 3, 4, false, 1), GUARD_FAIL_LINK);
    assert_string_equal(why.reason, "amqp:link:transfer-limit-exceeded");
    assert_int_equal(event.handle, 1);
    /* what is pipelined behind passes: the engine counts it, nobody looks at it */
    assert_int_equal(transfer(1, 4, 4, false, 5000), GUARD_PASS);
    assert_int_equal(detach(1), GUARD_PASS);
}

static void a_message_over_the_limit_fails_the_link_in_pieces_too(void **state)
{
    (void)state;
    assert_int_equal(transfer(1, 0, 4, true, 600), GUARD_PASS);
    assert_int_equal(transfer(1, -1, -1, true, 400), GUARD_PASS);
    assert_int_equal(transfer(1, -1, -1, true, 1), GUARD_FAIL_LINK);
    assert_string_equal(why.reason, "amqp:link:message-size-exceeded");
    assert_int_equal(transfer(1, -1, -1, false, 4000), GUARD_PASS);
}

static void links_that_we_closed_are_not_judged(void **state)
{
    (void)state;
    guard_link_closed(&guard, 0, 1);
    for (int id = 0; id < 20; id++) {
        assert_int_equal(transfer(1, id, 4, false, 2000), GUARD_PASS);
    }
    assert_int_equal(detach(1), GUARD_PASS);
}

static void a_flow_cannot_count_beyond_the_credit(void **state)
{
    (void)state;
    assert_int_equal(flow(1, 2, 0), GUARD_PASS); /* gives two of three back */
    assert_int_equal(transfer(1, 0, 4, false, 1), GUARD_PASS);
    assert_int_equal(transfer(1, 1, 4, false, 1), GUARD_FAIL_LINK);
    assert_int_equal(flow(7, 0, 1), GUARD_FAIL_CONNECTION);
}

static void a_flow_far_ahead_is_refused(void **state)
{
    (void)state;
    assert_int_equal(flow(1, 0x80000000U, 0), GUARD_FAIL_CONNECTION);
}

static void dispositions_have_an_order(void **state)
{
    struct frame f = start(0x15, 0);

    (void)state;
    flag(&f, true);
    uint(&f, 5);
    uint(&f, 4);
    assert_int_equal(ask(f), GUARD_FAIL_CONNECTION);
    f = start(0x15, 0);
    flag(&f, true);
    uint(&f, 0xffffffffU);
    uint(&f, 3);
    assert_int_equal(ask(f), GUARD_PASS); /* serial numbers wrap */
}

static void what_cannot_be_read_exactly_is_refused(void **state)
{
    static const unsigned char bodies[][24] = {
        {4, 0x00, 0x53, 0x30, 0x45},                         /* unknown performative */
        {4, 0x00, 0x53, 0x17, 0x40},                         /* not a list */
        {3, 0x00, 0x53, 0x17},                               /* cut */
        {2, 0xA1, 0x00},                                     /* not described */
        {7, 0x00, 0x53, 0x17, 0xC0, 0x02, 0x02, 0x40},       /* fewer fields than counted */
        {8, 0x00, 0x53, 0x17, 0xC0, 0x03, 0x02, 0x40, 0x40}, /* more fields than END has */
        {7, 0x00, 0x53, 0x17, 0xC0, 0x02, 0x01, 0x41},       /* a boolean where an error goes */
        {6, 0x00, 0x53, 0x17, 0x45, 0x40, 0x40},             /* bytes behind */
        {5, 0x00, 0x53, 0x17, 0xFF, 0x00},                   /* unknown constructor */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        unsigned char frame[40] = {0, 0, 0, (unsigned char)(8 + bodies[i][0]), 2, 0, 0, 0};

        memcpy(frame + 8, bodies[i] + 1, bodies[i][0]);
        if (guard_check(&guard, span_of(frame, frame[3]), 0, &event, &why) !=
            GUARD_FAIL_CONNECTION) {
            fail_msg("case %zu passed", i);
        }
    }
}

static void attaches_are_refilled_by_time(void **state)
{
    struct frame f;
    int passed = 0;

    (void)state;
    for (int i = 0; i < 20; i++) {
        enum guard_verdict verdict;

        f = start(0x12, 0);
        text(&f, "again");
        uint(&f, 4);
        flag(&f, true);
        verdict = ask(f);
        if (verdict != GUARD_PASS) {
            break;
        }
        passed++;
        assert_int_equal(detach(4), GUARD_PASS);
    }
    assert_int_equal(passed, 3); /* five a burst, two are attached */
}

/* ---- a server's answers ---- */

static enum guard_verdict answer_begin(uint16_t channel, unsigned char answers)
{
    const unsigned char ushort[] = {0x60, 0, answers};
    struct frame f = start(0x11, channel);

    buf_add(&f.bytes, ushort, sizeof(ushort));
    f.fields++;
    uint(&f, 0);
    uint(&f, 100);
    uint(&f, 100);
    return ask(f);
}

/* Up to its OPEN. */
static int set_up_answers(void **state)
{
    struct guard_limits answers = limits;

    (void)state;
    answers.answers = true;
    answers.max_session_begins = 1;
    guard_init(&guard, &answers);
    assert_int_equal(open_frame(), GUARD_PASS);
    return 0;
}

static void one_session_is_answered(void **state)
{
    static const struct {
        uint16_t channel;
        unsigned char answers;
        enum guard_verdict verdict;
    } cases[] = {
        {0, 0, GUARD_PASS},
        {3, 0, GUARD_PASS},
        {4, 0, GUARD_FAIL_CONNECTION}, /* beyond what was announced */
        {0, 1, GUARD_FAIL_CONNECTION}, /* which we have not begun */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        guard_done(&guard);
        (void)set_up_answers(state);
        assert_int_equal(answer_begin(cases[i].channel, cases[i].answers), cases[i].verdict);
    }
    guard_done(&guard);
    (void)set_up_answers(state);
    assert_int_equal(begin(0), GUARD_FAIL_CONNECTION); /* it answers none */
    assert_int_equal(answer_begin(1, 0), GUARD_PASS);
    assert_int_equal(answer_begin(2, 0), GUARD_FAIL_CONNECTION);
}

static void links_are_answered_as_fast_as_they_are_opened(void **state)
{
    (void)state;
    assert_int_equal(answer_begin(0, 0), GUARD_PASS);
    assert_int_equal(attach(0, "ours", 0, false), GUARD_FAIL_CONNECTION); /* we do not receive */
    for (int i = 0; i < 100; i++) {
        assert_int_equal(attach(0, "ours", 0, true), GUARD_PASS);
        assert_int_equal(flow(0, 0, 10), GUARD_PASS);
        assert_int_equal(transfer(0, 0, 4, false, 1), GUARD_FAIL_CONNECTION);
        assert_int_equal(attach(0, "ours", 1, true), GUARD_FAIL_CONNECTION);
        assert_int_equal(detach(0), GUARD_PASS);
    }
}

/* In words, it says what it likes. */
static void a_server_may_talk(void **state)
{
    static char long_text[3001];
    struct frame f;

    (void)state;
    memset(long_text, 'x', sizeof(long_text) - 1);
    assert_int_equal(answer_begin(0, 0), GUARD_PASS);
    f = start(0x15, 0); /* a state that we do not know, with much to say */
    flag(&f, true);
    uint(&f, 3);
    uint(&f, 5);
    flag(&f, true);
    text(&f, long_text);
    assert_int_equal(ask(f), GUARD_PASS);
    assert_int_equal(event.deliveries, 3);
    f = start(0x15, 0);
    flag(&f, true);
    text(&f, "3"); /* but a number is one */
    assert_int_equal(ask(f), GUARD_FAIL_CONNECTION);
    f = start(0x18, 0);
    buf_add(&f.bytes, "\xC0\x65\x64", 3); /* a list of a hundred nulls */
    for (int i = 0; i < 100; i++) {
        codec_write_null(&f.bytes);
    }
    f.fields++;
    assert_int_equal(ask(f), GUARD_FAIL_CONNECTION);
    assert_string_equal(why.text, "a performative with too many values or bytes");
    f = start(0x18, 0);
    text(&f, "goodbye \xFF");
    assert_int_equal(ask(f), GUARD_PASS);
}

int main(void)
{
#define GUARDS(f, up) cmocka_unit_test_setup_teardown(f, up, tear_down)
    const struct CMUnitTest tests[] = {
        GUARDS(what_hono_sends_passes, set_up_links),
        GUARDS(frame_headers_are_checked_before_the_body_comes, set_up),
        GUARDS(nothing_goes_before_open_and_open_goes_once, set_up),
        GUARDS(sessions_are_bounded_live_and_in_life, set_up),
        GUARDS(links_are_attached_once_and_bounded, set_up_links),
        GUARDS(a_name_is_taken_once_in_each_role, set_up_links),
        GUARDS(transfers_belong_to_a_link_where_the_peer_sends, set_up_links),
        GUARDS(more_deliveries_than_credit_fail_the_link_only, set_up_links),
        GUARDS(a_message_over_the_limit_fails_the_link_in_pieces_too, set_up_links),
        GUARDS(links_that_we_closed_are_not_judged, set_up_links),
        GUARDS(a_flow_cannot_count_beyond_the_credit, set_up_links),
        GUARDS(a_flow_far_ahead_is_refused, set_up_links),
        GUARDS(dispositions_have_an_order, set_up_links),
        GUARDS(what_cannot_be_read_exactly_is_refused, set_up_links),
        GUARDS(attaches_are_refilled_by_time, set_up_links),
        GUARDS(one_session_is_answered, set_up_answers),
        GUARDS(links_are_answered_as_fast_as_they_are_opened, set_up_answers),
        GUARDS(a_server_may_talk, set_up_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
