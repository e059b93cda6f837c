#include "support/fault_kv.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "store/kv.h"

struct fault_kv {
    struct kv kv; /* first */
    struct kv *inner;
    _Atomic int commit_status;
    _Atomic int put_status;
    _Atomic size_t puts;
    _Atomic size_t commits;
    _Atomic size_t most_deletions;
};

struct kv_txn {
    struct fault_kv *kv;
    struct kv_txn *inner; /* of the inner engine's own kind */
    size_t puts;
    size_t deletions;
};

static struct fault_kv *fault_of(struct kv *kv)
{
    return (struct fault_kv *)kv;
}

static enum ks_status begin_with(struct kv *kv, struct kv_txn **out, struct ks_failure *why,
                                 enum ks_status (*begin)(struct kv *kv, struct kv_txn **out,
                                                         struct ks_failure *why))
{
    struct fault_kv *fault = fault_of(kv);
    struct kv_txn *txn = calloc(1, sizeof(*txn));
    enum ks_status st;

    if (txn == NULL) {
        abort();
    }
    txn->kv = fault;
    st = begin(fault->inner, &txn->inner, why);
    if (st != KS_OK) {
        free(txn);
        return st;
    }
    *out = txn;
    return KS_OK;
}

static const struct kv_engine *engine_of(const struct kv_txn *txn)
{
    return txn->kv->inner->engine;
}

static enum ks_status read_begin(struct kv *kv, struct kv_txn **out, struct ks_failure *why)
{
    return begin_with(kv, out, why, fault_of(kv)->inner->engine->read_begin);
}

static enum ks_status write_begin(struct kv *kv, struct kv_txn **out, struct ks_failure *why)
{
    return begin_with(kv, out, why, fault_of(kv)->inner->engine->write_begin);
}

static enum ks_status read_renew(struct kv_txn *txn, struct ks_failure *why)
{
    return engine_of(txn)->read_renew(txn->inner, why);
}

static void read_reset(struct kv_txn *txn)
{
    engine_of(txn)->read_reset(txn->inner);
}

static void read_end(struct kv_txn *txn)
{
    engine_of(txn)->read_end(txn->inner);
    free(txn);
}

static void abort_txn(struct kv_txn *txn)
{
    engine_of(txn)->abort(txn->inner);
    free(txn);
}

static enum ks_status commit(struct kv_txn *txn, struct ks_failure *why)
{
    struct fault_kv *fault = txn->kv;
    enum ks_status st = (enum ks_status)atomic_load(&fault->commit_status);

    if (txn->deletions > atomic_load(&fault->most_deletions)) {
        atomic_store(&fault->most_deletions, txn->deletions);
    }
    if (st != KS_OK) {
        abort_txn(txn);
        return ks_fail(why, st, "injected", "a fault at commit");
    }
    st = engine_of(txn)->commit(txn->inner, why);
    free(txn);
    if (st == KS_OK) {
        atomic_fetch_add(&fault->commits, 1);
    }
    return st;
}

static enum ks_status get(struct kv_txn *txn, enum kv_table table, struct span key,
                          struct span *value, struct ks_failure *why)
{
    return engine_of(txn)->get(txn->inner, table, key, value, why);
}

static enum ks_status put(struct kv_txn *txn, enum kv_table table, struct span key, size_t len,
                          char **room, struct ks_failure *why)
{
    enum ks_status st = (enum ks_status)atomic_load(&txn->kv->put_status);

    if (st != KS_OK && ++txn->puts > atomic_load(&txn->kv->puts)) {
        return ks_fail(why, st, "injected", "a fault at a put");
    }
    return engine_of(txn)->put(txn->inner, table, key, len, room, why);
}

static enum ks_status append(struct kv_txn *txn, enum kv_table table, struct span key, size_t len,
                             char **room, struct ks_failure *why)
{
    enum ks_status st = (enum ks_status)atomic_load(&txn->kv->put_status);

    if (st != KS_OK && ++txn->puts > atomic_load(&txn->kv->puts)) {
        return ks_fail(why, st, "injected", "a fault at an append");
    }
    return engine_of(txn)->append(txn->inner, table, key, len, room, why);
}

static enum ks_status del(struct kv_txn *txn, enum kv_table table, struct span key,
                          struct ks_failure *why)
{
    txn->deletions++;
    return engine_of(txn)->del(txn->inner, table, key, why);
}

static enum ks_status seek(struct kv_txn *txn, enum kv_table table, struct span from,
                           struct span *key, struct span *value, struct ks_failure *why)
{
    return engine_of(txn)->seek(txn->inner, table, from, key, value, why);
}

static enum ks_status stat_of(struct kv_txn *txn, struct kv_stat *out, struct ks_failure *why)
{
    return engine_of(txn)->stat(txn->inner, out, why);
}

static bool read_only(const struct kv *kv)
{
    const struct kv *inner = ((const struct fault_kv *)kv)->inner;

    return inner->engine->read_only(inner);
}

static void close_kv(struct kv *kv)
{
    struct kv *inner = fault_of(kv)->inner;

    inner->engine->close(inner);
    free(kv);
}

struct kv *fault_kv_open(struct kv *inner)
{
    static const struct kv_engine engine = {
        .read_begin = read_begin,
        .read_renew = read_renew,
        .read_reset = read_reset,
        .read_end = read_end,
        .write_begin = write_begin,
        .commit = commit,
        .abort = abort_txn,
        .get = get,
        .put = put,
        .append = append,
        .del = del,
        .seek = seek,
        .stat = stat_of,
        .read_only = read_only,
        .close = close_kv,
    };
    struct fault_kv *fault = calloc(1, sizeof(*fault));

    if (fault == NULL) {
        abort();
    }
    fault->kv.engine = &engine;
    fault->inner = inner;
    return &fault->kv;
}

void fault_kv_fail_commits(struct kv *kv, enum ks_status status)
{
    atomic_store(&fault_of(kv)->commit_status, (int)status);
}

void fault_kv_fail_puts(struct kv *kv, size_t count, enum ks_status status)
{
    atomic_store(&fault_of(kv)->puts, count);
    atomic_store(&fault_of(kv)->put_status, (int)status);
}

size_t fault_kv_commits(const struct kv *kv)
{
    return atomic_load(&((const struct fault_kv *)kv)->commits);
}

size_t fault_kv_most_deletions(const struct kv *kv)
{
    return atomic_load(&((const struct fault_kv *)kv)->most_deletions);
}
