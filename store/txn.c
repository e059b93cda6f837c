#include "store/txn.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store/bytes.h"

enum ks_status txn_result(struct store_txn *txn, enum ks_status status,
                          const struct ks_failure *from, struct ks_failure *why)
{
    if (txn->error == KS_OK && (status == KS_OK || status == KS_NOT_FOUND)) {
        return status;
    }
    if (txn->error == KS_OK) {
        txn->error = status;
        txn->why = *from;
    }
    if (why != NULL) {
        *why = txn->why;
    }
    return txn->error;
}

enum ks_status txn_corrupt(struct store_txn *txn, struct ks_failure *why, const char *format, ...)
{
    struct ks_failure here = {0};
    va_list args;

    va_start(args, format);
    (void)vsnprintf(here.text, sizeof(here.text), format, args);
    va_end(args);
    return txn_result(txn, KS_CORRUPT, &here, why);
}

enum ks_status txn_unreadable(struct store_txn *txn, const char *what, uint32_t space,
                              struct span id, struct ks_failure *why)
{
    return txn_corrupt(txn, why,
                       "the record of %s %.*s in key space %u cannot be read (damaged, or written "
                       "by a newer Koseki)",
                       what, SPAN_ARG(id), space);
}

/* ---- the engine's calls: nothing is called after a failure ---- */

enum ks_status txn_get(struct store_txn *txn, enum kv_table table, const struct key *key,
                       struct span *value, struct ks_failure *why)
{
    struct ks_failure here = {0};
    enum ks_status st = txn->error;

    if (st == KS_OK) {
        st = txn->store->kv->engine->get(txn->kv, table, key_span(key), value, &here);
    }
    return txn_result(txn, st, &here, why);
}

enum ks_status txn_put(struct store_txn *txn, enum kv_table table, const struct key *key,
                       struct span value, struct ks_failure *why)
{
    struct ks_failure here = {0};
    char *room = NULL;
    enum ks_status st = txn->error;

    if (st == KS_OK) {
        txn->writes++;
        st = txn->store->kv->engine->put(txn->kv, table, key_span(key), value.len, &room, &here);
    }
    if (st == KS_OK && value.len > 0) {
        memcpy(room, value.ptr, value.len);
    }
    return txn_result(txn, st, &here, why);
}

enum ks_status txn_del(struct store_txn *txn, enum kv_table table, const struct key *key,
                       struct ks_failure *why)
{
    struct ks_failure here = {0};
    enum ks_status st = txn->error;

    if (st == KS_OK) {
        txn->writes++;
        st = txn->store->kv->engine->del(txn->kv, table, key_span(key), &here);
    }
    st = txn_result(txn, st, &here, why);
    return st == KS_NOT_FOUND ? KS_OK : st;
}

enum ks_status txn_seek(struct store_txn *txn, enum kv_table table, struct span from,
                        struct span *key, struct span *value, struct ks_failure *why)
{
    struct ks_failure here = {0};
    enum ks_status st = txn->error;

    if (st == KS_OK) {
        st = txn->store->kv->engine->seek(txn->kv, table, from, key, value, &here);
    }
    return txn_result(txn, st, &here, why);
}

/* ---- numbers of META: 8 bytes, little-endian ---- */

enum ks_status txn_meta_get(struct store_txn *txn, const char *name, uint64_t *value,
                            struct ks_failure *why)
{
    struct key key;
    struct span found;
    size_t at = 0;
    enum ks_status st;

    key_begin(&key);
    key_add_text(&key, span_cstr(name));
    st = txn_get(txn, KV_META, &key, &found, why);
    if (st == KS_NOT_FOUND) {
        *value = 0;
        return KS_OK;
    }
    if (st == KS_OK && (found.len != 8 || !bytes_get(found, &at, 8, value))) {
        return txn_corrupt(txn, why, "the meta entry %s has %zu bytes", name, found.len);
    }
    return st;
}

enum ks_status txn_meta_put(struct store_txn *txn, const char *name, uint64_t value,
                            struct ks_failure *why)
{
    struct key key;

    key_begin(&key);
    key_add_text(&key, span_cstr(name));
    buf_clear(&txn->scratch);
    bytes_put(&txn->scratch, value, 8);
    return txn_put(txn, KV_META, &key, buf_span(&txn->scratch), why);
}
