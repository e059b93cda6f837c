#include "support/array_kv.h"

#include <stdlib.h>
#include <string.h>

#include "store/kv.h"

struct entry {
    char *key;
    size_t key_len;
    char *value;
    size_t value_len;
};

struct table {
    struct entry *entry;
    size_t count;
};

struct array_disk {
    struct table table[KV_TABLES];
};

struct array_kv {
    struct kv kv; /* first */
    struct array_disk *disk;
    bool owns_disk;
};

struct kv_txn {
    struct array_kv *kv;
    struct table table[KV_TABLES];
};

static void *copy_bytes(const void *bytes, size_t len)
{
    char *copy = malloc(len + 1);

    if (copy == NULL) {
        abort();
    }
    if (len > 0) {
        memcpy(copy, bytes, len);
    }
    return copy;
}

static void clear(struct table *tables)
{
    for (size_t t = 0; t < KV_TABLES; t++) {
        for (size_t i = 0; i < tables[t].count; i++) {
            free(tables[t].entry[i].key);
            free(tables[t].entry[i].value);
        }
        free(tables[t].entry);
        tables[t] = (struct table){0};
    }
}

static void copy(struct table *to, const struct table *from)
{
    for (size_t t = 0; t < KV_TABLES; t++) {
        to[t].count = from[t].count;
        to[t].entry = calloc(from[t].count + 1, sizeof(struct entry));
        if (to[t].entry == NULL) {
            abort();
        }
        for (size_t i = 0; i < from[t].count; i++) {
            const struct entry *e = &from[t].entry[i];

            to[t].entry[i] = (struct entry){.key = copy_bytes(e->key, e->key_len),
                                            .key_len = e->key_len,
                                            .value = copy_bytes(e->value, e->value_len),
                                            .value_len = e->value_len};
        }
    }
}

/* The first entry at or behind the key. */
static size_t lower_bound(const struct table *table, struct span key)
{
    size_t i = 0;

    while (i < table->count &&
           span_cmp(span_of(table->entry[i].key, table->entry[i].key_len), key) < 0) {
        i++;
    }
    return i;
}

static bool is_at(const struct table *table, size_t i, struct span key)
{
    return i < table->count && span_eq(span_of(table->entry[i].key, table->entry[i].key_len), key);
}

static enum ks_status read_begin(struct kv *kv, struct kv_txn **out, struct ks_failure *why)
{
    struct kv_txn *txn = calloc(1, sizeof(*txn));

    (void)why;
    if (txn == NULL) {
        abort();
    }
    txn->kv = (struct array_kv *)kv;
    copy(txn->table, txn->kv->disk->table);
    *out = txn;
    return KS_OK;
}

static enum ks_status read_renew(struct kv_txn *txn, struct ks_failure *why)
{
    (void)why;
    clear(txn->table);
    copy(txn->table, txn->kv->disk->table);
    return KS_OK;
}

static void read_reset(struct kv_txn *txn)
{
    clear(txn->table);
}

static void end(struct kv_txn *txn)
{
    clear(txn->table);
    free(txn);
}

static enum ks_status commit(struct kv_txn *txn, struct ks_failure *why)
{
    (void)why;
    clear(txn->kv->disk->table);
    copy(txn->kv->disk->table, txn->table);
    end(txn);
    return KS_OK;
}

static enum ks_status get(struct kv_txn *txn, enum kv_table table, struct span key,
                          struct span *value, struct ks_failure *why)
{
    const struct table *t = &txn->table[table];
    size_t i = lower_bound(t, key);

    (void)why;
    if (!is_at(t, i, key)) {
        return KS_NOT_FOUND;
    }
    *value = span_of(t->entry[i].value, t->entry[i].value_len);
    return KS_OK;
}

/* Every span that was found so far dies. */
static void move_all(struct kv_txn *txn)
{
    struct table moved[KV_TABLES];

    copy(moved, txn->table);
    clear(txn->table);
    memcpy(txn->table, moved, sizeof(moved));
}

