#include "amqp/slots.h"

#include <assert.h>
#include <stdlib.h>

enum { SLOTS_FIRST_CAP = 4 };

void slots_init(struct slots *slots)
{
    *slots = (struct slots){0};
}

void slots_done(struct slots *slots)
{
    assert(slots->live == 0);
    free(slots->slot);
    *slots = (struct slots){0};
}

static uint32_t slots_take_index(struct slots *slots)
{
    uint32_t index;

    if (slots->first_free != 0) {
        index = slots->first_free - 1;
        slots->first_free = slots->slot[index].next_free;
        return index;
    }
    if (slots->count == slots->cap) {
        uint32_t cap = slots->cap == 0 ? SLOTS_FIRST_CAP : slots->cap * 2;
        struct slot *grown = realloc(slots->slot, cap * sizeof(*grown));

        if (grown == NULL) {
            abort();
        }
        slots->slot = grown;
        slots->cap = cap;
    }
    index = slots->count++;
    slots->slot[index] = (struct slot){0};
    return index;
}

struct slot_handle slots_add(struct slots *slots, void *item)
{
    uint32_t index = slots_take_index(slots);
    struct slot *slot = &slots->slot[index];

    assert(item != NULL);
    slot->item = item;
    slot->generation = slot->generation == UINT32_MAX ? 1 : slot->generation + 1;
    slots->live++;
    return (struct slot_handle){.index = index, .generation = slot->generation};
}

void *slots_find(const struct slots *slots, struct slot_handle handle)
{
    const struct slot *slot;

    if (handle.generation == 0 || handle.index >= slots->count) {
        return NULL;
    }
    slot = &slots->slot[handle.index];
    return slot->generation == handle.generation ? slot->item : NULL;
}

void slots_remove(struct slots *slots, struct slot_handle handle)
{
    struct slot *slot = &slots->slot[handle.index];

    assert(slots_find(slots, handle) != NULL);
    slot->item = NULL;
    slot->next_free = slots->first_free;
    slots->first_free = handle.index + 1;
    slots->live--;
}
