/* Order and fate of entries on their way: what may leave when, whatever the broker says in which
 * order. */
#include "support/test.h"

#include <stdio.h>

#include "amqp/sender_lanes.h"

static struct sender_lanes *lanes;

static int set_up(void **state)
{
    (void)state;
    lanes = sender_lanes_open();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sender_lanes_close(lanes);
    return 0;
}

static struct lane *lane_of(enum store_outbox_kind kind, const char *tenant)
{
    const struct store_outbox_entry entry = {
        .kind = kind, .tenant_id = span_cstr(tenant), .device_id = SPAN("x")};

    return sender_lanes_of(lanes, &entry);
}

static struct slot *take(struct lane *lane, uint64_t seq, const char *device)
{
    enum store_queue queue = lane->kind == STORE_OUTBOX_EVENT ? STORE_EVENTS : STORE_NOTIFICATIONS;
    const struct store_outbox_entry entry = {
        .kind = lane->kind,
        .tenant_id =
            lane->kind == STORE_OUTBOX_EVENT ? span_of(lane->tenant, lane->tenant_len) : SPAN("T"),
        .device_id = span_cstr(device)};

    assert_true(lane_may_send(lane, seq));
    return sender_lanes_take(lanes, lane, queue, seq, &entry);
}

static struct slot *take_of(struct lane *lane, uint64_t seq, const char *tenant, const char *device)
{
    const struct store_outbox_entry entry = {
        .kind = lane->kind, .tenant_id = span_cstr(tenant), .device_id = span_cstr(device)};

    return sender_lanes_take(lanes, lane, STORE_NOTIFICATIONS, seq, &entry);
}

/* The numbers of what leaves now, parked ones with a `p`, then after a bar what is to be sent
 * again. */
static const char *gone(void)
{
    static char text[8192];
    size_t len = 0;
    struct slot *slot;

    text[0] = '\0';
    while ((slot = sender_lanes_pop_leaving(lanes)) != NULL) {
        assert_int_equal(slot->state, SLOT_LEAVING);
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%llu%s", len > 0 ? " " : "",
                                (unsigned long long)slot->seq, slot->park ? "p" : "");
        sender_lanes_free(lanes, slot);
    }
    for (bool first = true; (slot = sender_lanes_pop_lost(lanes)) != NULL; first = false) {
        assert_int_equal(slot->state, SLOT_LOST);
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%llu", first ? "|" : " ",
                                (unsigned long long)slot->seq);
        sender_lanes_free(lanes, slot);
    }
    return text;
}

static void what_is_accepted_leaves(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_EVENT, "T");
    struct slot *one = take(lane, 1, "a");
    struct slot *two = take(lane, 2, "b");

    (void)state;
    sender_lanes_accepted(lanes, two); /* another device: no matter in which order */
    assert_string_equal(gone(), "2");
    sender_lanes_accepted(lanes, one);
    assert_string_equal(gone(), "1");
    assert_int_equal(sender_lanes_in_use(lanes), 0);
}

static void of_one_device_the_earlier_leaves_first(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_DEVICE_CHANGE, "T");
    struct slot *first = take_of(lane, 1, "T", "a");
    struct slot *other = take_of(lane, 2, "U", "a"); /* of another tenant */
    struct slot *second = take_of(lane, 3, "T", "a");
    struct slot *third = take_of(lane, 4, "T", "a");

    (void)state;
    sender_lanes_accepted(lanes, third);
    sender_lanes_accepted(lanes, second);
    sender_lanes_accepted(lanes, other);
    assert_string_equal(gone(), "2");
    sender_lanes_accepted(lanes, first);
    assert_string_equal(gone(), "1 3 4");
}

