#include "service/device_status.h"

#include "store/store.h"

enum ks_status device_status_notified(struct store_txn *txn, uint32_t space,
                                      const struct store_device *device, bool *out,
                                      struct ks_failure *why)
{
    enum store_event_state state = STORE_EVENT_NONE;
    enum ks_status st = store_event_state(txn, space, device, &state, why);

    *out = (device->flags & STORE_DEVICE_NOTIFIED) != 0 || state == STORE_EVENT_SENT;
    return st;
}
