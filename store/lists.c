/* The encoded lists inside records: segments, strings, trusted CAs, credential references. */
#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "store/bytes.h"
#include "store/record.h"
#include "store/store.h"

static struct span into_arena(struct arena *arena, struct buf *bytes)
{
    struct span copy = arena_span(arena, buf_span(bytes));

    buf_done(bytes);
    return copy;
}

/* ---- segments: from (8), until (8), offset (4), length (4), enabled (8) ---- */

struct span store_segments_encode(struct arena *arena, const struct store_segment *segments,
                                  size_t count)
{
    struct buf out;

    buf_init(&out, 0);
    for (size_t i = 0; i < count; i++) {
        bytes_put(&out, (uint64_t)segments[i].from_ms, 8);
        bytes_put(&out, (uint64_t)segments[i].until_ms, 8);
        bytes_put(&out, segments[i].offset, 4);
        bytes_put(&out, segments[i].len, 4);
        bytes_put(&out, segments[i].enabled, 8);
    }
    return into_arena(arena, &out);
}

size_t store_segment_count(const struct store_answer *answer)
{
    return answer->segments.len / RECORD_SEGMENT_SIZE;
}

struct store_segment store_segment_at(const struct store_answer *answer, size_t index)
{
    size_t at = index * RECORD_SEGMENT_SIZE;
    uint64_t from = 0;
    uint64_t until = 0;
    uint64_t offset = 0;
    uint64_t len = 0;
    uint64_t enabled = 0;
    bool ok =
        bytes_get(answer->segments, &at, 8, &from) && bytes_get(answer->segments, &at, 8, &until) &&
        bytes_get(answer->segments, &at, 4, &offset) && bytes_get(answer->segments, &at, 4, &len) &&
        bytes_get(answer->segments, &at, 8, &enabled);

    assert(ok);
    return (struct store_segment){.from_ms = (int64_t)from,
                                  .until_ms = (int64_t)until,
                                  .offset = (uint32_t)offset,
                                  .len = (uint32_t)len,
                                  .enabled = enabled != 0};
}

/* ---- strings: length (2), bytes ---- */

struct span store_strings_encode(struct arena *arena, const struct span *strings, size_t count)
{
    struct buf out;

    buf_init(&out, 0);
    for (size_t i = 0; i < count; i++) {
        assert(strings[i].len <= UINT16_MAX);
        bytes_put(&out, strings[i].len, 2);
        buf_add_span(&out, strings[i]);
    }
    return into_arena(arena, &out);
}

bool store_strings_next(struct span list, size_t *offset, struct span *out)
{
    size_t at = *offset;
    uint64_t len;

    if (!bytes_get(list, &at, 2, &len) || !bytes_get_span(list, &at, (size_t)len, out)) {
        return false;
    }
    *offset = at;
    return true;
}

/* ---- CAs: flags (4), not-before (8), not-after (8), key hash (32), DN, key, device id template
 * and auth-id template with their lengths (4) ---- */

enum { CA_PARTS = 4 };

struct span store_cas_encode(struct arena *arena, const struct store_ca *cas, size_t count)
{
    struct buf out;

    buf_init(&out, 0);
    for (size_t i = 0; i < count; i++) {
        const struct span parts[CA_PARTS] = {cas[i].subject_dn, cas[i].public_key,
                                             cas[i].device_id_template, cas[i].auth_id_template};

        bytes_put(&out, cas[i].flags, 4);
        bytes_put(&out, (uint64_t)cas[i].not_before_ms, 8);
        bytes_put(&out, (uint64_t)cas[i].not_after_ms, 8);
        buf_add(&out, cas[i].key_hash, sizeof(cas[i].key_hash));
        for (size_t k = 0; k < CA_PARTS; k++) {
            bytes_put(&out, parts[k].len, 4);
        }
        for (size_t k = 0; k < CA_PARTS; k++) {
            buf_add_span(&out, parts[k]);
        }
    }
    return into_arena(arena, &out);
}

static bool get_ca_parts(struct span cas, size_t *at, struct store_ca *out)
{
    struct span *const parts[CA_PARTS] = {&out->subject_dn, &out->public_key,
                                          &out->device_id_template, &out->auth_id_template};
    uint64_t len[CA_PARTS];

    for (size_t k = 0; k < CA_PARTS; k++) {
        if (!bytes_get(cas, at, 4, &len[k])) {
            return false;
        }
    }
    for (size_t k = 0; k < CA_PARTS; k++) {
        if (!bytes_get_span(cas, at, (size_t)len[k], parts[k])) {
            return false;
        }
    }
    return true;
}

bool store_cas_next(struct span cas, size_t *offset, struct store_ca *out)
{
    struct store_ca found = {.flags = 0};
    size_t at = *offset;
    uint64_t flags;
    uint64_t from;
    uint64_t until;
    struct span hash;

    if (!bytes_get(cas, &at, 4, &flags) || !bytes_get(cas, &at, 8, &from) ||
        !bytes_get(cas, &at, 8, &until) ||
        !bytes_get_span(cas, &at, sizeof(found.key_hash), &hash) ||
        !get_ca_parts(cas, &at, &found)) {
        return false;
    }
    found.not_before_ms = (int64_t)from;
    found.not_after_ms = (int64_t)until;
    found.flags = (uint32_t)flags;
    memcpy(found.key_hash, hash.ptr, sizeof(found.key_hash));
    *out = found;
    *offset = at;
    return true;
}

/* ---- credential references: type with length (1), auth-id with length (2) ---- */

struct span store_credential_refs_encode(struct arena *arena,
                                         const struct store_credential_ref *refs, size_t count)
{
    struct buf out;

    buf_init(&out, 0);
    for (size_t i = 0; i < count; i++) {
        assert(refs[i].type.len <= STORE_TYPE_MAX && refs[i].auth_id.len <= STORE_NAME_MAX);
        bytes_put(&out, refs[i].type.len, 1);
        buf_add_span(&out, refs[i].type);
        bytes_put(&out, refs[i].auth_id.len, 2);
        buf_add_span(&out, refs[i].auth_id);
    }
    return into_arena(arena, &out);
}

bool store_credential_refs_next(struct span refs, size_t *offset, struct store_credential_ref *out)
{
    size_t at = *offset;
    uint64_t type_len;
    uint64_t auth_len;
    struct store_credential_ref ref;

    if (!bytes_get(refs, &at, 1, &type_len) ||
        !bytes_get_span(refs, &at, (size_t)type_len, &ref.type) ||
        !bytes_get(refs, &at, 2, &auth_len) ||
        !bytes_get_span(refs, &at, (size_t)auth_len, &ref.auth_id)) {
        return false;
    }
    *out = ref;
    *offset = at;
    return true;
}
