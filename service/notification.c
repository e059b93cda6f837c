#include "service/notification.h"

#include "base/clock.h"

/* Which members a type has, beside `type`, `source`, `creation-time` and `tenant-id`. */
static const struct {
    const char *name;
    bool has_change; /* and enabled */
    bool has_device;
    bool has_invalidate;
} types[] = {
    [NOTIFICATION_TENANT] = {"tenant-change-v1", true, false, true},
    [NOTIFICATION_DEVICE] = {"device-change-v1", true, true, false},
    [NOTIFICATION_CREDENTIALS] = {"credentials-change-v1", false, true, false},
    [NOTIFICATION_ALL_DEVICES] = {"all-devices-of-tenant-deleted-v1", false, false, false},
};

static const char *const changes[] = {[NOTIFICATION_CREATE] = "CREATE",
                                      [NOTIFICATION_UPDATE] = "UPDATE",
                                      [NOTIFICATION_DELETE] = "DELETE"};

static const char *word(bool value)
{
    return value ? "true" : "false";
}

void notification_body(const struct notification *notification, struct buf *out)
{
    struct clock_text at;

    clock_format(notification->created_ms, &at);
    buf_printf(out, "{\"type\":\"%s\",\"source\":\"device-registry\",\"creation-time\":\"%s\"",
               types[notification->type].name, at.text);
    buf_add_cstr(out, ",\"tenant-id\":");
    buf_add_json(out, notification->tenant_id);
    if (types[notification->type].has_device) {
        buf_add_cstr(out, ",\"device-id\":");
        buf_add_json(out, notification->device_id);
    }
    if (types[notification->type].has_change) {
        buf_printf(out, ",\"change\":\"%s\",\"enabled\":%s", changes[notification->change],
                   word(notification->enabled));
    }
    if (types[notification->type].has_invalidate) {
        buf_printf(out, ",\"invalidate-cache-on-update\":%s", word(notification->invalidate));
    }
    buf_add_char(out, '}');
}
