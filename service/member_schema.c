#include "service/member_schema.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

/* ---- by kind ---- */

static void add_value(struct buf *out, const struct member_rule *rule);

static void add_text_keyword(struct buf *out, const char *keyword, const char *text)
{
    buf_printf(out, ",\"%s\":", keyword);
    buf_add_json(out, span_cstr(text));
}

static void add_flag(struct buf *out, const struct member_rule *rule)
{
    (void)rule;
    buf_add_cstr(out, "\"type\":\"boolean\"");
}

/* A bound that clients cannot hold exactly is none to them. */
static void add_number(struct buf *out, const struct member_rule *rule)
{
    buf_printf(out, "\"type\":\"integer\",\"format\":\"%s\",\"minimum\":%lld",
               rule->max > INT32_MAX ? "int64" : "int32", (long long)rule->min);
    if (rule->max <= INT32_MAX) {
        buf_printf(out, ",\"maximum\":%lld", (long long)rule->max);
    }
}

static void add_text(struct buf *out, const struct member_rule *rule)
{
    buf_add_cstr(out, "\"type\":\"string\"");
    if (rule->min > 0) {
        buf_printf(out, ",\"minLength\":%lld", (long long)rule->min);
    }
    if (rule->max > 0) {
        buf_printf(out, ",\"maxLength\":%lld", (long long)rule->max);
    }
    if (rule->pattern != NULL) {
        add_text_keyword(out, "pattern", rule->pattern);
    }
}

static bool falls_back_to_null(const struct member_rule *rule)
{
    return rule->fallback != NULL && strcmp(rule->fallback, "null") == 0;
}

static void add_word(struct buf *out, const struct member_rule *rule)
{
    buf_add_cstr(out, "\"type\":\"string\",\"enum\":[");
    for (const char *const *word = rule->words; *word != NULL; word++) {
        buf_printf(out, "%s\"%s\"", word == rule->words ? "" : ",", *word);
    }
    buf_add_cstr(out, falls_back_to_null(rule) ? ",null],\"nullable\":true" : "]");
}

static void add_time(struct buf *out, const struct member_rule *rule)
{
    (void)rule;
    buf_add_cstr(out, "\"type\":\"string\",\"format\":\"date-time\"");
}

static void add_binary(struct buf *out, const struct member_rule *rule)
{
    buf_add_cstr(out, "\"type\":\"string\",\"format\":\"byte\"");
    if (rule->min > 0) {
        buf_add_cstr(out, ",\"minLength\":2");
    }
}

static void add_free(struct buf *out, const struct member_rule *rule)
{
    (void)rule;
    buf_add_cstr(out, "\"type\":\"object\",\"additionalProperties\":true");
}

/* Beside a bare reference other keywords would not count. */
static void add_reference(struct buf *out, const struct member_rule *rule)
{
    buf_printf(out, "\"allOf\":[{\"$ref\":\"#/components/schemas/%s\"}]", rule->table->about->name);
}

static void add_read_only(struct buf *out, const struct member_rule *rule)
{
    add_reference(out, rule);
    buf_add_cstr(out, ",\"readOnly\":true");
}

static void add_list(struct buf *out, const struct member_rule *rule)
{
    buf_printf(out, "\"type\":\"array\",\"minItems\":%lld,\"maxItems\":%lld,\"items\":{",
               (long long)rule->min, (long long)rule->max);
    add_value(out, rule->element);
    buf_add_char(out, '}');
}

/* Nulls in it stay. */
static void add_map(struct buf *out, const struct member_rule *rule)
{
    buf_add_cstr(out, "\"type\":\"object\",\"additionalProperties\":{");
    add_value(out, rule->element);
    buf_add_cstr(out, ",\"nullable\":true}");
}

static void (*const kinds[MEMBER_KINDS])(struct buf *out, const struct member_rule *rule) = {
    [MEMBER_FLAG] = add_flag,    [MEMBER_NUMBER] = add_number,    [MEMBER_TEXT] = add_text,
    [MEMBER_WORD] = add_word,    [MEMBER_TIME] = add_time,        [MEMBER_BINARY] = add_binary,
    [MEMBER_FREE] = add_free,    [MEMBER_OBJECT] = add_reference, [MEMBER_LIST] = add_list,
    [MEMBER_STRINGS] = add_list, [MEMBER_MAP] = add_map,          [MEMBER_IGNORED] = add_read_only,
};

