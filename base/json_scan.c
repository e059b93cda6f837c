#include "base/json_scan.h"

#include <stdint.h>
#include <string.h>

#include "base/hex.h"
#include "base/utf8.h"

/*
 * A recursive-descent reader whose recursion is bounded by JSON_SCAN_DEPTH. Every function leaves
 * `at` behind what it read, or sets `what` to the first thing that is wrong.
 */
struct scanner {
    const char *start;
    const char *at;
    const char *end;
    const char *what;         /* NULL: fine so far */
    struct json_members *top; /* where the outermost object's members go */
};

static bool wrong(struct scanner *s, const char *what)
{
    if (s->what == NULL) {
        s->what = what;
    }
    return false;
}

static void skip_blanks(struct scanner *s)
{
    while (s->at < s->end &&
           (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')) {
        s->at++;
    }
}

/* ---- strings ---- */

/* Four hex digits at p; -1 if they are not. */
static int read_hex4(const char *p, const char *end)
{
    int value = 0;

    if (end - p < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);

        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    return value;
}

static bool is_high_surrogate(int unit)
{
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low_surrogate(int unit)
{
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* Behind a backslash. */
static bool scan_escape(struct scanner *s)
{
    int unit;

    if (s->at == s->end) {
        return wrong(s, "unterminated string");
    }
    if (*s->at != 'u') {
        if (*s->at == '\0' || strchr("\"\\/bfnrt", *s->at) == NULL) {
            return wrong(s, "unknown escape in a string");
        }
        s->at++;
        return true;
    }
    unit = read_hex4(s->at + 1, s->end);
    if (unit < 0) {
        return wrong(s, "\\u without four hex digits");
    }
    s->at += 5;
    if (is_high_surrogate(unit)) {
        if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u' ||
            !is_low_surrogate(read_hex4(s->at + 2, s->end))) {
            return wrong(s, "lone surrogate in a string");
        }
        s->at += 6;
    } else if (is_low_surrogate(unit)) {
        return wrong(s, "lone surrogate in a string");
    }
    return true;
}

/* At the opening quote; *raw is what stands between the quotes. */
static bool scan_string(struct scanner *s, struct span *raw)
{
    const char *from = ++s->at;

    while (s->at < s->end) {
        unsigned char c = (unsigned char)*s->at;

        if (c == '"') {
            *raw = span_of(from, (size_t)(s->at - from));
            s->at++;
            return true;
        }
        if (c < 0x20) {
            return wrong(s, "control character in a string");
        }
        if (c == '\\') {
            s->at++;
            if (!scan_escape(s)) {
                return false;
            }
        } else if (c < 0x80) {
            s->at++;
        } else {
            size_t len = utf8_length((const unsigned char *)s->at, (size_t)(s->end - s->at));

            if (len == 0) {
                return wrong(s, "a string is not UTF-8");
            }
            s->at += len;
        }
    }
    return wrong(s, "unterminated string");
}

/* ---- numbers and literals ---- */

static size_t scan_digits(struct scanner *s)
{
    const char *from = s->at;

    while (s->at < s->end && *s->at >= '0' && *s->at <= '9') {
        s->at++;
    }
    return (size_t)(s->at - from);
}

static bool scan_number(struct scanner *s)
{
    const char *first;
    size_t digits;

    s->at += *s->at == '-';
    first = s->at;
    digits = scan_digits(s);
    if (digits == 0 || (digits > 1 && *first == '0')) {
        return wrong(s, "malformed number");
    }
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (scan_digits(s) == 0) {
            return wrong(s, "malformed number");
        }
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        s->at += s->at < s->end && (*s->at == '+' || *s->at == '-');
        if (scan_digits(s) == 0) {
            return wrong(s, "malformed number");
        }
    }
    return true;
}

static bool scan_literal(struct scanner *s, struct span word)
{
    if ((size_t)(s->end - s->at) < word.len || memcmp(s->at, word.ptr, word.len) != 0) {
        return wrong(s, "unknown word");
    }
    s->at += word.len;
    return true;
}

/* ---- duplicate keys ---- */

struct key_reader {
    const char *at;
    const char *end;
    char bytes[4]; /* of an escape, decoded */
    size_t len;
    size_t next;
};

static size_t utf8_encode(uint32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xC0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xE0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3F));
        out[2] = (char)(0x80 | (point & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3F));
    out[2] = (char)(0x80 | (point >> 6 & 0x3F));
    out[3] = (char)(0x80 | (point & 0x3F));
    return 4;
}

