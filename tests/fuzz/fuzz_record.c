/* Bytes of a record, the first of which chooses the kind: what is accepted can be walked to its end
 * and is written again as it was. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
    if (!condition) {
        abort();
    }
}

static size_t walk_strings(struct span list)
{
    struct span entry;
    size_t at = 0;
    size_t bytes = 0;

    while (store_strings_next(list, &at, &entry)) {
        expect(entry.len <= STORE_ID_MAX);
        bytes += entry.len;
    }
    expect(at == list.len);
    return bytes;
}

static void walk_answer(const struct store_answer *answer)
{
    for (size_t i = 0; i < store_segment_count(answer); i++) {
        struct store_segment segment = store_segment_at(answer, i);

        expect(segment.offset <= answer->text.len &&
               segment.len <= answer->text.len - segment.offset);
    }
}

static bool try_tenant(struct span bytes, struct buf *again)
{
    struct store_tenant tenant;
    struct store_ca ca;
    size_t at = 0;

    if (!record_decode_tenant(bytes, 1, &tenant)) {
        return false;
    }
    while (store_cas_next(tenant.cas, &at, &ca)) {
        expect(ca.subject_dn.len <= STORE_NAME_MAX);
        expect(ca.device_id_template.len <= STORE_NAME_MAX);
        expect(ca.auth_id_template.len <= STORE_NAME_MAX);
    }
    expect(at == tenant.cas.len);
    walk_answer(&tenant.answer);
    record_encode_tenant(&tenant, again);
    return true;
}

static bool try_device(struct span bytes, struct buf *again)
{
    struct store_device device;
    struct store_credential_ref ref;
    size_t at = 0;

    if (!record_decode_device(bytes, SPAN("D1"), &device)) {
        return false;
    }
    expect(walk_strings(device.via) <= device.via.len);
    expect(walk_strings(device.via_groups) <= device.via_groups.len);
    expect(walk_strings(device.member_of) <= device.member_of.len);
    while (store_credential_refs_next(device.credentials, &at, &ref)) {
        expect(ref.type.len > 0 && ref.auth_id.len > 0);
    }
    expect(at == device.credentials.len);
    record_encode_device(&device, again);
    return true;
}

static bool try_credential(struct span bytes, struct buf *again)
{
    struct store_credential credential;

    if (!record_decode_credential(bytes, SPAN("psk"), &credential)) {
        return false;
    }
    expect(credential.auth_id.len > 0 && credential.device_id.len > 0);
    walk_answer(&credential.answer);
    record_encode_credential(&credential, again);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool (*const kinds[])(struct span bytes, struct buf * again) = {try_tenant, try_device,
                                                                           try_credential};
    struct span bytes;
    struct buf again;

    if (size == 0) {
        return 0;
    }
    bytes = span_of(data + 1, size - 1);
    buf_init(&again, 0);
    if (kinds[data[0] % (sizeof(kinds) / sizeof(kinds[0]))](bytes, &again)) {
        expect(span_eq(buf_span(&again), bytes));
    }
    buf_done(&again);
    return 0;
}
