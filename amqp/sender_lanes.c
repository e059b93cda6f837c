#include "amqp/sender_lanes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { LANE_BUCKETS = 1024, SLOT_BUCKETS = 1024 };

struct sender_lanes {
    struct lane *bucket[LANE_BUCKETS];
    size_t lane_count;
    struct lane *first_pending;
    struct lane *last_pending;
    struct slot *slot_bucket[SLOT_BUCKETS];
    struct slot slot[SENDER_WINDOW];
    struct slot *free;
    size_t in_use;
    struct slot *first_leaving;
    struct slot *last_leaving;
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

/* FNV-1a, over several parts. */
static uint64_t hash_of(uint64_t hash, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        hash = (hash ^ (unsigned char)text.ptr[i]) * 1099511628211ULL;
    }
    return hash;
}

static uint64_t entity_of(struct span device_id)
{
    uint64_t hash = hash_of(1469598103934665603ULL, device_id);

    return device_id.len == 0 ? 0 : hash == 0 ? 1 : hash;
}

/* ---- lanes ---- */

static struct lane **lane_place(struct sender_lanes *lanes, enum store_outbox_kind kind,
                                struct span tenant)
{
    uint64_t hash = hash_of(1469598103934665603ULL + (uint64_t)kind, tenant);
    struct lane **at = &lanes->bucket[hash % LANE_BUCKETS];

    while (*at != NULL &&
           ((*at)->kind != kind || !span_eq(span_of((*at)->tenant, (*at)->tenant_len), tenant))) {
        at = &(*at)->next_of_hash;
    }
    return at;
}

struct lane *sender_lanes_of(struct sender_lanes *lanes, const struct store_outbox_entry *entry)
{
    struct lane **at = lane_place(lanes, entry->kind, entry->tenant_id);
    struct lane *lane = *at;

    if (lane != NULL || lanes->lane_count >= SENDER_LANES) {
        return lane;
    }
    lane = calloc(1, sizeof(*lane));
    if (lane == NULL) {
        abort();
    }
    lane->kind = entry->kind;
    memcpy(lane->tenant, entry->tenant_id.ptr, entry->tenant_id.len);
    lane->tenant_len = entry->tenant_id.len;
    event_message_address(entry->kind, entry->tenant_id, lane->address);
    *at = lane;
    lanes->lane_count++;
    return lane;
}

void sender_lanes_rest(struct sender_lanes *lanes, struct lane *lane)
{
    struct lane **at;

    sender_lanes_note(lanes, lane);
    if (lane->count > 0 || lane->behind || lane->failures > 0) {
        return;
    }
    at = lane_place(lanes, lane->kind, span_of(lane->tenant, lane->tenant_len));
    assert(*at == lane && !lane->pending);
    *at = lane->next_of_hash;
    lanes->lane_count--;
    free(lane);
}

static void add_pending(struct sender_lanes *lanes, struct lane *lane)
{
    lane->pending = true;
    lane->next_pending = NULL;
    lane->previous_pending = lanes->last_pending;
    *(lane->previous_pending != NULL ? &lane->previous_pending->next_pending
                                     : &lanes->first_pending) = lane;
    lanes->last_pending = lane;
}

static void remove_pending(struct sender_lanes *lanes, struct lane *lane)
{
    lane->pending = false;
    *(lane->previous_pending != NULL ? &lane->previous_pending->next_pending
                                     : &lanes->first_pending) = lane->next_pending;
    *(lane->next_pending != NULL ? &lane->next_pending->previous_pending : &lanes->last_pending) =
        lane->previous_pending;
}

void sender_lanes_note(struct sender_lanes *lanes, struct lane *lane)
{
    bool pending = lane->behind || lane->retries > 0;

    if (pending && !lane->pending) {
        add_pending(lanes, lane);
    } else if (!pending && lane->pending) {
        remove_pending(lanes, lane);
    }
}

void sender_lanes_note_last(struct sender_lanes *lanes, struct lane *lane)
{
    if (lane->pending) {
        remove_pending(lanes, lane);
    }
    sender_lanes_note(lanes, lane);
}

struct lane *sender_lanes_first_pending(const struct sender_lanes *lanes)
{
    return lanes->first_pending;
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

/* ---- slots ---- */

static struct slot **slot_bucket(struct sender_lanes *lanes, uint64_t seq)
{
    return &lanes->slot_bucket[seq % SLOT_BUCKETS];
}

bool sender_lanes_has_room(const struct sender_lanes *lanes, const struct lane *lane)
{
    return lanes->free != NULL && lane->count < SENDER_LANE_WINDOW;
}

struct slot *sender_lanes_take(struct sender_lanes *lanes, struct lane *lane,
                               enum store_queue queue, uint64_t seq, struct span device_id)
{
    struct slot *slot = lanes->free;
    struct slot **bucket = slot_bucket(lanes, seq);

