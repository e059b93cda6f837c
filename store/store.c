#include "store/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/bytes.h"
#include "store/record.h"
#include "store/txn.h"

enum { STORE_FORMAT = 1, SCRATCH_MAX = 4 << 20 };

static const char meta_format[] = "format";
static const char meta_instance[] = "instance";
const char meta_next_space[] = "next-space";
const char meta_outbox_seq[] = "outbox-seq";

/* ---- the engine's calls, with the sticky error ---- */

enum ks_status txn_fail(struct store_txn *txn, enum ks_status status, const struct ks_failure *from,
                        struct ks_failure *why)
{
    if (txn->error == KS_OK) {
        txn->error = status;
        txn->why = *from;
    }
    if (why != NULL) {
        *why = txn->why;
    }
    return txn->error;
}

static bool is_answer(enum ks_status status)
{
    return status == KS_OK || status == KS_NOT_FOUND;
}

static enum ks_status result(struct store_txn *txn, enum ks_status status,
                             const struct ks_failure *from, struct ks_failure *why)
{
    return is_answer(status) ? status : txn_fail(txn, status, from, why);
}

enum ks_status txn_get(struct store_txn *txn, enum kv_table table, const struct key *key,
                       struct span *value, struct ks_failure *why)
{
    struct ks_failure here = {0};

    if (txn->error != KS_OK) {
        return txn_fail(txn, txn->error, &txn->why, why);
    }
    return result(txn, txn->store->kv->engine->get(txn->kv, table, key_span(key), value, &here),
                  &here, why);
}

enum ks_status txn_put(struct store_txn *txn, enum kv_table table, const struct key *key,
                       struct span value, struct ks_failure *why)
{
    struct ks_failure here = {0};
    char *room = NULL;
    enum ks_status st;

    if (txn->error != KS_OK) {
        return txn_fail(txn, txn->error, &txn->why, why);
    }
    txn->writes++;
    st = txn->store->kv->engine->put(txn->kv, table, key_span(key), value.len, &room, &here);
    if (st != KS_OK) {
        return txn_fail(txn, st, &here, why);
    }
    if (value.len > 0) {
        memcpy(room, value.ptr, value.len);
    }
    return KS_OK;
}

enum ks_status txn_del(struct store_txn *txn, enum kv_table table, const struct key *key,
                       struct ks_failure *why)
{
    struct ks_failure here = {0};
    enum ks_status st;

    if (txn->error != KS_OK) {
        return txn_fail(txn, txn->error, &txn->why, why);
    }
    txn->writes++;
    st = result(txn, txn->store->kv->engine->del(txn->kv, table, key_span(key), &here), &here, why);
    return st == KS_NOT_FOUND ? KS_OK : st;
}

enum ks_status txn_seek(struct store_txn *txn, enum kv_table table, struct span from,
                        struct span *key, struct span *value, struct ks_failure *why)
{
    struct ks_failure here = {0};

    if (txn->error != KS_OK) {
        return txn_fail(txn, txn->error, &txn->why, why);
    }
    return result(txn, txn->store->kv->engine->seek(txn->kv, table, from, key, value, &here), &here,
                  why);
}

static void meta_key(struct key *key, const char *name)
{
    key_begin(key);
    key_add_text(key, span_cstr(name));
}

enum ks_status txn_meta_get(struct store_txn *txn, const char *name, uint64_t *value,
                            struct ks_failure *why)
{
    struct key key;
    struct span found = {0};
    size_t at = 0;
    enum ks_status st;

    meta_key(&key, name);
    *value = 0;
    st = txn_get(txn, KV_META, &key, &found, why);
    if (st == KS_NOT_FOUND) {
        return KS_OK;
    }
    if (st == KS_OK && (found.len != 8 || !bytes_get(found, &at, 8, value))) {
        struct ks_failure here;

        st = ks_fail(&here, KS_CORRUPT, NULL, "the meta entry %s cannot be read", name);
        return txn_fail(txn, st, &here, why);
    }
    return st;
}

