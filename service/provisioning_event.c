#include "service/provisioning_event.h"

#include "service/outbox.h"

enum ks_status provisioning_event_add(struct outbox *outbox, struct store_txn *txn,
                                      const struct provisioning_event *event, uint64_t *seq,
                                      struct ks_failure *why)
{
    const struct outbox_event first = {.space = event->space,
                                       .tenant_id = event->tenant_id,
                                       .device_id = event->device_id,
                                       .gateway_id = event->gateway_id,
                                       .created_ms = event->now_ms};
    struct notification notification = {.type = NOTIFICATION_DEVICE,
                                        .change = NOTIFICATION_CREATE,
                                        .tenant_id = event->tenant_id,
                                        .device_id = event->device_id,
                                        .enabled = true,
                                        .created_ms = event->now_ms};
    enum ks_status st = outbox_add_event(outbox, txn, &first, seq, why);

    if (st == KS_OK) {
        st = outbox_add_notification(outbox, txn, event->space, &notification, why);
    }
    if (st == KS_OK && event->has_credentials) {
        notification.type = NOTIFICATION_CREDENTIALS;
        st = outbox_add_notification(outbox, txn, event->space, &notification, why);
    }
    return st;
}