    if (slot == NULL) {
        return NULL;
    }
    lanes->free = slot->next;
    *slot = (struct slot){.state = SLOT_SENT,
                          .queue = queue,
                          .seq = seq,
                          .entity = entity_of(device_id),
                          .lane = lane,
                          .previous = lane->last,
                          .next_of_hash = *bucket};
    *bucket = slot;
    assert(lane->last == NULL || lane->last->seq < seq);
    *(lane->last != NULL ? &lane->last->next : &lane->first) = slot;
    lane->last = slot;
    lane->count++;
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

static void unlink_from_lane(struct slot *slot)
{
    struct lane *lane = slot->lane;

    *(slot->previous != NULL ? &slot->previous->next : &lane->first) = slot->next;
    *(slot->next != NULL ? &slot->next->previous : &lane->last) = slot->previous;
    lane->count--;
    lane->retries -= slot->state == SLOT_RETRY;
    slot->lane = NULL;
    slot->next = NULL;
    slot->previous = NULL;
}

void sender_lanes_free(struct sender_lanes *lanes, struct slot *slot)
{
    struct slot **at = slot_bucket(lanes, slot->seq);

    assert(slot->waiter == NULL);
    if (slot->lane != NULL) {
        unlink_from_lane(slot);
    }
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

/* ---- the broker's word ---- */

static bool is_before(const struct slot *earlier, const struct slot *later)
{
    return earlier->entity == later->entity || earlier->entity == 0 || later->entity == 0;
}

void slot_accepted(struct slot *slot)
{
    slot->state = SLOT_ACCEPTED;
    slot->lane->failures = 0;
}

/* What was accepted behind it about the same device has come too early: once more, in order. */
void slot_refused(struct slot *slot, bool counts)
{
    slot->tries += counts;
    slot->state = SLOT_RETRY;
    slot->lane->retries++;
    for (struct slot *later = slot->next; later != NULL; later = later->next) {
        if (later->state == SLOT_ACCEPTED && is_before(slot, later)) {
            later->state = SLOT_RETRY;
            later->lane->retries++;
        }
    }
}

void slot_hopeless(struct slot *slot)
{
    slot->tries = SENDER_TRIES;
    if (slot->state != SLOT_RETRY) {
        slot->state = SLOT_RETRY;
        slot->lane->retries++;
    }
}

void sender_lanes_push_leaving(struct sender_lanes *lanes, struct slot *slot)
{
    slot->next = NULL;
    *(lanes->last_leaving != NULL ? &lanes->last_leaving->next : &lanes->first_leaving) = slot;
    lanes->last_leaving = slot;
}

struct slot *sender_lanes_pop_leaving(struct sender_lanes *lanes)
{
    struct slot *slot = lanes->first_leaving;

    if (slot != NULL) {
        lanes->first_leaving = slot->next;
        if (lanes->first_leaving == NULL) {
            lanes->last_leaving = NULL;
        }
        slot->next = NULL;
    }
    return slot;
}

static bool may_leave(const struct slot *slot)
{
    if (slot->state != SLOT_ACCEPTED) {
        return false;
    }
    for (const struct slot *earlier = slot->previous; earlier != NULL;
         earlier = earlier->previous) {
        if (is_before(earlier, slot)) {
            return false;
        }
    }
    return true;
}

/* Only events are parked: notifications are superseded, and go at their bound. */
static bool must_park(const struct slot *slot)
{
    return slot->state == SLOT_RETRY && slot->queue == STORE_EVENTS &&
           (slot->tries >= SENDER_TRIES ||
            (slot->tries > 0 && slot->lane->failures >= SENDER_TRIES));
}

void sender_lanes_resolve(struct sender_lanes *lanes, struct lane *lane)
{
    struct slot *slot = lane->first;

    while (slot != NULL) {
        struct slot *next = slot->next;
        bool park = must_park(slot);

        if (park || may_leave(slot)) {
            unlink_from_lane(slot);
            slot->state = SLOT_LEAVING;
            slot->park = park;
            sender_lanes_push_leaving(lanes, slot);
        }
        slot = next;
    }
}
