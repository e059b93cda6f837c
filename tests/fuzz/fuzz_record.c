/*
 * Bytes of a record, the first of which chooses the kind: what is accepted can be walked to its end
 * and is written again as it was.
 *
 * Covers: store/record.c store/lists.c
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* ---- lists: walked to their ends, and written again as they were ---- */

static void walk_strings(struct arena *arena, struct span list)
{
    struct span strings[STORE_LIST_MAX];
    struct span entry;
    size_t at = 0;
    size_t count = 0;

    while (store_strings_next(list, &at, &entry)) {
        expect(entry.len <= STORE_ID_MAX && count < STORE_LIST_MAX);
        strings[count++] = entry;
    }
    expect(at == list.len && span_eq(store_strings_encode(arena, strings, count), list));
}

static void walk_cas(struct arena *arena, struct span list)
{
    struct store_ca cas[STORE_CAS_MAX];
    struct store_ca ca;
    size_t at = 0;
    size_t count = 0;

    while (store_cas_next(list, &at, &ca)) {
        expect(ca.subject_dn.len <= STORE_NAME_MAX && count < STORE_CAS_MAX);
        expect(ca.device_id_template.len <= STORE_NAME_MAX &&
               ca.auth_id_template.len <= STORE_NAME_MAX);
        cas[count++] = ca;
    }
    expect(at == list.len && span_eq(store_cas_encode(arena, cas, count), list));
}

static void walk_refs(struct arena *arena, struct span list)
{
    struct store_credential_ref refs[STORE_LIST_MAX];
    struct store_credential_ref ref;
    size_t at = 0;
    size_t count = 0;

    while (store_credential_refs_next(list, &at, &ref)) {
        expect(ref.type.len > 0 && ref.auth_id.len > 0 && count < STORE_LIST_MAX);
        refs[count++] = ref;
    }
    expect(at == list.len && span_eq(store_credential_refs_encode(arena, refs, count), list));
}

static void walk_answer(struct arena *arena, const struct store_answer *answer)
{
    struct store_segment segments[STORE_LIST_MAX];
    size_t count = store_segment_count(answer);

    expect(count <= STORE_LIST_MAX);
    for (size_t i = 0; i < count; i++) {
        segments[i] = store_segment_at(answer, i);
        expect(segments[i].offset <= answer->text.len &&
               segments[i].len <= answer->text.len - segments[i].offset);
    }
    expect(span_eq(store_segments_encode(arena, segments, count), answer->segments));
}

/* ---- records ---- */

static bool try_tenant(struct arena *arena, struct span bytes, struct buf *again)
{
    struct store_tenant tenant;

    if (!record_decode_tenant(bytes, 1, &tenant)) {
        return false;
    }
    walk_cas(arena, tenant.cas);
    walk_answer(arena, &tenant.answer);
    record_encode_tenant(&tenant, again);
    return true;
}

static bool try_device(struct arena *arena, struct span bytes, struct buf *again)
{
    struct store_device device;

    if (!record_decode_device(bytes, SPAN("D1"), &device)) {
        return false;
    }
    walk_strings(arena, device.via);
    walk_strings(arena, device.via_groups);
    walk_strings(arena, device.member_of);
    walk_refs(arena, device.credentials);
    record_encode_device(&device, again);
    return true;
}

static bool try_credential(struct arena *arena, struct span bytes, struct buf *again)
{
    struct store_credential credential;

    if (!record_decode_credential(bytes, SPAN("psk"), &credential)) {
        return false;
    }
    expect(credential.auth_id.len > 0 && credential.device_id.len > 0);
    walk_answer(arena, &credential.answer);
    record_encode_credential(&credential, again);
    return true;
}

static bool try_outbox(struct arena *arena, struct span bytes, struct buf *again)
{
    struct store_outbox_entry entry;

    (void)arena;
    if (!record_decode_outbox(bytes, &entry)) {
        return false;
    }
    expect(entry.tenant_id.len > 0 && entry.tenant_id.len <= STORE_ID_MAX &&
           entry.device_id.len <= STORE_ID_MAX && entry.gateway_id.len <= STORE_ID_MAX);
    record_encode_outbox(&entry, again);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool (*const kinds[])(struct arena * arena, struct span bytes, struct buf * again) = {
        try_tenant, try_device, try_credential, try_outbox};
    struct span bytes;
    struct arena arena;
    struct buf again;

    if (size == 0) {
        return 0;
    }
    bytes = span_of(data + 1, size - 1);
    arena_init(&arena);
    buf_init(&again, 0);
    if (kinds[data[0] % (sizeof(kinds) / sizeof(kinds[0]))](&arena, bytes, &again)) {
        expect(span_eq(buf_span(&again), bytes));
    }
    buf_done(&again);
    arena_done(&arena);
    return 0;
}
