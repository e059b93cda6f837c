#include "amqp/sender_lanes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { LANE_BUCKETS = 1024, SLOT_BUCKETS = 4096 };

struct slot_list {
    struct slot *first;
    struct slot *last;
};

struct sender_lanes {
    struct lane *bucket[LANE_BUCKETS];
    size_t lane_count;
    struct lane *first_pending;
    struct lane *last_pending;
    size_t pending;
    struct slot *slot_bucket[SLOT_BUCKETS];
    struct slot slot[SENDER_WINDOW];
    struct slot *free;
    size_t in_use;
    struct slot_list leaving;
    struct slot_list lost;
};

struct sender_lanes *sender_lanes_open(void)
{
    struct sender_lanes *lanes = calloc(1, sizeof(*lanes));

    if (lanes == NULL) {
        abort();
    }
    for (size_t i = 0; i < SENDER_WINDOW; i++) {
        lanes->slot[i].next = lanes->free;
        lanes->free = &lanes->slot[i];
    }
    return lanes;
}

static void free_lane(void *arg, struct lane *lane)
{
    (void)arg;
    free(lane);
}

void sender_lanes_close(struct sender_lanes *lanes)
{
    if (lanes != NULL) {
        sender_lanes_each(lanes, free_lane, NULL);
        free(lanes);
    }
}

/* FNV-1a. */
static uint64_t hash_of(struct span text)
{
    uint64_t hash = 1469598103934665603ULL;

    for (size_t i = 0; i < text.len; i++) {
        hash = (hash ^ (unsigned char)text.ptr[i]) * 1099511628211ULL;
    }
    return hash;
}

static uint64_t entity_of(struct span device_id)
{
    uint64_t hash = hash_of(device_id);

    return device_id.len == 0 ? 0 : hash == 0 ? 1 : hash;
}

/* ---- lanes ---- */

static uint64_t part_of(const struct store_outbox_entry *entry)
{
    return hash_of(entry->tenant_id) % SENDER_NOTE_LANES;
}

bool lane_is_of(const struct lane *lane, const struct store_outbox_entry *entry)
{
    if (lane->kind != entry->kind) {
        return false;
    }
    return lane->kind == STORE_OUTBOX_EVENT
               ? span_eq(span_of(lane->tenant, lane->tenant_len), entry->tenant_id)
               : lane->part == part_of(entry);
}

static struct lane **bucket_of(struct sender_lanes *lanes, enum store_outbox_kind kind,
                               uint64_t hash)
{
    return &lanes->bucket[(hash + (uint64_t)kind) % LANE_BUCKETS];
}

struct lane *sender_lanes_of(struct sender_lanes *lanes, const struct store_outbox_entry *entry)
{
    bool is_event = entry->kind == STORE_OUTBOX_EVENT;
    struct lane **bucket =
        bucket_of(lanes, entry->kind, is_event ? hash_of(entry->tenant_id) : part_of(entry));
    struct lane *lane = *bucket;

    while (lane != NULL && !lane_is_of(lane, entry)) {
        lane = lane->next_of_hash;
    }
    if (lane != NULL || lanes->lane_count >= SENDER_LANES) {
        return lane;
    }
    lane = calloc(1, sizeof(*lane));
    if (lane == NULL) {
        abort();
    }
    lane->kind = entry->kind;
    lane->window = SENDER_LANE_WINDOW;
    if (is_event) {
        memcpy(lane->tenant, entry->tenant_id.ptr, entry->tenant_id.len);
        lane->tenant_len = entry->tenant_id.len;
    } else {
        lane->part = part_of(entry);
    }
    event_message_address(entry->kind, entry->tenant_id, lane->address);
    lane->next_of_hash = *bucket;
    *bucket = lane;
    lanes->lane_count++;
    return lane;
}

void sender_lanes_rest(struct sender_lanes *lanes, struct lane *lane)
{
    bool is_event = lane->kind == STORE_OUTBOX_EVENT;
    struct lane **at =
        bucket_of(lanes, lane->kind,
                  is_event ? hash_of(span_of(lane->tenant, lane->tenant_len)) : lane->part);

    sender_lanes_update_pending(lanes, lane);
    if (lane->count > 0 || lane->behind) {
        return;
    }
    while (*at != lane) {
        at = &(*at)->next_of_hash;
    }
    *at = lane->next_of_hash;
    lanes->lane_count--;
    free(lane);
}

static void add_pending(struct sender_lanes *lanes, struct lane *lane)
{
    lane->pending = true;
    lanes->pending++;
    lane->next_pending = NULL;
    lane->previous_pending = lanes->last_pending;
    *(lane->previous_pending != NULL ? &lane->previous_pending->next_pending
                                     : &lanes->first_pending) = lane;
    lanes->last_pending = lane;
}

static void remove_pending(struct sender_lanes *lanes, struct lane *lane)
{
    lane->pending = false;
    lanes->pending--;
    *(lane->previous_pending != NULL ? &lane->previous_pending->next_pending
                                     : &lanes->first_pending) = lane->next_pending;
    *(lane->next_pending != NULL ? &lane->next_pending->previous_pending : &lanes->last_pending) =
        lane->previous_pending;
}

