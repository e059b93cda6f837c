#include "store/load_kv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/span.h"
#include "store/sorter.h"

enum {
    COMMIT_BYTES = 32 << 20, /* of a transaction behind: well below what LMDB keeps in memory */
    PROGRESS_EVERY = 10000,  /* entries */
    COUNTER_MAX = 64,        /* bytes of a counter record */
    SORT_KEY_MAX = 1 + KV_KEY_MAX,
};

/* What becomes of two entries of one key. */
enum meeting {
    MEET_UNIQUE, /* a conflict */
    MEET_SAME,   /* one of them, if they are equal; else a conflict */
    MEET_ADD_32, /* numbers of 32, of 64 bits, little-endian, are added up */
    MEET_ADD_64,
};

static const enum meeting meetings[KV_TABLES] = {
    [KV_TENANT_CA] = MEET_SAME,
    [KV_GROUP] = MEET_SAME,
    [KV_GATEWAY] = MEET_ADD_32,
    [KV_TENANT_STAT] = MEET_ADD_64,
};

/* The entry of KV_TENANT_STAT that was put last: counting a device in reads what the one before
 * made of it. */
struct counter {
    struct buf key;
    char value[COUNTER_MAX];
    size_t len;
    uint64_t place;
};

struct load_kv {
    struct kv kv; /* first */
    struct kv *behind;
    struct load_kv_options options;
    struct sorter *sorter;
    uint64_t place;
    struct counter counter;
    bool has_conflict;
    struct load_conflict conflict;
};

struct kv_txn {
    struct load_kv *load;
    struct kv_txn *behind;
    bool writes;
};

static struct load_kv *load_of(struct kv *kv)
{
    return (struct load_kv *)kv;
}

static const struct kv_engine *engine_of(const struct kv_txn *txn)
{
    return txn->load->behind->engine;
}

/* ---- transactions ---- */

static enum ks_status begin(struct kv *kv, struct kv_txn **out, bool writes, struct ks_failure *why)
{
    struct load_kv *load = load_of(kv);
    struct kv_txn *txn = calloc(1, sizeof(*txn));
    enum ks_status st;

    if (txn == NULL) {
        abort();
    }
    txn->load = load;
    txn->writes = writes;
    st = writes ? load->behind->engine->write_begin(load->behind, &txn->behind, why)
                : load->behind->engine->read_begin(load->behind, &txn->behind, why);
    if (st != KS_OK) {
        free(txn);
        return st;
    }
    *out = txn;
    return KS_OK;
}

static enum ks_status read_begin(struct kv *kv, struct kv_txn **out, struct ks_failure *why)
{
    return begin(kv, out, false, why);
}

static enum ks_status write_begin(struct kv *kv, struct kv_txn **out, struct ks_failure *why)
{
    return begin(kv, out, true, why);
}

static enum ks_status read_renew(struct kv_txn *txn, struct ks_failure *why)
{
    return engine_of(txn)->read_renew(txn->behind, why);
}

static void read_reset(struct kv_txn *txn)
{
    engine_of(txn)->read_reset(txn->behind);
}

static void read_end(struct kv_txn *txn)
{
    engine_of(txn)->read_end(txn->behind);
    free(txn);
}

static void abort_txn(struct kv_txn *txn)
{
    engine_of(txn)->abort(txn->behind);
    free(txn);
}

/* ---- putting ---- */

static enum ks_status add(struct load_kv *load, enum kv_table table, struct span key,
                          uint64_t place, size_t len, char **room, struct ks_failure *why)
{
    char sort_key[SORT_KEY_MAX];

    assert(key.len > 0 && key.len <= KV_KEY_MAX);
    sort_key[0] = (char)table;
    memcpy(sort_key + 1, key.ptr, key.len);
    return sorter_add(load->sorter, span_of(sort_key, 1 + key.len), place, len, room, why);
}

static enum ks_status flush_counter(struct load_kv *load, struct ks_failure *why)
{
    struct counter *counter = &load->counter;
    char *room = NULL;
    enum ks_status st;

    if (counter->key.len == 0) {
        return KS_OK;
    }
    st = add(load, KV_TENANT_STAT, buf_span(&counter->key), counter->place, counter->len, &room,
             why);
    if (st == KS_OK) {
        memcpy(room, counter->value, counter->len);
        buf_clear(&counter->key);
    }
    return st;
}

static enum ks_status put_counter(struct load_kv *load, struct span key, size_t len, char **room,
                                  struct ks_failure *why)
{
    struct counter *counter = &load->counter;
    enum ks_status st = KS_OK;

