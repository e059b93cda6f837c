#include "store/sorter.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "store/kv.h"

/*
 * An entry in memory and in the file: head, key, value, one behind the other. Of a run that is
 * read, head and key of the next entry are in its buffer; the value is read when it is asked for,
 * so that large ones cost no buffers.
 */
struct head {
    uint64_t place;
    uint32_t key_len;
    uint32_t value_len;
};

enum {
    KEY_MAX = KV_KEY_MAX + 1,
    BUFFER_MIN = 4096, /* of a run: more than a head and a key */
    BUFFER_MAX = 1 << 20,
    WRITE_BUFFER = 1 << 20,
};

struct run {
    uint64_t at;  /* in the file: of what is not in the buffer yet */
    uint64_t end; /* of the run */
    char *buffer;
    size_t from; /* what is in it */
    size_t until;
    struct head head; /* of the next entry, which begins at `from` */
};

struct sorter {
    const char *dir;
    size_t memory;
    uint64_t count;
    int fd; /* -1: nothing was written so far */
    uint64_t written;

    char *block; /* of what was added since the last run */
    size_t block_cap;
    size_t block_len;
    const char **index;
    size_t index_cap;
    size_t index_len;

    struct run *runs;
    size_t run_cap;
    size_t run_count;
    size_t buffer_size;

    struct run **heap; /* of runs that have a next entry, the smallest first */
    size_t heap_len;
    struct buf found; /* the entry that was read: key, value */
};

static void *must(void *memory)
{
    if (memory == NULL) {
        abort(); /* bounded by the caller's choice */
    }
    return memory;
}

static enum ks_status io_fail(const struct sorter *sorter, const char *what, struct ks_failure *why)
{
    bool full = errno == ENOSPC || errno == EDQUOT;

    return ks_fail(why, full ? KS_DISK_FULL : KS_IO, full ? "disk-full" : NULL,
                   "cannot %s a temporary file in %s: %s", what, sorter->dir, ks_errno_text(errno));
}

static struct head head_of(const char *entry)
{
    struct head head;

    memcpy(&head, entry, sizeof(head));
    return head;
}

static int compare(const char *a, const char *b)
{
    struct head one = head_of(a);
    struct head other = head_of(b);
    int order =
        span_cmp(span_of(a + sizeof(one), one.key_len), span_of(b + sizeof(other), other.key_len));

    return order != 0 ? order : (one.place > other.place) - (one.place < other.place);
}

/* ---- adding ---- */

struct sorter *sorter_open(const char *dir, size_t memory)
{
    struct sorter *sorter = must(calloc(1, sizeof(*sorter)));

    sorter->dir = dir;
    sorter->memory = memory;
    sorter->fd = -1;
    buf_init(&sorter->found, KEY_MAX + (size_t)KV_VALUE_MAX);
    return sorter;
}

static void drop_block(struct sorter *sorter)
{
    if (sorter->block != NULL) {
        explicit_bzero(sorter->block, sorter->block_cap);
    }
    free(sorter->block);
    free(sorter->index);
    sorter->block = NULL;
    sorter->index = NULL;
    sorter->block_cap = sorter->block_len = 0;
    sorter->index_cap = sorter->index_len = 0;
}

static void drop_runs(struct sorter *sorter)
{
    for (size_t i = 0; i < sorter->run_count; i++) {
        if (sorter->runs[i].buffer != NULL) {
            explicit_bzero(sorter->runs[i].buffer, sorter->buffer_size);
            free(sorter->runs[i].buffer);
        }
    }
    free(sorter->runs);
    free(sorter->heap);
}

void sorter_close(struct sorter *sorter)
{
    if (sorter == NULL) {
        return;
    }
    drop_block(sorter);
    drop_runs(sorter);
    buf_done_secret(&sorter->found);
    if (sorter->fd >= 0) {
        close(sorter->fd);
    }
    free(sorter);
}

static enum ks_status open_file(struct sorter *sorter, struct ks_failure *why)
{
    char path[4096 + 16];

    if (sorter->fd >= 0) {
        return KS_OK;
    }
    (void)snprintf(path, sizeof(path), "%.4096s/sort-XXXXXX", sorter->dir);
    sorter->fd = mkostemp(path, O_CLOEXEC);
    if (sorter->fd < 0 || unlink(path) != 0) {
        return io_fail(sorter, "make", why);
    }
    return KS_OK;
}

static enum ks_status write_all(struct sorter *sorter, const char *bytes, size_t len,
                                struct ks_failure *why)
{
    while (len > 0) {
        ssize_t n = pwrite(sorter->fd, bytes, len, (off_t)sorter->written);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return io_fail(sorter, "write", why);
        }
        bytes += n;
        len -= (size_t)n;
        sorter->written += (uint64_t)n;
    }
    return KS_OK;
}

