#include "service/import_line.h"

#include <jansson.h>
#include <string.h>

#include "service/export.h"
#include "service/json_text.h"

enum { NAME_SHOWN_MAX = 64 };

#define IN(kind)   (1U << (kind))
#define IN_RECORDS (IN(IMPORT_TENANT) | IN(IMPORT_DEVICE))

/* Which lines have the member: all of these, and no other. */
static const struct {
    const char *name;
    unsigned kinds;
} members[IMPORT_MEMBERS] = {
    [IMPORT_FORMAT] = {"koseki-export", IN(IMPORT_HEADER)},
    [IMPORT_VERSION] = {"version", IN(IMPORT_HEADER) | IN_RECORDS},
    [IMPORT_TENANTS] = {"tenants", IN(IMPORT_HEADER)},
    [IMPORT_DEVICES] = {"devices", IN(IMPORT_HEADER)},
    [IMPORT_CREDENTIALS] = {"credentials", IN(IMPORT_HEADER) | IN(IMPORT_DEVICE)},
    [IMPORT_TENANT_ID] = {"tenant", IN_RECORDS},
    [IMPORT_DEVICE_ID] = {"device", IN(IMPORT_DEVICE)},
    [IMPORT_CREDENTIALS_VERSION] = {"credentials-version", IN(IMPORT_DEVICE)},
    [IMPORT_CREATED] = {"created", IN_RECORDS},
    [IMPORT_UPDATED] = {"updated", IN_RECORDS},
    [IMPORT_PROVISIONED] = {"auto-provisioned", IN(IMPORT_DEVICE)},
    [IMPORT_NOTIFIED] = {"auto-provisioning-notification-sent", IN(IMPORT_DEVICE)},
    [IMPORT_DOCUMENT] = {"document", IN_RECORDS},
};

enum ks_status import_line_refuse(enum import_member member, struct ks_failure *why,
                                  const char *text)
{
    return ks_fail(why, KS_INVALID, NULL, "%s: %s", members[member].name, text);
}

/* ---- where values end: what they hold is judged by who reads them ---- */

struct scan {
    const char *start;
    const char *at;
    const char *end;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(struct scan *s)
{
    while (s->at < s->end && is_blank(*s->at)) {
        s->at++;
    }
}

static bool skip(struct scan *s, char c)
{
    skip_blanks(s);
    if (s->at == s->end || *s->at != c) {
        return false;
    }
    s->at++;
    return true;
}

static bool skip_string(struct scan *s)
{
    if (!skip(s, '"')) {
        return false;
    }
    for (; s->at < s->end; s->at++) {
        if (*s->at == '"') {
            s->at++;
            return true;
        }
        if (*s->at == '\\') {
            s->at++; /* a quote behind it ends nothing; what else stands there is checked later */
            if (s->at == s->end) {
                return false;
            }
        }
    }
    return false;
}

/* To behind the bracket that closes the one at hand. */
static bool skip_nested(struct scan *s)
{
    size_t depth = 0;

    while (s->at < s->end) {
        char c = *s->at;

        if (c == '"') {
            if (!skip_string(s)) {
                return false;
            }
            continue;
        }
        s->at++;
        if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return true;
        }
    }
    return false;
}

static bool skip_scalar(struct scan *s)
{
    const char *from = s->at;

    while (s->at < s->end && !is_blank(*s->at) && strchr(",}]", *s->at) == NULL) {
        s->at++;
    }
    return s->at > from;
}

static bool skip_value(struct scan *s, struct span *out)
{
    const char *from;
    bool ok;

    skip_blanks(s);
    from = s->at;
    if (from == s->end) {
        return false;
    }
    ok = *from == '"' ? skip_string(s)
                      : (*from == '{' || *from == '[' ? skip_nested(s) : skip_scalar(s));
    *out = span_of(from, (size_t)(s->at - from));
    return ok;
}

/* ---- the members ---- */

static enum ks_status malformed(const struct scan *s, struct ks_failure *why)
{
    return ks_fail(why, KS_INVALID, NULL, "not a JSON object, at byte %zu",
                   (size_t)(s->at - s->start) + 1);
}

static enum ks_status keep(struct import_line *line, struct span name, struct span value,
                           struct ks_failure *why)
{
    for (size_t i = 0; i < IMPORT_MEMBERS; i++) {
        if (!span_eq(name, span_cstr(members[i].name))) {
            continue;
        }
        if (line->value[i].ptr != NULL) {
            return import_line_refuse((enum import_member)i, why, "is there twice");
        }
        line->value[i] = value;
        return KS_OK;
    }
    if (line->unknown.ptr == NULL) {
        line->unknown = name;
    }
    return KS_OK;
}

/* `"name": value`; *more: a comma follows. */
static enum ks_status read_member(struct scan *s, struct import_line *line, bool *more,
                                  struct ks_failure *why)
{
    const char *from;
    struct span name;
    struct span value;
    enum ks_status st;

    skip_blanks(s);
    from = s->at;
    if (!skip_string(s)) {
        return malformed(s, why);
    }
    name = span_of(from + 1, (size_t)(s->at - from) - 2);
    if (!skip(s, ':') || !skip_value(s, &value)) {
        return malformed(s, why);
    }
    st = keep(line, name, value, why);
    *more = skip(s, ',');
    return st;
}