    assert(len <= COUNTER_MAX);
    if (!span_eq(buf_span(&counter->key), key)) {
        st = flush_counter(load, why);
        buf_clear(&counter->key);
        buf_add_span(&counter->key, key);
        counter->place = load->place;
    }
    counter->len = len;
    *room = counter->value;
    return st;
}

static enum ks_status put(struct kv_txn *txn, enum kv_table table, struct span key, size_t len,
                          char **room, struct ks_failure *why)
{
    struct load_kv *load = txn->load;

    if (table == KV_META) {
        return engine_of(txn)->put(txn->behind, table, key, len, room, why);
    }
    return table == KV_TENANT_STAT ? put_counter(load, key, len, room, why)
                                   : add(load, table, key, load->place, len, room, why);
}

static enum ks_status get(struct kv_txn *txn, enum kv_table table, struct span key,
                          struct span *value, struct ks_failure *why)
{
    const struct counter *counter = &txn->load->counter;

    if (!txn->writes || table == KV_META) {
        return engine_of(txn)->get(txn->behind, table, key, value, why);
    }
    if (table == KV_TENANT_STAT && span_eq(buf_span(&counter->key), key)) {
        *value = span_of(counter->value, counter->len);
        return KS_OK;
    }
    return KS_NOT_FOUND;
}

static enum ks_status seek(struct kv_txn *txn, enum kv_table table, struct span from,
                           struct span *key, struct span *value, struct ks_failure *why)
{
    return txn->writes ? KS_NOT_FOUND
                       : engine_of(txn)->seek(txn->behind, table, from, key, value, why);
}

static enum ks_status del(struct kv_txn *txn, enum kv_table table, struct span key,
                          struct ks_failure *why)
{
    (void)txn;
    (void)table;
    (void)key;
    return ks_fail(why, KS_INVALID, NULL, "nothing is deleted while a store is filled");
}

static enum ks_status stat_of(struct kv_txn *txn, struct kv_stat *out, struct ks_failure *why)
{
    return engine_of(txn)->stat(txn->behind, out, why);
}

/* ---- the commit: all that was put, in order, behind each other ---- */

struct filling {
    struct load_kv *load;
    struct kv_txn *txn; /* of the engine behind; NULL: none is open */
    size_t bytes;       /* in it */
    bool holds;         /* an entry, until it is clear that none of its key follows */
    uint64_t place;     /* of the one that is held */
    struct buf key;     /* with the table in front */
    struct buf value;
};

static enum ks_status commit_behind(struct filling *f, struct ks_failure *why)
{
    struct kv_txn *txn = f->txn;

    f->txn = NULL;
    f->bytes = 0;
    return txn == NULL ? KS_OK : f->load->behind->engine->commit(txn, why);
}

/* Writes the entry that is held. */
static enum ks_status let_go(struct filling *f, struct ks_failure *why)
{
    const struct kv_engine *engine = f->load->behind->engine;
    struct span key = buf_span(&f->key);
    char *room = NULL;
    enum ks_status st = KS_OK;

    if (!f->holds) {
        return KS_OK;
    }
    f->holds = false;
    if (f->bytes >= COMMIT_BYTES) {
        st = commit_behind(f, why);
    }
    if (st == KS_OK && f->txn == NULL) {
        st = engine->write_begin(f->load->behind, &f->txn, why);
    }
    if (st == KS_OK) {
        st = engine->append(f->txn, (enum kv_table)key.ptr[0], span_of(key.ptr + 1, key.len - 1),
                            f->value.len, &room, why);
    }
    if (st == KS_OK && f->value.len > 0) {
        memcpy(room, f->value.ptr, f->value.len);
    }
    f->bytes += key.len + f->value.len;
    return st;
}

static void hold(struct filling *f, const struct sorter_entry *entry)
{
    buf_clear(&f->key);
    buf_clear(&f->value);
    buf_add_span(&f->key, entry->key);
    buf_add_span(&f->value, entry->value);
    f->place = entry->place;
    f->holds = true;
}

static void add_up(char *to, struct span from, size_t width)
{
    for (size_t at = 0; at + width <= from.len; at += width) {
        unsigned carry = 0;

        for (size_t i = at; i < at + width; i++) {
            carry += (unsigned char)to[i] + (unsigned)(unsigned char)from.ptr[i];
            to[i] = (char)carry;
            carry >>= 8;
        }
    }
}

static enum ks_status conflict(struct filling *f, enum kv_table table, uint64_t second,
                               struct ks_failure *why)
{
    static const char *const texts[KV_TABLES] = {
        [KV_TENANT_ID] = "the id of the tenant is taken",
        [KV_TENANT_ALIAS] = "the alias of the tenant is taken",
        [KV_DEVICE] = "the tenant has a device with this id",
        [KV_AUTH] = "the tenant has credentials of this type with this auth-id",
    };

