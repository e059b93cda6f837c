#include "http/inlet.h"

#include "base/hex.h"
#include "http/head.h"

enum {
    CRLF_LEN = 2,
    CHUNK_LINE_MAX = 1024, /* with extensions */
    SIZE_DIGITS_MAX = 15,  /* hexadecimal */
    HELD_MAX = 4 * CRLF_LEN + INLET_LINE_MAX + INLET_FIELDS_MAX,
};

void inlet_init(struct inlet *inlet, size_t max_payload)
{
    *inlet = (struct inlet){.max_payload = max_payload, .state = INLET_STATE_HEAD};
    buf_init(&inlet->held, HELD_MAX);
}

void inlet_done(struct inlet *inlet)
{
    buf_done_secret(&inlet->held); /* passwords are in it */
}

static void condemn(struct inlet *inlet, enum inlet_verdict verdict)
{
    inlet->verdict = verdict;
    buf_done_secret(&inlet->held);
}

enum inlet_phase inlet_phase(const struct inlet *inlet)
{
    if (inlet->state != INLET_STATE_HEAD) {
        return INLET_BODY;
    }
    return inlet->begun ? INLET_HEAD : INLET_IDLE;
}

/* ---- lines ---- */

/* At most `n` bytes off the front. */
static struct span take(struct span *bytes, uint64_t n)
{
    struct span front = span_of(bytes->ptr, n < bytes->len ? (size_t)n : bytes->len);

    *bytes = span_of(bytes->ptr + front.len, bytes->len - front.len);
    return front;
}

static bool is_text(struct span part)
{
    for (size_t i = 0; i < part.len; i++) {
        unsigned char c = (unsigned char)part.ptr[i];

        if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7F) {
            return false;
        }
    }
    return true;
}

static void condemn_unread(struct inlet *inlet)
{
    condemn(inlet, inlet->state == INLET_STATE_HEAD ? INLET_MALFORMED : INLET_BROKEN_BODY);
}

/* Holds what belongs to the line; true if it is there with its end. Longer than `max` characters:
 * `too_long`. */
static bool hold_line(struct inlet *inlet, struct span *bytes, size_t max,
                      enum inlet_verdict too_long)
{
    const char *end = memchr(bytes->ptr, '\n', bytes->len);
    struct span part = take(bytes, end != NULL ? (uint64_t)(end - bytes->ptr) + 1 : bytes->len);

    if (!is_text(part)) { /* at once: what speaks another protocol may never end a line */
        condemn_unread(inlet);
        return false;
    }
    if (inlet->held.len - inlet->line_at + part.len > max + CRLF_LEN) {
        condemn(inlet, too_long);
        return false;
    }
    buf_add_span(&inlet->held, part);
    return end != NULL;
}

/* The held line without its end; false if that is not CRLF, or there is another CR. */
static bool held_line(const struct inlet *inlet, struct span *line)
{
    const char *from = inlet->held.ptr + inlet->line_at;
    size_t len = inlet->held.len - inlet->line_at;

    *line = span_of(from, len < CRLF_LEN ? 0 : len - CRLF_LEN);
    return len >= CRLF_LEN && memchr(from, '\r', len) == from + len - CRLF_LEN;
}

static void let_go(struct inlet *inlet)
{
    buf_done_secret(&inlet->held);
    buf_init(&inlet->held, HELD_MAX);
    inlet->fields_at = 0;
    inlet->line_at = 0;
}

/* ---- heads ---- */

static void begin_body(struct inlet *inlet, const struct head *head, struct buf *out)
{
    enum head_body passed = head->body;

    inlet->dropping = !head_wants_body(head) ||
                      (head->body == HEAD_BODY_LENGTH && head->length > inlet->max_payload);
    if (inlet->dropping) {
        passed = HEAD_BODY_NONE;
    }
    head_write(head, passed, head->length, out);
    inlet->heads++;
    inlet->whole += passed == HEAD_BODY_NONE;
    inlet->left = head->length;
    inlet->taken = 0;
    inlet->trailer_len = 0;
    switch (head->body) {
    case HEAD_BODY_NONE:
        inlet->state = INLET_STATE_HEAD;
        break;
    case HEAD_BODY_LENGTH:
        inlet->state = INLET_STATE_LENGTH;
        break;
    case HEAD_BODY_CHUNKED:
        inlet->state = INLET_STATE_CHUNK_SIZE;
        break;
    }
}

static void end_head(struct inlet *inlet, struct buf *out)
{
    struct head head;

    if (!head_parse(buf_span(&inlet->held), &head)) {
        condemn_unread(inlet);
        return;
    }
    begin_body(inlet, &head, out);
    let_go(inlet);
    inlet->begun = false;
}

/* A line of a head is there. */
static void end_head_line(struct inlet *inlet, struct buf *out)
{
    bool first = inlet->fields_at == 0;
    struct head head;
    struct span line;

    if (!held_line(inlet, &line) || (first && line.len > 0 && !head_parse_line(line, &head))) {
        condemn_unread(inlet);
    } else if (line.len > 0) {
        inlet->line_at = inlet->held.len;
        inlet->fields_at = first ? inlet->held.len : inlet->fields_at;
    } else if (first) {
        let_go(inlet); /* empty lines before a request are nothing */
    } else {
        end_head(inlet, out);
    }
}

