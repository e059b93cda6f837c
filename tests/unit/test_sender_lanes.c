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

    return sender_lanes_take(lanes, lane, queue, seq, span_cstr(device));
}

/* The numbers of what leaves now, parked ones with a `p`. */
static const char *leaving(struct lane *lane)
{
    static char text[256];
    size_t len = 0;
    struct slot *slot;

    text[0] = '\0';
    sender_lanes_resolve(lanes, lane);
    while ((slot = sender_lanes_pop_leaving(lanes)) != NULL) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%llu%s", len > 0 ? " " : "",
                                (unsigned long long)slot->seq, slot->park ? "p" : "");
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
    slot_accepted(two); /* another device: no matter in which order */
    assert_string_equal(leaving(lane), "2");
    slot_accepted(one);
    assert_string_equal(leaving(lane), "1");
    assert_int_equal(sender_lanes_in_use(lanes), 0);
}

static void of_one_device_the_earlier_leaves_first(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_DEVICE_CHANGE, "T");
    struct slot *first = take(lane, 1, "a");
    struct slot *second = take(lane, 2, "a");

    (void)state;
    slot_accepted(second);
    assert_string_equal(leaving(lane), "");
    slot_accepted(first);
    assert_string_equal(leaving(lane), "1 2");
}

static void what_was_accepted_behind_a_rejected_one_is_sent_again(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_DEVICE_CHANGE, "T");
    struct slot *first = take(lane, 1, "a");
    struct slot *second = take(lane, 2, "a");
    struct slot *other = take(lane, 3, "b");

    (void)state;
    slot_accepted(second);
    slot_accepted(other);
    slot_refused(first, true);
    assert_string_equal(leaving(lane), "3");
    assert_int_equal(first->state, SLOT_RETRY);
    assert_int_equal(second->state, SLOT_RETRY);
    assert_int_equal(lane->retries, 2);
    sender_lanes_note(lanes, lane);
    assert_ptr_equal(sender_lanes_first_pending(lanes), lane);
    for (struct slot *slot = lane->first; slot != NULL; slot = slot->next) { /* sent again */
        slot->state = SLOT_SENT;
        lane->retries--;
    }
    slot_accepted(first);
    slot_accepted(second);
    assert_string_equal(leaving(lane), "1 2");
    sender_lanes_note(lanes, lane);
    assert_null(sender_lanes_first_pending(lanes));
}

static void what_concerns_all_devices_keeps_its_place_among_all(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_DEVICE_CHANGE, "T");
    struct slot *before = take(lane, 1, "a");
    struct slot *all = take(lane, 2, "");
    struct slot *behind = take(lane, 3, "b");

    (void)state;
    slot_accepted(behind);
    assert_string_equal(leaving(lane), "");
    slot_accepted(all);
    assert_string_equal(leaving(lane), "");
    slot_accepted(before);
    assert_string_equal(leaving(lane), "1 2 3");
}

static void an_event_is_parked_after_so_many_rejections_a_notification_never(void **state)
{
    struct lane *events = lane_of(STORE_OUTBOX_EVENT, "T");
    struct lane *notes = lane_of(STORE_OUTBOX_DEVICE_CHANGE, "T");
    struct slot *event = take(events, 1, "a");
    struct slot *note = take(notes, 2, "a");

    (void)state;
    for (unsigned i = 1; i <= 3 * SENDER_TRIES; i++) {
        slot_refused(note, true);
        assert_string_equal(leaving(notes), "");
        note->state = SLOT_SENT;
        notes->retries--;
        if (i <= SENDER_TRIES) {
            slot_refused(event, true);
            assert_string_equal(leaving(events), i < SENDER_TRIES ? "" : "1p");
        }
        if (i < SENDER_TRIES) {
            event->state = SLOT_SENT;
            events->retries--;
        }
    }
    slot_accepted(note);
    assert_string_equal(leaving(notes), "2");
}

static void what_was_only_not_taken_is_not_counted(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_EVENT, "T");
    struct slot *slot = take(lane, 1, "a");

    (void)state;
    for (unsigned i = 0; i < 3 * SENDER_TRIES; i++) {
        slot_refused(slot, false);
        assert_string_equal(leaving(lane), "");
        slot->state = SLOT_SENT;
        lane->retries--;
    }
    slot_hopeless(slot);
    assert_string_equal(leaving(lane), "1p");
}

/* A tenant that has nothing but rejections: what comes later is given one try only. */
static void a_lane_that_keeps_failing_parks_at_once(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_EVENT, "T");
    struct slot *slot;

    (void)state;
    lane->failures = SENDER_TRIES;
    slot = take(lane, 7, "a");
    slot_refused(slot, true);
    assert_string_equal(leaving(lane), "7p");
    slot = take(lane, 8, "a");
    slot_accepted(slot);
    assert_int_equal(lane->failures, 0);
    assert_string_equal(leaving(lane), "8");
}