void sender_lanes_update_pending(struct sender_lanes *lanes, struct lane *lane)
{
    if (lane->behind && !lane->pending) {
        add_pending(lanes, lane);
    } else if (!lane->behind && lane->pending) {
        remove_pending(lanes, lane);
    }
}

void sender_lanes_pending_last(struct sender_lanes *lanes, struct lane *lane)
{
    if (lane->pending) {
        remove_pending(lanes, lane);
    }
    sender_lanes_update_pending(lanes, lane);
}

struct lane *sender_lanes_first_pending(const struct sender_lanes *lanes)
{
    return lanes->first_pending;
}

size_t sender_lanes_pending(const struct sender_lanes *lanes)
{
    return lanes->pending;
}

void sender_lanes_each(struct sender_lanes *lanes, void (*visit)(void *arg, struct lane *lane),
                       void *arg)
{
    for (size_t i = 0; i < LANE_BUCKETS; i++) {
        struct lane *lane = lanes->bucket[i];

        while (lane != NULL) {
            struct lane *next = lane->next_of_hash;

            visit(arg, lane);
            lane = next;
        }
    }
}

void lane_go_back(struct lane *lane, uint64_t seq)
{
    if (!lane->behind || lane->from >= seq) {
        lane->behind = true;
        lane->from = seq - 1;
    }
    lane->recovering |= lane->last != NULL && lane->last->seq > seq;
}

/* ---- slots ---- */

static struct slot **slot_bucket(struct sender_lanes *lanes, uint64_t seq)
{
    return &lanes->slot_bucket[seq % SLOT_BUCKETS];
}

bool sender_lanes_is_full(const struct sender_lanes *lanes)
{
    return lanes->free == NULL;
}

bool lane_may_send(const struct lane *lane, uint64_t seq)
{
    return lane->paused_until == 0 && lane->count < lane->window &&
           (!lane->recovering || lane->count == 0) && (lane->last == NULL || lane->last->seq < seq);
}

struct slot *sender_lanes_take(struct sender_lanes *lanes, struct lane *lane,
                               enum store_queue queue, uint64_t seq,
                               const struct store_outbox_entry *entry)
{
    struct slot *slot = lanes->free;
    struct slot **bucket = slot_bucket(lanes, seq);

    assert(slot != NULL && (lane->last == NULL || lane->last->seq < seq));
    lanes->free = slot->next;
    *slot = (struct slot){.state = SLOT_SENT,
                          .queue = queue,
                          .seq = seq,
                          .tenant = hash_of(entry->tenant_id),
                          .entity = entity_of(entry->device_id),
                          .lane = lane,
                          .previous = lane->last,
                          .next_of_hash = *bucket};
    *bucket = slot;
    *(lane->last != NULL ? &lane->last->next : &lane->first) = slot;
    lane->last = slot;
    lane->count++;
    lane->recovering = false;
    lanes->in_use++;
    return slot;
}

struct slot *sender_lanes_find(const struct sender_lanes *lanes, enum store_queue queue,
                               uint64_t seq)
{
    struct slot *slot = lanes->slot_bucket[seq % SLOT_BUCKETS];

    while (slot != NULL && (slot->seq != seq || slot->queue != queue)) {
        slot = slot->next_of_hash;
    }
    return slot;
}

static void append(struct slot_list *list, struct slot *slot)
{
    slot->next = NULL;
    *(list->last != NULL ? &list->last->next : &list->first) = slot;
    list->last = slot;
}

static struct slot *pop(struct slot_list *list)
{
    struct slot *slot = list->first;

    if (slot != NULL) {
        list->first = slot->next;
        if (list->first == NULL) {
            list->last = NULL;
        }
        slot->next = NULL;
    }
    return slot;
}

/* Out of its lane, into one of the lists. */
static void move(struct slot *slot, enum slot_state state, struct slot_list *list)
{
    struct lane *lane = slot->lane;

    *(slot->previous != NULL ? &slot->previous->next : &lane->first) = slot->next;
    *(slot->next != NULL ? &slot->next->previous : &lane->last) = slot->previous;
    lane->count--;
    lane->accepted -= slot->state == SLOT_ACCEPTED;
    slot->lane = NULL;
    slot->previous = NULL;
    slot->state = state;
    append(list, slot);
}

void sender_lanes_free(struct sender_lanes *lanes, struct slot *slot)
{
    struct slot **at = slot_bucket(lanes, slot->seq);

    assert(slot->waiter == NULL && slot->lane == NULL);
    while (*at != slot) {
        at = &(*at)->next_of_hash;
    }
    *at = slot->next_of_hash;
    slot->state = SLOT_FREE;
    slot->next = lanes->free;
    lanes->free = slot;
    lanes->in_use--;
}

size_t sender_lanes_in_use(const struct sender_lanes *lanes)
{
    return lanes->in_use;
}

void sender_lanes_push_leaving(struct sender_lanes *lanes, struct slot *slot)
{
    append(&lanes->leaving, slot);
}

