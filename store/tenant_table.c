/* Tenants: the record by key-space number, the indexes by id, alias and CA. */
#include <assert.h>
#include <string.h>

#include "store/record.h"
#include "store/space_counts.h"
#include "store/txn.h"

/* ---- indexes ---- */

static enum ks_status put_space(struct store_txn *txn, enum kv_table table, const struct key *key,
                                uint32_t space, struct span full, struct ks_failure *why)
{
    struct key number;

    key_of_space(&number, space);
    buf_clear(&txn->scratch);
    buf_add_span(&txn->scratch, key_span(&number));
    buf_add_span(&txn->scratch, full);
    return txn_put(txn, table, key, buf_span(&txn->scratch), why);
}

static void id_key(struct key *key, struct span id)
{
    key_begin(key);
    key_add_text(key, id);
}

static void alias_key(struct key *key, struct span alias)
{
    key_begin(key);
    key_add_name(key, alias);
}

static enum ks_status add_indexes(struct store_txn *txn, const struct store_tenant *tenant,
                                  uint32_t space, struct ks_failure *why)
{
    struct key key;
    struct store_ca ca;
    size_t at = 0;
    enum ks_status st;

    id_key(&key, tenant->id);
    st = put_space(txn, KV_TENANT_ID, &key, space, span_of(NULL, 0), why);
    if (st == KS_OK && tenant->alias.len > 0) {
        alias_key(&key, tenant->alias);
        st = put_space(txn, KV_TENANT_ALIAS, &key, space, tenant->alias, why);
    }
    while (st == KS_OK && store_cas_next(tenant->cas, &at, &ca)) {
        key_of_tenant_ca(&key, ca.subject_dn, space);
        st = txn_put(txn, KV_TENANT_CA, &key, ca.subject_dn, why);
    }
    return st;
}

static enum ks_status remove_indexes(struct store_txn *txn, const struct store_tenant *tenant,
                                     struct ks_failure *why)
{
    struct key key;
    struct store_ca ca;
    size_t at = 0;
    enum ks_status st;

    id_key(&key, tenant->id);
    st = txn_del(txn, KV_TENANT_ID, &key, why);
    if (st == KS_OK && tenant->alias.len > 0) {
        alias_key(&key, tenant->alias);
        st = txn_del(txn, KV_TENANT_ALIAS, &key, why);
    }
    while (st == KS_OK && store_cas_next(tenant->cas, &at, &ca)) {
        key_of_tenant_ca(&key, ca.subject_dn, tenant->space);
        st = txn_del(txn, KV_TENANT_CA, &key, why);
    }
    return st;
}

/* A tenant whose spans outlive the writes to come: those of a found one do not. */
static struct store_tenant keep(struct store_txn *txn, const struct store_tenant *tenant)
{
    struct store_tenant kept = *tenant;
    struct span *spans[] = {&kept.id,
                            &kept.alias,
                            &kept.cas,
                            &kept.trust_anchor_group,
                            &kept.document,
                            &kept.answer.text,
                            &kept.answer.segments};

    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        *spans[i] = arena_span(&txn->arena, *spans[i]);
    }
    return kept;
}

static enum ks_status put_record(struct store_txn *txn, const struct store_tenant *tenant,
                                 uint32_t space, struct ks_failure *why)
{
    struct key key;

    key_of_space(&key, space);
    buf_clear(&txn->scratch);
    record_encode_tenant(tenant, &txn->scratch);
    assert(!txn->scratch.overflow); /* the edge bounds documents far below */
    return txn_put(txn, KV_TENANT, &key, buf_span(&txn->scratch), why);
}

/* ---- look-ups ---- */

static enum ks_status find_space(struct store_txn *txn, enum kv_table table, const struct key *key,
                                 struct span full, uint32_t *space, struct ks_failure *why)
{
    struct span value;
    enum ks_status st = txn_get(txn, table, key, &value, why);

    if (st != KS_OK) {
        return st;
    }
    if (value.len < 4) {
        return txn_corrupt(txn, why, "a tenant index entry has %zu bytes", value.len);
    }
    if (!span_eq(span_of(value.ptr + 4, value.len - 4), full)) {
        return KS_NOT_FOUND; /* another name with the same hash */
    }
    *space = key_read_space(value);
    return KS_OK;
}

enum ks_status store_tenant_find(struct store_txn *txn, struct span id, uint32_t *space,
                                 struct ks_failure *why)
{
    struct key key;

    if (id.len == 0 || id.len > STORE_ID_MAX) {
        return KS_NOT_FOUND;
    }
    id_key(&key, id);
    return find_space(txn, KV_TENANT_ID, &key, span_of(NULL, 0), space, why);
}

enum ks_status store_tenant_find_alias(struct store_txn *txn, struct span alias, uint32_t *space,
                                       struct ks_failure *why)
{
    struct key key;

