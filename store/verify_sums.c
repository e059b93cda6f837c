#include <inttypes.h>
#include <string.h>

#include "base/digest.h"
#include "store/bytes.h"
#include "store/record.h"
#include "store/space_counts.h"
#include "store/verify.h"

static uint64_t hash_of(struct span name)
{
    struct sha256 hash = sha256_of(name);
    uint64_t value;

    memcpy(&value, hash.bytes, sizeof(value));
    return value;
}

/* What cannot be read is left out here: it is reported where its table is visited. */
static void sum_device(struct verify *v, struct span key, struct span value)
{
    struct store_credential_ref ref;
    struct store_device device;
    struct span entry;
    size_t at = 0;

    v->sum.devices++;
    if (!record_decode_device(value, span_of(key.ptr + 4, key.len - 4), &device)) {
        return;
    }
    while (store_credential_refs_next(device.credentials, &at, &ref)) {
        v->sum.listed++;
    }
    at = 0;
    while (store_strings_next(device.via, &at, &entry)) {
        v->sum.gateways += entry.len > 0 ? hash_of(entry) : 0;
    }
}

static void sum_credential(struct verify *v, struct span key, struct span value)
{
    (void)key;
    (void)value;
    v->sum.credentials++;
}

static void sum_parked(struct verify *v, struct span key, struct span value)
{
    (void)key;
    (void)value;
    v->sum.parked++;
}

static void sum_gateway(struct verify *v, struct span key, struct span value)
{
    uint64_t count = 0;
    size_t at = 0;

    if (bytes_get(value, &at, 4, &count)) {
        v->sum.gateways -= count * hash_of(span_of(key.ptr + 4, key.len - 4));
    }
}

void verify_sums(struct verify *v, uint32_t space, struct span tenant_id)
{
    static const struct {
        enum kv_table table;
        verify_visit *visit;
    } passes[] = {{KV_DEVICE, sum_device},
                  {KV_AUTH, sum_credential},
                  {KV_GATEWAY, sum_gateway},
                  {KV_PARKED, sum_parked}};
    struct space_counts counts = {0};
    struct ks_failure why = {0};
    struct key prefix;

    v->sum = (struct verify_sum){0};
    key_of_space(&prefix, space);
    for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++) {
        if (!verify_usable(v, verify_each(v, passes[i].table, &prefix, passes[i].visit, &why),
                           &why)) {
            return;
        }
    }
    if (!verify_usable(v, space_counts_get(v->txn, space, &counts, &why), &why)) {
        return;
    }
    if (counts.devices != v->sum.devices || counts.credentials != v->sum.credentials) {
        verify_report(v,
                      "tenant %.*s counts %" PRIu64 " devices and %" PRIu64
                      " credentials, but has %" PRIu64 " and %" PRIu64,
                      SPAN_ARG(tenant_id), counts.devices, counts.credentials, v->sum.devices,
                      v->sum.credentials);
    }
    if (counts.parked != v->sum.parked) {
        verify_report(v, "tenant %.*s counts %" PRIu64 " parked events, but has %" PRIu64,
                      SPAN_ARG(tenant_id), counts.parked, v->sum.parked);
    }
    if (v->sum.listed != v->sum.credentials) {
        verify_report(
            v, "the devices of tenant %.*s list %" PRIu64 " credentials, but there are %" PRIu64,
            SPAN_ARG(tenant_id), v->sum.listed, v->sum.credentials);
    }
    if (v->sum.gateways != 0) {
        verify_report(v, "the gateways of tenant %.*s are not counted as its devices name them",
                      SPAN_ARG(tenant_id));
    }
}
