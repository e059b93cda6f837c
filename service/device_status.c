#include "service/device_status.h"

#include "store/store.h"

enum ks_status device_status_notified(struct store_txn *txn, const struct store_device *device,
                                      bool *out, struct ks_failure *why)
{
    uint64_t seq = 0;
    struct span entry;
    enum ks_status st;

    *out = (device->flags & STORE_DEVICE_NOTIFIED) != 0;
    if (*out || device->event_seq == 0) {
        return KS_OK;
    }
    st = store_outbox_next(txn, device->event_seq - 1, &seq, &entry, why);
    *out = st == KS_NOT_FOUND || seq != device->event_seq;
    return st == KS_NOT_FOUND ? KS_OK : st;
}
