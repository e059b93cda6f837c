/*
 * notification: the JSON of change notifications, which protocol adapters heed by dropping what
 * they keep of a tenant, a device, its credentials.
 *
 * Threads: pure. Source: Hono 2.x, clients/notification.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum notification_change { NOTIFICATION_CREATE, NOTIFICATION_UPDATE, NOTIFICATION_DELETE };

enum notification_type {
    NOTIFICATION_TENANT,
    NOTIFICATION_DEVICE,
    NOTIFICATION_CREDENTIALS,
    NOTIFICATION_ALL_DEVICES, /* of a tenant have been deleted */
};

struct notification {
    enum notification_type type;
    enum notification_change change; /* of a tenant or a device */
    struct span tenant_id;
    struct span device_id; /* of a device, of credentials */
    bool enabled;          /* of a tenant or a device */
    bool invalidate;       /* of a tenant: adapters let go of it at once */
    int64_t created_ms;
};

void notification_body(const struct notification *notification, struct buf *out);
