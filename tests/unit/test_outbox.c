/* The bounds of the outbox, and who waits. */
#include "support/test.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/counters.h"
#include "base/uuid.h"
#include "service/outbox.h"
#include "service/outbox_settle.h"
#include "support/registry.h"

static struct registry registry;
static struct outbox *outbox;
static uint32_t space;
static unsigned wakes;

static int set_up(void **state)
{
    const struct outbox_options options = {
        .max_events = 2000, .max_notifications = 3, .event_wait_ms = 50};

    (void)state;
    test_log_begin();
    registry_open(&registry);
    outbox = outbox_open(&options);
    space = registry_put_tenant(&registry, &(struct registry_tenant){.id = "T1"});
    wakes = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    outbox_close(outbox);
    registry_close(&registry);
    test_log_done();
    return 0;
}

static struct store_txn *begin(void)
{
    struct store_txn *txn = NULL;

    assert_ok(store_write_begin(registry.store, &txn, why));
    return txn;
}

static struct store_outbox_depth depth(struct store_txn *txn)
{
    struct store_outbox_depth found;

    assert_ok(store_outbox_depth(txn, &found, why));
    return found;
}

static uint64_t add_device(struct store_txn *txn, unsigned number)
{
    char id[16];
    struct outbox_event event = {.space = space, .tenant_id = SPAN("T1"), .created_ms = 5};
    struct store_device device = {.document = SPAN("{}"), .answer = SPAN("{}")};

    (void)snprintf(id, sizeof(id), "d%u", number);
    event.device_id = span_cstr(id);
    device.id = event.device_id;
    assert_ok(outbox_add_event(outbox, txn, &event, &device.event_seq, why));
    assert_ok(store_device_insert(txn, space, &device, why));
    return device.event_seq;
}

static void events_are_refused_at_their_bound(void **state)
{
    struct store_txn *txn = begin();
    struct ks_failure refused = {0};

    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        assert_ok(outbox_has_room(outbox, txn, space, why));
        (void)add_device(txn, i);
    }
    assert_int_equal(outbox_has_room(outbox, txn, space, &refused), KS_UNAVAILABLE);
    assert_string_equal(refused.reason, "outbox-full");
    assert_ok(outbox_has_room(NULL, txn, space, why)); /* without messaging there is no bound */
    assert_ok(store_write_commit(txn, why));
}

static void a_tenant_whose_events_are_parked_gets_no_more_devices(void **state)
{
    struct store_txn *txn = begin();
    uint32_t other = 0;
    struct ks_failure refused = {0};
    bool parked = false;

    (void)state;
    for (unsigned i = 0; i < OUTBOX_PARKED_MAX; i++) {
        assert_ok(outbox_has_room(outbox, txn, space, why));
        assert_ok(store_outbox_park(txn, add_device(txn, i), &parked, why));
        assert_true(parked);
    }
    assert_int_equal(outbox_has_room(outbox, txn, space, &refused), KS_UNAVAILABLE);
    assert_string_equal(refused.reason, "outbox-full");
    assert_ok(store_write_commit(txn, why));
    other = registry_put_tenant(&registry, &(struct registry_tenant){.id = "T2"});
    txn = begin();
    assert_ok(outbox_has_room(outbox, txn, other, why));
    store_write_abort(txn);
}

static uint64_t refused_count(void)
{
    return counters_sum(COUNTER_OUTBOX_REFUSED);
}

static void a_full_outbox_is_told_of_once_and_so_is_its_room(void **state)
{
    struct store_txn *txn = begin();
    uint64_t before = refused_count();

    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        (void)add_device(txn, i);
    }
    test_log_expect("outbox-full");
    for (unsigned i = 0; i < 3; i++) {
        assert_status(KS_UNAVAILABLE, outbox_has_room(outbox, txn, space, why));
        outbox_note_refused(outbox);
    }
    assert_int_equal(refused_count() - before, 3);
    assert_int_equal(test_log_count("outbox-full"), 1);
    outbox_note_waiting(outbox, 1999); /* some way below, not at the next one */
    outbox_note_waiting(outbox, 1800);
    assert_int_equal(test_log_count("outbox-has-room"), 0);
    outbox_note_waiting(outbox, 1799);
    outbox_note_waiting(outbox, 1798);
    assert_int_equal(test_log_count("outbox-has-room"), 1);
    test_log_expect("outbox-full");
    outbox_note_refused(outbox);
    assert_int_equal(test_log_count("outbox-full"), 2);
    store_write_abort(txn);
}

static void a_tenant_with_too_many_parked_events_makes_no_full_outbox(void **state)
{
    struct store_txn *txn = begin();
    bool parked = false;

    (void)state;
    for (unsigned i = 0; i < OUTBOX_PARKED_MAX; i++) {
        assert_ok(store_outbox_park(txn, add_device(txn, i), &parked, why));
    }
    assert_status(KS_UNAVAILABLE, outbox_has_room(outbox, txn, space, why));
    outbox_note_refused(outbox);
    assert_int_equal(test_log_count("outbox-full"), 0);
    store_write_abort(txn);
}

/* ---- what goes with its device or tenant ---- */

static struct outbox_settlement settlement;
static _Atomic bool is_settled;

