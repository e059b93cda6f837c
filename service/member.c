#include "service/member.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "service/json_text.h"
#include "service/reasons.h"

/* ---- refusals ---- */

enum { NAME_SHOWN_MAX = 64 };

static void add_path(struct buf *out, const struct member_path *at)
{
    if (at == NULL) {
        return;
    }
    add_path(out, at->up);
    if (at->name == NULL) {
        buf_printf(out, "[%zu]", at->index);
    } else {
        buf_printf(out, "%s%.*s", out->len > 0 ? "." : "", NAME_SHOWN_MAX, at->name);
    }
}

enum ks_status member_refuse(const struct member_path *at, struct ks_failure *why,
                             const char *format, ...)
{
    struct buf text;
    va_list args;
    char reason[192];

    va_start(args, format);
    (void)vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    buf_init(&text, 0);
    add_path(&text, at);
    buf_printf(&text, "%s%s", text.len > 0 ? ": " : "", reason);
    (void)ks_fail(why, KS_INVALID, REASON_BAD_REQUEST, "%.*s", SPAN_ARG(buf_span(&text)));
    buf_done(&text);
    return KS_INVALID;
}

/* ---- scalars ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span trim(struct span text)
{
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text = span_of(text.ptr + 1, text.len - 1);
    }
    while (text.len > 0 && is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

/* Memory is gone when jansson has none. */
static json_t *must(json_t *made)
{
    if (made == NULL) {
        abort();
    }
    return made;
}

static enum ks_status read_null(const struct member_path *at, const struct member_rule *rule,
                                json_t **out, struct ks_failure *why)
{
    if ((rule->flags & MEMBER_NOT_NULL) != 0) {
        return member_refuse(at, why, "must not be null");
    }
    *out = NULL;
    if ((rule->flags & MEMBER_NULL_IS_ZERO) != 0) {
        *out = rule->kind == MEMBER_FLAG ? json_false() : must(json_integer(0));
    }
    return KS_OK;
}

static enum ks_status read_flag(const struct member_path *at, const struct member_rule *rule,
                                json_t *given, json_t **out, struct ks_failure *why)
{
    static const struct {
        const char *text;
        bool value;
    } forms[] = {{"true", true},   {"True", true},   {"TRUE", true},
                 {"false", false}, {"False", false}, {"FALSE", false}};
    struct span text = trim(json_text_of(given));

    (void)rule;
    if (json_is_boolean(given)) {
        *out = json_boolean(json_is_true(given));
        return KS_OK;
    }
    if (json_is_integer(given)) {
        *out = json_boolean(json_integer_value(given) != 0);
        return KS_OK;
    }
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (span_eq(text, span_cstr(forms[i].text))) {
            *out = json_boolean(forms[i].value);
            return KS_OK;
        }
    }
    return member_refuse(at, why, "must be true or false");
}

