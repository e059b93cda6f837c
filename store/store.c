#include "store/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/bytes.h"
#include "store/space_counts.h"
#include "store/txn.h"

enum { STORE_FORMAT = 1 };

static const char meta_format[] = "format";
static const char meta_instance[] = "instance";
const char meta_next_space[] = "next-space";
const char meta_outbox_seq[] = "outbox-seq";
const char meta_dropped[] = "dropped";
static const char meta_copied[] = "copied";

/* ---- transactions ---- */

static struct store_txn *txn_new(struct store *store)
{
    struct store_txn *txn = calloc(1, sizeof(*txn));

    if (txn == NULL) {
        abort();
    }
    txn->store = store;
    buf_init(&txn->scratch, KV_VALUE_MAX);
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
    enum ks_status st = store_txn_error(txn, why);

    if (st != KS_OK) {
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

enum origin {
    ORIGIN_NEW, /* nobody has written to it yet */
    ORIGIN_OWN,
    ORIGIN_COPY, /* a backup, and nobody has written to it since */
};

static struct key meta_key(const char *name)
{
    struct key key;

    key_begin(&key);
    key_add_text(&key, span_cstr(name));
    return key;
}

void store_copy_mark(struct buf *key, struct buf *value)
{
    struct key at = meta_key(meta_copied);

    buf_add_span(key, key_span(&at));
    bytes_put(value, 1, 8);
}

static enum ks_status read_instance(struct store_txn *txn, struct ks_failure *why)
{
    struct store *store = txn->store;
    struct key key = meta_key(meta_instance);
    struct span found;
    enum ks_status st = txn_get(txn, KV_META, &key, &found, why);

    if (st == KS_NOT_FOUND || (st == KS_OK && found.len != sizeof(store->instance.bytes))) {
        return ks_fail(why, KS_CORRUPT, "not-a-store", "the store has no instance id");
    }
    if (st == KS_OK) {
        memcpy(store->instance.bytes, found.ptr, found.len);
    }
    return st;
}

static enum ks_status draw_instance(struct store_txn *txn, struct ks_failure *why)
{
    struct uuid *instance = &txn->store->instance;
    struct key key = meta_key(meta_instance);

    *instance = uuid_random();
    return txn_put(txn, KV_META, &key, span_of(instance->bytes, sizeof(instance->bytes)), why);
}

static enum ks_status read_meta(struct store_txn *txn, enum origin *origin, struct ks_failure *why)
{
    uint64_t format = 0;
    uint64_t copied = 0;
    enum ks_status st = txn_meta_get(txn, meta_format, &format, why);

    if (st == KS_OK) {
        st = txn_meta_get(txn, meta_copied, &copied, why);
    }
    *origin = format == 0 ? ORIGIN_NEW : copied != 0 ? ORIGIN_COPY : ORIGIN_OWN;
    if (st != KS_OK || *origin == ORIGIN_NEW) {
        return st;
    }
    if (format != STORE_FORMAT) {
        return ks_fail(why, KS_CORRUPT, "newer-format",
                       "the store has format %llu; this Koseki reads format %d",
                       (unsigned long long)format, STORE_FORMAT);
    }
    return read_instance(txn, why);
}

static enum ks_status write_meta(struct store_txn *txn, struct ks_failure *why)
{
    const struct store *store = txn->store;
    struct kv_stat stat;
    enum ks_status st = store->kv->engine->stat(txn->kv, &stat, why);

    for (int i = 0; st == KS_OK && i < KV_TABLES; i++) {
        if (stat.entries[i] > 0) {
            st = ks_fail(why, KS_CORRUPT, "not-a-store", "the store holds data, but no format");
        }
    }
    if (st == KS_OK) {
        st = txn_meta_put(txn, meta_format, STORE_FORMAT, why);
    }
    if (st == KS_OK) {
        st = txn_meta_put(txn, meta_next_space, 1, why);
    }
    return st == KS_OK ? draw_instance(txn, why) : st;
}

/* As often as the copy is restored: each has an instance id of its own. */
static enum ks_status own_copy(struct store_txn *txn, struct ks_failure *why)
{
    struct key key = meta_key(meta_copied);
    enum ks_status st = txn_del(txn, KV_META, &key, why);

    return st == KS_OK ? draw_instance(txn, why) : st;
}

static enum ks_status look(struct store *store, enum origin *origin, struct ks_failure *why)
{
    struct store_txn *txn = NULL;
    enum ks_status st = store_reader_open(store, &txn, why);

    if (st == KS_OK) {
        st = store_reader_renew(txn, why);
    }
    if (st == KS_OK) {
        st = read_meta(txn, origin, why);
    }
    store_reader_close(txn);
    return st;
}

/* Whoever only reads a copy leaves it as it is. */
static enum ks_status settle_in(struct store *store, enum origin origin, struct ks_failure *why)
{
    struct store_txn *txn = NULL;
    enum ks_status st;

    if (store->kv->engine->read_only(store->kv)) {
        return origin == ORIGIN_COPY ? KS_OK
                                     : ks_fail(why, KS_CORRUPT, "not-a-store",
                                               "the store is empty and opened to be read");
    }
    st = store_write_begin(store, &txn, why);
    if (st != KS_OK) {
        return st;
    }
    st = origin == ORIGIN_NEW ? write_meta(txn, why) : own_copy(txn, why);
    if (st != KS_OK) {
        store_write_abort(txn);
        return st;
    }
    return store_write_commit(txn, why);
}

enum ks_status store_open(struct store **out, struct kv *kv, struct ks_failure *why)
{
    struct store *store = calloc(1, sizeof(*store));
    enum origin origin = ORIGIN_OWN;
    enum ks_status st;

    if (store == NULL) {
        abort();
    }
    store->kv = kv;
    atomic_store(&store->tenant_generation, 1);
    st = look(store, &origin, why);
    if (st == KS_OK && origin != ORIGIN_OWN) {
        st = settle_in(store, origin, why);
    }
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

/* ---- inspection ---- */

/* What the tenants that there are have, not what waits to be purged. */
static enum ks_status count_live(struct store_txn *txn, struct store_stat *out,
                                 struct ks_failure *why)
{
    struct key from;
    struct span key;
    struct span value;
    enum ks_status st;

    key_begin(&from);
    while ((st = txn_seek(txn, KV_TENANT, key_span(&from), &key, &value, why)) == KS_OK) {
        struct space_counts counts;

        if (key.len != 4) {
            return txn_corrupt(txn, why, "a tenant has a key of %zu bytes", key.len);
        }
        key_step(&from, key);
        st = space_counts_get(txn, key_read_space(key), &counts, why);
        if (st != KS_OK) {
            return st;
        }
        out->tenants++;
        out->devices += counts.devices;
        out->credentials += counts.credentials;
    }
    return st == KS_NOT_FOUND ? KS_OK : st;
}

enum ks_status store_stat(struct store_txn *txn, struct store_stat *out, struct ks_failure *why)
{
    struct store_stat found = {.instance = txn->store->instance};
    struct ks_failure here = {0};
    struct kv_stat kv = {0};
    enum ks_status st = txn->error;

    if (st == KS_OK) {
        st = txn->store->kv->engine->stat(txn->kv, &kv, &here);
    }
    st = txn_result(txn, st, &here, why);
    if (st == KS_OK) {
        st = count_live(txn, &found, why);
    }
    if (st == KS_OK) {
        st = store_outbox_depth(txn, &found.outbox, why);
    }
    if (st != KS_OK) {
        return st;
    }
    found.purging = kv.entries[KV_PURGE];
    found.bytes_used = kv.bytes_used;
    found.bytes_map = kv.bytes_map;
    *out = found;
    return KS_OK;
}