static int compare_indexed(const void *a, const void *b)
{
    return compare(*(const char *const *)a, *(const char *const *)b);
}

static enum ks_status write_entries(struct sorter *sorter, struct buf *out, struct ks_failure *why)
{
    enum ks_status st = KS_OK;

    for (size_t i = 0; i < sorter->index_len && st == KS_OK; i++) {
        struct head head = head_of(sorter->index[i]);

        buf_add(out, sorter->index[i], sizeof(head) + head.key_len + head.value_len);
        if (out->len >= WRITE_BUFFER || i + 1 == sorter->index_len) {
            st = write_all(sorter, out->ptr, out->len, why);
            buf_clear(out);
        }
    }
    return st;
}

static struct run *new_run(struct sorter *sorter)
{
    if (sorter->run_count == sorter->run_cap) {
        sorter->run_cap = sorter->run_cap == 0 ? 64 : 2 * sorter->run_cap;
        sorter->runs = must(realloc(sorter->runs, sorter->run_cap * sizeof(sorter->runs[0])));
    }
    sorter->runs[sorter->run_count] = (struct run){.at = sorter->written};
    return &sorter->runs[sorter->run_count++];
}

/* What is in memory becomes a run. */
static enum ks_status spill(struct sorter *sorter, struct ks_failure *why)
{
    struct run *run;
    struct buf out;
    enum ks_status st;

    if (sorter->index_len == 0) {
        return KS_OK;
    }
    st = open_file(sorter, why);
    if (st != KS_OK) {
        return st;
    }
    qsort(sorter->index, sorter->index_len, sizeof(sorter->index[0]), compare_indexed);
    run = new_run(sorter);
    buf_init(&out, WRITE_BUFFER + sizeof(struct head) + KEY_MAX + KV_VALUE_MAX);
    st = write_entries(sorter, &out, why);
    buf_done_secret(&out);
    run->end = sorter->written;
    sorter->block_len = 0;
    sorter->index_len = 0;
    return st;
}

/* Room for an entry in memory; what is there is spilled first if it does not fit beside it. */
static enum ks_status make_room(struct sorter *sorter, size_t len, struct ks_failure *why)
{
    size_t used = sorter->block_len + sorter->index_len * sizeof(sorter->index[0]);
    size_t need = len + sizeof(sorter->index[0]);
    enum ks_status st = KS_OK;

    if (sorter->index_len > 0 && used + need > sorter->memory) {
        st = spill(sorter, why);
    }
    if (sorter->block_len + len > sorter->block_cap) {
        /* Grows only while it is empty: the index points into it. */
        drop_block(sorter);
        sorter->block_cap = len > sorter->memory ? len : sorter->memory;
        sorter->block = must(malloc(sorter->block_cap));
    }
    if (sorter->index_len == sorter->index_cap) {
        sorter->index_cap = sorter->index_cap == 0 ? 1024 : 2 * sorter->index_cap;
        sorter->index = must(realloc(sorter->index, sorter->index_cap * sizeof(sorter->index[0])));
    }
    return st;
}

enum ks_status sorter_add(struct sorter *sorter, struct span key, uint64_t place, size_t value_len,
                          char **room, struct ks_failure *why)
{
    const struct head head = {
        .place = place, .key_len = (uint32_t)key.len, .value_len = (uint32_t)value_len};
    size_t len = sizeof(head) + key.len + value_len;
    enum ks_status st;
    char *entry;

    assert(key.len <= KEY_MAX && value_len <= KV_VALUE_MAX);
    st = make_room(sorter, len, why);
    if (st != KS_OK) {
        return st;
    }
    entry = sorter->block + sorter->block_len;
    memcpy(entry, &head, sizeof(head));
    memcpy(entry + sizeof(head), key.ptr, key.len);
    sorter->index[sorter->index_len++] = entry;
    sorter->block_len += len;
    sorter->count++;
    *room = entry + sizeof(head) + key.len;
    return KS_OK;
}

uint64_t sorter_count(const struct sorter *sorter)
{
    return sorter->count;
}

/* ---- reading ---- */

static enum ks_status read_all(const struct sorter *sorter, char *to, size_t len, uint64_t at,
                               struct ks_failure *why)
{
    while (len > 0) {
        ssize_t n = pread(sorter->fd, to, len, (off_t)at);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return io_fail(sorter, "read", why);
        }
        to += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return KS_OK;
}

static size_t buffered(const struct run *run)
{
    return run->until - run->from;
}

static bool is_at_end(const struct run *run)
{
    return buffered(run) == 0 && run->at == run->end;
}

