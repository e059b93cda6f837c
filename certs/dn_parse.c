/*
 * DN text to DER, as Java's X500Principal(String) reads it, and from there to its normal form. What
 * Java refuses is refused, what it lets pass passes.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "base/utf8.h"
#include "certs/dn.h"
#include "certs/dn_types.h"

static const char email_oid[] = "\x2A\x86\x48\x86\xF7\x0D\x01\x09\x01";
static const char dc_oid[] = "\x09\x92\x26\x89\x93\xF2\x2C\x64\x01\x19";

struct parser {
    const char *start;
    const char *at;
    const char *end;
    const char *what; /* the first thing that is wrong */
};

static bool wrong(struct parser *p, const char *what)
{
    if (p->what == NULL) {
        p->what = what;
    }
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(struct parser *p)
{
    while (p->at < p->end && is_blank(*p->at)) {
        p->at++;
    }
}

/* ---- DER output ---- */

static void add_tlv(struct buf *out, unsigned char tag, struct span content)
{
    unsigned char head[5] = {tag};
    size_t len = 2;

    if (content.len < 0x80) {
        head[1] = (unsigned char)content.len;
    } else if (content.len < 0x100) {
        head[1] = 0x81;
        head[2] = (unsigned char)content.len;
        len = 3;
    } else {
        head[1] = 0x82;
        head[2] = (unsigned char)(content.len >> 8);
        head[3] = (unsigned char)content.len;
        len = 4;
    }
    buf_add(out, head, len);
    buf_add_span(out, content);
}

/* ---- attribute types ---- */

static bool add_arc(struct buf *oid, uint64_t arc)
{
    unsigned char bytes[10];
    size_t n = sizeof(bytes);

    bytes[--n] = (unsigned char)(arc & 0x7F); /* the last septet has no continuation bit */
    for (arc >>= 7; arc > 0; arc >>= 7) {
        bytes[--n] = (unsigned char)((arc & 0x7F) | 0x80);
    }
    buf_add(oid, bytes + n, sizeof(bytes) - n);
    return true;
}

/* Dotted decimal: at least two arcs, the first 0 to 2, the second below 40 under 0 and 1. */
static bool parse_oid(struct span text, struct buf *oid)
{
    uint64_t arcs[2] = {0};
    size_t count = 0;
    size_t i = 0;

    while (i < text.len) {
        uint64_t arc = 0;
        size_t from = i;

        while (i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9') {
            if (arc > (UINT64_MAX - 9) / 10) {
                return false;
            }
            arc = arc * 10 + (uint64_t)(text.ptr[i++] - '0');
        }
        if (i == from || (i < text.len && text.ptr[i] != '.') ||
            (i < text.len && i + 1 == text.len)) {
            return false;
        }
        i += i < text.len;
        if (count < 2) {
            arcs[count] = arc;
        }
        count++;
        if (count == 2) {
            if (arcs[0] > 2 || (arcs[0] < 2 && arcs[1] > 39) || arcs[1] > UINT64_MAX - 80) {
                return false;
            }
            arc = arcs[0] * 40 + arcs[1];
        }
        if (count >= 2 && !add_arc(oid, arc)) {
            return false;
        }
    }
    return count >= 2;
}

static bool parse_type(struct parser *p, struct buf *oid)
{
    const char *from = p->at;
    const char *equals = memchr(from, '=', (size_t)(p->end - from));
    struct span name;

    if (equals == NULL) {
        return wrong(p, "a part has no '='");
    }
    name = span_of(from, (size_t)(equals - from));
    while (name.len > 0 && is_blank(name.ptr[name.len - 1])) {
        name.len--;
    }
    p->at = equals + 1;
    for (size_t i = 0; i < dn_keyword_count; i++) {
        if (name.len == strlen(dn_keywords[i].keyword) &&
            strncasecmp(name.ptr, dn_keywords[i].keyword, name.len) == 0) {
            buf_add_span(oid, dn_keywords[i].oid);
            return true;
        }
    }
    if (name.len > 4 && strncasecmp(name.ptr, "OID.", 4) == 0) {
        name = span_of(name.ptr + 4, name.len - 4);
    }
    return parse_oid(name, oid) || wrong(p, "unknown attribute type");
}

/* ---- values ---- */

static bool is_separator(char c)
{
    return c == ',' || c == ';' || c == '+';
}

/* A value on its way. */
struct value {
    struct buf text;
    bool has_hex_pair; /* Java then never takes it for a PrintableString */
};

/* #hex: the DER of the value as it is. */
static bool parse_hex_value(struct parser *p, struct buf *der)
{
    size_t digits = 0;
    unsigned char byte = 0;

    p->at++;
    while (p->at < p->end && !is_separator(*p->at)) {
        int digit = hex_digit(*p->at++);

        if (digit < 0) {
            return wrong(p, "a value behind '#' is not hex");
        }
        byte = (unsigned char)(byte << 4 | digit);
        if (++digits % 2 == 0) {
            buf_add_char(der, (char)byte);
        }
    }
    if (digits == 0 || digits % 2 != 0) {
        return wrong(p, "a value behind '#' is not pairs of hex digits");
    }
    return true;
}

/* Behind a backslash: a special character, or the byte of a hex pair. */
static bool parse_escape(struct parser *p, struct buf *text, bool *hex)
{
    *hex = false;
    if (p->at == p->end) {
        return wrong(p, "a trailing backslash");
    }
    if (p->end - p->at >= 2 && hex_digit(p->at[0]) >= 0 && hex_digit(p->at[1]) >= 0) {
        unsigned high = (unsigned)hex_digit(p->at[0]);

        buf_add_char(text, (char)(high << 4 | (unsigned)hex_digit(p->at[1])));
        p->at += 2;
        *hex = true;
        return true;
    }
    if (strchr(",=+<>#;\"\\ ", *p->at) == NULL || *p->at == '\0') {
        return wrong(p, "a backslash before a character that needs none");
    }
    buf_add_char(text, *p->at++);
    return true;
}

static bool parse_quoted(struct parser *p, struct value *value)
{
    struct buf *text = &value->text;
    bool hex = false;

    p->at++;
    while (p->at < p->end && *p->at != '"') {
        if (*p->at == '\\') {
            p->at++;
            if ((p->at < p->end && *p->at == ' ') || !parse_escape(p, text, &hex)) {
                return wrong(p, "a backslash before a blank in quotes");
            }
            value->has_hex_pair = value->has_hex_pair || hex;
        } else {
            buf_add_char(text, *p->at++);
        }
    }
    if (p->at == p->end) {
        return wrong(p, "a quote is not closed");
    }
    p->at++;
    /* Java's String.trim: blanks and control characters. */
    while (text->len > 0 && (unsigned char)text->ptr[text->len - 1] <= ' ') {
        text->len--;
    }
    while (text->len > 0 && (unsigned char)text->ptr[0] <= ' ') {
        memmove(text->ptr, text->ptr + 1, --text->len);
    }
    return true;
}

/* Takes out the blanks that stand right before a run of hex pairs which ends the value: Java does.
 */
static void drop_blanks_before_run(struct buf *text, size_t blanks_at, size_t run_at)
{
    memmove(text->ptr + blanks_at, text->ptr + run_at, text->len - run_at);
    text->len -= run_at - blanks_at;
}

static bool parse_plain(struct parser *p, struct value *value)
{
    struct buf *text = &value->text;
    size_t kept = 0;      /* up to the last character that is not an unescaped blank */
    size_t blanks_at = 0; /* of the blanks before the run of hex pairs at the end */
    size_t run_at = 0;
    bool in_run = false;

    while (p->at < p->end && !is_separator(*p->at)) {
        size_t before = text->len;
        bool hex = false;
        char c = *p->at++;

        if (c == '<' || c == '>' || c == '"') {
            return wrong(p, "an unescaped <, > or quote in a value");
        }
        if (c != '\\') {
            buf_add_char(text, c);
        } else if (!parse_escape(p, text, &hex)) {
            return false;
        }
        if (hex && !in_run) {
            blanks_at = kept;
            run_at = before;
        }
        in_run = hex;
        value->has_hex_pair = value->has_hex_pair || hex;
        if (c != ' ') {
            kept = text->len;
        }
    }
    text->len = kept;
    if (in_run) {
        drop_blanks_before_run(text, blanks_at, run_at);
    }
    return true;
}

/* RFC 5280: letters, digits and some punctuation. */
static bool is_printable(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) &&
            (c == '\0' || strchr(" '()+,-./:=?", c) == NULL)) {
            return false;
        }
    }
    return true;
}

