/* The bounds of the outbox, and who waits. */
#include "support/test.h"

#include <stdio.h>

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
        CASE(notifications_drop_the_oldest_at_their_bound),
        CASE(without_an_outbox_nothing_is_made),
        CASE(who_would_wait_in_vain_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
