#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST_CAP = 256 };

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){.max = max};
}

void buf_done(struct buf *buf)
{
    if (buf == NULL) {
        return;
    }
    free(buf->ptr);
    *buf = (struct buf){.max = buf->max};
}

void buf_done_secret(struct buf *buf)
{
    if (buf != NULL && buf->ptr != NULL) {
        explicit_bzero(buf->ptr, buf->cap);
    }
    buf_done(buf);
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->overflow = false;
}

char *buf_reserve(struct buf *buf, size_t len)
{
    size_t max = buf->max == 0 ? BUF_DEFAULT_MAX : buf->max;
    size_t cap;
    char *grown;

    if (buf->overflow || len > max || buf->len > max - len) {
        buf->overflow = true;
        return NULL;
    }
    if (buf->len + len <= buf->cap && buf->ptr != NULL) {
        return buf->ptr + buf->len;
    }
    cap = buf->cap < BUF_FIRST_CAP ? BUF_FIRST_CAP : buf->cap;
    while (cap < buf->len + len) {
        cap *= 2;
    }
    grown = realloc(buf->ptr, cap);
    if (grown == NULL) {
        abort();
    }
    buf->ptr = grown;
    buf->cap = cap;
    return buf->ptr + buf->len;
}

void buf_commit(struct buf *buf, size_t len)
{
    assert(buf->len + len <= buf->cap);
    buf->len += len;
}

void buf_add(struct buf *buf, const void *ptr, size_t len)
{
    char *room;

    if (len == 0) {
        return;
    }
    room = buf_reserve(buf, len);
    if (room != NULL) {
        memcpy(room, ptr, len);
        buf->len += len;
    }
}

void buf_add_span(struct buf *buf, struct span s)
{
    buf_add(buf, s.ptr, s.len);
}

void buf_add_cstr(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_add_char(struct buf *buf, char c)
{
    buf_add(buf, &c, 1);
}

void buf_add_int(struct buf *buf, int64_t value)
{
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%lld", (long long)value);

    buf_add(buf, digits, (size_t)n);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    int n;
    char *room;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(n >= 0);
    room = buf_reserve(buf, (size_t)n + 1);
    if (room == NULL) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(room, (size_t)n + 1, format, args);
    va_end(args);
    buf->len += (size_t)n;
}

void buf_add_json(struct buf *buf, struct span text)
{
    size_t from = 0;

    buf_add_char(buf, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        buf_add(buf, text.ptr + from, i - from);
        from = i + 1;
        if (c == '"' || c == '\\') {
            buf_add_char(buf, '\\');
            buf_add_char(buf, (char)c);
        } else {
            buf_printf(buf, "\\u%04X", c);
        }
    }
    if (text.len > from) {
        buf_add(buf, text.ptr + from, text.len - from);
    }
    buf_add_char(buf, '"');
}
