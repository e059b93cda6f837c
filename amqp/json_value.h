/*
 * json_value: JSON values written as AMQP values: int or long, double, boolean, string, map, list,
 * null: as Hono writes a tenant's defaults.
 *
 * Threads: any; pure.
 * Source:  Hono's JSON to AMQP mapping.
 */
#pragma once

#include "base/buf.h"
#include "base/json_scan.h"

/* `value` is the raw text of a member that has passed a scan. False, and what was written then is
 * to be taken back: nested too deep or with too many members. */
bool json_value_write(struct buf *out, struct span value, enum json_kind kind);