/* IA5: a character beyond ASCII becomes '?', as in Java. */
static void to_ascii(struct buf *text)
{
    size_t n = 0;

    for (size_t i = 0; i < text->len; i++) {
        unsigned char c = (unsigned char)text->ptr[i];

        if ((c & 0xC0) == 0x80) {
            continue;
        }
        text->ptr[n++] = (char)(c < 0x80 ? c : '?');
    }
    text->len = n;
}

static unsigned char string_tag(struct span oid, struct value *value)
{
    struct buf *text = &value->text;

    if (text->len == 0) {
        return DN_TAG_PRINTABLE;
    }
    if (span_eq(oid, span_of(email_oid, sizeof(email_oid) - 1)) ||
        span_eq(oid, span_of(dc_oid, sizeof(dc_oid) - 1))) {
        to_ascii(text);
        return DN_TAG_IA5;
    }
    return !value->has_hex_pair && is_printable(buf_span(text)) ? DN_TAG_PRINTABLE : DN_TAG_UTF8;
}

static bool parse_value(struct parser *p, struct span oid, struct buf *der)
{
    struct value value = {0};
    bool ok;

    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n')) {
        p->at++;
    }
    if (p->at < p->end && *p->at == '#') {
        return parse_hex_value(p, der);
    }
    buf_init(&value.text, DN_TEXT_MAX);
    ok = p->at < p->end && *p->at == '"' ? parse_quoted(p, &value) : parse_plain(p, &value);
    if (ok) {
        unsigned char tag = string_tag(oid, &value);

        add_tlv(der, tag, buf_span(&value.text));
    }
    buf_done(&value.text);
    return ok;
}