    if (alias.len == 0 || alias.len > STORE_NAME_MAX) {
        return KS_NOT_FOUND;
    }
    alias_key(&key, alias);
    return find_space(txn, KV_TENANT_ALIAS, &key, alias, space, why);
}

enum ks_status store_tenant_find_ca(struct store_txn *txn, struct span subject_dn, uint32_t *spaces,
                                    size_t max, size_t *count, struct ks_failure *why)
{
    struct key from;
    struct key prefix;
    size_t n = 0;

    if (subject_dn.len > STORE_NAME_MAX || span_has_nul(subject_dn)) {
        *count = 0;
        return KS_OK;
    }
    key_of_tenant_ca(&prefix, subject_dn, 0);
    prefix.len -= 4;
    from = prefix;
    while (n < max) {
        struct span key;
        struct span dn;
        enum ks_status st = txn_seek(txn, KV_TENANT_CA, key_span(&from), &key, &dn, why);

        if (st == KS_NOT_FOUND ||
            (st == KS_OK &&
             (key.len != prefix.len + 4 || memcmp(key.ptr, prefix.bytes, prefix.len) != 0))) {
            break;
        }
        if (st != KS_OK) {
            return st;
        }
        if (span_eq(dn, subject_dn)) {
            spaces[n++] = key_read_space(span_of(key.ptr + prefix.len, 4));
        }
        key_step(&from, key);
    }
    *count = n;
    return KS_OK;
}

enum ks_status store_tenant_get(struct store_txn *txn, uint32_t space, struct store_tenant *out,
                                struct ks_failure *why)
{
    struct key key;
    struct span value;
    enum ks_status st;

    key_of_space(&key, space);
    st = txn_get(txn, KV_TENANT, &key, &value, why);
    if (st == KS_OK && !record_decode_tenant(value, space, out)) {
        return txn_unreadable(txn, "a tenant", space, span_of(NULL, 0), why);
    }
    return st;
}

/* The entry of the index by id behind `after`; the key is the id. */
static enum ks_status seek_id(struct store_txn *txn, struct span after, struct span *key,
                              struct span *value, struct ks_failure *why)
{
    struct key from;
    enum ks_status st;

    if (after.len > STORE_ID_MAX) {
        return KS_NOT_FOUND;
    }
    key_begin(&from);
    if (after.len > 0) {
        key_step(&from, after);
    }
    st = txn_seek(txn, KV_TENANT_ID, key_span(&from), key, value, why);
    return st != KS_OK || key->len <= STORE_ID_MAX
               ? st
               : txn_corrupt(txn, why, "a tenant's id has %zu bytes", key->len);
}

enum ks_status store_tenant_next_id(struct store_txn *txn, struct span after, struct span *id,
                                    struct ks_failure *why)
{
    struct span value;

    return seek_id(txn, after, id, &value, why);
}

enum ks_status store_tenant_next(struct store_txn *txn, struct span after, struct store_tenant *out,
                                 struct ks_failure *why)
{
    struct span key;
    struct span value;
    enum ks_status st = seek_id(txn, after, &key, &value, why);

    if (st != KS_OK) {
        return st;
    }
    if (value.len != 4) {
        return txn_corrupt(txn, why, "a tenant index entry has %zu bytes", value.len);
    }
    st = store_tenant_get(txn, key_read_space(value), out, why);
    return st == KS_NOT_FOUND
               ? txn_corrupt(txn, why, "the index by id names tenant %.*s in vain", SPAN_ARG(key))
               : st;
}

enum ks_status store_tenant_count(struct store_txn *txn, uint64_t *count, struct ks_failure *why)
{
    struct ks_failure here = {0};
    struct kv_stat stat = {0};
    enum ks_status st = txn->error;

    if (st == KS_OK) {
        st = txn->store->kv->engine->stat(txn->kv, &stat, &here);
    }
    st = txn_result(txn, st, &here, why);
    if (st == KS_OK) {
        *count = stat.entries[KV_TENANT_ID];
    }
    return st;
}

/* ---- changes ---- */

/* KS_EXISTS if another tenant than `space` has the alias, or one with the same hash. */
static enum ks_status check_alias(struct store_txn *txn, struct span alias, uint32_t space,
                                  struct ks_failure *why)
{
    struct key key;
    struct span value;
    enum ks_status st;

    if (alias.len == 0) {
        return KS_OK;
    }
    assert(alias.len <= STORE_NAME_MAX);
    alias_key(&key, alias);
    st = txn_get(txn, KV_TENANT_ALIAS, &key, &value, why);
    if (st == KS_OK && value.len >= 4 && key_read_space(value) != space) {
        return ks_fail(why, KS_EXISTS, "alias-taken", "another tenant has the alias %.*s",
                       SPAN_ARG(alias));
    }
    return st == KS_NOT_FOUND ? KS_OK : st;
}

