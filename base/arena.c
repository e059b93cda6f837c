#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define ARENA_POISON(ptr, len)   ASAN_POISON_MEMORY_REGION(ptr, len)
#define ARENA_UNPOISON(ptr, len) ASAN_UNPOISON_MEMORY_REGION(ptr, len)
#else
#define ARENA_POISON(ptr, len)   ((void)(ptr), (void)(len))
#define ARENA_UNPOISON(ptr, len) ((void)(ptr), (void)(len))
#endif

enum { ARENA_BLOCK = 4096 };

struct arena_block {
    struct arena_block *older;
    size_t size; /* of bytes */
    alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *arena)
{
    *arena = (struct arena){0};
}

static void arena_free_down_to(struct arena *arena, const struct arena_block *keep)
{
    while (arena->blocks != NULL && arena->blocks != keep) {
        struct arena_block *block = arena->blocks;

        arena->blocks = block->older;
        ARENA_UNPOISON(block->bytes, block->size);
        free(block);
    }
}

void arena_done(struct arena *arena)
{
    if (arena == NULL) {
        return;
    }
    arena_free_down_to(arena, NULL);
    arena->used = 0;
}

void arena_reset(struct arena *arena)
{
    struct arena_block *first = arena->blocks;

    while (first != NULL && first->older != NULL) {
        first = first->older;
    }
    arena_free_down_to(arena, first);
    arena->used = 0;
    if (first != NULL) {
        ARENA_POISON(first->bytes, first->size);
    }
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t align = alignof(max_align_t);
    size_t need = (size + align - 1) / align * align;
    char *ptr;

    if (need < size) {
        abort();
    }
    if (arena->blocks == NULL || arena->blocks->size - arena->used < need) {
        size_t block_size = need > ARENA_BLOCK ? need : ARENA_BLOCK;
        struct arena_block *block = malloc(sizeof(*block) + block_size);

        if (block == NULL) {
            abort();
        }
        block->older = arena->blocks;
        block->size = block_size;
        ARENA_POISON(block->bytes, block->size);
        arena->blocks = block;
        arena->used = 0;
    }
    ptr = arena->blocks->bytes + arena->used;
    arena->used += need;
    ARENA_UNPOISON(ptr, size);
    memset(ptr, 0, size);
    return ptr;
}

struct span arena_span(struct arena *arena, struct span s)
{
    char *copy = arena_alloc(arena, s.len + 1);

    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    return (struct span){.ptr = copy, .len = s.len};
}