/* ---- the name ---- */

/* One attribute as a SEQUENCE of type and value. */
static bool parse_attribute(struct parser *p, struct buf *rdn)
{
    struct buf oid;
    struct buf pair;
    bool ok;

    buf_init(&oid, DN_TEXT_MAX);
    buf_init(&pair, 4 * (size_t)DN_TEXT_MAX);
    skip_blanks(p);
    ok = parse_type(p, &oid);
    if (ok) {
        add_tlv(&pair, 0x06, buf_span(&oid));
        ok = parse_value(p, buf_span(&oid), &pair);
    }
    if (ok) {
        skip_blanks(p);
        add_tlv(rdn, 0x30, buf_span(&pair));
    }
    buf_done(&oid);
    buf_done(&pair);
    return ok;
}

/* Attributes joined by '+'. */
static bool parse_rdn(struct parser *p, struct buf *rdn)
{
    for (;;) {
        if (!parse_attribute(p, rdn)) {
            return false;
        }
        if (p->at == p->end || *p->at != '+') {
            return true;
        }
        p->at++;
    }
}

/* Each RDN is put before the ones that came: the text has the last one first. */
static bool parse_rdns(struct parser *p, struct buf *name)
{
    struct buf rdn;
    struct buf set;
    size_t count = 0;
    bool ok = true;

    buf_init(&rdn, 4 * (size_t)DN_TEXT_MAX);
    buf_init(&set, 8 * (size_t)DN_TEXT_MAX);
    while (ok) {
        buf_clear(&rdn);
        ok = ++count <= DN_RDNS_MAX ? parse_rdn(p, &rdn) : wrong(p, "too many parts");
        if (!ok) {
            break;
        }
        buf_clear(&set);
        add_tlv(&set, 0x31, buf_span(&rdn));
        buf_add_span(&set, buf_span(name));
        buf_clear(name);
        buf_add_span(name, buf_span(&set));
        if (p->at == p->end) {
            break;
        }
        ok = is_separator(*p->at) || wrong(p, "text behind a value");
        p->at++;
    }
    ok = ok && !rdn.overflow && !set.overflow && !name->overflow;
    buf_done(&rdn);
    buf_done(&set);
    return ok;
}

enum ks_status dn_normalize(struct span text, struct buf *out, struct ks_failure *why)
{
    struct parser p = {.start = text.ptr, .at = text.ptr, .end = span_end(text)};
    struct buf name;
    struct buf der;
    enum ks_status st = KS_OK;

    if (text.len > DN_TEXT_MAX || span_has_nul(text) || !utf8_valid(text)) {
        return ks_fail(why, KS_INVALID, NULL,
                       "a name is longer than %d bytes, holds a NUL, or is not UTF-8", DN_TEXT_MAX);
    }
    buf_init(&name, 8 * (size_t)DN_TEXT_MAX);
    buf_init(&der, 8 * (size_t)DN_TEXT_MAX);
    if (text.len > 0 && !parse_rdns(&p, &name)) { /* no text at all is the empty name */
        st = ks_fail(why, KS_INVALID, NULL, "not a distinguished name, at byte %zu: %s",
                     (size_t)(p.at - p.start), p.what != NULL ? p.what : "too long");
    }
    if (st == KS_OK) {
        add_tlv(&der, 0x30, buf_span(&name));
        st = dn_from_der(buf_span(&der), out, why);
    }
    buf_done(&name);
    buf_done(&der);
    return st;
}
