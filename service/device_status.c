#include "service/device_status.h"

#include "base/clock.h"
#include "service/device_members.h"
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

static void add_time(struct buf *out, enum device_status_member member, int64_t ms)
{
    struct clock_text text;

    clock_format(ms, &text);
    buf_printf(out, "\"%s\":\"%s\"", device_status_name(member), text.text);
}

static void add_flag(struct buf *out, enum device_status_member member, bool value)
{
    if (value) {
        buf_printf(out, ",\"%s\":true", device_status_name(member));
    }
}

void device_status_add(struct buf *out, const struct store_device *device, bool notified)
{
    buf_add_char(out, '{');
    add_time(out, DEVICE_STATUS_CREATED, device->created_ms);
    if (device->updated_ms != 0) {
        buf_add_char(out, ',');
        add_time(out, DEVICE_STATUS_UPDATED, device->updated_ms);
    }
    add_flag(out, DEVICE_STATUS_PROVISIONED, (device->flags & STORE_DEVICE_AUTO_PROVISIONED) != 0);
    add_flag(out, DEVICE_STATUS_NOTIFIED, notified);
    buf_add_char(out, '}');
}

void device_status_add_members(struct buf *out, const struct store_device *device, bool notified)
{
    if (device->document.len > sizeof("{}") - 1) { /* an object's text */
        buf_add(out, device->document.ptr + 1, device->document.len - 2);
        buf_add_char(out, ',');
    }
    buf_printf(out, "\"%s\":", device_name(DEVICE_STATUS));
    device_status_add(out, device, notified);
}
