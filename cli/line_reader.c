#include "cli/line_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 256 << 10 };

void line_reader_init(struct line_reader *reader, int fd, size_t max)
{
    *reader = (struct line_reader){.fd = fd, .max = max};
    buf_init(&reader->buf, max + 1 + CHUNK);
}

void line_reader_done(struct line_reader *reader)
{
    buf_done_secret(&reader->buf);
}

/* Moves what is left to the front and reads on. *end: there is no more. */
static enum ks_status fill(struct line_reader *reader, bool *end, struct ks_failure *why)
{
    struct buf *buf = &reader->buf;
    char *room;
    ssize_t n;

    if (reader->from > 0 && buf->ptr != NULL) {
        memmove(buf->ptr, buf->ptr + reader->from, buf->len - reader->from);
        buf->len -= reader->from;
        reader->from = 0;
    }
    room = buf_reserve(buf, CHUNK);
    do {
        n = read(reader->fd, room, CHUNK);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return ks_fail(why, KS_IO, NULL, "cannot read line %" PRIu64 ": %s", reader->number + 1,
                       ks_errno_text(errno));
    }
    buf_commit(buf, (size_t)n);
    *end = n == 0;
    return KS_OK;
}

static enum ks_status hand_out(struct line_reader *reader, size_t len, size_t with_newline,
                               struct span *line, struct ks_failure *why)
{
    if (len > reader->max) {
        return ks_fail(why, KS_TOO_LARGE, NULL, "line %" PRIu64 ": more than %zu MiB",
                       reader->number + 1, reader->max >> 20);
    }
    *line = span_of(reader->buf.ptr + reader->from, len);
    reader->from += with_newline;
    reader->taken += with_newline;
    reader->number++;
    return KS_OK;
}

enum ks_status line_reader_next(struct line_reader *reader, struct span *line,
                                struct ks_failure *why)
{
    size_t seen = 0; /* bytes without a newline */

    for (;;) {
        size_t have = reader->buf.len - reader->from;
        const char *at = have > seen ? reader->buf.ptr + reader->from : NULL;
        const char *newline = at != NULL ? memchr(at + seen, '\n', have - seen) : NULL;
        bool end = false;
        enum ks_status st;

        if (newline != NULL) {
            return hand_out(reader, (size_t)(newline - at), (size_t)(newline - at) + 1, line, why);
        }
        seen = have;
        if (seen > reader->max) {
            return hand_out(reader, seen, seen, line, why); /* refuses it */
        }
        st = fill(reader, &end, why);
        if (st != KS_OK) {
            return st;
        }
        if (end) {
            return seen == 0 ? KS_NOT_FOUND : hand_out(reader, seen, seen, line, why);
        }
    }
}