static void lanes_are_told_apart_and_freed_when_nothing_is_kept(void **state)
{
    struct lane *events = lane_of(STORE_OUTBOX_EVENT, "T");
    struct lane *other = lane_of(STORE_OUTBOX_EVENT, "U");
    struct lane *changes = lane_of(STORE_OUTBOX_TENANT_CHANGE, "T");

    (void)state;
    assert_ptr_not_equal(events, other);
    assert_ptr_not_equal(events, changes);
    assert_ptr_equal(lane_of(STORE_OUTBOX_EVENT, "T"), events);
    assert_string_equal(events->address, "event/T");
    assert_string_equal(changes->address, "notification/registry-tenant");
    events->behind = true;
    events->from = 9;
    sender_lanes_rest(lanes, events);
    assert_int_equal(lane_of(STORE_OUTBOX_EVENT, "T")->from, 9);
    events->behind = false;
    sender_lanes_rest(lanes, events);
    assert_int_equal(lane_of(STORE_OUTBOX_EVENT, "T")->from, 0);
}

static void pending_lanes_take_turns(void **state)
{
    struct lane *lane[3] = {lane_of(STORE_OUTBOX_EVENT, "A"), lane_of(STORE_OUTBOX_EVENT, "B"),
                            lane_of(STORE_OUTBOX_EVENT, "C")};

    (void)state;
    for (int i = 0; i < 3; i++) {
        lane[i]->behind = true;
        sender_lanes_note(lanes, lane[i]);
        sender_lanes_note(lanes, lane[i]); /* once */
    }
    for (int i = 0; i < 6; i++) {
        struct lane *first = sender_lanes_first_pending(lanes);

        assert_ptr_equal(first, lane[i % 3]);
        sender_lanes_note_last(lanes, first);
    }
    lane[1]->behind = false;
    sender_lanes_note(lanes, lane[1]);
    assert_ptr_equal(lane[0]->next_pending, lane[2]);
    assert_ptr_equal(lane[2]->previous_pending, lane[0]);
}

static void lanes_are_bounded(void **state)
{
    struct lane *first = NULL;
    char tenant[16];

    (void)state;
    for (unsigned i = 0; i < SENDER_LANES; i++) {
        struct lane *lane;

        (void)snprintf(tenant, sizeof(tenant), "t%u", i);
        lane = lane_of(STORE_OUTBOX_EVENT, tenant);
        assert_non_null(lane);
        first = i == 0 ? lane : first;
    }
    assert_null(lane_of(STORE_OUTBOX_EVENT, "one more"));
    assert_ptr_equal(lane_of(STORE_OUTBOX_EVENT, "t0"), first);
    sender_lanes_rest(lanes, first);
    assert_non_null(lane_of(STORE_OUTBOX_EVENT, "one more"));
}

static void the_window_is_bounded(void **state)
{
    struct lane *lane = lane_of(STORE_OUTBOX_EVENT, "T");
    struct lane *other = lane_of(STORE_OUTBOX_EVENT, "U");
    uint64_t seq = 0;

    (void)state;
    while (sender_lanes_has_room(lanes, lane)) {
        assert_non_null(take(lane, ++seq, "a"));
    }
    assert_int_equal(seq, SENDER_LANE_WINDOW);
    while (sender_lanes_has_room(lanes, other)) {
        assert_non_null(take(other, ++seq, "a"));
    }
    assert_int_equal(seq, SENDER_WINDOW);
    assert_null(take(lane_of(STORE_OUTBOX_EVENT, "V"), ++seq, "a"));
    for (uint64_t i = 1; i <= SENDER_WINDOW; i++) {
        struct slot *slot = sender_lanes_find(lanes, STORE_EVENTS, i);

        assert_non_null(slot);
        assert_null(sender_lanes_find(lanes, STORE_NOTIFICATIONS, i));
        sender_lanes_free(lanes, slot);
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
        CASE(what_was_accepted_behind_a_rejected_one_is_sent_again),
        CASE(what_concerns_all_devices_keeps_its_place_among_all),
        CASE(an_event_is_parked_after_so_many_rejections_a_notification_never),
        CASE(what_was_only_not_taken_is_not_counted),
        CASE(a_lane_that_keeps_failing_parks_at_once),
        CASE(lanes_are_told_apart_and_freed_when_nothing_is_kept),
        CASE(pending_lanes_take_turns),
        CASE(lanes_are_bounded),
        CASE(the_window_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