enum ks_status txn_meta_put(struct store_txn *txn, const char *name, uint64_t value,
                            struct ks_failure *why)
{
    struct key key;

    meta_key(&key, name);
    buf_clear(&txn->scratch);
    bytes_put(&txn->scratch, value, 8);
    return txn_put(txn, KV_META, &key, buf_span(&txn->scratch), why);
}

/* ---- transactions ---- */

static struct store_txn *txn_new(struct store *store)
{
    struct store_txn *txn = calloc(1, sizeof(*txn));

    if (txn == NULL) {
        abort();
    }
    txn->store = store;
    buf_init(&txn->scratch, SCRATCH_MAX);
    arena_init(&txn->arena);
    return txn;
}

static void txn_free(struct store_txn *txn)
{
    buf_done(&txn->scratch);
    arena_done(&txn->arena);
    free(txn);
}

enum ks_status store_reader_open(struct store *store, struct store_txn **out,
                                 struct ks_failure *why)
{
    struct store_txn *txn = txn_new(store);
    enum ks_status st = store->kv->engine->read_begin(store->kv, &txn->kv, why);

    if (st != KS_OK) {
        txn_free(txn);
        return st;
    }
    store->kv->engine->read_reset(txn->kv);
    *out = txn;
    return KS_OK;
}

enum ks_status store_reader_renew(struct store_txn *txn, struct ks_failure *why)
{
    enum ks_status st;

    store_reader_reset(txn);
    txn->error = KS_OK;
    st = txn->store->kv->engine->read_renew(txn->kv, why);
    txn->has_snapshot = st == KS_OK;
    return st;
}

void store_reader_reset(struct store_txn *txn)
{
    if (txn->has_snapshot) {
        txn->store->kv->engine->read_reset(txn->kv);
        txn->has_snapshot = false;
    }
}

void store_reader_close(struct store_txn *txn)
{
    if (txn != NULL) {
        txn->store->kv->engine->read_end(txn->kv);
        txn_free(txn);
    }
}

enum ks_status store_write_begin(struct store *store, struct store_txn **out,
                                 struct ks_failure *why)
{
    struct store_txn *txn = txn_new(store);
    enum ks_status st = store->kv->engine->write_begin(store->kv, &txn->kv, why);

    if (st != KS_OK) {
        txn_free(txn);
        return st;
    }
    *out = txn;
    return KS_OK;
}

enum ks_status store_write_commit(struct store_txn *txn, struct ks_failure *why)
{
    struct store *store = txn->store;
    enum ks_status st = txn->error;

    if (st != KS_OK) {
        (void)txn_fail(txn, st, &txn->why, why);
        store->kv->engine->abort(txn->kv);
    } else {
        st = store->kv->engine->commit(txn->kv, why);
        if (st == KS_OK && txn->touches_tenants) {
            atomic_fetch_add(&store->tenant_generation, 1);
        }
    }
    txn_free(txn);
    return st;
}

void store_write_abort(struct store_txn *txn)
{
    if (txn != NULL) {
        txn->store->kv->engine->abort(txn->kv);
        txn_free(txn);
    }
}

uint64_t store_txn_writes(const struct store_txn *txn)
{
    return txn->writes;
}

enum ks_status store_txn_error(const struct store_txn *txn, struct ks_failure *why)
{
    if (txn->error != KS_OK && why != NULL) {
        *why = txn->why;
    }
    return txn->error;
}

uint64_t store_tenant_generation(const struct store *store)
{
    return atomic_load(&store->tenant_generation);
}

/* ---- opening ---- */

/* An empty store gets its meta data; another must be of our format. */
static enum ks_status init_meta(struct store_txn *txn, struct ks_failure *why)
{
    struct key key;
    struct span found;
    uint64_t format;
    enum ks_status st = txn_meta_get(txn, meta_format, &format, why);

