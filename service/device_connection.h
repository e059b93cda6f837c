/*
 * device_connection: which gateway a device was last seen behind, and which protocol adapter holds
 * its command link: what adapters of Hono 1.x tell each other through the registry. In memory only:
 * a restart forgets it, and the adapters say it again.
 *
 * Bounded in size: a tenant has at most `max_per_tenant` devices here (then KS_FORBIDDEN), all of
 * them together `max_entries` (then the one that was told longest ago is forgotten). Bounded in
 * time: a device of which nothing was told for DEVICE_CONNECTION_AGE_MS is forgotten, its adapter
 * when its lifespan is over, if that is sooner. Whether tenant, device and gateway exist is not
 * asked.
 *
 * Threads:   any; one short lock inside (docs/threads.md), nothing is hashed under it.
 * Ownership: ids are copied.
 * Errors:    KS_INVALID for an id that is empty or longer than DEVICE_CONNECTION_ID_MAX.
 * Source:    Hono's Device Connection API (1.x).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

enum {
    DEVICE_CONNECTION_ID_MAX = 256,    /* bytes of a tenant, device, gateway, adapter instance id */
    DEVICE_CONNECTION_GATEWAYS = 1256, /* ids in a look-up: as many as an assertion tells */
    DEVICE_CONNECTION_ANSWER_MAX = 64 << 10, /* bytes, after which no further adapter is named */
};
#define DEVICE_CONNECTION_AGE_MS ((int64_t)7 * 24 * 3600 * 1000)

struct device_connections;

struct device_connections *device_connections_open(size_t max_entries, size_t max_per_tenant);
/* Takes NULL. */
void device_connections_close(struct device_connections *all);

/* The device was seen behind the gateway (itself, if it is connected directly). */
KS_MUST_CHECK enum ks_status device_connection_set_gateway(struct device_connections *all,
                                                           struct span tenant, struct span device,
                                                           struct span gateway, int64_t now_ms,
                                                           struct ks_failure *why);
/* Appends {"gateway-id":…,"last-updated":…}; KS_NOT_FOUND. */
KS_MUST_CHECK enum ks_status device_connection_get_gateway(struct device_connections *all,
                                                           struct span tenant, struct span device,
                                                           int64_t now_ms, struct buf *out,
                                                           struct ks_failure *why);
/* The adapter instance takes the device's commands; lifespan_s < 0: as long as the device is known.
 */
KS_MUST_CHECK enum ks_status device_connection_set_adapter(struct device_connections *all,
                                                           struct span tenant, struct span device,
                                                           struct span adapter, int64_t lifespan_s,
                                                           int64_t now_ms, struct ks_failure *why);
/* KS_NOT_FOUND if that instance is not the one that holds the device. */
KS_MUST_CHECK enum ks_status device_connection_remove_adapter(struct device_connections *all,
                                                              struct span tenant,
                                                              struct span device,
                                                              struct span adapter, int64_t now_ms,
                                                              struct ks_failure *why);
/* Appends {"adapter-instances":[{"adapter-instance-id":…,"device-id":…}]}: the device's own; else
 * that of its last gateway, if that is one of `gateways`; else those of all of `gateways`,
 * each once. KS_NOT_FOUND if there is none. count <= DEVICE_CONNECTION_GATEWAYS. */
KS_MUST_CHECK enum ks_status
device_connection_get_adapters(struct device_connections *all, struct span tenant,
                               struct span device, const struct span *gateways, size_t count,
                               int64_t now_ms, struct buf *out, struct ks_failure *why);
