#include "service/search_match.h"

#include <assert.h>
#include <stdint.h>

#include "base/json_walk.h"

/* Told of each value that a pointer finds; true: enough. */
typedef bool found(void *arg, struct span value);

struct finder {
    const struct search_pointer *pointer;
    struct buf *scratch;
    found *tell;
    void *arg;
};

/* ---- following a pointer ---- */

/*
 * Which tokens may lead on from a value, a bit for each. In an array a number is both the place of
 * an element and the name of a member of each element, so that one value may be come to with
 * several tokens left. Followed one by one, such ways double with every array; followed together,
 * each value is looked at once.
 */
typedef uint64_t tokens;

static_assert(SEARCH_POINTER_MAX <= 64, "a bit for each token");

static bool descend(const struct finder *finder, struct span value, tokens from);

/* A value that `taken` led to; `besides`: what else leads on from it. */
static bool arrive(const struct finder *finder, struct span value, tokens taken, tokens besides)
{
    const tokens last = (tokens)1 << (finder->pointer->count - 1);

    if (value.len == 0) {
        return false;
    }
    return ((taken & last) != 0 && finder->tell(finder->arg, value)) ||
           descend(finder, value, (taken & ~last) << 1 | besides);
}

/* A decimal number without leading zeros. */
static bool index_of(struct span token, size_t *index)
{
    size_t value = 0;

    if (token.len == 0 || (token.ptr[0] == '0' && token.len > 1)) {
        return false;
    }
    for (size_t i = 0; i < token.len; i++) {
        int digit = token.ptr[i] - '0';

        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (size_t)digit, &value)) {
            return false;
        }
    }
    *index = value;
    return true;
}

/* Those of the tokens that name the member. */
static tokens naming(const struct finder *finder, tokens from, struct span name)
{
    tokens taken = 0;

    for (tokens left = from; left != 0; left &= left - 1) {
        size_t at = (size_t)__builtin_ctzll(left);

        if (span_eq(finder->pointer->token[at], name)) {
            taken |= (tokens)1 << at;
        }
    }
    return taken;
}

/* Those that are the number of the element. */
static tokens numbering(const struct finder *finder, tokens from, size_t index)
{
    tokens taken = 0;

    for (tokens left = from; left != 0; left &= left - 1) {
        size_t at = (size_t)__builtin_ctzll(left);
        size_t number;

        if (index_of(finder->pointer->token[at], &number) && number == index) {
            taken |= (tokens)1 << at;
        }
    }
    return taken;
}

static bool into_object(const struct finder *finder, struct span object, tokens from)
{
    struct json_walk walk;
    struct span key;
    struct span name;
    struct span value;

    if (!json_walk_begin(&walk, object)) {
        return false;
    }
    while (from != 0 && json_walk_next(&walk, &key, &value)) {
        tokens taken = json_walk_key(key, finder->scratch, &name) ? naming(finder, from, name) : 0;

        if (arrive(finder, value, taken, 0)) {
            return true;
        }
        from &= ~taken; /* names are unique */
    }
    return false;
}

static bool into_array(const struct finder *finder, struct span array, tokens from)
{
    struct json_walk walk;
    struct span key;
    struct span element;

    if (!json_walk_begin(&walk, array)) {
        return false;
    }
    for (size_t i = 0; json_walk_next(&walk, &key, &element); i++) {
        bool object = element.len > 0 && json_walk_kind(element) == JSON_KIND_OBJECT;

        if (arrive(finder, element, numbering(finder, from, i), object ? from : 0)) {
            return true;
        }
    }
    return false;
}

/* from: the tokens that lead on from the value. */
static bool descend(const struct finder *finder, struct span value, tokens from)
{
    if (from == 0) {
        return false;
    }
    switch (json_walk_kind(value)) {
    case JSON_KIND_OBJECT:
        return into_object(finder, value, from);
    case JSON_KIND_ARRAY:
        return into_array(finder, value, from);
    case JSON_KIND_STRING:
    case JSON_KIND_NUMBER:
    case JSON_KIND_TRUE:
    case JSON_KIND_FALSE:
    case JSON_KIND_NULL:
        return false;
    }
    return false;
}

static bool begins_with(const struct search_pointer *pointer, struct span name)
{
    return pointer->count > 0 && span_eq(pointer->token[0], name);
}

/* What of the record the pointer's first token is looked for in. The document has neither `id` nor
 * `status`. */
static bool find(struct search_matcher *matcher, const struct search_record *record,
                 const struct search_pointer *pointer, found *tell, void *arg)
{
    const struct finder finder = {
        .pointer = pointer, .scratch = &matcher->text, .tell = tell, .arg = arg};

    if (pointer->count == 0) {
        return false; /* the whole document is no field */
    }
    if (begins_with(pointer, SPAN("id"))) {
        buf_clear(&matcher->id);
        buf_add_json(&matcher->id, record->id);
        return arrive(&finder, buf_span(&matcher->id), 1, 0);
    }
    if (begins_with(pointer, SPAN("status"))) {
        return arrive(&finder, record->status, 1, 0);
    }
    return record->document.len > 0 && descend(&finder, record->document, 1);
}

/* ---- filters ---- */

struct test {
    const struct search_filter *filter;
    struct buf *scratch;
};

/* A value, read once for all operands. */
struct subject {
    enum json_kind kind;
    struct span text; /* of a string: unescaped */
    struct search_number number;
};