/* Decodes the escape at p (behind the backslash); returns what is behind it. The text was scanned.
 */
static const char *decode_escape(const char *p, const char *end, char out[4], size_t *len)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    uint32_t point;

    if (*p != 'u') {
        out[0] = to[strchr(from, *p) - from];
        *len = 1;
        return p + 1;
    }
    point = (uint32_t)read_hex4(p + 1, end);
    p += 5;
    if (is_high_surrogate((int)point)) {
        uint32_t low = (uint32_t)read_hex4(p + 2, end);

        point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
        p += 6;
    }
    *len = utf8_encode(point, out);
    return p;
}

/* The next byte of the unescaped text; -1 at the end. */
static int next_byte(struct key_reader *r)
{
    if (r->next < r->len) {
        return (unsigned char)r->bytes[r->next++];
    }
    if (r->at == r->end) {
        return -1;
    }
    if (*r->at != '\\') {
        return (unsigned char)*r->at++;
    }
    r->at = decode_escape(r->at + 1, r->end, r->bytes, &r->len);
    r->next = 1;
    return (unsigned char)r->bytes[0];
}

static bool has_escape(struct span raw)
{
    return raw.len > 0 && memchr(raw.ptr, '\\', raw.len) != NULL;
}

static bool raw_eq(struct span a, struct span b)
{
    struct key_reader ra = {.at = a.ptr, .end = span_end(a)};
    struct key_reader rb = {.at = b.ptr, .end = span_end(b)};
    int byte;

    if (!has_escape(a) && !has_escape(b)) {
        return span_eq(a, b);
    }
    do {
        byte = next_byte(&ra);
        if (byte != next_byte(&rb)) {
            return false;
        }
    } while (byte >= 0);
    return true;
}

/* ---- values ---- */

static bool scan_value(struct scanner *s, unsigned depth, enum json_kind *kind);

/* Keys seen in one object: compared pairwise, so their number is bounded on every level. */
struct seen_keys {
    struct span key[JSON_SCAN_MEMBERS];
    size_t count;
};

static bool note_key(struct scanner *s, struct seen_keys *seen, struct span key)
{
    if (seen->count == JSON_SCAN_MEMBERS) {
        return wrong(s, "too many members in an object");
    }
    for (size_t i = 0; i < seen->count; i++) {
        if (raw_eq(seen->key[i], key)) {
            return wrong(s, "duplicate key in an object");
        }
    }
    seen->key[seen->count++] = key;
    return true;
}

static bool scan_member(struct scanner *s, unsigned depth, struct seen_keys *seen)
{
    struct json_member member;
    const char *from;

    if (s->at == s->end || *s->at != '"') {
        return wrong(s, "expected a key in quotes");
    }
    if (!scan_string(s, &member.key) || !note_key(s, seen, member.key)) {
        return false;
    }
    skip_blanks(s);
    if (s->at == s->end || *s->at != ':') {
        return wrong(s, "expected ':' behind a key");
    }
    s->at++;
    skip_blanks(s);
    from = s->at;
    if (!scan_value(s, depth, &member.kind)) {
        return false;
    }
    member.value = span_of(from, (size_t)(s->at - from));
    if (depth == 1 && s->top != NULL) {
        s->top->item[s->top->count++] = member;
    }
    return true;
}

/* At the opening brace. depth: of this object. */
static bool scan_object(struct scanner *s, unsigned depth)
{
    struct seen_keys seen;

    seen.count = 0;
    s->at++;
    skip_blanks(s);
    if (s->at < s->end && *s->at == '}') {
        s->at++;
        return true;
    }
    while (scan_member(s, depth, &seen)) {
        skip_blanks(s);
        if (s->at < s->end && *s->at == '}') {
            s->at++;
            return true;
        }
        if (s->at == s->end || *s->at != ',') {
            return wrong(s, "expected ',' or '}' in an object");
        }
        s->at++;
        skip_blanks(s);
    }
    return false;
}

