#include "base/json_walk.h"

#include <stdint.h>
#include <string.h>

#include "base/hex.h"

/* ---- finding ends: NULL if there is none ---- */

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) {
        at++;
    }
    return at;
}

/* At the opening quote; behind the closing one. */
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        if (*at == '"') {
            return at + 1;
        }
        if (*at == '\\' && ++at == end) {
            return NULL;
        }
    }
    return NULL;
}

/* At the opening bracket; brackets are only counted. */
static const char *skip_nested(const char *at, const char *end)
{
    size_t depth = 0;

    while (at != NULL && at < end) {
        switch (*at) {
        case '"':
            at = skip_string(at, end);
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (--depth == 0) {
                return at + 1;
            }
            break;
        default:
            break;
        }
        at++;
    }
    return NULL;
}

static const char *skip_scalar(const char *at, const char *end)
{
    const char *from = at;

    while (at < end && *at != ',' && *at != '}' && *at != ']' && *at != ' ' && *at != '\t' &&
           *at != '\n' && *at != '\r') {
        at++;
    }
    return at > from ? at : NULL;
}

static const char *skip_value(const char *at, const char *end)
{
    if (at == end) {
        return NULL;
    }
    switch (*at) {
    case '"':
        return skip_string(at, end);
    case '{':
    case '[':
        return skip_nested(at, end);
    default:
        return skip_scalar(at, end);
    }
}

/* ---- walking ---- */

enum json_kind json_walk_kind(struct span value)
{
    switch (value.ptr[0]) {
    case '{':
        return JSON_KIND_OBJECT;
    case '[':
        return JSON_KIND_ARRAY;
    case '"':
        return JSON_KIND_STRING;
    case 't':
        return JSON_KIND_TRUE;
    case 'f':
        return JSON_KIND_FALSE;
    case 'n':
        return JSON_KIND_NULL;
    default:
        return JSON_KIND_NUMBER;
    }
}

bool json_walk_begin(struct json_walk *walk, struct span value)
{
    if (value.len == 0 || (value.ptr[0] != '{' && value.ptr[0] != '[')) {
        return false;
    }
    *walk = (struct json_walk){
        .at = value.ptr + 1, .end = span_end(value), .object = value.ptr[0] == '{'};
    return true;
}

/* Ends the walk: what follows cannot be understood. */
static bool stop(struct json_walk *walk)
{
    walk->at = walk->end;
    return false;
}

/* Up to the value behind a key. */
static bool take_key(struct json_walk *walk, struct span *key)
{
    const char *from = walk->at;
    const char *behind = from < walk->end && *from == '"' ? skip_string(from, walk->end) : NULL;

    if (behind == NULL) {
        return false;
    }
    *key = span_of(from + 1, (size_t)(behind - from) - 2);
    walk->at = skip_blanks(behind, walk->end);
    if (walk->at == walk->end || *walk->at != ':') {
        return false;
    }
    walk->at = skip_blanks(walk->at + 1, walk->end);
    return true;
}

bool json_walk_next(struct json_walk *walk, struct span *key, struct span *value)
{
    const char *behind;

    walk->at = skip_blanks(walk->at, walk->end);
    if (walk->at < walk->end && *walk->at == ',') {
        walk->at = skip_blanks(walk->at + 1, walk->end);
    }
    if (walk->at == walk->end || *walk->at == '}' || *walk->at == ']' ||
        (walk->object && !take_key(walk, key))) {
        return stop(walk);
    }
    behind = skip_value(walk->at, walk->end);
    if (behind == NULL) {
        return stop(walk);
    }
    *value = span_of(walk->at, (size_t)(behind - walk->at));
    walk->at = behind;
    return true;
}

/* ---- strings ---- */

/* Four hex digits at *at, which moves behind them. */
static bool take_unit(const char **at, const char *end, uint32_t *unit)
{
    *unit = 0;
    if (end - *at < 4) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(*(*at)++);

        if (digit < 0) {
            return false;
        }
        *unit = *unit << 4 | (uint32_t)digit;
    }
    return true;
}

static void add_utf8(struct buf *out, uint32_t point)
{
    if (point < 0x80) {
        buf_add_char(out, (char)point);
    } else if (point < 0x800) {
        buf_add_char(out, (char)(0xC0 | point >> 6));
        buf_add_char(out, (char)(0x80 | (point & 0x3F)));
    } else if (point < 0x10000) {
        buf_add_char(out, (char)(0xE0 | point >> 12));
        buf_add_char(out, (char)(0x80 | (point >> 6 & 0x3F)));
        buf_add_char(out, (char)(0x80 | (point & 0x3F)));
    } else {
        buf_add_char(out, (char)(0xF0 | point >> 18));
        buf_add_char(out, (char)(0x80 | (point >> 12 & 0x3F)));
        buf_add_char(out, (char)(0x80 | (point >> 6 & 0x3F)));
        buf_add_char(out, (char)(0x80 | (point & 0x3F)));
    }
}

/* Behind \u; a pair of surrogates is one character. */
static bool take_unicode(const char **at, const char *end, struct buf *out)
{
    uint32_t unit;
    uint32_t low;

    if (!take_unit(at, end, &unit)) {
        return false;
    }
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        if (end - *at < 2 || (*at)[0] != '\\' || (*at)[1] != 'u') {
            return false;
        }
        *at += 2;
        if (!take_unit(at, end, &low) || low < 0xDC00 || low > 0xDFFF) {
            return false;
        }
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    }
    add_utf8(out, unit);
    return true;
}

/* Behind a backslash. */
static bool take_escape(const char **at, const char *end, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *found;

    if (*at == end) {
        return false;
    }
    if (**at == 'u') {
        (*at)++;
        return take_unicode(at, end, out);
    }
    found = memchr(from, **at, sizeof(from) - 1);
    if (found == NULL) {
        return false;
    }
    (*at)++;
    buf_add_char(out, to[found - from]);
    return true;
}

bool json_walk_key(struct span key, struct buf *scratch, struct span *text)
{
    const char *at = key.ptr;
    const char *end = span_end(key);

    if (key.len == 0 || memchr(key.ptr, '\\', key.len) == NULL) {
        *text = key;
        return true;
    }
    buf_clear(scratch);
    while (at < end) {
        if (*at != '\\') {
            buf_add_char(scratch, *at++);
            continue;
        }
        at++;
        if (!take_escape(&at, end, scratch)) {
            return false;
        }
    }
    *text = buf_span(scratch);
    return !scratch->overflow;
}

bool json_walk_string(struct span value, struct buf *scratch, struct span *text)
{
    if (value.len < 2 || value.ptr[0] != '"') {
        return false;
    }
    return json_walk_key(span_of(value.ptr + 1, value.len - 2), scratch, text);
}