/* A sign or none, digits only. Gathered below zero, where the range is the larger. */
static bool parse_integer(struct span text, int64_t *value)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    size_t at = negative || (text.len > 0 && text.ptr[0] == '+') ? 1 : 0;
    int64_t v = 0;

    if (at == text.len) {
        return false;
    }
    for (; at < text.len; at++) {
        int digit = text.ptr[at] - '0';

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

/* A decimal is cut. */
static bool integer_of(const json_t *given, int64_t *value)
{
    static const double bound = 9223372036854775808.0; /* 2^63: the first too large */
    double real = json_real_value(given);

    if (json_is_integer(given)) {
        *value = json_integer_value(given);
        return true;
    }
    if (json_is_real(given) && real >= -bound && real < bound) {
        *value = (int64_t)real;
        return true;
    }
    return parse_integer(trim(json_text_of(given)), value);
}

static enum ks_status read_number(const struct member_path *at, const struct member_rule *rule,
                                  json_t *given, json_t **out, struct ks_failure *why)
{
    int64_t value;

    if (!integer_of(given, &value)) {
        return member_refuse(at, why, "must be an integer");
    }
    if (value < rule->min || value > rule->max) {
        return member_refuse(at, why, "must be %lld to %lld", (long long)rule->min,
                             (long long)rule->max);
    }
    *out = must(json_integer(value));
    return KS_OK;
}

static enum ks_status read_text(const struct member_path *at, const struct member_rule *rule,
                                json_t *given, json_t **out, struct ks_failure *why)
{
    struct buf printed;
    struct span text = json_text_of(given);
    enum ks_status st = KS_OK;

    if (json_is_object(given) || json_is_array(given)) {
        return member_refuse(at, why, "must be a text");
    }
    buf_init(&printed, 0);
    if (!json_is_string(given)) {
        json_text_add(&printed, given);
        text = buf_span(&printed);
    }
    if (rule->max > 0 && text.len > (size_t)rule->max) {
        st = member_refuse(at, why, "must not be longer than %lld bytes", (long long)rule->max);
    } else if (rule->accepts != NULL && !rule->accepts(text)) {
        st = member_refuse(at, why, "must be %s", rule->wants);
    } else {
        *out = json_text_new(text);
    }
    buf_done(&printed);
    return st;
}

static enum ks_status read_word(const struct member_path *at, const struct member_rule *rule,
                                json_t *given, json_t **out, struct ks_failure *why)
{
    struct span text = trim(json_text_of(given));
    struct buf known;
    enum ks_status st;

    buf_init(&known, 0);
    for (const char *const *word = rule->words; *word != NULL; word++) {
        if (text.len == strlen(*word) && strncasecmp(text.ptr, *word, text.len) == 0) {
            *out = json_text_new(span_cstr(*word));
            buf_done(&known);
            return KS_OK;
        }
        buf_printf(&known, "%s%s", known.len > 0 ? ", " : "", *word);
    }
    st = member_refuse(at, why, "must be one of %.*s", SPAN_ARG(buf_span(&known)));
    buf_done(&known);
    return st;
}

bool member_parse_time(const json_t *text, int64_t *ms)
{
    return clock_parse(trim(json_text_of(text)), ms);
}

json_t *member_time_new(int64_t ms)
{
    struct clock_text text;
    int64_t again;

    clock_format(ms, &text);
    return clock_parse(span_cstr(text.text), &again) ? json_text_new(span_cstr(text.text)) : NULL;
}

static enum ks_status read_time(const struct member_path *at, const struct member_rule *rule,
                                json_t *given, json_t **out, struct ks_failure *why)
{
    int64_t ms;

    (void)rule;
    *out = member_parse_time(given, &ms) ? member_time_new(ms) : NULL;
    if (*out == NULL) {
        return member_refuse(at, why,
                             "must be a timestamp with an offset such as 2026-11-24T10:00:00Z");
    }
    return KS_OK;
}

struct span member_binary_decode(const json_t *text, unsigned char *bytes)
{
    size_t len = 0;

    return base64_decode(json_text_of(text), bytes, &len) ? span_of(bytes, len) : SPAN("");
}

static enum ks_status read_binary(const struct member_path *at, const struct member_rule *rule,
                                  json_t *given, json_t **out, struct ks_failure *why)
{
    struct span text = json_text_of(given);
    unsigned char *bytes;
    struct buf padded;
    size_t len = 0;
    bool decoded;

    if (!json_is_string(given)) {
        return member_refuse(at, why, "must be a Base64 text");
    }
    bytes = malloc(BASE64_DECODED_MAX(text.len));
    if (bytes == NULL) {
        abort();
    }
    buf_init(&padded, 0);
    decoded = base64_decode(text, bytes, &len);
    if (decoded) {
        base64_encode(&padded, bytes, len);
        *out = json_text_new(buf_span(&padded));
    }
    explicit_bzero(bytes, len);
    free(bytes);
    buf_done_secret(&padded);
    if (!decoded) {
        return member_refuse(at, why, "must be Base64 in the standard alphabet");
    }
    if (len < (size_t)rule->min) {
        json_decref(*out);
        return member_refuse(at, why, "must have at least %lld bytes", (long long)rule->min);
    }
    return KS_OK;
}

/* ---- structures ---- */

static enum ks_status read_free(const struct member_path *at, const struct member_rule *rule,
                                json_t *given, json_t **out, struct ks_failure *why)
{
    (void)rule;
    if (!json_is_object(given)) {
        return member_refuse(at, why, "must be an object");
    }
    *out = json_incref(given);
    return KS_OK;
}

static enum ks_status read_by_table(const struct member_path *at, const struct member_rule *rule,
                                    json_t *given, json_t **out, struct ks_failure *why)
{
    return member_read_object(at, rule->table, given, out, why);
}

static enum ks_status read_elements(const struct member_path *at, const struct member_rule *rule,
                                    json_t *given, json_t *list, struct ks_failure *why)
{
    size_t i;
    json_t *item;

    if (json_array_size(given) < (size_t)rule->min || json_array_size(given) > (size_t)rule->max) {
        return member_refuse(at, why, "must have %lld to %lld elements", (long long)rule->min,
                             (long long)rule->max);
    }
    json_array_foreach (given, i, item) {
        const struct member_path here = {.up = at, .index = i};
        json_t *value = NULL;
        enum ks_status st = member_read_value(&here, rule->element, item, &value, why);

        if (st == KS_OK && value == NULL) {
            st = member_refuse(&here, why, "must not be null");
        }
        if (st != KS_OK) {
            return st;
        }
        (void)json_array_append_new(list, value);
    }
    return KS_OK;
}

static enum ks_status read_list(const struct member_path *at, const struct member_rule *rule,
                                json_t *given, json_t **out, struct ks_failure *why)
{
    json_t *list;
    enum ks_status st;

    if (!json_is_array(given)) {
        return member_refuse(at, why, "must be an array");
    }
    list = must(json_array());
    st = read_elements(at, rule, given, list, why);
    if (st != KS_OK) {
        json_decref(list);
        return st;
    }
    *out = list;
    return KS_OK;
}

static enum ks_status read_strings(const struct member_path *at, const struct member_rule *rule,
                                   json_t *given, json_t **out, struct ks_failure *why)
{
    json_t *list;
    enum ks_status st;

    if (json_is_array(given) || json_is_object(given)) {
        return read_list(at, rule, given, out, why);
    }
    list = must(json_array());
    (void)json_array_append(list, given);
    st = read_list(at, rule, list, out, why);
    json_decref(list);
    return st;
}

static enum ks_status read_values(const struct member_path *at, const struct member_rule *rule,
                                  json_t *given, json_t *map, struct ks_failure *why)
{
    const char *name;
    json_t *item;

    json_object_foreach (given, name, item) {
        const struct member_path here = {.up = at, .name = name};
        json_t *value = NULL;
        enum ks_status st = KS_OK;

        if (!json_is_null(item)) {
            st = member_read_value(&here, rule->element, item, &value, why);
        }
        if (st != KS_OK) {
            return st;
        }
        (void)json_object_set_new(map, name, value != NULL ? value : json_null());
    }
    return KS_OK;
}

/* Nulls stay. */
static enum ks_status read_map(const struct member_path *at, const struct member_rule *rule,
                               json_t *given, json_t **out, struct ks_failure *why)
{
    json_t *map;
    enum ks_status st;

    if (!json_is_object(given)) {
        return member_refuse(at, why, "must be an object");
    }
    map = must(json_object());
    st = read_values(at, rule, given, map, why);
    if (st != KS_OK) {
        json_decref(map);
        return st;
    }
    *out = map;
    return KS_OK;
}

static enum ks_status read_ignored(const struct member_path *at, const struct member_rule *rule,
                                   json_t *given, json_t **out, struct ks_failure *why)
{
    (void)at;
    (void)rule;
    (void)given;
    (void)why;
    *out = NULL;
    return KS_OK;
}

static enum ks_status read_unsupported(const struct member_path *at, const struct member_rule *rule,
                                       json_t *given, json_t **out, struct ks_failure *why)
{
    (void)rule;
    (void)given;
    (void)out;
    return member_refuse(at, why, "is not supported yet");
}

typedef enum ks_status member_reader(const struct member_path *at, const struct member_rule *rule,
                                     json_t *given, json_t **out, struct ks_failure *why);

static const struct {
    member_reader *read;
    bool blank_is_null;
    bool reads_null; /* itself */
} kinds[MEMBER_KINDS] = {
    [MEMBER_FLAG] = {read_flag, true, false},
    [MEMBER_NUMBER] = {read_number, true, false},
    [MEMBER_TEXT] = {read_text, false, false},
    [MEMBER_WORD] = {read_word, false, false},
    [MEMBER_TIME] = {read_time, true, false},
    [MEMBER_BINARY] = {read_binary, false, false},
    [MEMBER_FREE] = {read_free, false, false},
    [MEMBER_OBJECT] = {read_by_table, false, false},
    [MEMBER_LIST] = {read_list, false, false},
    [MEMBER_STRINGS] = {read_strings, false, false},
    [MEMBER_MAP] = {read_map, false, false},
    [MEMBER_IGNORED] = {read_ignored, false, true},
    [MEMBER_UNSUPPORTED] = {read_unsupported, false, true},
};

static bool counts_as_null(const struct member_rule *rule, const json_t *given)
{
    return (json_is_null(given) && !kinds[rule->kind].reads_null) ||
           (kinds[rule->kind].blank_is_null && json_is_string(given) &&
            trim(json_text_of(given)).len == 0);
}

enum ks_status member_read_value(const struct member_path *at, const struct member_rule *rule,
                                 json_t *given, json_t **out, struct ks_failure *why)
{
    return counts_as_null(rule, given) ? read_null(at, rule, out, why)
                                       : kinds[rule->kind].read(at, rule, given, out, why);
}

/* ---- objects by their table ---- */

static bool is_default(const struct member_rule *rule, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return json_object_size(value) == 0;
    case JSON_ARRAY:
        return json_array_size(value) == 0;
    case JSON_INTEGER:
        return json_integer_value(value) == rule->fallback;
    case JSON_TRUE:
        return rule->fallback != 0;
    case JSON_FALSE:
        return rule->fallback == 0;
    case JSON_STRING:
    case JSON_REAL:
    case JSON_NULL:
        break;
    }
    return false;
}

