/*
 * ids: what tenants and devices may be called: Hono's default patterns, at most STORE_ID_MAX bytes,
 * and neither `.` nor `..`, which no URL can name.
 *
 * Threads: any; pure.
 * Source:  Hono's options tenantIdPattern and deviceIdPattern.
 */
#pragma once

#include <stdbool.h>

#include "base/span.h"

#define IDS_OF_TENANTS "a-z, A-Z, 0-9 and -_."
#define IDS_OF_DEVICES "a-z, A-Z, 0-9 and -_.:="
#define IDS_NO_STEPS   ", but neither . nor .."

bool ids_is_tenant(struct span id);
bool ids_is_device(struct span id);
/* Whether a device's id may hold this text; the empty one fits. */
bool ids_fits_device(struct span text);