static enum ks_status read_members(struct scan *s, struct import_line *line, struct ks_failure *why)
{
    bool more = true;
    enum ks_status st = skip(s, '{') ? KS_OK : malformed(s, why);

    while (st == KS_OK && more) {
        st = read_member(s, line, &more, why);
    }
    if (st == KS_OK && !skip(s, '}')) {
        return malformed(s, why);
    }
    skip_blanks(s);
    return st == KS_OK && s->at < s->end ? malformed(s, why) : st;
}

static enum import_line_kind kind_of(const struct import_line *line)
{
    if (line->value[IMPORT_FORMAT].ptr != NULL) {
        return IMPORT_HEADER;
    }
    return line->value[IMPORT_DEVICE_ID].ptr != NULL ? IMPORT_DEVICE : IMPORT_TENANT;
}

/* Before all else of a header: another format may have other members. */
static enum ks_status check_format(const struct import_line *line, struct ks_failure *why)
{
    uint64_t format = 0;
    enum ks_status st = import_line_number(line, IMPORT_FORMAT, INT32_MAX, &format, why);

    if (st == KS_OK && format != EXPORT_FORMAT) {
        return ks_fail(why, KS_INVALID, NULL,
                       "koseki-export: the format is %llu; this Koseki reads format %d",
                       (unsigned long long)format, EXPORT_FORMAT);
    }
    return st;
}

static enum ks_status check_members(const struct import_line *line, struct ks_failure *why)
{
    struct span name = line->unknown;

    if (name.ptr != NULL) {
        return ks_fail(why, KS_INVALID, NULL, "there is no member \"%.*s\"",
                       name.len < NAME_SHOWN_MAX ? (int)name.len : NAME_SHOWN_MAX, name.ptr);
    }
    for (size_t i = 0; i < IMPORT_MEMBERS; i++) {
        bool wanted = (members[i].kinds & IN(line->kind)) != 0;

        if (wanted != (line->value[i].ptr != NULL)) {
            return import_line_refuse((enum import_member)i, why,
                                      wanted ? "is missing" : "does not belong in this line");
        }
    }
    return KS_OK;
}

enum ks_status import_line_read(struct span text, struct import_line *out, struct ks_failure *why)
{
    struct scan s = {.start = text.ptr, .at = text.ptr, .end = span_end(text)};
    struct import_line line = {.unknown = {.ptr = NULL}};
    enum ks_status st = read_members(&s, &line, why);

    line.kind = kind_of(&line);
    if (st == KS_OK && line.kind == IMPORT_HEADER) {
        st = check_format(&line, why);
    }
    if (st == KS_OK) {
        st = check_members(&line, why);
    }
    if (st == KS_OK) {
        *out = line;
    }
    return st;
}

/* ---- values ---- */

enum ks_status import_line_text(const struct import_line *line, enum import_member member,
                                struct arena *arena, struct span *out, struct ks_failure *why)
{
    struct span raw = line->value[member];
    json_t *string = json_loadb(raw.ptr, raw.len, JSON_DECODE_ANY, NULL);
    enum ks_status st = KS_OK;

    if (json_is_string(string)) {
        *out = arena_span(arena, json_text_of(string));
    } else {
        st = import_line_refuse(member, why, "must be a string");
    }
    json_decref(string);
    return st;
}

enum ks_status import_line_uuid(const struct import_line *line, enum import_member member,
                                struct uuid *out, struct ks_failure *why)
{
    struct span raw = line->value[member];

    if (raw.len != UUID_TEXT_LEN + 2 || raw.ptr[0] != '"' || raw.ptr[raw.len - 1] != '"' ||
        !uuid_parse(span_of(raw.ptr + 1, UUID_TEXT_LEN), out)) {
        return import_line_refuse(member, why, "must be a UUID, as a string");
    }
    return KS_OK;
}

enum ks_status import_line_number(const struct import_line *line, enum import_member member,
                                  uint64_t max, uint64_t *out, struct ks_failure *why)
{
    struct span raw = line->value[member];
    uint64_t value = 0;
    bool ok = raw.len == 1 || raw.ptr[0] != '0';

    for (size_t i = 0; i < raw.len && ok; i++) {
        uint64_t digit = (uint64_t)(unsigned char)raw.ptr[i] - '0';

        ok = digit <= 9 && digit <= max && value <= (max - digit) / 10;
        value = value * 10 + digit;
    }
    if (!ok) {
        return ks_fail(why, KS_INVALID, NULL, "%s: must be an integer of 0 to %llu",
                       members[member].name, (unsigned long long)max);
    }
    *out = value;
    return KS_OK;
}

enum ks_status import_line_flag(const struct import_line *line, enum import_member member,
                                bool *out, struct ks_failure *why)
{
    struct span raw = line->value[member];

    *out = span_eq(raw, SPAN("true"));
    return *out || span_eq(raw, SPAN("false"))
               ? KS_OK
               : import_line_refuse(member, why, "must be true or false");
}