static bool read_subject(struct span value, struct buf *scratch, struct subject *out)
{
    *out = (struct subject){.kind = json_walk_kind(value), .text = value};
    switch (out->kind) {
    case JSON_KIND_STRING:
        return json_walk_string(value, scratch, &out->text);
    case JSON_KIND_NUMBER:
        return search_number_read(value, &out->number);
    case JSON_KIND_OBJECT:
    case JSON_KIND_ARRAY:
    case JSON_KIND_TRUE:
    case JSON_KIND_FALSE:
    case JSON_KIND_NULL:
        return true;
    }
    return false;
}

static bool is_operand(const struct search_operand *operand, const struct subject *subject)
{
    if (subject->kind != operand->kind) {
        return false;
    }
    switch (operand->kind) {
    case JSON_KIND_STRING:
        return operand->wild ? search_glob(operand->text, subject->text)
                             : span_eq(operand->text, subject->text);
    case JSON_KIND_NUMBER:
        return search_number_eq(&subject->number, &operand->number);
    case JSON_KIND_OBJECT:
    case JSON_KIND_ARRAY:
        return search_value_eq(subject->text, operand->text);
    case JSON_KIND_TRUE:
    case JSON_KIND_FALSE:
    case JSON_KIND_NULL:
        return true;
    }
    return false;
}

static bool is_any_operand(const struct test *test, struct span value)
{
    struct subject subject;

    if (!read_subject(value, test->scratch, &subject)) {
        return false;
    }
    for (size_t i = 0; i < test->filter->count; i++) {
        if (is_operand(&test->filter->operand[i], &subject)) {
            return true;
        }
    }
    return false;
}

static bool test_value(void *arg, struct span value)
{
    const struct test *test = arg;
    struct json_walk walk;
    struct span key;
    struct span element;

    if (is_any_operand(test, value)) {
        return true;
    }
    if (json_walk_kind(value) != JSON_KIND_ARRAY || !json_walk_begin(&walk, value)) {
        return false;
    }
    while (json_walk_next(&walk, &key, &element)) {
        if (is_any_operand(test, element)) {
            return true;
        }
    }
    return false;
}

bool search_matches(struct search_matcher *matcher, const struct search_record *record)
{
    for (size_t i = 0; i < matcher->query->filters; i++) {
        const struct search_filter *filter = &matcher->query->filter[i];
        struct test test = {.filter = filter, .scratch = &matcher->text};

        if (find(matcher, record, &filter->field, test_value, &test) ==
            (filter->op == SEARCH_NOT_IN)) {
            return false;
        }
    }
    return true;
}

/* ---- orders ---- */

struct pick {
    struct search_matcher *matcher;
    bool largest;
    bool any;
};

/* Of several values the one that comes first in this order stands for the record. */
static bool pick_key(void *arg, struct span value)
{
    struct pick *pick = arg;
    struct buf *best = &pick->matcher->best;
    struct buf *key = &pick->matcher->key;
    int order;

    buf_clear(key);
    search_value_key(value, key);
    order = pick->any ? span_cmp(buf_span(key), buf_span(best)) : 0;
    if (!pick->any || (pick->largest ? order > 0 : order < 0)) {
        struct buf kept = *best;

        *best = *key;
        *key = kept;
    }
    pick->any = true;
    return false;
}

static void add_order(struct search_matcher *matcher, const struct search_record *record,
                      const struct search_order *order, struct buf *out)
{
    struct pick pick = {.matcher = matcher, .largest = order->descending};
    struct buf *best = &matcher->best;

    (void)find(matcher, record, &order->field, pick_key, &pick);
    if (!pick.any) {
        buf_clear(best);
        search_value_key(span_of(NULL, 0), best);
    }
    for (size_t i = 0; order->descending && i < best->len; i++) {
        best->ptr[i] = (char)~best->ptr[i];
    }
    buf_add_span(out, buf_span(best));
}

void search_add_row(struct search_matcher *matcher, const struct search_record *record,
                    struct buf *out)
{
    for (size_t i = 0; i < matcher->query->orders; i++) {
        add_order(matcher, record, &matcher->query->order[i], out);
    }
    buf_add_span(out, record->id);
}

/* ---- the matcher ---- */

static bool any_begins_with(const struct search_query *query, struct span name, bool others)
{
    for (size_t i = 0; i < query->filters; i++) {
        if (begins_with(&query->filter[i].field, name) != others) {
            return true;
        }
    }
    for (size_t i = 0; i < query->orders; i++) {
        if (begins_with(&query->order[i].field, name) != others) {
            return true;
        }
    }
    return false;
}

bool search_needs_status(const struct search_query *query)
{
    return any_begins_with(query, SPAN("status"), false);
}

bool search_needs_document(const struct search_query *query)
{
    return any_begins_with(query, SPAN("id"), true);
}

void search_matcher_init(struct search_matcher *matcher, const struct search_query *query)
{
    *matcher = (struct search_matcher){.query = query};
    buf_init(&matcher->id, 0);
    buf_init(&matcher->text, 0);
    buf_init(&matcher->best, 0);
    buf_init(&matcher->key, 0);
}

void search_matcher_done(struct search_matcher *matcher)
{
    buf_done(&matcher->id);
    buf_done(&matcher->text);
    buf_done(&matcher->best);
    buf_done(&matcher->key);
}