    if (st != KS_OK) {
        return st;
    }
    if (format != 0 && format != STORE_FORMAT) {
        return ks_fail(why, KS_CORRUPT, "newer-format",
                       "the store has format %llu; this Koseki reads format %d",
                       (unsigned long long)format, STORE_FORMAT);
    }
    meta_key(&key, meta_instance);
    if (format == 0) {
        struct uuid instance = uuid_random();

        st = txn_meta_put(txn, meta_format, STORE_FORMAT, why);
        if (st == KS_OK) {
            st = txn_meta_put(txn, meta_next_space, 1, why);
        }
        if (st == KS_OK) {
            st = txn_put(txn, KV_META, &key, span_of(instance.bytes, sizeof(instance.bytes)), why);
        }
        txn->store->instance = instance;
        return st;
    }
    st = txn_get(txn, KV_META, &key, &found, why);
    if (st != KS_OK || found.len != sizeof(txn->store->instance.bytes)) {
        return ks_fail(why, KS_CORRUPT, NULL, "the store has no instance id");
    }
    memcpy(txn->store->instance.bytes, found.ptr, found.len);
    return KS_OK;
}

/* A reader process cannot write what is missing: it only looks. */
static enum ks_status read_meta(struct store *store, struct ks_failure *why)
{
    struct store_txn *txn = NULL;
    struct key key;
    struct span found;
    uint64_t format = 0;
    enum ks_status st = store_reader_open(store, &txn, why);

    if (st == KS_OK) {
        st = store_reader_renew(txn, why);
    }
    if (st == KS_OK) {
        st = txn_meta_get(txn, meta_format, &format, why);
    }
    if (st == KS_OK && format == STORE_FORMAT) {
        meta_key(&key, meta_instance);
        st = txn_get(txn, KV_META, &key, &found, why);
        if (st == KS_OK && found.len == sizeof(store->instance.bytes)) {
            memcpy(store->instance.bytes, found.ptr, found.len);
        }
    } else if (st == KS_OK) {
        st = ks_fail(why, KS_CORRUPT, "not-a-store", "the store has format %llu, not %d",
                     (unsigned long long)format, STORE_FORMAT);
    }
    store_reader_close(txn);
    return st;
}

static enum ks_status write_meta(struct store *store, struct ks_failure *why)
{
    struct store_txn *txn = NULL;
    enum ks_status st = store_write_begin(store, &txn, why);

    if (st != KS_OK) {
        return st;
    }
    st = init_meta(txn, why);
    if (st != KS_OK) {
        store_write_abort(txn);
        return st;
    }
    if (store_txn_writes(txn) == 0) {
        store_write_abort(txn);
        return KS_OK;
    }
    return store_write_commit(txn, why);
}

enum ks_status store_open(struct store **out, struct kv *kv, struct ks_failure *why)
{
    struct store *store = calloc(1, sizeof(*store));
    enum ks_status st;

    if (store == NULL) {
        abort();
    }
    store->kv = kv;
    atomic_store(&store->tenant_generation, 1);
    st = kv->engine->read_only(kv) ? read_meta(store, why) : write_meta(store, why);
    if (st != KS_OK) {
        free(store);
        return st;
    }
    *out = store;
    return KS_OK;
}

void store_close(struct store *store)
{
    if (store != NULL) {
        store->kv->engine->close(store->kv);
        free(store);
    }
}

enum ks_status store_stat(struct store_txn *txn, struct store_stat *out, struct ks_failure *why)
{
    struct kv_stat kv;
    enum ks_status st = txn->store->kv->engine->stat(txn->kv, &kv, why);

    if (st != KS_OK) {
        return st;
    }
    *out = (struct store_stat){
        .tenants = kv.entries[KV_TENANT],
        .devices = kv.entries[KV_DEVICE],
        .credentials = kv.entries[KV_AUTH],
        .outbox = kv.entries[KV_OUTBOX],
        .purging = kv.entries[KV_PURGE],
        .bytes_used = kv.bytes_used,
        .bytes_map = kv.bytes_map,
        .instance = txn->store->instance,
    };
    return KS_OK;
}