static void feed_head(struct inlet *inlet, struct span *bytes, struct buf *out)
{
    size_t fields_len = inlet->line_at - inlet->fields_at;
    size_t left = fields_len < INLET_FIELDS_MAX ? INLET_FIELDS_MAX - fields_len : 0;
    bool there;

    inlet->begun = true;
    there = inlet->fields_at > 0 ? hold_line(inlet, bytes, left, INLET_FIELDS_TOO_LARGE)
                                 : hold_line(inlet, bytes, INLET_LINE_MAX, INLET_LINE_TOO_LONG);

    if (there) {
        end_head_line(inlet, out);
    }
}

/* ---- bodies ---- */

static void end_body(struct inlet *inlet)
{
    inlet->whole += !inlet->dropping;
    inlet->state = INLET_STATE_HEAD;
}

static void feed_length(struct inlet *inlet, struct span *bytes, struct buf *out)
{
    struct span part = take(bytes, inlet->left);

    if (!inlet->dropping) {
        buf_add_span(out, part);
    }
    inlet->left -= part.len;
    if (inlet->left == 0) {
        end_body(inlet);
    }
}

static void write_chunk(struct span part, struct buf *out)
{
    buf_printf(out, "%zx\r\n", part.len);
    buf_add_span(out, part);
    buf_add_cstr(out, "\r\n");
}

static void write_last_chunk(struct buf *out)
{
    buf_add_cstr(out, "0\r\n\r\n");
}

/* One byte more than a body may have is passed on, so that it is known to be too large. */
static void feed_chunk(struct inlet *inlet, struct span *bytes, struct buf *out)
{
    struct span part = take(bytes, inlet->left);

    inlet->left -= part.len;
    if (!inlet->dropping) {
        struct span passed = part;

        passed = take(&passed, inlet->max_payload + 1 - inlet->taken);
        inlet->taken += passed.len;
        write_chunk(passed, out);
        if (inlet->taken > inlet->max_payload) {
            write_last_chunk(out);
            inlet->whole++;
            inlet->dropping = true;
        }
    }
    if (inlet->left == 0) {
        inlet->state = INLET_STATE_CHUNK_END;
    }
}

/* Hexadecimal digits, then nothing or extensions, which mean nothing here. */
static bool parse_size(struct span line, uint64_t *size)
{
    size_t digits = 0;

    *size = 0;
    while (digits < line.len && hex_digit(line.ptr[digits]) >= 0) {
        *size = *size << 4 | (uint64_t)hex_digit(line.ptr[digits]);
        digits++;
    }
    if (digits == 0 || digits > SIZE_DIGITS_MAX) {
        return false;
    }
    while (digits < line.len && (line.ptr[digits] == ' ' || line.ptr[digits] == '\t')) {
        digits++;
    }
    return digits == line.len || line.ptr[digits] == ';';
}

static bool end_chunk_size(struct inlet *inlet, struct span line)
{
    if (!parse_size(line, &inlet->left)) {
        return false;
    }
    inlet->state = inlet->left > 0 ? INLET_STATE_CHUNK : INLET_STATE_TRAILER;
    return true;
}

static bool end_trailer_line(struct inlet *inlet, struct span line, struct buf *out)
{
    struct span name;
    struct span value;

    if (line.len > 0) {
        inlet->trailer_len += line.len + CRLF_LEN;
        return inlet->trailer_len <= INLET_FIELDS_MAX && head_parse_field(line, &name, &value);
    }
    if (!inlet->dropping) {
        write_last_chunk(out);
    }
    end_body(inlet);
    return true;
}

/* A line between chunks is there. */
static bool end_chunk_line(struct inlet *inlet, struct span line, struct buf *out)
{
    switch (inlet->state) {
    case INLET_STATE_CHUNK_SIZE:
        return end_chunk_size(inlet, line);
    case INLET_STATE_CHUNK_END:
        inlet->state = INLET_STATE_CHUNK_SIZE;
        return line.len == 0;
    case INLET_STATE_TRAILER:
        return end_trailer_line(inlet, line, out);
    case INLET_STATE_HEAD:
    case INLET_STATE_LENGTH:
    case INLET_STATE_CHUNK:
        break;
    }
    return false;
}

static void feed_chunk_line(struct inlet *inlet, struct span *bytes, struct buf *out)
{
    struct span line;

    if (!hold_line(inlet, bytes, CHUNK_LINE_MAX, INLET_BROKEN_BODY)) {
        return;
    }
    if (!held_line(inlet, &line) || !end_chunk_line(inlet, line, out)) {
        condemn_unread(inlet);
        return;
    }
    let_go(inlet);
}

enum inlet_verdict inlet_feed(struct inlet *inlet, struct span bytes, struct buf *out)
{
    while (bytes.len > 0 && inlet->verdict == INLET_FINE) {
        switch (inlet->state) {
        case INLET_STATE_HEAD:
            feed_head(inlet, &bytes, out);
            break;
        case INLET_STATE_LENGTH:
            feed_length(inlet, &bytes, out);
            break;
        case INLET_STATE_CHUNK:
            feed_chunk(inlet, &bytes, out);
            break;
        case INLET_STATE_CHUNK_SIZE:
        case INLET_STATE_CHUNK_END:
        case INLET_STATE_TRAILER:
            feed_chunk_line(inlet, &bytes, out);
            break;
        }
    }
    return inlet->verdict;
}