static json_t *fallback_of(const struct member_rule *rule)
{
    return rule->kind == MEMBER_FLAG ? json_boolean(rule->fallback != 0)
                                     : must(json_integer(rule->fallback));
}

/* `given` is NULL when the member is not there. */
static enum ks_status read_member(const struct member_path *up, const struct member_rule *rule,
                                  json_t *given, json_t *object, struct ks_failure *why)
{
    const struct member_path at = {.up = up, .name = rule->name};
    const char *name = rule->stored_as != NULL ? rule->stored_as : rule->name;
    json_t *value = NULL;
    enum ks_status st = KS_OK;

    if (given != NULL) {
        st = member_read_value(&at, rule, given, &value, why);
    }
    if (st != KS_OK) {
        return st;
    }
    if (value == NULL && (rule->flags & MEMBER_REQUIRED) != 0) {
        return member_refuse(&at, why, "is required");
    }
    if (value == NULL && (rule->flags & MEMBER_FILLED) != 0) {
        value = fallback_of(rule);
    }
    if (value == NULL) {
        return KS_OK;
    }
    if ((rule->flags & MEMBER_HIDES_DEFAULT) != 0 && is_default(rule, value)) {
        json_decref(value);
        (void)json_object_del(object, name);
        return KS_OK;
    }
    (void)json_object_set_new(object, name, value);
    return KS_OK;
}