static enum ks_status draw_space(struct store_txn *txn, uint32_t *space, struct ks_failure *why)
{
    uint64_t next;
    enum ks_status st = txn_meta_get(txn, meta_next_space, &next, why);

    if (st != KS_OK) {
        return st;
    }
    if (next == 0 || next > UINT32_MAX) {
        struct ks_failure here;

        st = ks_fail(&here, KS_FULL, "store-full", "all key-space numbers have been used");
        return txn_result(txn, st, &here, why);
    }
    *space = (uint32_t)next;
    return txn_meta_put(txn, meta_next_space, next + 1, why);
}

static enum ks_status put_in_new_space(struct store_txn *txn, const struct store_tenant *tenant,
                                       uint32_t *space, struct ks_failure *why)
{
    enum ks_status st = draw_space(txn, space, why);

    txn->touches_tenants = true;
    if (st == KS_OK) {
        st = put_record(txn, tenant, *space, why);
    }
    if (st == KS_OK) {
        st = add_indexes(txn, tenant, *space, why);
    }
    return st == KS_OK ? space_counts_add(txn, *space, (struct space_change){0}, why) : st;
}

enum ks_status store_tenant_insert(struct store_txn *txn, const struct store_tenant *tenant,
                                   uint32_t *space, struct ks_failure *why)
{
    struct store_tenant kept;
    uint32_t drawn = 0;
    enum ks_status st = store_tenant_find(txn, tenant->id, &drawn, why);

    assert(tenant->id.len > 0 && tenant->id.len <= STORE_ID_MAX);
    if (st == KS_OK) {
        return ks_fail(why, KS_EXISTS, "id-taken", "there is a tenant with the id %.*s",
                       SPAN_ARG(tenant->id));
    }
    if (st == KS_NOT_FOUND) {
        st = check_alias(txn, tenant->alias, 0, why);
    }
    if (st != KS_OK) {
        return st;
    }
    arena_reset(&txn->arena);
    kept = keep(txn, tenant);
    st = put_in_new_space(txn, &kept, &drawn, why);
    if (st == KS_OK) {
        *space = drawn;
    }
    return st;
}

static enum ks_status get_kept(struct store_txn *txn, uint32_t space, struct store_tenant *out,
                               struct ks_failure *why)
{
    struct store_tenant found;
    enum ks_status st = store_tenant_get(txn, space, &found, why);

    if (st == KS_OK) {
        *out = keep(txn, &found);
    }
    return st;
}

enum ks_status store_tenant_replace(struct store_txn *txn, const struct store_tenant *tenant,
                                    struct ks_failure *why)
{
    struct store_tenant old;
    struct store_tenant kept;
    enum ks_status st;

    arena_reset(&txn->arena);
    st = get_kept(txn, tenant->space, &old, why);
    if (st == KS_OK) {
        assert(span_eq(old.id, tenant->id));
        st = check_alias(txn, tenant->alias, tenant->space, why);
    }
    if (st != KS_OK) {
        return st;
    }
    kept = keep(txn, tenant);
    txn->touches_tenants = true;
    st = remove_indexes(txn, &old, why);
    if (st == KS_OK) {
        st = put_record(txn, &kept, kept.space, why);
    }
    return st == KS_OK ? add_indexes(txn, &kept, kept.space, why) : st;
}

/* The tenant goes; its key space with all that is in it is left to the purge. */
static enum ks_status retire(struct store_txn *txn, const struct store_tenant *tenant,
                             struct ks_failure *why)
{
    struct key key;
    enum ks_status st = remove_indexes(txn, tenant, why);

    txn->touches_tenants = true;
    key_of_space(&key, tenant->space);
    if (st == KS_OK) {
        st = txn_del(txn, KV_TENANT, &key, why);
    }
    return st == KS_OK ? txn_put(txn, KV_PURGE, &key, span_of(NULL, 0), why) : st;
}

enum ks_status store_tenant_delete(struct store_txn *txn, uint32_t space, struct ks_failure *why)
{
    struct store_tenant old;
    enum ks_status st;

    arena_reset(&txn->arena);
    st = get_kept(txn, space, &old, why);
    return st == KS_OK ? retire(txn, &old, why) : st;
}

enum ks_status store_device_delete_all(struct store_txn *txn, uint32_t *space,
                                       struct ks_failure *why)
{
    struct store_tenant tenant;
    uint32_t drawn = 0;
    enum ks_status st;

    arena_reset(&txn->arena);
    st = get_kept(txn, *space, &tenant, why);
    if (st == KS_OK) {
        st = retire(txn, &tenant, why);
    }
    if (st == KS_OK) {
        st = put_in_new_space(txn, &tenant, &drawn, why);
    }
    if (st == KS_OK) {
        *space = drawn;
    }
    return st;
}