static enum ks_status put(struct kv_txn *txn, enum kv_table table, struct span key, size_t len,
                          char **room, struct ks_failure *why)
{
    struct table *t = &txn->table[table];
    size_t i = lower_bound(t, key);

    if (key.len == 0 || key.len > KV_KEY_MAX || len > KV_VALUE_MAX) {
        return ks_fail(why, KS_CORRUPT, NULL, "a key of %zu, a value of %zu bytes", key.len, len);
    }
    move_all(txn);
    if (!is_at(t, i, key)) {
        t->entry = realloc(t->entry, (t->count + 1) * sizeof(struct entry));
        if (t->entry == NULL) {
            abort();
        }
        memmove(&t->entry[i + 1], &t->entry[i], (t->count - i) * sizeof(struct entry));
        t->entry[i] = (struct entry){.key = copy_bytes(key.ptr, key.len), .key_len = key.len};
        t->count++;
    }
    free(t->entry[i].value);
    t->entry[i].value = malloc(len + 1);
    t->entry[i].value_len = len;
    *room = t->entry[i].value;
    return KS_OK;
}

static enum ks_status append(struct kv_txn *txn, enum kv_table table, struct span key, size_t len,
                             char **room, struct ks_failure *why)
{
    const struct table *t = &txn->table[table];
    size_t i = lower_bound(t, key);

    if (i < t->count) {
        return ks_fail(why, KS_EXISTS, NULL, "an entry is not behind all others");
    }
    return put(txn, table, key, len, room, why);
}

static enum ks_status del(struct kv_txn *txn, enum kv_table table, struct span key,
                          struct ks_failure *why)
{
    struct table *t = &txn->table[table];
    size_t i = lower_bound(t, key);

    (void)why;
    if (!is_at(t, i, key)) {
        return KS_NOT_FOUND;
    }
    move_all(txn);
    free(t->entry[i].key);
    free(t->entry[i].value);
    memmove(&t->entry[i], &t->entry[i + 1], (t->count - i - 1) * sizeof(struct entry));
    t->count--;
    return KS_OK;
}

static enum ks_status seek(struct kv_txn *txn, enum kv_table table, struct span from,
                           struct span *key, struct span *value, struct ks_failure *why)
{
    const struct table *t = &txn->table[table];
    size_t i = lower_bound(t, from);

    (void)why;
    if (i == t->count) {
        return KS_NOT_FOUND;
    }
    *key = span_of(t->entry[i].key, t->entry[i].key_len);
    *value = span_of(t->entry[i].value, t->entry[i].value_len);
    return KS_OK;
}

static enum ks_status stat_of(struct kv_txn *txn, struct kv_stat *out, struct ks_failure *why)
{
    (void)why;
    *out = (struct kv_stat){0};
    for (size_t t = 0; t < KV_TABLES; t++) {
        out->entries[t] = txn->table[t].count;
    }
    return KS_OK;
}

static bool read_only(const struct kv *kv)
{
    (void)kv;
    return false;
}

struct array_disk *array_disk_new(void)
{
    struct array_disk *disk = calloc(1, sizeof(*disk));

    if (disk == NULL) {
        abort();
    }
    return disk;
}

void array_disk_free(struct array_disk *disk)
{
    if (disk != NULL) {
        clear(disk->table);
        free(disk);
    }
}

static void close_kv(struct kv *kv)
{
    struct array_kv *array = (struct array_kv *)kv;

    if (array->owns_disk) {
        array_disk_free(array->disk);
    }
    free(array);
}

struct kv *array_kv_open(struct array_disk *disk)
{
    static const struct kv_engine engine = {
        .read_begin = read_begin,
        .read_renew = read_renew,
        .read_reset = read_reset,
        .read_end = end,
        .write_begin = read_begin,
        .commit = commit,
        .abort = end,
        .get = get,
        .put = put,
        .append = append,
        .del = del,
        .seek = seek,
        .stat = stat_of,
        .read_only = read_only,
        .close = close_kv,
    };
    struct array_kv *kv = calloc(1, sizeof(*kv));

    if (kv == NULL) {
        abort();
    }
    kv->kv.engine = &engine;
    kv->owns_disk = disk == NULL;
    kv->disk = disk == NULL ? array_disk_new() : disk;
    return &kv->kv;
}