static void what_was_accepted_behind_a_refused_one_is_sent_again(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_DEVICE_CHANGE, "T");
    struct slot *first = take(lane, 11, "a");
    struct slot *second = take(lane, 12, "a");
    struct slot *other = take(lane, 13, "b");
    struct slot *third = take(lane, 14, "a");

    (void)state;
    sender_lanes_accepted(lanes, second);
    sender_lanes_accepted(lanes, other);
    assert_true(sender_lanes_refused(lanes, first, true));
    assert_string_equal(gone(), "13|12 11");
    assert_true(lane->behind && lane->recovering);
    assert_int_equal(lane->from, 10);
    assert_false(lane_may_send(lane, 15)); /* the third is still there */
    sender_lanes_update_pending(lanes, lane);
    assert_ptr_equal(sender_lanes_first_pending(lanes), lane);
    sender_lanes_accepted(lanes, third); /* too early as well */
    assert_string_equal(gone(), "|14");
    assert_int_equal(lane->from, 10);
    first = take(lane, 11, "a");
    assert_false(lane_may_send(lane, 12)); /* one at a time */
    sender_lanes_accepted(lanes, first);
    second = take(lane, 12, "a");
    third = take(lane, 14, "a");
    sender_lanes_accepted(lanes, second);
    sender_lanes_accepted(lanes, third);
    assert_string_equal(gone(), "11 12 14");
    lane->behind = false;
    sender_lanes_update_pending(lanes, lane);
    assert_null(sender_lanes_first_pending(lanes));
}

static void what_concerns_all_devices_keeps_its_place_among_all(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_DEVICE_CHANGE, "T");
    struct slot *before = take(lane, 1, "a");
    struct slot *all = take(lane, 2, "");
    struct slot *behind = take(lane, 3, "b");

    (void)state;
    sender_lanes_accepted(lanes, behind);
    sender_lanes_accepted(lanes, all);
    assert_string_equal(gone(), "");
    sender_lanes_accepted(lanes, before);
    assert_string_equal(gone(), "1 2 3");
}

/* Rounds in which everything that is sent is rejected. */
static void a_lane_in_trouble_keeps_no_slot(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_DEVICE_CHANGE, "T");

    (void)state;
    for (unsigned round = 1; round <= 50; round++) {
        uint64_t seq = 0;

        while (lane_may_send(lane, seq + 1)) {
            seq++;
            (void)take(lane, seq, seq % 2 == 0 ? "a" : "b");
        }
        assert_int_equal(seq, round == 1 ? SENDER_LANE_WINDOW : 1);
        for (uint64_t i = 1; i <= seq; i++) {
            bool begins = sender_lanes_refused(
                lanes, sender_lanes_find(lanes, STORE_NOTIFICATIONS, i), round % 2 == 0);

            assert_int_equal(begins, i == 1);
        }
        (void)gone();
        assert_int_equal(sender_lanes_in_use(lanes), 0);
        assert_int_equal(lane->failures, round);
        assert_int_equal(lane->rejections, round / 2);
        assert_int_equal(lane->from, 0);
    }
    sender_lanes_accepted(lanes, take(lane, 1, "b"));
    assert_int_equal(lane->failures + lane->rejections, 0);
    assert_int_equal(lane->window, 2);
}

static void an_event_is_parked_after_so_many_rejections_a_notification_never(void **state)
{
    struct lane *events = lane_of(STORE_OUTBOX_EVENT, "T");
    struct lane *notes = lane_of(STORE_OUTBOX_DEVICE_CHANGE, "T");

    (void)state;
    for (unsigned i = 1; i <= 3 * SENDER_TRIES; i++) {
        assert_true(sender_lanes_refused(lanes, take(notes, 2, "a"), true));
        assert_string_equal(gone(), "|2");
        if (i < SENDER_TRIES) {
            struct slot *bad = take(events, 1, "a");

            assert_true(sender_lanes_refused(lanes, bad, true));
            assert_string_equal(gone(), "|1");
        } else if (i == SENDER_TRIES) {
            assert_false(sender_lanes_refused(lanes, take(events, 1, "a"), true));
            assert_string_equal(gone(), "1p");
        }
    }
    sender_lanes_accepted(lanes, take(notes, 2, "a"));
    assert_string_equal(gone(), "2");
}

