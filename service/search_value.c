#include "service/search_value.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_walk.h"
#include "base/utf8.h"

enum {
    NUMBER_TEXT_MAX = 64, /* a stored real has fewer characters */
    DEPTH_MAX = 128,      /* documents have at most half of it */
};

/* ---- numbers ---- */

/* False: not digits only, or beyond 64 bits. Gathered below zero, where the range is the larger. */
static bool read_integer(struct span text, int64_t *value)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    int64_t v = 0;

    if (text.len <= (size_t)negative) {
        return false;
    }
    for (size_t i = negative; i < text.len; i++) {
        int digit = text.ptr[i] - '0';

        if (digit < 0 || digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_sub_overflow(v, digit, &v)) {
            return false;
        }
    }
    if (!negative && __builtin_sub_overflow(0, v, &v)) {
        return false;
    }
    *value = v;
    return true;
}

bool search_number_read(struct span text, struct search_number *out)
{
    static const double too_large = 9223372036854775808.0; /* 2^63 */
    char copy[NUMBER_TEXT_MAX];
    char *end = NULL;
    int64_t integer;

    if (read_integer(text, &integer)) {
        out->nearest = (double)integer;
        out->beyond =
            out->nearest == too_large ? integer - INT64_MAX - 1 : integer - (int64_t)out->nearest;
        return true;
    }
    if (text.len == 0 || text.len >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    out->nearest = strtod(copy, &end);
    out->beyond = 0;
    return end == copy + text.len;
}

/* ---- equality ---- */

static bool value_eq(struct span a, struct span b, unsigned depth);

static bool string_eq(struct span a, struct span b)
{
    struct buf scratch_a;
    struct buf scratch_b;
    struct span text_a;
    struct span text_b;
    bool eq;

    if (span_eq(a, b)) {
        return true;
    }
    buf_init(&scratch_a, 0);
    buf_init(&scratch_b, 0);
    eq = json_walk_string(a, &scratch_a, &text_a) && json_walk_string(b, &scratch_b, &text_b) &&
         span_eq(text_a, text_b);
    buf_done(&scratch_a);
    buf_done(&scratch_b);
    return eq;
}

static bool number_eq(struct span a, struct span b)
{
    struct search_number na;
    struct search_number nb;

    return search_number_read(a, &na) && search_number_read(b, &nb) && search_number_eq(&na, &nb);
}

static bool array_eq(struct span a, struct span b, unsigned depth)
{
    struct json_walk walk_a;
    struct json_walk walk_b;
    struct span key;
    struct span va;
    struct span vb;

    if (!json_walk_begin(&walk_a, a) || !json_walk_begin(&walk_b, b)) {
        return false;
    }
    for (;;) {
        bool more = json_walk_next(&walk_a, &key, &va);

        if (more != json_walk_next(&walk_b, &key, &vb)) {
            return false;
        }
        if (!more) {
            return true;
        }
        if (!value_eq(va, vb, depth)) {
            return false;
        }
    }
}

static size_t count_members(struct span object, size_t limit)
{
    struct json_walk walk;
    struct span key;
    struct span value;
    size_t count = 0;

    if (json_walk_begin(&walk, object)) {
        while (count <= limit && json_walk_next(&walk, &key, &value)) {
            count++;
        }
    }
    return count;
}

/* Names are written in one way only: as buf_add_json does. */
static bool find_member(struct span object, struct span name, struct span *value)
{
    struct json_walk walk;
    struct span key;

    if (!json_walk_begin(&walk, object)) {
        return false;
    }
    while (json_walk_next(&walk, &key, value)) {
        if (span_eq(key, name)) {
            return true;
        }
    }
    return false;
}

static bool object_eq(struct span a, struct span b, unsigned depth)
{
    struct json_walk walk;
    struct span key;
    struct span va;
    struct span vb;
    size_t count = count_members(a, SIZE_MAX - 1);

    if (count_members(b, count) != count || !json_walk_begin(&walk, a)) {
        return false;
    }
    while (json_walk_next(&walk, &key, &va)) {
        if (!find_member(b, key, &vb) || !value_eq(va, vb, depth)) {
            return false;
        }
    }
    return true;
}

static bool value_eq(struct span a, struct span b, unsigned depth)
{
    enum json_kind kind;

    if (a.len == 0 || b.len == 0 || depth == DEPTH_MAX) {
        return false;
    }
    kind = json_walk_kind(a);
    if (kind != json_walk_kind(b)) {
        return false;
    }
    switch (kind) {
    case JSON_KIND_OBJECT:
        return object_eq(a, b, depth + 1);
    case JSON_KIND_ARRAY:
        return array_eq(a, b, depth + 1);
    case JSON_KIND_STRING:
        return string_eq(a, b);
    case JSON_KIND_NUMBER:
        return number_eq(a, b);
    case JSON_KIND_TRUE:
    case JSON_KIND_FALSE:
    case JSON_KIND_NULL:
        return true;
    }
    return false;
}

bool search_value_eq(struct span a, struct span b)
{
    return value_eq(a, b, 0);
}

/* ---- order ---- */

enum rank {
    RANK_END, /* of an array or object: before any further element */
    RANK_NULL,
    RANK_NUMBER,
    RANK_STRING,
    RANK_OBJECT,
    RANK_ARRAY,
    RANK_FALSE,
    RANK_TRUE,
};

static const enum rank ranks[] = {
    [JSON_KIND_OBJECT] = RANK_OBJECT, [JSON_KIND_ARRAY] = RANK_ARRAY,
    [JSON_KIND_STRING] = RANK_STRING, [JSON_KIND_NUMBER] = RANK_NUMBER,
    [JSON_KIND_TRUE] = RANK_TRUE,     [JSON_KIND_FALSE] = RANK_FALSE,
    [JSON_KIND_NULL] = RANK_NULL,
};

static void add_key(struct span value, struct buf *out, unsigned depth);

static void add_big_endian(struct buf *out, uint64_t bits)
{
    for (int shift = 56; shift >= 0; shift -= 8) {
        buf_add_char(out, (char)(bits >> shift));
    }
}

/* Doubles order as their bits do, but for the sign. */
static void add_number(struct span value, struct buf *out)
{
    static const uint64_t sign = UINT64_C(1) << 63;
    struct search_number number = {0};
    uint64_t bits;

    (void)search_number_read(value, &number);
    number.nearest += 0.0; /* -0.0 equals 0 */
    memcpy(&bits, &number.nearest, sizeof(bits));
    add_big_endian(out, (bits & sign) != 0 ? ~bits : bits | sign);
    add_big_endian(out, (uint64_t)number.beyond ^ sign);
}

/* Ends with two NULs, which come before whatever could follow instead. */
static void add_text(struct span text, struct buf *out)
{
    const char *nul;

    while (text.len > 0 && (nul = memchr(text.ptr, '\0', text.len)) != NULL) {
        size_t len = (size_t)(nul - text.ptr) + 1;

        buf_add(out, text.ptr, len);
        buf_add_char(out, '\xff');
        text = span_of(text.ptr + len, text.len - len);
    }
    buf_add_span(out, text);
    buf_add(out, "\0", 2);
}

static void add_string(struct span value, struct buf *out)
{
    struct buf scratch;
    struct span text = span_of(NULL, 0);

    buf_init(&scratch, 0);
    if (json_walk_string(value, &scratch, &text)) {
        add_text(text, out);
    } else {
        add_text(value, out);
    }
    buf_done(&scratch);
}

static void add_name(struct span key, struct buf *out)
{
    struct buf scratch;
    struct span text = span_of(NULL, 0);

    buf_init(&scratch, 0);
    add_text(json_walk_key(key, &scratch, &text) ? text : key, out);
    buf_done(&scratch);
}

static void add_nested(struct span value, struct buf *out, unsigned depth)
{
    struct json_walk walk;
    struct span key = span_of(NULL, 0);
    struct span element;

    if (depth < DEPTH_MAX && json_walk_begin(&walk, value)) {
        while (json_walk_next(&walk, &key, &element)) {
            if (walk.object) {
                buf_add_char(out, (char)ranks[json_walk_kind(element)]);
                add_name(key, out);
            }
            add_key(element, out, depth);
        }
    }
    buf_add_char(out, (char)RANK_END);
}

static void add_key(struct span value, struct buf *out, unsigned depth)
{
    enum json_kind kind = value.len == 0 ? JSON_KIND_NULL : json_walk_kind(value);

    buf_add_char(out, (char)ranks[kind]);
    switch (kind) {
    case JSON_KIND_OBJECT:
    case JSON_KIND_ARRAY:
        add_nested(value, out, depth + 1);
        break;
    case JSON_KIND_STRING:
        add_string(value, out);
        break;
    case JSON_KIND_NUMBER:
        add_number(value, out);
        break;
    case JSON_KIND_TRUE:
    case JSON_KIND_FALSE:
    case JSON_KIND_NULL:
        break;
    }
}

void search_value_key(struct span value, struct buf *out)
{
    add_key(value, out, 0);
}

/* ---- wildcards ---- */

static size_t character(struct span text, size_t at)
{
    size_t len = utf8_length((const unsigned char *)text.ptr + at, text.len - at);

    return len == 0 ? 1 : len;
}

/* Whether the text at `at` begins with a piece of a pattern, which has no `*`; *behind it. */
static bool piece_at(struct span piece, struct span text, size_t at, size_t *behind)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (at == text.len) {
            return false;
        }
        if (piece.ptr[i] == '?') {
            if (text.ptr[at] == '\n') {
                return false;
            }
            at += character(text, at);
        } else if (piece.ptr[i] == text.ptr[at]) {
            at++;
        } else {
            return false;
        }
    }
    *behind = at;
    return true;
}

