/*
 * slots: a table of pointers named by handles that never come back: index and generation. What is
 * named by a handle may go at any time; a look-up then says so.
 *
 * Threads:   one owner.
 * Ownership: stores borrowed pointers. slots_done asserts that the table is empty.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct slot_handle {
    uint32_t index;
    uint32_t generation; /* 0: names nothing */
};

struct slot {
    void *item; /* NULL: free */
    uint32_t generation;
    uint32_t next_free; /* index + 1; 0: none */
};

struct slots {
    struct slot *slot;
    uint32_t count; /* slots ever used */
    uint32_t cap;
    uint32_t first_free; /* index + 1; 0: none */
    uint32_t live;
};

void slots_init(struct slots *slots);
void slots_done(struct slots *slots);
struct slot_handle slots_add(struct slots *slots, void *item);
/* NULL if the handle's item has gone. */
void *slots_find(const struct slots *slots, struct slot_handle handle);
void slots_remove(struct slots *slots, struct slot_handle handle);
