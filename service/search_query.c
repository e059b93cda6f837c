#include "service/search_query.h"

#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "service/json_text.h"
#include "service/member.h"
#include "service/reasons.h"
#include "service/search_terms.h"

struct reader {
    struct search_terms terms;
    struct search_query *query;
    bool of_devices;
    bool has_size;
    bool has_offset;
    bool has_gateways;
    uint32_t page_offset;
    size_t filters_given; /* those that a later one replaced included */
};

bool search_pointer_is(const struct search_pointer *pointer, struct span name)
{
    return pointer->count == 1 && span_eq(pointer->token[0], name);
}

/* ---- parameters ---- */

/* A parameter's JSON text; the refusal names the parameter. */
static enum ks_status read_json(const struct member_path *at, struct span text, json_t **out,
                                struct ks_failure *why)
{
    struct ks_failure here = {0};
    enum ks_status st = json_text_parse(text, out, &here);

    if (st != KS_OK) {
        (void)member_refuse(at, why, "%s", here.text);
        if (why != NULL) {
            why->reason = REASON_BAD_JSON;
        }
        return st;
    }
    if (!json_is_object(*out)) {
        json_decref(*out);
        return member_refuse(at, why, "must be a JSON object");
    }
    return KS_OK;
}

/* The last one of a field counts. */
static void keep_filter(struct search_query *query, const struct search_filter *filter)
{
    size_t i = 0;

    while (i < query->filters && !span_eq(query->filter[i].field.text, filter->field.text)) {
        i++;
    }
    query->filter[i] = *filter;
    query->filters += i == query->filters;
}

static enum ks_status take_filter(struct reader *reader, struct span text, struct ks_failure *why)
{
    const struct member_path up = {.name = "filterJson"};
    const struct member_path at = {.up = &up, .index = reader->filters_given};
    struct search_filter filter = {.op = SEARCH_EQ};
    json_t *given = NULL;
    enum ks_status st;

    if (reader->filters_given++ == SEARCH_FILTERS_MAX) {
        return member_refuse(&up, why, "at most %d filters are taken", SEARCH_FILTERS_MAX);
    }
    st = read_json(&at, text, &given, why);
    if (st != KS_OK) {
        return st;
    }
    st = search_terms_filter(&reader->terms, &at, given, &filter, why);
    json_decref(given);
    if (st == KS_OK) {
        keep_filter(reader->query, &filter);
    }
    return st;
}

static enum ks_status take_order(struct reader *reader, struct span text, struct ks_failure *why)
{
    struct search_query *query = reader->query;
    const struct member_path up = {.name = "sortJson"};
    const struct member_path at = {.up = &up, .index = query->orders};
    json_t *given = NULL;
    enum ks_status st;

    if (query->orders == SEARCH_ORDERS_MAX) {
        return member_refuse(&up, why, "at most %d are taken", SEARCH_ORDERS_MAX);
    }
    st = read_json(&at, text, &given, why);
    if (st != KS_OK) {
        return st;
    }
    st = search_terms_order(&reader->terms, &at, given, &query->order[query->orders], why);
    json_decref(given);
    query->orders += st == KS_OK;
    return st;
}

static enum ks_status read_number(const char *name, struct span text, int64_t min, int64_t max,
                                  uint32_t *out, struct ks_failure *why)
{
    const struct member_path at = {.name = name};
    const struct member_rule rule = {.kind = MEMBER_NUMBER, .min = min, .max = max};
    json_t *given = json_text_try(text);
    json_t *number = NULL;
    enum ks_status st = given == NULL ? KS_OK : member_read_value(&at, &rule, given, &number, why);

    if (st == KS_OK && number == NULL) { /* no UTF-8, or blank */
        st = member_refuse(&at, why, "must be an integer");
    }
    if (st == KS_OK) {
        *out = (uint32_t)json_integer_value(number);
    }
    json_decref(number);
    json_decref(given);
    return st;
}

static enum ks_status take_size(struct reader *reader, struct span text, struct ks_failure *why)
{
    if (reader->has_size) {
        return KS_OK;
    }
    reader->has_size = true;
    return read_number("pageSize", text, 1, SEARCH_PAGE_MAX, &reader->query->page_size, why);
}

