#include "service/member.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "service/json_text.h"
#include "service/member_scalar.h"
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

enum ks_status member_refuse_member(const struct member_path *up, const char *name,
                                    struct ks_failure *why, const char *text)
{
    const struct member_path at = {.up = up, .name = name};

    return member_refuse(&at, why, "%s", text);
}

/* ---- structures ---- */

static enum ks_status read_null(const struct member_path *at, const struct member_rule *rule,
                                json_t **out, struct ks_failure *why)
{
    if ((rule->flags & MEMBER_NOT_NULL) != 0) {
        return member_refuse(at, why, "must not be null");
    }
    *out = NULL;
    if ((rule->flags & MEMBER_NULL_IS_ZERO) != 0) {
        *out = rule->kind == MEMBER_FLAG ? json_false() : json_text_must(json_integer(0));
    }
    return KS_OK;
}

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
    list = json_text_must(json_array());
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
    list = json_text_must(json_array());
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
    map = json_text_must(json_object());
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

static const struct {
    member_reader *read;
    bool blank_is_null;
    bool reads_null; /* itself */
} kinds[MEMBER_KINDS] = {
    [MEMBER_FLAG] = {member_scalar_flag, true, false},
    [MEMBER_NUMBER] = {member_scalar_number, true, false},
    [MEMBER_TEXT] = {member_scalar_text, false, false},
    [MEMBER_WORD] = {member_scalar_word, false, false},
    [MEMBER_TIME] = {member_scalar_time, true, false},
    [MEMBER_BINARY] = {member_scalar_binary, false, false},
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
           (kinds[rule->kind].blank_is_null && member_scalar_is_blank(given));
}

enum ks_status member_read_value(const struct member_path *at, const struct member_rule *rule,
                                 json_t *given, json_t **out, struct ks_failure *why)
{
    return counts_as_null(rule, given) ? read_null(at, rule, out, why)
                                       : kinds[rule->kind].read(at, rule, given, out, why);
}

/* ---- objects by their table ---- */

static bool is_empty(const json_t *value)
{
    return json_array_size(value) + json_object_size(value) == 0;
}

/* The fallback of a structure is an empty one. */
static bool is_fallback(const struct member_rule *rule, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        return is_empty(value);
    case JSON_INTEGER:
        return json_integer_value(value) == strtoll(rule->fallback, NULL, 10);
    case JSON_TRUE:
    case JSON_FALSE:
        return json_is_true(value) == (rule->fallback[0] == 't');
    case JSON_STRING:
    case JSON_REAL:
    case JSON_NULL:
        break;
    }
    return false;
}

static json_t *fallback_of(const struct member_rule *rule)
{
    return json_text_must(json_loads(rule->fallback, JSON_DECODE_ANY, NULL));
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
    if ((rule->flags & MEMBER_HIDES_DEFAULT) != 0 && is_fallback(rule, value)) {
        json_decref(value);
        (void)json_object_del(object, name);
        return KS_OK;
    }
    (void)json_object_set_new(object, name, value);
    return KS_OK;
}

static const struct member_rule *find_own(const struct member_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->rules[i].name, name) == 0) {
            return &table->rules[i];
        }
    }
    return NULL;
}

const struct member_rule *member_find(const struct member_table *table, const char *name)
{
    const struct member_rule *rule = find_own(table, name);

    return rule == NULL && table->about->base != NULL ? find_own(table->about->base, name) : rule;
}

const struct member_rule *member_next(const struct member_table *table, size_t *at)
{
    const struct member_table *base = table->about->base;
    size_t inherited = base == NULL ? 0 : base->count;

    while (*at < inherited + table->count) {
        size_t i = (*at)++;

        if (i < inherited) {
            return member_find(table, base->rules[i].name);
        }
        if (base == NULL || find_own(base, table->rules[i - inherited].name) == NULL) {
            return &table->rules[i - inherited];
        }
    }
    return NULL;
}

/* What no rule names: kept or refused. */
static enum ks_status read_unknown(const struct member_path *at, const struct member_table *table,
                                   json_t *given, json_t *object, struct ks_failure *why)
{
    const char *name;
    json_t *value;

    json_object_foreach (given, name, value) {
        if (member_find(table, name) != NULL) {
            continue;
        }
        if (!table->about->open) {
            return member_refuse(at, why, "there is no member \"%.*s\"", NAME_SHOWN_MAX, name);
        }
        (void)json_object_set(object, name, value);
    }
    return KS_OK;
}

static enum ks_status read_members(const struct member_path *at, const struct member_table *table,
                                   json_t *given, json_t *object, struct ks_failure *why)
{
    const struct member_rule *rule;
    size_t next = 0;
    enum ks_status st = KS_OK;

    while (st == KS_OK && (rule = member_next(table, &next)) != NULL) {
        st = read_member(at, rule, json_object_get(given, rule->name), object, why);
    }
    if (st == KS_OK) {
        st = read_unknown(at, table, given, object, why);
    }
    if (st == KS_OK && table->about->finish != NULL) {
        st = table->about->finish(at, given, object, why);
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
    object = json_text_must(json_object());
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

enum ks_status member_check_distinct(const struct member_path *up, const json_t *object,
                                     const char *name, const char *member, struct ks_failure *why)
{
    const json_t *list = json_object_get(object, name);
    const struct member_path at = {.up = up, .name = name};

    for (size_t i = 1; i < json_array_size(list); i++) {
        for (size_t k = 0; k < i; k++) {
            if (json_equal(json_object_get(json_array_get(list, i), member),
                           json_object_get(json_array_get(list, k), member))) {
                return member_refuse(&at, why, "elements %zu and %zu have the same %s", k, i,
                                     member);
            }
        }
    }
    return KS_OK;
}
