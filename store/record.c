#include "store/record.h"

#include <string.h>

#include "store/bytes.h"

enum { PARTS_MAX = 7 };

/* ---- parts: their lengths, then their bytes ---- */

static void put_parts(struct buf *out, const struct span *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes_put(out, parts[i].len, 4);
    }
    for (size_t i = 0; i < count; i++) {
        buf_add_span(out, parts[i]);
    }
}

/* The parts fill the record to its last byte. */
static bool get_parts(struct span bytes, size_t at, struct span **parts, size_t count)
{
    uint64_t len[PARTS_MAX];

    for (size_t i = 0; i < count; i++) {
        if (!bytes_get(bytes, &at, 4, &len[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!bytes_get_span(bytes, &at, (size_t)len[i], parts[i])) {
            return false;
        }
    }
    return at == bytes.len;
}

static void put_head(struct buf *out, uint32_t flags)
{
    bytes_put(out, RECORD_FORMAT, 1);
    bytes_put(out, RECORD_RENDER, 1);
    bytes_put(out, flags, 2);
}

static bool get_head(struct span bytes, size_t *at, uint32_t *flags)
{
    uint64_t format;
    uint64_t render;
    uint64_t value;

    if (!bytes_get(bytes, at, 1, &format) || !bytes_get(bytes, at, 1, &render) ||
        !bytes_get(bytes, at, 2, &value) || format != RECORD_FORMAT || render != RECORD_RENDER) {
        return false;
    }
    *flags = (uint32_t)value;
    return true;
}

static bool get_uuid(struct span bytes, size_t *at, struct uuid *out)
{
    struct span raw;

    if (!bytes_get_span(bytes, at, sizeof(out->bytes), &raw)) {
        return false;
    }
    memcpy(out->bytes, raw.ptr, sizeof(out->bytes));
    return true;
}

static bool get_i64(struct span bytes, size_t *at, int64_t *out)
{
    uint64_t value;

    if (!bytes_get(bytes, at, 8, &value)) {
        return false;
    }
    *out = (int64_t)value;
    return true;
}

static bool get_i32(struct span bytes, size_t *at, int32_t *out)
{
    uint64_t value;

    if (!bytes_get(bytes, at, 4, &value)) {
        return false;
    }
    *out = (int32_t)(uint32_t)value;
    return true;
}

/* ---- what the records hold: within the bounds of store.h, which callers rely on ---- */

static bool is_id(struct span id)
{
    return id.len > 0 && id.len <= STORE_ID_MAX;
}

static bool is_name(struct span name)
{
    return name.len > 0 && name.len <= STORE_NAME_MAX;
}

/* The last field of a segment: yes or no, nothing else. */
static bool is_flag(const struct store_answer *answer, size_t index)
{
    size_t at = (index + 1) * RECORD_SEGMENT_SIZE - 8;
    uint64_t enabled;

    return bytes_get(answer->segments, &at, 8, &enabled) && enabled <= 1;
}

/* Segments lie one behind the other, a comma between, inside the text. */
static bool check_answer(const struct store_answer *answer)
{
    size_t count = store_segment_count(answer);
    uint64_t at = 0;

    if (answer->segments.len % RECORD_SEGMENT_SIZE != 0 || count > STORE_LIST_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct store_segment segment = store_segment_at(answer, i);

        if (!is_flag(answer, i) || (uint64_t)segment.offset + segment.len > answer->text.len ||
            (i > 0 && (segment.offset != at + 1 || answer->text.ptr[at] != ','))) {
            return false;
        }
        at = (uint64_t)segment.offset + segment.len;
    }
    return true;
}

static bool check_strings(struct span list)
{
    struct span entry;
    size_t count = 0;
    size_t at = 0;

    while (store_strings_next(list, &at, &entry)) {
        if (entry.len > STORE_ID_MAX || ++count > STORE_LIST_MAX) {
            return false;
        }
    }
    return at == list.len;
}

static bool check_cas(struct span list)
{
    struct store_ca ca;
    size_t count = 0;
    size_t at = 0;

    while (store_cas_next(list, &at, &ca)) {
        if (ca.subject_dn.len > STORE_NAME_MAX || ca.device_id_template.len > STORE_NAME_MAX ||
            ca.auth_id_template.len > STORE_NAME_MAX || ++count > STORE_CAS_MAX) {
            return false;
        }
    }
    return at == list.len;
}

static bool check_refs(struct span list)
{
    struct store_credential_ref ref;
    size_t count = 0;
    size_t at = 0;

    while (store_credential_refs_next(list, &at, &ref)) {
        if (ref.type.len == 0 || ref.type.len > STORE_TYPE_MAX || !is_name(ref.auth_id) ||
            ++count > STORE_LIST_MAX) {
            return false;
        }
    }
    return at == list.len;
}

/* ---- tenant ---- */

void record_encode_tenant(const struct store_tenant *tenant, struct buf *out)
{
    const struct span parts[] = {tenant->id,         tenant->alias,    tenant->trust_anchor_group,
                                 tenant->cas,        tenant->document, tenant->answer.segments,
                                 tenant->answer.text};

    put_head(out, tenant->flags);
    buf_add(out, tenant->version.bytes, sizeof(tenant->version.bytes));
    bytes_put(out, (uint64_t)tenant->created_ms, 8);
    bytes_put(out, (uint64_t)tenant->updated_ms, 8);
    bytes_put(out, (uint32_t)tenant->max_devices, 4);
    bytes_put(out, (uint32_t)tenant->max_credentials_per_device, 4);
    put_parts(out, parts, sizeof(parts) / sizeof(parts[0]));
}

bool record_decode_tenant(struct span bytes, uint32_t space, struct store_tenant *out)
{
    struct store_tenant found = {.space = space};
    struct span *parts[] = {&found.id,         &found.alias,    &found.trust_anchor_group,
                            &found.cas,        &found.document, &found.answer.segments,
                            &found.answer.text};
    size_t at = 0;

    if (!get_head(bytes, &at, &found.flags) || !get_uuid(bytes, &at, &found.version) ||
        !get_i64(bytes, &at, &found.created_ms) || !get_i64(bytes, &at, &found.updated_ms) ||
        !get_i32(bytes, &at, &found.max_devices) ||
        !get_i32(bytes, &at, &found.max_credentials_per_device) ||
        !get_parts(bytes, at, parts, sizeof(parts) / sizeof(parts[0])) || !is_id(found.id) ||
        found.alias.len > STORE_NAME_MAX || !check_cas(found.cas) || !check_answer(&found.answer)) {
        return false;
    }
    *out = found;
    return true;
}

/* ---- device ---- */

void record_encode_device(const struct store_device *device, struct buf *out)
{
    const struct span parts[] = {device->via,         device->via_groups, device->member_of,
                                 device->credentials, device->document,   device->answer};

    put_head(out, device->flags);
    buf_add(out, device->version.bytes, sizeof(device->version.bytes));
    buf_add(out, device->credentials_version.bytes, sizeof(device->credentials_version.bytes));
    bytes_put(out, (uint64_t)device->created_ms, 8);
    bytes_put(out, (uint64_t)device->updated_ms, 8);
    bytes_put(out, device->event_seq, 8);
    put_parts(out, parts, sizeof(parts) / sizeof(parts[0]));
}

bool record_decode_device(struct span bytes, struct span id, struct store_device *out)
{
    struct store_device found = {.id = id};
    struct span *parts[] = {&found.via,         &found.via_groups, &found.member_of,
                            &found.credentials, &found.document,   &found.answer};
    size_t at = 0;

    if (!is_id(id) || !get_head(bytes, &at, &found.flags) ||
        !get_uuid(bytes, &at, &found.version) ||
        !get_uuid(bytes, &at, &found.credentials_version) ||
        !get_i64(bytes, &at, &found.created_ms) || !get_i64(bytes, &at, &found.updated_ms) ||
        !bytes_get(bytes, &at, 8, &found.event_seq) ||
        !get_parts(bytes, at, parts, sizeof(parts) / sizeof(parts[0])) ||
        !check_strings(found.via) || !check_strings(found.via_groups) ||
        !check_strings(found.member_of) || !check_refs(found.credentials)) {
        return false;
    }
    *out = found;
    return true;
}

/* ---- credential ---- */

void record_encode_credential(const struct store_credential *credential, struct buf *out)
{
    const struct span parts[] = {
        credential->auth_id,  credential->device_id,       credential->ext,
        credential->document, credential->answer.segments, credential->answer.text};

    put_head(out, credential->flags);
    put_parts(out, parts, sizeof(parts) / sizeof(parts[0]));
}

bool record_decode_credential(struct span bytes, struct span type, struct store_credential *out)
{
    struct store_credential found = {.type = type};
    struct span *parts[] = {&found.auth_id,  &found.device_id,       &found.ext,
                            &found.document, &found.answer.segments, &found.answer.text};
    size_t at = 0;

    if (!get_head(bytes, &at, &found.flags) ||
        !get_parts(bytes, at, parts, sizeof(parts) / sizeof(parts[0])) || !is_name(found.auth_id) ||
        !is_id(found.device_id) || !check_answer(&found.answer)) {
        return false;
    }
    *out = found;
    return true;
}

/* ---- outbox ---- */

void record_encode_outbox(const struct store_outbox_entry *entry, struct buf *out)
{
    const struct span parts[] = {entry->tenant_id, entry->device_id, entry->gateway_id,
                                 entry->body};

    put_head(out, (uint32_t)entry->kind);
    bytes_put(out, entry->space, 4);
    bytes_put(out, (uint64_t)entry->created_ms, 8);
    put_parts(out, parts, sizeof(parts) / sizeof(parts[0]));
}

/* An event is about a device; only an event has a gateway, only a notification a body. */
static bool check_kind(uint32_t kind, const struct store_outbox_entry *entry)
{
    bool is_event = kind == STORE_OUTBOX_EVENT;

    return kind >= STORE_OUTBOX_EVENT && kind <= STORE_OUTBOX_DEVICE_CHANGE &&
           (!is_event || entry->device_id.len > 0) && (is_event || entry->gateway_id.len == 0) &&
           is_event == (entry->body.len == 0);
}

bool record_decode_outbox(struct span bytes, struct store_outbox_entry *out)
{
    struct store_outbox_entry found = {.space = 0};
    struct span *parts[] = {&found.tenant_id, &found.device_id, &found.gateway_id, &found.body};
    uint32_t kind = 0;
    uint64_t space = 0;
    size_t at = 0;

    if (!get_head(bytes, &at, &kind) || !bytes_get(bytes, &at, 4, &space) ||
        !get_i64(bytes, &at, &found.created_ms) ||
        !get_parts(bytes, at, parts, sizeof(parts) / sizeof(parts[0])) ||
        !check_kind(kind, &found) || !is_id(found.tenant_id) ||
        found.device_id.len > STORE_ID_MAX || found.gateway_id.len > STORE_ID_MAX ||
        found.body.len > STORE_OUTBOX_BODY_MAX) {
        return false;
    }
    found.kind = (enum store_outbox_kind)kind;
    found.space = (uint32_t)space;
    *out = found;
    return true;
}
