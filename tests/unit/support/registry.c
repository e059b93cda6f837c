#include "support/registry.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/digest.h"
#include "store/kv.h"
#include "store/lmdb/lmdb_kv.h"

void registry_open(struct registry *registry)
{
    struct lmdb_kv_options options = {.map_size = UINT64_C(64) << 20, .max_readers = 16};
    struct writer_options writer_options = {.lane_depth = 1024};
    struct kv *kv = NULL;

    *registry = (struct registry){.store = NULL};
    test_log_begin();
    test_dir_make(&registry->dir);
    options.dir = registry->dir.path;
    writer_options.dir = registry->dir.path;
    assert_ok(lmdb_kv_open(&kv, &options, why));
    registry->kv = kv;
    assert_ok(store_open(&registry->store, kv, why));
    assert_ok(writer_open(&registry->writer, registry->store, &writer_options, why));
    registry->service = (struct service){.store = registry->store,
                                         .writer = registry->writer,
                                         .max_bcrypt_cost = 10,
                                         .tenant_max_age_s = 180,
                                         .credentials_max_age_s = 180,
                                         .registration_max_age_s = 300};
    registry->counters = counters_slot_open();
    assert_ok(service_reader_open(&registry->reader, &registry->service, registry->counters, why));
    arena_init(&registry->arena);
    answer_init(&registry->answer);
}

static void found_fault(const char *text, void *arg)
{
    (void)arg;
    print_error("%s\n", text);
}

void registry_verify(struct registry *registry)
{
    struct store_txn *txn = NULL;

    assert_ok(store_reader_open(registry->store, &txn, why));
    assert_ok(store_reader_renew(txn, why));
    assert_ok(store_verify(txn, found_fault, NULL, why));
    store_reader_close(txn);
}

void registry_close(struct registry *registry)
{
    writer_close(registry->writer);
    registry_verify(registry);
    service_reader_close(&registry->reader);
    store_close(registry->store);
    arena_done(&registry->arena);
    answer_done(&registry->answer);
    counters_done();
    test_dir_remove(&registry->dir);
    test_log_done();
}

void registry_renew(struct registry *registry)
{
    service_reader_rest(&registry->reader);
    assert_ok(service_reader_renew(&registry->reader, why));
}

static struct store_txn *begin(struct registry *registry)
{
    struct store_txn *txn = NULL;

    arena_reset(&registry->arena);
    assert_ok(store_write_begin(registry->store, &txn, why));
    return txn;
}

/* ---- tenants ---- */

struct elements {
    struct store_segment segments[64];
    size_t count;
};

static void add_element(struct buf *text, struct elements *elements, const char *json,
                        int64_t from_ms, int64_t until_ms, bool enabled)
{
    if (elements->count > 0) {
        buf_add_char(text, ',');
    }
    elements->segments[elements->count++] = (struct store_segment){.from_ms = from_ms,
                                                                   .until_ms = until_ms,
                                                                   .offset = (uint32_t)text->len,
                                                                   .len = (uint32_t)strlen(json),
                                                                   .enabled = enabled};
    buf_add_cstr(text, json);
}

static int64_t or_else(int64_t value, int64_t otherwise)
{
    return value == 0 ? otherwise : value;
}

static struct span encode_cas(struct registry *registry, const struct registry_tenant *tenant)
{
    struct store_ca cas[64];

    for (size_t i = 0; i < tenant->ca_count; i++) {
        const struct registry_ca *ca = &tenant->cas[i];
        struct pki_public key = pki_public_of(ca->key);
        struct sha256 hash;
        char dn[128];

        (void)snprintf(dn, sizeof(dn), "CN=%s,O=Test", ca->name);
        cas[i] = (struct store_ca){.subject_dn = arena_span(&registry->arena, span_cstr(dn)),
                                   .public_key =
                                       arena_span(&registry->arena, span_of(key.bytes, key.len)),
                                   .not_before_ms = or_else(ca->from_ms, 0),
                                   .not_after_ms = or_else(ca->until_ms, REGISTRY_NOW * 2),
                                   .flags = ca->flags,
                                   .device_id_template = span_cstr(ca->device_id_template),
                                   .auth_id_template = span_cstr(ca->auth_id_template)};
        hash = sha256_of_pair(cas[i].subject_dn, cas[i].public_key);
        memcpy(cas[i].key_hash, hash.bytes, sizeof(hash.bytes));
    }
    return store_cas_encode(&registry->arena, cas, tenant->ca_count);
}

static void fill_tenant_answer(struct registry *registry, const struct registry_tenant *tenant,
                               struct buf *text, struct store_tenant *record)
{
    struct elements elements = {.count = 0};

    buf_printf(text, "{\"tenant-id\":\"%s\",\"enabled\":%s,\"trusted-ca\":[", tenant->id,
               tenant->disabled ? "false" : "true");
    for (size_t i = 0; i < tenant->ca_count; i++) {
        char json[64];

        (void)snprintf(json, sizeof(json), "{\"n\":%zu}", i);
        add_element(text, &elements, json, or_else(tenant->cas[i].from_ms, 0),
                    or_else(tenant->cas[i].until_ms, REGISTRY_NOW * 2), true);
    }
    buf_add_cstr(text, "]}");
    record->answer.text = buf_span(text);
    record->answer.segments =
        store_segments_encode(&registry->arena, elements.segments, elements.count);
}