static bool knows(const struct member_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->rules[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* What no rule names: kept or refused. */
static enum ks_status read_unknown(const struct member_path *at, const struct member_table *table,
                                   json_t *given, json_t *object, struct ks_failure *why)
{
    const char *name;
    json_t *value;

    json_object_foreach (given, name, value) {
        if (knows(table, name)) {
            continue;
        }
        if (!table->open) {
            return member_refuse(at, why, "there is no member \"%.*s\"", NAME_SHOWN_MAX, name);
        }
        (void)json_object_set(object, name, value);
    }
    return KS_OK;
}

static enum ks_status read_members(const struct member_path *at, const struct member_table *table,
                                   json_t *given, json_t *object, struct ks_failure *why)
{
    enum ks_status st = KS_OK;

    for (size_t i = 0; i < table->count && st == KS_OK; i++) {
        st = read_member(at, &table->rules[i], json_object_get(given, table->rules[i].name), object,
                         why);
    }
    if (st == KS_OK) {
        st = read_unknown(at, table, given, object, why);
    }
    if (st == KS_OK && table->finish != NULL) {
        st = table->finish(at, given, object, why);
    }
    return st;
}

enum ks_status member_read_object(const struct member_path *at, const struct member_table *table,
                                  json_t *given, json_t **out, struct ks_failure *why)
{
    json_t *object;
    enum ks_status st;

    if (!json_is_object(given)) {
        return member_refuse(at, why, "must be an object");
    }
    object = must(json_object());
    st = read_members(at, table, given, object, why);
    if (st != KS_OK) {
        json_decref(object);
        return st;
    }
    *out = object;
    return KS_OK;
}

enum ks_status member_read_body(const struct member_table *table, struct span body, json_t **out,
                                struct ks_failure *why)
{
    json_t *given = NULL;
    enum ks_status st = json_text_parse(body.len > 0 ? body : SPAN("{}"), &given, why);

    if (st == KS_OK) {
        st = member_read_object(NULL, table, given, out, why);
    }
    json_decref(given);
    return st;
}