static bool is_told(const struct member_rule *rule)
{
    return kinds[rule->kind] != NULL;
}

static void add_value(struct buf *out, const struct member_rule *rule)
{
    kinds[rule->kind](out, rule);
}

/* ---- members ---- */

static void add_member(struct buf *out, const struct member_rule *rule)
{
    buf_printf(out, "\"%s\":{", rule->name);
    add_value(out, rule);
    add_text_keyword(out, "description", rule->text);
    buf_printf(out, ",\"example\":%s", rule->example);
    if (rule->fallback != NULL && !falls_back_to_null(rule)) {
        buf_printf(out, ",\"default\":%s", rule->fallback);
    }
    if ((rule->flags & MEMBER_NEVER_SHOWN) != 0) {
        buf_add_cstr(out, ",\"writeOnly\":true");
    }
    buf_add_char(out, '}');
}

static bool replaces(const struct member_schema_extra *extra, const struct member_rule *rule)
{
    return extra != NULL && strcmp(extra->name, rule->name) == 0;
}

static void add_members(struct buf *out, const struct member_table *table,
                        const struct member_schema_extra *extra)
{
    const struct member_rule *rule;
    size_t next = 0;
    const char *separator = "";

    buf_add_cstr(out, ",\"properties\":{");
    if (extra != NULL) {
        buf_printf(out, "\"%s\":%s", extra->name, extra->schema);
        separator = ",";
    }
    while ((rule = member_next(table, &next)) != NULL) {
        if (is_told(rule) && !replaces(extra, rule)) {
            buf_add_cstr(out, separator);
            add_member(out, rule);
            separator = ",";
        }
    }
    buf_add_char(out, '}');
}

static void add_required(struct buf *out, const struct member_table *table,
                         const struct member_schema_extra *extra)
{
    const struct member_rule *rule;
    size_t next = 0;
    const char *separator = ",\"required\":[";

    if (extra != NULL) {
        buf_printf(out, "%s\"%s\"", separator, extra->name);
        separator = ",";
    }
    while ((rule = member_next(table, &next)) != NULL) {
        if ((rule->flags & MEMBER_REQUIRED) != 0 && !replaces(extra, rule)) {
            buf_printf(out, "%s\"%s\"", separator, rule->name);
            separator = ",";
        }
    }
    if (separator[1] == '\0') {
        buf_add_char(out, ']');
    }
}

/* ---- schemas ---- */

static void add_table(struct member_schemas *schemas, const char *name,
                      const struct member_table *table, const struct member_schema_extra *extra)
{
    const struct member_about *about = table->about;
    struct buf *out = schemas->out;

    buf_printf(out, "%s\"%s\":{\"type\":\"object\"", schemas->count > 0 ? "," : "", name);
    add_text_keyword(out, "description", about->text);
    buf_printf(out, ",\"additionalProperties\":%s", about->open ? "true" : "false");
    if (about->also != NULL) {
        buf_printf(out, ",%s", about->also);
    }
    add_members(out, table, extra);
    add_required(out, table, extra);
    buf_add_char(out, '}');
}

static void note(struct member_schemas *schemas, const struct member_table *table)
{
    assert(schemas->count < MEMBER_SCHEMAS_MAX);
    schemas->done[schemas->count++] = table;
}

static void add_below(struct member_schemas *schemas, const struct member_table *table)
{
    const struct member_rule *rule;
    size_t next = 0;

    while ((rule = member_next(table, &next)) != NULL) {
        const struct member_rule *leads = rule->element != NULL ? rule->element : rule;

        if (leads->table != NULL) {
            member_schemas_add(schemas, leads->table);
        }
    }
}

void member_schemas_add(struct member_schemas *schemas, const struct member_table *table)
{
    for (size_t i = 0; i < schemas->count; i++) {
        if (schemas->done[i] == table) {
            return;
        }
    }
    member_schemas_add_as(schemas, table->about->name, table, NULL);
}

void member_schemas_add_as(struct member_schemas *schemas, const char *name,
                           const struct member_table *table,
                           const struct member_schema_extra *extra)
{
    add_below(schemas, table);
    add_table(schemas, name, table, extra);
    note(schemas, table);
}

void member_schemas_add_text(struct member_schemas *schemas, const char *name, const char *schema)
{
    buf_printf(schemas->out, "%s\"%s\":%s", schemas->count > 0 ? "," : "", name, schema);
    note(schemas, NULL);
}