uint32_t registry_put_tenant(struct registry *registry, const struct registry_tenant *tenant)
{
    struct store_txn *txn = begin(registry);
    struct store_tenant record = {.id = span_cstr(tenant->id),
                                  .alias = span_cstr(tenant->alias),
                                  .flags = tenant->disabled ? 0 : STORE_TENANT_ENABLED,
                                  .version = uuid_random(),
                                  .created_ms = REGISTRY_NOW,
                                  .max_devices = tenant->limited ? tenant->max_devices : -1,
                                  .max_credentials_per_device =
                                      tenant->limited ? tenant->max_credentials : -1,
                                  .document = SPAN("{}")};
    struct buf text;

    buf_init(&text, 0);
    record.cas = encode_cas(registry, tenant);
    fill_tenant_answer(registry, tenant, &text, &record);
    if (store_tenant_find(txn, record.id, &record.space, NULL) == KS_OK) {
        assert_ok(store_tenant_replace(txn, &record, why));
    } else {
        record.space = 0;
        assert_ok(store_tenant_insert(txn, &record, &record.space, why));
    }
    assert_ok(store_write_commit(txn, why));
    buf_done(&text);
    return record.space;
}

void registry_delete_tenant(struct registry *registry, const char *id)
{
    struct store_txn *txn = begin(registry);
    uint32_t space;

    assert_ok(store_tenant_find(txn, span_cstr(id), &space, why));
    assert_ok(store_tenant_delete(txn, space, why));
    assert_ok(store_write_commit(txn, why));
}

/* ---- devices and credentials ---- */

static struct span encode_strings(struct registry *registry, const char *const *strings)
{
    struct span spans[REGISTRY_NAMES];
    size_t count = 0;

    while (count < REGISTRY_NAMES && strings[count] != NULL) {
        spans[count] = span_cstr(strings[count]);
        count++;
    }
    return store_strings_encode(&registry->arena, spans, count);
}

static void insert_device(struct registry *registry, struct store_txn *txn, uint32_t space,
                          const struct registry_device *device, struct span refs)
{
    char answer[300];
    struct store_device record = {.id = span_cstr(device->id),
                                  .flags = device->disabled ? 0 : STORE_DEVICE_ENABLED,
                                  .version = uuid_random(),
                                  .credentials_version = uuid_random(),
                                  .created_ms = REGISTRY_NOW,
                                  .via = encode_strings(registry, device->via),
                                  .via_groups = encode_strings(registry, device->via_groups),
                                  .member_of = encode_strings(registry, device->member_of),
                                  .credentials = refs,
                                  .document = SPAN("{}")};

    (void)snprintf(answer, sizeof(answer), "{\"device-id\":\"%s\"}", device->id);
    record.answer = span_cstr(answer);
    record.flags |= device->provisioner ? STORE_DEVICE_PROVISIONER : 0;
    assert_ok(store_device_insert(txn, space, &record, why));
}

void registry_put_device(struct registry *registry, uint32_t space,
                         const struct registry_device *device)
{
    struct store_txn *txn = begin(registry);

    insert_device(registry, txn, space, device,
                  store_credential_refs_encode(&registry->arena, NULL, 0));
    assert_ok(store_write_commit(txn, why));
}

void registry_delete_device(struct registry *registry, uint32_t space, const char *id)
{
    struct store_txn *txn = begin(registry);

    assert_ok(store_device_delete(txn, space, span_cstr(id), why));
    assert_ok(store_write_commit(txn, why));
}

static void fill_credential_answer(struct registry *registry,
                                   const struct registry_credential *credential, struct buf *text,
                                   struct store_credential *record)
{
    struct elements elements = {.count = 0};

    buf_printf(text, "{\"device-id\":\"%s\",\"secrets\":[", credential->device_id);
    for (size_t i = 0; i < credential->secret_count; i++) {
        const struct registry_secret *secret = &credential->secrets[i];

        add_element(text, &elements, secret->json, or_else(secret->from_ms, CLOCK_MIN),
                    or_else(secret->until_ms, CLOCK_MAX), !secret->disabled);
    }
    buf_add_cstr(text, "]}");
    record->answer.text = buf_span(text);
    record->answer.segments =
        store_segments_encode(&registry->arena, elements.segments, elements.count);
}

void registry_put_credential(struct registry *registry, uint32_t space,
                             const struct registry_credential *credential)
{
    struct store_txn *txn = begin(registry);
    const struct registry_device device = {.id = credential->device_id};
    const struct store_credential_ref ref = {.type = span_cstr(credential->type),
                                             .auth_id = span_cstr(credential->auth_id)};
    struct store_credential record = {.type = ref.type,
                                      .auth_id = ref.auth_id,
                                      .device_id = span_cstr(credential->device_id),
                                      .ext = span_cstr(credential->ext),
                                      .document = SPAN("{}")};
    struct buf text;

    if (!credential->disabled) {
        record.flags |= STORE_CREDENTIAL_ENABLED;
    }
    if (credential->ext != NULL) {
        record.flags |= STORE_CREDENTIAL_HAS_EXT;
    }
    buf_init(&text, 0);
    fill_credential_answer(registry, credential, &text, &record);
    insert_device(registry, txn, space, &device,
                  store_credential_refs_encode(&registry->arena, &ref, 1));
    assert_ok(store_credential_put(txn, space, &record, why));
    assert_ok(store_write_commit(txn, why));
    buf_done(&text);
}

uint64_t registry_count_devices(struct registry *registry, uint32_t space)
{
    uint64_t count = 0;

    registry_renew(registry);
    assert_ok(store_device_count(registry->reader.txn, space, &count, why));
    return count;
}

struct identity *registry_identity(const char *resource, const char *operation)
{
    struct identity *identity = identity_new(SPAN("someone"), 1);

    if (resource != NULL) {
        identity_grant(identity, span_cstr(resource), span_cstr(operation), ACTIVITY_EXECUTE);
    }
    return identity;
}