/* Fills the buffer behind what is in it. */
static enum ks_status refill(const struct sorter *sorter, struct run *run, struct ks_failure *why)
{
    size_t room;
    uint64_t left = run->end - run->at;
    enum ks_status st;

    memmove(run->buffer, run->buffer + run->from, buffered(run));
    run->until = buffered(run);
    run->from = 0;
    room = sorter->buffer_size - run->until;
    room = left < room ? (size_t)left : room;
    st = read_all(sorter, run->buffer + run->until, room, run->at, why);
    if (st == KS_OK) {
        run->at += room;
        run->until += room;
    }
    return st;
}

/* Head and key of the run's next entry, which there is, get into the buffer. */
static enum ks_status look(const struct sorter *sorter, struct run *run, struct ks_failure *why)
{
    enum ks_status st = KS_OK;

    if (buffered(run) < sizeof(run->head) + KEY_MAX && run->at < run->end) {
        st = refill(sorter, run, why);
    }
    if (st == KS_OK) {
        run->head = head_of(run->buffer + run->from);
    }
    return st;
}

/* Copies the next `len` bytes of a run, from its buffer first. */
static enum ks_status take(const struct sorter *sorter, struct run *run, char *to, size_t len,
                           struct ks_failure *why)
{
    size_t here = buffered(run) < len ? buffered(run) : len;
    enum ks_status st;

    memcpy(to, run->buffer + run->from, here);
    run->from += here;
    st = read_all(sorter, to + here, len - here, run->at, why);
    if (st == KS_OK) {
        run->at += len - here;
    }
    return st;
}

static bool comes_before(const struct run *a, const struct run *b)
{
    return compare(a->buffer + a->from, b->buffer + b->from) < 0;
}

/* Moves the run at `i` down to where it belongs. */
static void sift(struct sorter *sorter, size_t i)
{
    struct run **heap = sorter->heap;
    struct run *run = heap[i];

    for (;;) {
        size_t child = 2 * i + 1;

        if (child + 1 < sorter->heap_len && comes_before(heap[child + 1], heap[child])) {
            child++;
        }
        if (child >= sorter->heap_len || !comes_before(heap[child], run)) {
            break;
        }
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = run;
}

enum ks_status sorter_sort(struct sorter *sorter, struct ks_failure *why)
{
    enum ks_status st = spill(sorter, why);

    drop_block(sorter);
    if (st != KS_OK || sorter->run_count == 0) {
        return st;
    }
    sorter->buffer_size = sorter->memory / sorter->run_count;
    if (sorter->buffer_size < BUFFER_MIN) {
        sorter->buffer_size = BUFFER_MIN;
    } else if (sorter->buffer_size > BUFFER_MAX) {
        sorter->buffer_size = BUFFER_MAX;
    }
    sorter->heap = must(calloc(sorter->run_count, sizeof(struct run *)));
    for (size_t i = 0; i < sorter->run_count && st == KS_OK; i++) {
        sorter->runs[i].buffer = must(malloc(sorter->buffer_size));
        sorter->heap[sorter->heap_len++] = &sorter->runs[i];
        st = look(sorter, &sorter->runs[i], why);
    }
    for (size_t i = sorter->heap_len; st == KS_OK && i-- > 0;) {
        sift(sorter, i);
    }
    return st;
}

/* Behind its entry, which was taken: the run goes to where its next one belongs. */
static enum ks_status step(struct sorter *sorter, struct run *run, struct ks_failure *why)
{
    enum ks_status st = KS_OK;

    if (is_at_end(run)) {
        sorter->heap[0] = sorter->heap[--sorter->heap_len];
    } else {
        st = look(sorter, run, why);
    }
    if (st == KS_OK && sorter->heap_len > 1) {
        sift(sorter, 0);
    }
    return st;
}

enum ks_status sorter_next(struct sorter *sorter, struct sorter_entry *out, struct ks_failure *why)
{
    struct run *run;
    struct head head;
    size_t len;
    char *to;
    enum ks_status st;

    if (sorter->heap_len == 0) {
        return KS_NOT_FOUND;
    }
    run = sorter->heap[0];
    head = run->head;
    len = (size_t)head.key_len + head.value_len;
    run->from += sizeof(head);
    buf_clear(&sorter->found);
    to = must(buf_reserve(&sorter->found, len));
    st = take(sorter, run, to, len, why);
    if (st == KS_OK) {
        st = step(sorter, run, why);
    }
    if (st == KS_OK) {
        *out = (struct sorter_entry){.key = span_of(to, head.key_len),
                                     .value = span_of(to + head.key_len, head.value_len),
                                     .place = head.place};
    }
    return st;
}