static bool scan_array(struct scanner *s, unsigned depth)
{
    enum json_kind kind;

    s->at++;
    skip_blanks(s);
    if (s->at < s->end && *s->at == ']') {
        s->at++;
        return true;
    }
    while (scan_value(s, depth, &kind)) {
        skip_blanks(s);
        if (s->at < s->end && *s->at == ']') {
            s->at++;
            return true;
        }
        if (s->at == s->end || *s->at != ',') {
            return wrong(s, "expected ',' or ']' in an array");
        }
        s->at++;
        skip_blanks(s);
    }
    return false;
}

/* depth: how many objects and arrays are open. */
static bool scan_value(struct scanner *s, unsigned depth, enum json_kind *kind)
{
    struct span raw;

    if (s->at == s->end) {
        return wrong(s, "the text ends too soon");
    }
    if ((*s->at == '{' || *s->at == '[') && depth == JSON_SCAN_DEPTH) {
        return wrong(s, "nested too deeply");
    }
    switch (*s->at) {
    case '{':
        *kind = JSON_KIND_OBJECT;
        return scan_object(s, depth + 1);
    case '[':
        *kind = JSON_KIND_ARRAY;
        return scan_array(s, depth + 1);
    case '"':
        *kind = JSON_KIND_STRING;
        return scan_string(s, &raw);
    case 't':
        *kind = JSON_KIND_TRUE;
        return scan_literal(s, SPAN("true"));
    case 'f':
        *kind = JSON_KIND_FALSE;
        return scan_literal(s, SPAN("false"));
    case 'n':
        *kind = JSON_KIND_NULL;
        return scan_literal(s, SPAN("null"));
    default:
        *kind = JSON_KIND_NUMBER;
        return scan_number(s);
    }
}

enum ks_status json_scan_object(struct span text, struct json_members *out, struct ks_failure *why)
{
    struct scanner s = {.start = text.ptr, .at = text.ptr, .end = span_end(text), .top = out};
    enum json_kind kind;

    out->count = 0;
    skip_blanks(&s);
    if (s.at == s.end || *s.at != '{') {
        (void)wrong(&s, "not a JSON object");
    } else if (scan_value(&s, 0, &kind)) {
        skip_blanks(&s);
        if (s.at != s.end) {
            (void)wrong(&s, "text behind the object");
        }
    }
    if (s.what != NULL) {
        return ks_fail(why, KS_INVALID, NULL, "malformed JSON at byte %zu: %s",
                       (size_t)(s.at - s.start), s.what);
    }
    return KS_OK;
}

/* Whether a raw key reads as this text. */
static bool reads_as(struct span raw, struct span text)
{
    struct key_reader r = {.at = raw.ptr, .end = span_end(raw)};
    size_t n = 0;
    int byte;

    if (!has_escape(raw)) {
        return span_eq(raw, text);
    }
    byte = next_byte(&r);
    while (byte >= 0 && n < text.len && (unsigned char)text.ptr[n] == byte) {
        n++;
        byte = next_byte(&r);
    }
    return byte < 0 && n == text.len;
}

const struct json_member *json_members_find(const struct json_members *members, struct span key)
{
    for (size_t i = 0; i < members->count; i++) {
        if (reads_as(members->item[i].key, key)) {
            return &members->item[i];
        }
    }
    return NULL;
}

void json_scan_string(struct span value, char *out, struct span *result)
{
    struct span raw = span_of(value.ptr + 1, value.len - 2);
    struct key_reader r = {.at = raw.ptr, .end = span_end(raw)};
    size_t n = 0;

    if (!has_escape(raw)) {
        *result = raw;
        return;
    }
    for (int byte = next_byte(&r); byte >= 0; byte = next_byte(&r)) {
        out[n++] = (char)byte;
    }
    *result = span_of(out, n);
}