static enum ks_status take_offset(struct reader *reader, struct span text, struct ks_failure *why)
{
    if (reader->has_offset) {
        return KS_OK;
    }
    reader->has_offset = true;
    return read_number("pageOffset", text, 0, INT32_MAX, &reader->page_offset, why);
}

static enum ks_status take_gateways(struct reader *reader, struct span text, struct ks_failure *why)
{
    static const char yes[] = "true";

    (void)why;
    if (!reader->of_devices || reader->has_gateways) {
        return KS_OK;
    }
    reader->has_gateways = true;
    if (text.len == sizeof(yes) - 1 && strncasecmp(text.ptr, yes, text.len) == 0) {
        reader->query->gateways = SEARCH_GATEWAYS;
    } else if (text.len > 0) {
        reader->query->gateways = SEARCH_OTHERS;
    }
    return KS_OK;
}

static const struct {
    const char *name;
    enum ks_status (*take)(struct reader *reader, struct span text, struct ks_failure *why);
} parameters[] = {
    {"pageSize", take_size},  {"pageOffset", take_offset},  {"filterJson", take_filter},
    {"sortJson", take_order}, {"isGateway", take_gateways},
};

/* ---- the query ---- */

static bool decode(struct arena *arena, struct span raw, struct span *out)
{
    char *to = arena_alloc(arena, raw.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.ptr[i];

        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = raw.len - i > 2 ? hex_digit(raw.ptr[i + 1]) : -1;
            int low = raw.len - i > 2 ? hex_digit(raw.ptr[i + 2]) : -1;

            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        to[n++] = c;
    }
    *out = span_of(to, n);
    return true;
}

static bool is_name(struct span given, const char *name)
{
    return given.len == strlen(name) && strncasecmp(given.ptr, name, given.len) == 0;
}

static enum ks_status take_parameter(struct reader *reader, struct span raw, struct ks_failure *why)
{
    const char *equals = raw.len == 0 ? NULL : memchr(raw.ptr, '=', raw.len);
    size_t name_len = equals == NULL ? raw.len : (size_t)(equals - raw.ptr);
    size_t value_at = equals == NULL ? raw.len : name_len + 1;
    struct span name;
    struct span value;

    if (!decode(reader->terms.arena, span_of(raw.ptr, name_len), &name)) {
        return ks_fail(why, KS_INVALID, REASON_BAD_REQUEST,
                       "the name of a query parameter holds a malformed percent escape");
    }
    if (!decode(reader->terms.arena, span_of(raw.ptr + value_at, raw.len - value_at), &value)) {
        return ks_fail(why, KS_INVALID, REASON_BAD_REQUEST,
                       "%.*s: the value holds a malformed percent escape",
                       name.len > 64 ? 64 : (int)name.len, name.ptr);
    }
    for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
        if (is_name(name, parameters[i].name)) {
            return parameters[i].take(reader, value, why);
        }
    }
    return KS_OK;
}

static size_t parameter_length(struct span rest)
{
    size_t len = 0;

    while (len < rest.len && rest.ptr[len] != '&' && rest.ptr[len] != ';') {
        len++;
    }
    return len;
}

enum ks_status search_query_read(struct span raw, bool of_devices, struct arena *arena,
                                 struct search_query *out, struct ks_failure *why)
{
    struct reader reader = {.terms = {.arena = arena}, .query = out, .of_devices = of_devices};
    const char *fragment = raw.len == 0 ? NULL : memchr(raw.ptr, '#', raw.len);
    struct span rest = fragment == NULL ? raw : span_of(raw.ptr, (size_t)(fragment - raw.ptr));
    enum ks_status st = KS_OK;

    *out = (struct search_query){.page_size = SEARCH_PAGE_DEFAULT};
    while (rest.len > 0 && st == KS_OK) {
        size_t len = parameter_length(rest);
        size_t behind = len < rest.len ? len + 1 : len;

        st = take_parameter(&reader, span_of(rest.ptr, len), why);
        rest = span_of(rest.ptr + behind, rest.len - behind);
    }
    out->skip = (uint64_t)reader.page_offset * out->page_size;
    return st;
}
