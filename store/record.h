/*
 * record: the bytes of the store's values, as docs/records.md describes them: a format byte, fixed
 * little-endian fields, the lengths of the parts, the parts.
 *
 * Threads:   any; pure.
 * Ownership: a decoded record borrows from the bytes.
 * Errors:    decoding checks every length, bound and nested list: false for what we cannot have
 *            written, a newer format included.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"
#include "store/store.h"

enum { RECORD_FORMAT = 1, RECORD_RENDER = 1, RECORD_SEGMENT_SIZE = 32 };

void record_encode_tenant(const struct store_tenant *tenant, struct buf *out);
KS_MUST_CHECK bool record_decode_tenant(struct span bytes, uint32_t space,
                                        struct store_tenant *out);
/* The id is in the key. */
void record_encode_device(const struct store_device *device, struct buf *out);
KS_MUST_CHECK bool record_decode_device(struct span bytes, struct span id,
                                        struct store_device *out);
void record_encode_outbox(const struct store_outbox_entry *entry, struct buf *out);
KS_MUST_CHECK bool record_decode_outbox(struct span bytes, struct store_outbox_entry *out);
/* The type is in the key; the auth-id is in the record, since the key may hold its hash only. */
void record_encode_credential(const struct store_credential *credential, struct buf *out);
KS_MUST_CHECK bool record_decode_credential(struct span bytes, struct span type,
                                            struct store_credential *out);
