/*
 * device_status: what is told of a device beside its document, and is not kept but derived.
 *
 * Threads: the transaction's. Errors: the store's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

struct store_device;
struct store_txn;

/* Whether the broker has accepted the device's provisioning event: it has a number, and is neither
 * waiting nor parked in the outbox; or it left before the device was imported. `space` is the
 * tenant's. */
KS_MUST_CHECK enum ks_status device_status_notified(struct store_txn *txn, uint32_t space,
                                                    const struct store_device *device, bool *out,
                                                    struct ks_failure *why);
/* Appends `status` as the management API shows it: a JSON object. */
void device_status_add(struct buf *out, const struct store_device *device, bool notified);
/* Appends the members of the device as it is shown, `status` the last, without the braces. */
void device_status_add_members(struct buf *out, const struct store_device *device, bool notified);