struct slot *sender_lanes_pop_leaving(struct sender_lanes *lanes)
{
    return pop(&lanes->leaving);
}

struct slot *sender_lanes_pop_lost(struct sender_lanes *lanes)
{
    return pop(&lanes->lost);
}

/* ---- how often an entry was rejected ---- */

static unsigned count_try(struct lane *lane, uint64_t seq)
{
    struct tried *at = &lane->tried[0];

    for (size_t i = 0; i < SENDER_TRIED; i++) { /* its own, else a free one, else the last one's */
        struct tried *other = &lane->tried[i];

        if (other->seq == seq) {
            return ++other->tries;
        }
        if (at->seq != 0 && (other->seq == 0 || other->seq > at->seq)) {
            at = other;
        }
    }
    if (at->seq == 0 || at->seq > seq) {
        *at = (struct tried){.seq = seq, .tries = 1};
    }
    return 1;
}

bool lane_has_tried(const struct lane *lane)
{
    for (size_t i = 0; i < SENDER_TRIED; i++) {
        if (lane->tried[i].seq != 0) {
            return true;
        }
    }
    return false;
}

static void forget_tries(struct lane *lane, uint64_t seq)
{
    for (size_t i = 0; i < SENDER_TRIED; i++) {
        if (lane->tried[i].seq == seq) {
            lane->tried[i] = (struct tried){.seq = 0};
        }
    }
}

/* ---- the broker's word ---- */

static bool is_before(const struct slot *earlier, const struct slot *later)
{
    return earlier->tenant == later->tenant &&
           (earlier->entity == later->entity || earlier->entity == 0 || later->entity == 0);
}

static bool has_earlier(const struct slot *slot)
{
    const struct slot *earlier = slot->previous;

    while (earlier != NULL && !is_before(earlier, slot)) {
        earlier = earlier->previous;
    }
    return earlier != NULL;
}

/* What waited for `slot`, or for others that waited for it, may leave when it has gone. */
static void leave_behind(struct sender_lanes *lanes, struct lane *lane, struct slot *slot)
{
    while (slot != NULL && lane->accepted > 0) {
        struct slot *next = slot->next;

        if (slot->state == SLOT_ACCEPTED && !has_earlier(slot)) {
            move(slot, SLOT_LEAVING, &lanes->leaving);
        }
        slot = next;
    }
}

static void leave(struct sender_lanes *lanes, struct slot *slot, bool park)
{
    struct lane *lane = slot->lane;
    struct slot *next = slot->next;

    forget_tries(lane, slot->seq);
    slot->park = park;
    move(slot, SLOT_LEAVING, &lanes->leaving);
    leave_behind(lanes, lane, next);
}

static void lose(struct sender_lanes *lanes, struct slot *slot)
{
    lane_go_back(slot->lane, slot->seq);
    move(slot, SLOT_LOST, &lanes->lost);
}

void sender_lanes_accepted(struct sender_lanes *lanes, struct slot *slot)
{
    struct lane *lane = slot->lane;

    lane->failures = 0;
    lane->rejections = 0;
    lane->link_refusals = 0;
    lane->window += !lane->recovering && lane->window < SENDER_LANE_WINDOW;
    if (slot->again) {
        lose(lanes, slot);
    } else if (has_earlier(slot)) {
        slot->state = SLOT_ACCEPTED;
        lane->accepted++;
    } else {
        leave(lanes, slot, false);
    }
}

/* What follows about the same device comes too early: once more, in order. */
static void recall_later(struct sender_lanes *lanes, const struct slot *slot)
{
    struct slot *later = slot->next;

    while (later != NULL) {
        struct slot *next = later->next;

        if (is_before(slot, later)) {
            if (later->state == SLOT_ACCEPTED) {
                lose(lanes, later);
            } else {
                later->again = true;
            }
        }
        later = next;
    }
}

/* Only events are parked: notifications are superseded, and go at their bound. */
static bool is_to_be_parked(struct lane *lane, const struct slot *slot, bool counts)
{
    unsigned tries = counts ? count_try(lane, slot->seq) : 0;

    return tries > 0 && slot->queue == STORE_EVENTS &&
           (tries >= SENDER_TRIES || lane->rejections >= SENDER_TRIES);
}

bool sender_lanes_refused(struct sender_lanes *lanes, struct slot *slot, bool counts)
{
    struct lane *lane = slot->lane;
    bool begins = !lane->recovering;

    lane->window = 1;
    if (is_to_be_parked(lane, slot, counts)) {
        leave(lanes, slot, true);
        return false;
    }
    recall_later(lanes, slot);
    lose(lanes, slot);
    lane->recovering = true;
    lane->failures += begins;
    lane->rejections += begins && counts;
    return begins;
}

void sender_lanes_give_up(struct sender_lanes *lanes, struct slot *slot)
{
    leave(lanes, slot, true);
}

void sender_lanes_lose(struct sender_lanes *lanes, struct lane *lane)
{
    struct slot *slot = lane->first;

    while (slot != NULL) {
        struct slot *next = slot->next;

        lose(lanes, slot);
        slot = next;
    }
}
