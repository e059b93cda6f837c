/*
 * arena: memory with one lifetime, given back all at once.
 *
 * Threads:   one owner at a time; an arena may be handed over with the job that owns it.
 * Ownership: everything allocated lives until arena_reset or arena_done.
 * Errors:    none: aborts when memory is gone, which is safe because every input is bounded before
 *            it is copied here. Freed room is poisoned under AddressSanitizer.
 */
#pragma once

#include <stddef.h>

#include "base/span.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* of the newest block */
};

void arena_init(struct arena *arena);
void arena_done(struct arena *arena);
/* Forgets the content and keeps the first block for reuse. */
void arena_reset(struct arena *arena);

/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *arena, size_t size);
/* A copy of `s`, followed by a NUL that is not counted. */
struct span arena_span(struct arena *arena, struct span s);