/* Several bad ones among good ones: each is counted for itself. */
static void rejections_are_counted_by_entry(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_EVENT, "T");

    (void)state;
    for (unsigned i = 1; i <= SENDER_TRIES; i++) {
        for (uint64_t seq = 1; seq <= SENDER_TRIED; seq++) {
            char device[8];

            (void)snprintf(device, sizeof(device), "d%u", (unsigned)seq);
            lane->window = SENDER_LANE_WINDOW;
            assert_int_equal(sender_lanes_refused(lanes, take(lane, seq, device), true),
                             i < SENDER_TRIES);
            sender_lanes_accepted(lanes, take(lane, 100 * i + seq, "good"));
            assert_int_equal(sender_lanes_in_use(lanes), 2);
            assert_int_equal(strchr(gone(), 'p') != NULL, i == SENDER_TRIES);
        }
    }
}

static void what_was_only_not_taken_is_not_counted(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_EVENT, "T");
    struct slot *slot;

    (void)state;
    for (unsigned i = 0; i < 3 * SENDER_TRIES; i++) {
        assert_true(sender_lanes_refused(lanes, take(lane, 1, "a"), false));
        assert_string_equal(gone(), "|1");
    }
    assert_true(sender_lanes_refused(lanes, take(lane, 1, "a"), true));
    assert_string_equal(gone(), "|1");
    slot = take(lane, 1, "a");
    sender_lanes_give_up(lanes, slot);
    assert_string_equal(gone(), "1p");
}

/* A tenant that has nothing but rejections: what comes later is given one try only. */
static void a_lane_that_keeps_failing_parks_at_once(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_EVENT, "T");

    (void)state;
    lane->rejections = SENDER_TRIES;
    assert_false(sender_lanes_refused(lanes, take(lane, 7, "a"), true));
    assert_string_equal(gone(), "7p");
    sender_lanes_accepted(lanes, take(lane, 8, "a"));
    assert_int_equal(lane->rejections, 0);
    assert_string_equal(gone(), "8");
}

static void a_lost_connection_gives_all_slots_back(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_DEVICE_CHANGE, "T");

    (void)state;
    (void)take(lane, 1, "a");
    sender_lanes_accepted(lanes, take(lane, 2, "a"));
    (void)take(lane, 3, "b");
    sender_lanes_lose(lanes, lane);
    assert_string_equal(gone(), "|1 2 3");
    assert_int_equal(sender_lanes_in_use(lanes), 0);
    assert_int_equal(lane->from, 0);
}

/* Parked events that are put back lie before what is on its way. */
static void what_comes_before_what_is_on_its_way_waits_for_it(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_EVENT, "T");
    struct slot *slot = take(lane, 9, "a");

    (void)state;
    assert_false(lane_may_send(lane, 4));
    lane_go_back(lane, 4);
    assert_int_equal(lane->from, 3);
    assert_false(lane_may_send(lane, 10));
    sender_lanes_accepted(lanes, slot);
    assert_string_equal(gone(), "9");
    assert_true(lane_may_send(lane, 4));
    lane_go_back(lane, 6);
    assert_int_equal(lane->from, 3);
    lane_go_back(lane, 2);
    assert_int_equal(lane->from, 1);
}

static void lanes_are_told_apart_and_freed_when_nothing_is_kept(void **state)
{
    struct lane *events = lane_of(STORE_OUTBOX_EVENT, "T");
    struct lane *other = lane_of(STORE_OUTBOX_EVENT, "U");
    struct lane *changes = lane_of(STORE_OUTBOX_TENANT_CHANGE, "T");
    struct lane *devices = lane_of(STORE_OUTBOX_DEVICE_CHANGE, "T");

    (void)state;
    assert_ptr_not_equal(events, other);
    assert_ptr_not_equal(events, changes);
    assert_ptr_not_equal(changes, devices);
    assert_ptr_equal(lane_of(STORE_OUTBOX_EVENT, "T"), events);
    assert_ptr_equal(lane_of(STORE_OUTBOX_DEVICE_CHANGE, "T"), devices);
    assert_string_equal(events->address, "event/T");
    assert_string_equal(changes->address, "notification/registry-tenant");
    assert_string_equal(devices->address, "notification/registry-device");
    events->behind = true;
    events->from = 9;
    sender_lanes_rest(lanes, events);
    assert_int_equal(lane_of(STORE_OUTBOX_EVENT, "T")->from, 9);
    events->behind = false;
    sender_lanes_rest(lanes, events);
    assert_int_equal(lane_of(STORE_OUTBOX_EVENT, "T")->from, 0);
}