/* Behind the first place, at or behind `at`, where the piece stands; only what is no line feed is
 * left out for it. The first is as good as any: what follows has the more room. */
static bool piece_from(struct span piece, struct span text, size_t at, size_t *behind)
{
    bool literal = memchr(piece.ptr, '?', piece.len) == NULL;
    const char *feed = at < text.len ? memchr(text.ptr + at, '\n', text.len - at) : NULL;
    size_t last = feed != NULL ? (size_t)(feed - text.ptr) : text.len; /* where it may begin */

    if (literal) { /* in linear time, whatever the text */
        const char *found =
            at < text.len ? memmem(text.ptr + at, text.len - at, piece.ptr, piece.len) : NULL;

        if (found == NULL || (size_t)(found - text.ptr) > last) {
            return false;
        }
        *behind = (size_t)(found - text.ptr) + piece.len;
        return true;
    }
    while (at <= last) {
        if (piece_at(piece, text, at, behind)) {
            return true;
        }
        if (at == text.len) {
            return false;
        }
        at += character(text, at);
    }
    return false;
}

/* Whether the text ends with the piece, behind `at` and what `*` may leave out. */
static bool piece_ends(struct span piece, struct span text, size_t at)
{
    size_t from = text.len;
    size_t behind = 0;

    for (size_t i = piece.len; i-- > 0;) {           /* a character back for each of the piece */
        bool inside = (piece.ptr[i] & 0xC0) == 0x80; /* of a character, not its first byte */

        if (inside) {
            continue;
        }
        if (from == at) {
            return false;
        }
        do {
            from--;
        } while (from > at && (text.ptr[from] & 0xC0) == 0x80);
    }
    return (from == at || memchr(text.ptr + at, '\n', from - at) == NULL) &&
           piece_at(piece, text, from, &behind) && behind == text.len;
}

/* The pieces between the stars, one behind the other: the first at the beginning, the last at the
 * end, each other as early as it can be. */
bool search_glob(struct span pattern, struct span text)
{
    const char *star = pattern.len == 0 ? NULL : memchr(pattern.ptr, '*', pattern.len);
    struct span piece = star == NULL ? pattern : span_of(pattern.ptr, (size_t)(star - pattern.ptr));
    size_t at = 0;

    if (!piece_at(piece, text, 0, &at)) {
        return false;
    }
    if (star == NULL) {
        return at == text.len;
    }
    for (;;) {
        struct span rest = span_of(star + 1, (size_t)(pattern.ptr + pattern.len - star) - 1);

        star = rest.len == 0 ? NULL : memchr(rest.ptr, '*', rest.len);
        if (star == NULL) {
            return piece_ends(rest, text, at);
        }
        piece = span_of(rest.ptr, (size_t)(star - rest.ptr));
        if (piece.len > 0 && !piece_from(piece, text, at, &at)) {
            return false;
        }
    }
}