static void settled(struct outbox_settlement *done)
{
    assert_ptr_equal(done, &settlement);
    atomic_store(&is_settled, true);
}

static void settle(void)
{
    settlement.done = settled;
    atomic_store(&is_settled, false);
    assert_ok(outbox_settle(registry.writer, &settlement, why));
    while (!atomic_load(&is_settled)) {
        sched_yield();
    }
    assert_ok(settlement.status);
}

static void events_without_their_device_or_tenant_are_discarded_instead_of_parked(void **state)
{
    struct store_txn *txn = begin();

    (void)state;
    settlement.count = 3;
    for (unsigned i = 0; i < 3; i++) {
        settlement.verdict[i] =
            (struct outbox_verdict){.seq = add_device(txn, i), .queue = STORE_EVENTS, .park = true};
    }
    (void)add_device(txn, 3);
    assert_ok(store_write_commit(txn, why));
    registry_delete_device(&registry, space, "d1");
    settle();
    assert_int_equal(settlement.parked, 2);
    assert_int_equal(settlement.discarded, 1);
    assert_int_equal(settlement.waiting, 1);
    settle(); /* they are not there any more */
    assert_int_equal(settlement.parked + settlement.discarded, 0);
    registry_delete_tenant(&registry, "T1");
    settlement.count = 1;
    settlement.verdict[0].seq = settlement.verdict[2].seq + 1;
    settle();
    assert_int_equal(settlement.parked, 0);
    assert_int_equal(settlement.discarded, 1);
    assert_int_equal(settlement.waiting, 0);
}

static void what_is_discarded_is_counted(void **state)
{
    uint64_t before = counters_sum(COUNTER_OUTBOX_DISCARDED);

    (void)state;
    outbox_note_discarded(outbox, 0, "nothing");
    assert_int_equal(test_log_count("events-discarded"), 0);
    test_log_expect("events-discarded");
    outbox_note_discarded(outbox, 7, "a test");
    test_log_expect("events-discarded");
    outbox_note_discarded(NULL, 1, "a test");
    assert_int_equal(counters_sum(COUNTER_OUTBOX_DISCARDED) - before, 7);
}

static void notifications_drop_the_oldest_at_their_bound(void **state)
{
    struct notification notification = {.type = NOTIFICATION_DEVICE, .tenant_id = SPAN("T1")};
    struct store_txn *txn = begin();
    struct store_outbox_entry entry;
    uint64_t seq = 0;

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        static const char *const ids[] = {"a", "b", "c", "d", "e"};

        notification.device_id = span_cstr(ids[i]);
        assert_ok(outbox_add_notification(outbox, txn, space, &notification, why));
    }
    assert_int_equal(depth(txn).waiting[STORE_NOTIFICATIONS], 3);
    assert_int_equal(depth(txn).dropped, 2);
    assert_ok(store_outbox_next(txn, STORE_NOTIFICATIONS, 0, &seq, &entry, why));
    assert_span(entry.device_id, "c");
    assert_ok(store_write_commit(txn, why));
}

static void without_an_outbox_nothing_is_made(void **state)
{
    const struct notification notification = {.type = NOTIFICATION_TENANT, .tenant_id = SPAN("T1")};
    const struct outbox_event event = {.tenant_id = SPAN("T1"), .device_id = SPAN("d")};
    struct store_txn *txn = begin();
    uint64_t seq = 7;

    (void)state;
    assert_ok(outbox_add_event(NULL, txn, &event, &seq, why));
    assert_int_equal(seq, 0);
    assert_ok(outbox_add_notification(NULL, txn, 0, &notification, why));
    assert_int_equal(depth(txn).waiting[STORE_EVENTS], 0);
    assert_int_equal(depth(txn).waiting[STORE_NOTIFICATIONS], 0);
    store_write_abort(txn);
    outbox_wake(NULL);
}

static void wake(void *arg)
{
    (void)arg;
    wakes++;
}

static void who_would_wait_in_vain_does_not(void **state)
{
    struct outbox_waiter first = {.seq = 1};
    struct outbox_waiter second = {.seq = 2};

    (void)state;
    assert_false(outbox_wait(NULL, &first));
    assert_false(outbox_wait(outbox, &first)); /* no sender */
    outbox_attach(outbox, wake, NULL);
    assert_false(outbox_wait(outbox, &first)); /* no broker */
    outbox_set_flowing(outbox, true);
    assert_true(outbox_wait(outbox, &first));
    assert_true(outbox_wait(outbox, &second));
    assert_int_equal(wakes, 2);
    assert_ptr_equal(outbox_take_waiters(outbox), &first);
    assert_ptr_equal(first.next, &second);
    assert_null(outbox_take_waiters(outbox));
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(events_are_refused_at_their_bound),
        CASE(a_tenant_whose_events_are_parked_gets_no_more_devices),
        CASE(a_full_outbox_is_told_of_once_and_so_is_its_room),
        CASE(a_tenant_with_too_many_parked_events_makes_no_full_outbox),
        CASE(events_without_their_device_or_tenant_are_discarded_instead_of_parked),
        CASE(what_is_discarded_is_counted),
        CASE(notifications_drop_the_oldest_at_their_bound),
        CASE(without_an_outbox_nothing_is_made),
        CASE(who_would_wait_in_vain_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
