/*
 * span: a borrowed run of bytes, text or binary, with its length. Never NUL-terminated by promise.
 *
 * Threads:   a plain value.
 * Ownership: borrows; the function that hands one out says how long the bytes live.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
    const char *ptr; /* may be NULL only if len is 0 */
    size_t len;
};

/* A span over a string literal; SPAN_ARG feeds printf's "%.*s". */
#define SPAN(literal) ((struct span){.ptr = (literal), .len = sizeof(literal) - 1})
#define SPAN_ARG(s)   (int)(s).len, (s).ptr

static inline struct span span_of(const void *ptr, size_t len)
{
    return (struct span){.ptr = ptr, .len = len};
}

static inline struct span span_cstr(const char *text)
{
    return (struct span){.ptr = text, .len = text == NULL ? 0 : strlen(text)};
}

/* Behind the last byte; defined for an empty span without bytes too. */
static inline const char *span_end(struct span s)
{
    return s.len == 0 ? s.ptr : s.ptr + s.len;
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Order of memcmp, the shorter first when one is a prefix of the other. */
static inline int span_cmp(struct span a, struct span b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);

    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static inline bool span_has_nul(struct span s)
{
    return s.len > 0 && memchr(s.ptr, 0, s.len) != NULL;
}