    f->load->has_conflict = true;
    f->load->conflict = (struct load_conflict){.table = table, .first = f->place, .second = second};
    return ks_fail(why, KS_EXISTS, NULL, "%s",
                   texts[table] != NULL ? texts[table] : "two entries have one key");
}

/* An entry of the key that is held. */
static enum ks_status meet(struct filling *f, const struct sorter_entry *entry,
                           struct ks_failure *why)
{
    enum kv_table table = (enum kv_table)entry->key.ptr[0];

    switch (meetings[table]) {
    case MEET_ADD_32:
    case MEET_ADD_64:
        if (f->value.len == entry->value.len) {
            add_up(f->value.ptr, entry->value, meetings[table] == MEET_ADD_32 ? 4 : 8);
            return KS_OK;
        }
        break;
    case MEET_SAME:
        if (span_eq(buf_span(&f->value), entry->value)) {
            return KS_OK;
        }
        break;
    case MEET_UNIQUE:
        break;
    }
    return conflict(f, table, entry->place, why);
}

static enum ks_status take(struct filling *f, const struct sorter_entry *entry,
                           struct ks_failure *why)
{
    enum ks_status st;

    if (f->holds && span_eq(buf_span(&f->key), entry->key)) {
        return meet(f, entry, why);
    }
    st = let_go(f, why);
    if (st == KS_OK) {
        hold(f, entry);
    }
    return st;
}

static void tell_progress(const struct load_kv *load, uint64_t done)
{
    if (load->options.progress != NULL) {
        load->options.progress(load->options.arg, done, sorter_count(load->sorter));
    }
}

static enum ks_status fill(struct filling *f, struct ks_failure *why)
{
    struct load_kv *load = f->load;
    struct sorter_entry entry;
    uint64_t done = 0;
    enum ks_status st = flush_counter(load, why);

    if (st == KS_OK) {
        st = sorter_sort(load->sorter, why);
    }
    while (st == KS_OK && (st = sorter_next(load->sorter, &entry, why)) == KS_OK) {
        st = take(f, &entry, why);
        if (++done % PROGRESS_EVERY == 0) {
            tell_progress(load, done);
        }
    }
    if (st == KS_NOT_FOUND) {
        st = let_go(f, why);
    }
    if (st == KS_OK) {
        st = commit_behind(f, why);
        tell_progress(load, done);
    }
    return st;
}

static enum ks_status commit(struct kv_txn *txn, struct ks_failure *why)
{
    struct filling f = {.load = txn->load};
    enum ks_status st = engine_of(txn)->commit(txn->behind, why);

    free(txn);
    if (st != KS_OK || (f.load->counter.key.len == 0 && sorter_count(f.load->sorter) == 0)) {
        return st;
    }
    buf_init(&f.key, SORT_KEY_MAX);
    buf_init(&f.value, KV_VALUE_MAX);
    st = fill(&f, why);
    if (f.txn != NULL) {
        f.load->behind->engine->abort(f.txn);
    }
    buf_done(&f.key);
    buf_done_secret(&f.value);
    return st;
}

/* ---- the engine ---- */

static bool read_only(const struct kv *kv)
{
    const struct kv *behind = ((const struct load_kv *)kv)->behind;

    return behind->engine->read_only(behind);
}

static void close_kv(struct kv *kv)
{
    struct load_kv *load = load_of(kv);

    load->behind->engine->close(load->behind);
    sorter_close(load->sorter);
    buf_done(&load->counter.key);
    free(load);
}

struct kv *load_kv_open(struct kv *behind, const struct load_kv_options *options)
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
        .append = put,
        .del = del,
        .seek = seek,
        .stat = stat_of,
        .read_only = read_only,
        .close = close_kv,
    };
    struct load_kv *load = calloc(1, sizeof(*load));

    if (load == NULL) {
        abort();
    }
    load->kv.engine = &engine;
    load->behind = behind;
    load->options = *options;
    load->sorter = sorter_open(options->dir, options->memory);
    buf_init(&load->counter.key, KV_KEY_MAX);
    return &load->kv;
}

void load_kv_at(struct kv *kv, uint64_t place)
{
    load_of(kv)->place = place;
}

bool load_kv_conflict(const struct kv *kv, struct load_conflict *out)
{
    const struct load_kv *load = (const struct load_kv *)kv;

    if (load->has_conflict) {
        *out = load->conflict;
    }
    return load->has_conflict;
}
