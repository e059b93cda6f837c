#include "base/counters.h"

#include <stdlib.h>
#include <string.h>

#include "base/lock.h"

static struct lock counters_lock = {PTHREAD_MUTEX_INITIALIZER};
static struct counters_slot *counters_slots; /* under counters_lock */

struct counters_slot *counters_slot_open(void)
{
    struct counters_slot *slot = aligned_alloc(64, sizeof(*slot));

    if (slot == NULL) {
        abort();
    }
    memset(slot, 0, sizeof(*slot));
    lock_take(&counters_lock);
    slot->next = counters_slots;
    counters_slots = slot;
    lock_give(&counters_lock);
    return slot;
}

uint64_t counters_sum(enum counter counter)
{
    uint64_t sum = 0;

    lock_take(&counters_lock);
    for (const struct counters_slot *s = counters_slots; s != NULL; s = s->next) {
        sum += atomic_load_explicit(&s->value[counter], memory_order_relaxed);
    }
    lock_give(&counters_lock);
    return sum;
}

const char *counters_name(enum counter counter)
{
    static const char *const names[] = {
#define COUNTER_NAME(id, name, help) name,
        COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
    };

    return names[counter];
}

const char *counters_help(enum counter counter)
{
    static const char *const texts[] = {
#define COUNTER_HELP(id, name, help) help,
        COUNTERS(COUNTER_HELP)
#undef COUNTER_HELP
    };

    return texts[counter];
}

void counters_done(void)
{
    lock_take(&counters_lock);
    while (counters_slots != NULL) {
        struct counters_slot *slot = counters_slots;

        counters_slots = slot->next;
        free(slot);
    }
    lock_give(&counters_lock);
}
