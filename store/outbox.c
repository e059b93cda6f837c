/* The outbox: two queues in the order of one sequence, which never goes back, and what is parked.
 */
#include "store/outbox.h"

#include <assert.h>

#include "store/record.h"
#include "store/space_counts.h"
#include "store/txn.h"

static const enum kv_table table_of[STORE_QUEUES] = {
    [STORE_EVENTS] = KV_OUTBOX, [STORE_NOTIFICATIONS] = KV_NOTIFICATION};

static enum store_queue queue_of(enum store_outbox_kind kind)
{
    return kind == STORE_OUTBOX_EVENT ? STORE_EVENTS : STORE_NOTIFICATIONS;
}

static void key_of_seq(struct key *key, uint64_t seq)
{
    key_begin(key);
    key_add_seq(key, seq);
}

/* ---- the queues ---- */

enum ks_status store_outbox_append(struct store_txn *txn, const struct store_outbox_entry *entry,
                                   uint64_t *seq, struct ks_failure *why)
{
    struct store_outbox_entry kept = *entry;
    struct span *spans[] = {&kept.tenant_id, &kept.device_id, &kept.gateway_id, &kept.body};
    struct key key;
    uint64_t last;
    enum ks_status st = txn_meta_get(txn, meta_outbox_seq, &last, why);

    arena_reset(&txn->arena);
    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        *spans[i] = arena_span(&txn->arena, *spans[i]); /* they may be those of a found record */
    }
    if (st == KS_OK) {
        st = txn_meta_put(txn, meta_outbox_seq, last + 1, why);
    }
    if (st != KS_OK) {
        return st;
    }
    key_of_seq(&key, last + 1);
    buf_clear(&txn->scratch);
    record_encode_outbox(&kept, &txn->scratch);
    st = txn_put(txn, table_of[queue_of(entry->kind)], &key, buf_span(&txn->scratch), why);
    if (st == KS_OK) {
        *seq = last + 1;
    }
    return st;
}

static enum ks_status decode(struct store_txn *txn, struct span value, uint64_t seq,
                             struct store_outbox_entry *out, struct ks_failure *why)
{
    return record_decode_outbox(value, out)
               ? KS_OK
               : txn_corrupt(txn, why,
                             "outbox entry %llu cannot be read (damaged, or written by a "
                             "newer Koseki)",
                             (unsigned long long)seq);
}

enum ks_status store_outbox_next(struct store_txn *txn, enum store_queue queue, uint64_t after,
                                 uint64_t *seq, struct store_outbox_entry *out,
                                 struct ks_failure *why)
{
    struct key from;
    struct span key;
    struct span value;
    enum ks_status st;

    key_of_seq(&from, after + 1);
    st = txn_seek(txn, table_of[queue], key_span(&from), &key, &value, why);
    if (st == KS_OK && key.len != 8) {
        st = txn_corrupt(txn, why, "an outbox entry has a key of %zu bytes", key.len);
    }
    if (st == KS_OK) {
        st = decode(txn, value, key_read_seq(key), out, why);
    }
    if (st == KS_OK) {
        *seq = key_read_seq(key);
    }
    return st;
}

enum ks_status store_outbox_delete(struct store_txn *txn, enum store_queue queue, uint64_t seq,
                                   struct ks_failure *why)
{
    struct key key;

    key_of_seq(&key, seq);
    return txn_del(txn, table_of[queue], &key, why);
}

enum ks_status store_outbox_depth(struct store_txn *txn, struct store_outbox_depth *out,
                                  struct ks_failure *why)
{
    struct ks_failure here = {0};
    struct kv_stat stat = {0};
    uint64_t dropped = 0;
    enum ks_status st = txn->error;

    if (st == KS_OK) {
        st = txn->store->kv->engine->stat(txn->kv, &stat, &here);
    }
    st = txn_result(txn, st, &here, why);
    if (st == KS_OK) {
        st = txn_meta_get(txn, meta_dropped, &dropped, why);
    }
    if (st == KS_OK) {
        *out = (struct store_outbox_depth){
            .waiting = {[STORE_EVENTS] = stat.entries[KV_OUTBOX],
                        [STORE_NOTIFICATIONS] = stat.entries[KV_NOTIFICATION]},
            .parked = stat.entries[KV_PARKED],
            .dropped = dropped};
    }
    return st;
}

enum ks_status store_outbox_drop_oldest(struct store_txn *txn, struct ks_failure *why)
{
    struct store_outbox_entry entry;
    uint64_t dropped = 0;
    uint64_t seq = 0;
    enum ks_status st = store_outbox_next(txn, STORE_NOTIFICATIONS, 0, &seq, &entry, why);

    if (st == KS_OK) {
        st = store_outbox_delete(txn, STORE_NOTIFICATIONS, seq, why);
    }
    if (st == KS_OK) {
        st = txn_meta_get(txn, meta_dropped, &dropped, why);
    }
    if (st == KS_OK) {
        st = txn_meta_put(txn, meta_dropped, dropped + 1, why);
    }
    return st == KS_NOT_FOUND ? KS_OK : st;
}

/* ---- parked events: entries of their key space ---- */

static enum ks_status owner(struct store_txn *txn, const struct store_outbox_entry *entry,
                            uint64_t seq, bool *there, struct ks_failure *why)
{
    struct store_device device;
    enum ks_status st = store_device_get(txn, entry->space, entry->device_id, &device, why);

    *there = st == KS_OK && device.event_seq == seq;
    return st == KS_NOT_FOUND ? KS_OK : st;
}