/* However many tenants there are, notifications take so many lanes and no more. */
static void lanes_are_bounded(void **state)
{
    char tenant[16];
    unsigned events = 0;

    (void)state;
    for (unsigned i = 0; i < 2 * SENDER_LANES; i++) {
        (void)snprintf(tenant, sizeof(tenant), "T%u", i);
        assert_non_null(lane_of(STORE_OUTBOX_DEVICE_CHANGE, tenant));
    }
    for (unsigned i = 0; i < 2 * SENDER_LANES; i++) {
        (void)snprintf(tenant, sizeof(tenant), "T%u", i);
        events += lane_of(STORE_OUTBOX_EVENT, tenant) != NULL;
    }
    assert_int_equal(events, SENDER_LANES - SENDER_NOTE_LANES);
}

static void pending_lanes_take_turns(void **state)
{
    struct lane *lane[3] = {lane_of(STORE_OUTBOX_EVENT, "A"), lane_of(STORE_OUTBOX_EVENT, "B"),
                            lane_of(STORE_OUTBOX_EVENT, "C")};

    (void)state;
    for (int i = 0; i < 3; i++) {
        lane[i]->behind = true;
        sender_lanes_update_pending(lanes, lane[i]);
        sender_lanes_update_pending(lanes, lane[i]); /* once */
    }
    for (int i = 0; i < 6; i++) {
        struct lane *first = sender_lanes_first_pending(lanes);

        assert_ptr_equal(first, lane[i % 3]);
        sender_lanes_pending_last(lanes, first);
    }
    lane[1]->behind = false;
    sender_lanes_update_pending(lanes, lane[1]);
    assert_ptr_equal(lane[0]->next_pending, lane[2]);
    assert_ptr_equal(lane[2]->previous_pending, lane[0]);
}

static void the_window_is_bounded(void **state)
{
    uint64_t seq = 0;

    (void)state;
    for (int i = 0; !sender_lanes_is_full(lanes); i++) {
        const char name[] = {'T', (char)('a' + i), '\0'};
        struct lane *lane = lane_of(STORE_OUTBOX_EVENT, name);
        uint64_t before = seq;

        while (lane_may_send(lane, seq + 1)) {
            assert_non_null(take(lane, ++seq, "a"));
        }
        assert_int_equal(seq - before, SENDER_LANE_WINDOW);
    }
    assert_int_equal(seq, SENDER_WINDOW);
    for (uint64_t i = 1; i <= SENDER_WINDOW; i++) {
        struct slot *slot = sender_lanes_find(lanes, STORE_EVENTS, i);

        assert_non_null(slot);
        assert_null(sender_lanes_find(lanes, STORE_NOTIFICATIONS, i));
        sender_lanes_accepted(lanes, slot);
        (void)gone();
        assert_null(sender_lanes_find(lanes, STORE_EVENTS, i));
    }
    assert_int_equal(sender_lanes_in_use(lanes), 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(what_is_accepted_leaves),
        CASE(of_one_device_the_earlier_leaves_first),
        CASE(what_was_accepted_behind_a_refused_one_is_sent_again),
        CASE(what_concerns_all_devices_keeps_its_place_among_all),
        CASE(a_lane_in_trouble_keeps_no_slot),
        CASE(an_event_is_parked_after_so_many_rejections_a_notification_never),
        CASE(rejections_are_counted_by_entry),
        CASE(what_was_only_not_taken_is_not_counted),
        CASE(a_lane_that_keeps_failing_parks_at_once),
        CASE(a_lost_connection_gives_all_slots_back),
        CASE(what_comes_before_what_is_on_its_way_waits_for_it),
        CASE(lanes_are_told_apart_and_freed_when_nothing_is_kept),
        CASE(lanes_are_bounded),
        CASE(pending_lanes_take_turns),
        CASE(the_window_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
