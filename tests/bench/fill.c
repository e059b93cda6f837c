/*
 * fill: stores for benchmarks.
 *
 *     fill clone DIR TENANT COUNT   the device dev-0000000 of the tenant and its credential, made
 *                                   through the management API before, COUNT - 1 times again as
 *                                   dev-0000001 …: records of the true size without COUNT requests
 *     fill events DIR TENANT COUNT  so many events that wait for the broker, of dev-0000000 …
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/lmdb/lmdb_kv.h"
#include "store/store.h"

#define MAP_SIZE ((uint64_t)1 << 40)
enum { A_TRANSACTION = 10000, ID_AT = 4, ID_LEN = 11 };

static struct ks_failure why;

static void need(enum ks_status st, const char *what)
{
    if (st != KS_OK) {
        (void)fprintf(stderr, "fill: %s: %s %s\n", what, ks_status_name(st), why.text);
        exit(1);
    }
}

/* A copy of a text with dev-0000000 replaced by the id of the same length. */
static struct span renamed(struct arena *arena, struct span text, const char *id)
{
    char *copy = arena_alloc(arena, text.len + 1);
    char *at = copy;

    memcpy(copy, text.ptr, text.len);
    while (text.len >= ID_LEN &&
           (at = memmem(at, (size_t)(copy + text.len - at), "dev-0000000", ID_LEN)) != NULL) {
        memcpy(at, id, ID_LEN);
    }
    return span_of(copy, text.len);
}

static void clone_device(struct store_txn *txn, struct arena *arena, uint32_t space, const char *id)
{
    struct store_device device;
    struct store_credential credential;
    struct store_credential_ref ref = {.type = SPAN("hashed-password"), .auth_id = span_cstr(id)};

    need(store_device_get(txn, space, SPAN("dev-0000000"), &device, &why), "dev-0000000");
    need(store_credential_get(txn, space, ref.type, SPAN("dev-0000000"), &credential, &why),
         "its credential");
    device.id = span_cstr(id);
    device.document = renamed(arena, device.document, id);
    device.answer = renamed(arena, device.answer, id);
    device.credentials = store_credential_refs_encode(arena, &ref, 1);
    credential.type = ref.type;
    credential.auth_id = ref.auth_id;
    credential.device_id = device.id;
    credential.ext = renamed(arena, credential.ext, id);
    credential.document = renamed(arena, credential.document, id);
    credential.answer.text = renamed(arena, credential.answer.text, id);
    credential.answer.segments = arena_span(arena, credential.answer.segments);
    need(store_device_insert(txn, space, &device, &why), "insert a device");
    need(store_credential_put(txn, space, &credential, &why), "put a credential");
}

static void add_event(struct store_txn *txn, uint32_t space, const char *tenant, const char *id)
{
    const struct store_outbox_entry entry = {.kind = STORE_OUTBOX_EVENT,
                                             .space = space,
                                             .created_ms = clock_now_ms(),
                                             .tenant_id = span_cstr(tenant),
                                             .device_id = span_cstr(id)};
    uint64_t seq;

    need(store_outbox_append(txn, &entry, &seq, &why), "add an event");
}

/* From dev-<first> to dev-<end - 1>. */
static int fill(bool events, const char *dir, const char *tenant, unsigned first, unsigned end)
{
    const struct lmdb_kv_options kv_options = {.dir = dir, .map_size = MAP_SIZE, .max_readers = 8};
    struct kv *kv;
    struct store *store;
    struct store_txn *txn;
    struct arena arena;
    uint32_t space = 0;
    char id[ID_LEN + 1];

    need(lmdb_kv_open(&kv, &kv_options, &why), dir);
    need(store_open(&store, kv, &why), "open the store");
    arena_init(&arena);
    for (unsigned i = first; i < end;) {
        need(store_write_begin(store, &txn, &why), "begin");
        need(store_tenant_find(txn, span_cstr(tenant), &space, &why), tenant);
        for (unsigned until = i + A_TRANSACTION; i < end && i < until; i++) {
            (void)snprintf(id, sizeof(id), "dev-%07u", i);
            if (events) {
                add_event(txn, space, tenant, id);
            } else {
                clone_device(txn, &arena, space, id);
            }
            arena_reset(&arena);
        }
        need(store_write_commit(txn, &why), "commit");
    }
    arena_done(&arena);
    store_close(store);
    return 0;
}

int main(int argc, char **argv)
{
    bool events = argc == 5 && strcmp(argv[1], "events") == 0;

    if (events || (argc == 5 && strcmp(argv[1], "clone") == 0)) {
        return fill(events, argv[2], argv[3], events ? 0 : 1, (unsigned)strtoul(argv[4], NULL, 10));
    }
    (void)fprintf(stderr, "usage: fill clone|events DIR TENANT COUNT\n");
    return 64;
}