static enum ks_status park(struct store_txn *txn, uint32_t space, uint64_t seq, struct span value,
                           struct ks_failure *why)
{
    struct key key;
    enum ks_status st;

    key_of_parked(&key, space, seq);
    st = txn_put(txn, KV_PARKED, &key, value, why);
    return st == KS_OK ? space_counts_add(txn, space, (struct space_change){.parked = 1}, why) : st;
}

/* Whether devices of the key space can be seen: not one that waits to be purged. */
static enum ks_status is_live(struct store_txn *txn, uint32_t space, bool *live,
                              struct ks_failure *why)
{
    struct key key;
    struct span value;
    enum ks_status st;

    key_of_space(&key, space);
    st = txn_get(txn, KV_TENANT, &key, &value, why);
    *live = st == KS_OK;
    return st == KS_NOT_FOUND ? KS_OK : st;
}

enum ks_status store_outbox_park(struct store_txn *txn, uint64_t seq, bool *parked,
                                 struct ks_failure *why)
{
    struct store_outbox_entry entry;
    struct key key;
    struct span value;
    bool live = false;
    bool there = false;
    enum ks_status st;

    key_of_seq(&key, seq);
    st = txn_get(txn, KV_OUTBOX, &key, &value, why);
    if (st == KS_OK) {
        arena_reset(&txn->arena);
        value = arena_span(&txn->arena, value);
        st = decode(txn, value, seq, &entry, why);
    }
    if (st == KS_OK) {
        st = is_live(txn, entry.space, &live, why);
    }
    if (st == KS_OK && live) {
        st = owner(txn, &entry, seq, &there, why);
    }
    if (st == KS_OK) {
        st = txn_del(txn, KV_OUTBOX, &key, why);
    }
    if (st == KS_OK && there) {
        st = park(txn, entry.space, seq, value, why);
    }
    if (st == KS_OK) {
        *parked = there;
    }
    return st;
}

static enum ks_status parked_there(struct store_txn *txn, uint32_t space, uint64_t seq, bool *there,
                                   struct ks_failure *why)
{
    struct key key;
    struct span value;
    enum ks_status st;

    key_of_parked(&key, space, seq);
    st = txn_get(txn, KV_PARKED, &key, &value, why);
    *there = st == KS_OK;
    return st == KS_NOT_FOUND ? KS_OK : st;
}

static enum ks_status take_parked(struct store_txn *txn, uint32_t space, uint64_t seq,
                                  struct ks_failure *why)
{
    struct key key;
    enum ks_status st;

    key_of_parked(&key, space, seq);
    st = txn_del(txn, KV_PARKED, &key, why);
    return st == KS_OK ? space_counts_add(txn, space, (struct space_change){.parked = -1}, why)
                       : st;
}

enum ks_status outbox_forget_parked(struct store_txn *txn, uint32_t space, uint64_t seq,
                                    struct ks_failure *why)
{
    bool there = false;
    enum ks_status st = parked_there(txn, space, seq, &there, why);

    return st == KS_OK && there ? take_parked(txn, space, seq, why) : st;
}

enum ks_status store_outbox_unpark(struct store_txn *txn, size_t limit, size_t *moved,
                                   struct ks_failure *why)
{
    struct key from;

    *moved = 0;
    key_begin(&from);
    while (*moved < limit) {
        struct key key;
        struct span found;
        struct span value;
        uint32_t space;
        uint64_t seq;
        bool live = false;
        enum ks_status st = txn_seek(txn, KV_PARKED, key_span(&from), &found, &value, why);

        if (st == KS_NOT_FOUND) {
            return KS_OK;
        }
        if (st == KS_OK && found.len != 12) {
            st = txn_corrupt(txn, why, "a parked event has a key of %zu bytes", found.len);
        }
        if (st != KS_OK) {
            return st;
        }
        space = key_read_space(found);
        seq = key_read_seq(span_of(found.ptr + 4, 8));
        key_step(&from, found);
        st = is_live(txn, space, &live, why);
        if (st == KS_OK && !live) {
            continue; /* it goes with its key space */
        }
        if (st == KS_OK) {
            arena_reset(&txn->arena);
            value = arena_span(&txn->arena, value);
            key_of_seq(&key, seq);
            st = txn_put(txn, KV_OUTBOX, &key, value, why);
        }
        if (st == KS_OK) {
            st = take_parked(txn, space, seq, why);
        }
        if (st != KS_OK) {
            return st;
        }
        (*moved)++;
    }
    return KS_OK;
}

enum ks_status store_parked_count(struct store_txn *txn, uint32_t space, uint64_t *count,
                                  struct ks_failure *why)
{
    struct space_counts counts;
    enum ks_status st = space_counts_get(txn, space, &counts, why);

    if (st == KS_OK) {
        *count = counts.parked;
    }
    return st;
}

enum ks_status store_event_state(struct store_txn *txn, uint32_t space,
                                 const struct store_device *device, enum store_event_state *out,
                                 struct ks_failure *why)
{
    uint64_t seq = device->event_seq;
    struct key key;
    struct span value;
    bool parked = false;
    enum ks_status st;

    if (seq == 0) {
        *out = STORE_EVENT_NONE;
        return KS_OK;
    }
    key_of_seq(&key, seq);
    st = txn_get(txn, KV_OUTBOX, &key, &value, why);
    if (st == KS_OK) {
        *out = STORE_EVENT_QUEUED;
        return KS_OK;
    }
    if (st == KS_NOT_FOUND) {
        st = parked_there(txn, space, seq, &parked, why);
    }
    if (st == KS_OK) {
        *out = parked ? STORE_EVENT_PARKED : STORE_EVENT_SENT;
    }
    return st;
}
