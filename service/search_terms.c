#include "service/search_terms.h"

#include <string.h>

#include "service/json_text.h"

/* ---- JSON pointers ---- */

/* ~1 is a slash, ~0 a tilde; there is no other escape. */
static bool read_token(struct arena *arena, struct span raw, struct span *out)
{
    char *to = arena_alloc(arena, raw.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.ptr[i];

        if (c == '~') {
            if (i + 1 == raw.len || (raw.ptr[i + 1] != '0' && raw.ptr[i + 1] != '1')) {
                return false;
            }
            c = raw.ptr[++i] == '1' ? '/' : '~';
        }
        to[n++] = c;
    }
    *out = span_of(to, n);
    return true;
}

static size_t count_slashes(struct span text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.len; i++) {
        count += text.ptr[i] == '/';
    }
    return count;
}

static enum ks_status read_pointer(struct arena *arena, const struct member_path *at,
                                   const json_t *given, struct search_pointer *out,
                                   struct ks_failure *why)
{
    struct span rest = json_text_of(given);
    size_t count = count_slashes(rest);

    if (!json_is_string(given) || (rest.len > 0 && rest.ptr[0] != '/')) {
        return member_refuse(at, why,
                             "must be a JSON pointer: empty, or beginning with a slash, as "
                             "/ext/brand");
    }
    if (count > SEARCH_POINTER_MAX) {
        return member_refuse(at, why, "must not have more than %d parts", SEARCH_POINTER_MAX);
    }
    out->text = arena_span(arena, rest);
    out->token = arena_alloc(arena, (count + 1) * sizeof(*out->token));
    out->count = count;
    for (size_t i = 0; i < count; i++) {
        const char *slash = memchr(rest.ptr + 1, '/', rest.len - 1);
        size_t len = slash == NULL ? rest.len : (size_t)(slash - rest.ptr);

        if (!read_token(arena, span_of(rest.ptr + 1, len - 1), &out->token[i])) {
            return member_refuse(at, why, "a ~ in a JSON pointer must be followed by 0 or 1");
        }
        rest = span_of(rest.ptr + len, rest.len - len);
    }
    return KS_OK;
}

/* ---- filters ---- */

/* To a database that takes such an object for an expression it is an attack; here it would quietly
 * match nothing. */
static bool is_expression(json_t *given)
{
    const char *name;
    json_t *value;

    json_object_foreach (given, name, value) {
        if (name[0] == '$') {
            return true;
        }
    }
    return false;
}

static enum json_kind kind_of(const json_t *given)
{
    switch (json_typeof(given)) {
    case JSON_OBJECT:
        return JSON_KIND_OBJECT;
    case JSON_ARRAY:
        return JSON_KIND_ARRAY;
    case JSON_STRING:
        return JSON_KIND_STRING;
    case JSON_INTEGER:
    case JSON_REAL:
        return JSON_KIND_NUMBER;
    case JSON_TRUE:
        return JSON_KIND_TRUE;
    case JSON_FALSE:
        return JSON_KIND_FALSE;
    case JSON_NULL:
        return JSON_KIND_NULL;
    }
    return JSON_KIND_NULL;
}

static bool is_wild(struct span text)
{
    return text.len > 0 &&
           (memchr(text.ptr, '*', text.len) != NULL || memchr(text.ptr, '?', text.len) != NULL);
}

/* Bytes between two stars with a question mark among them: the first piece and the last have a
 * place, one without question marks is found in linear time. */
static size_t costly_pieces(struct span pattern)
{
    const char *end = span_end(pattern);
    const char *star = pattern.len == 0 ? NULL : memchr(pattern.ptr, '*', pattern.len);
    size_t sum = 0;

    while (star != NULL) {
        const char *from = star + 1;
        size_t left = (size_t)(end - from);

        star = left == 0 ? NULL : memchr(from, '*', left);
        if (star != NULL && memchr(from, '?', (size_t)(star - from)) != NULL) {
            sum += (size_t)(star - from);
        }
    }
    return sum;
}

static enum ks_status read_text(struct search_terms *terms, const struct member_path *at,
                                struct span given, struct search_operand *out,
                                struct ks_failure *why)
{
    out->text = arena_span(terms->arena, given);
    out->wild = is_wild(given);
    terms->pieces += costly_pieces(given);
    if (terms->pieces > SEARCH_PIECES_MAX) {
        return member_refuse(at, why,
                             "the parts with ? between two * have more than %d bytes in all",
                             SEARCH_PIECES_MAX);
    }
    return KS_OK;
}

static enum ks_status read_operand(struct search_terms *terms, const struct member_path *at,
                                   json_t *given, struct search_operand *out,
                                   struct ks_failure *why)
{
    enum ks_status st;

    if (json_is_null(given)) {
        return member_refuse(at, why, "must not be null");
    }
    if (is_expression(given)) {
        return member_refuse(at, why,
                             "is compared as it is: an object with a name that begins with $ is no "
                             "operator here");
    }
    out->kind = kind_of(given);
    st = json_is_string(given) ? read_text(terms, at, json_text_of(given), out, why)
                               : json_text_render(terms->arena, given, &out->text, why);
    if (json_is_number(given)) {
        (void)search_number_read(out->text, &out->number);
    }
    return st;
}

static enum ks_status read_operands(struct search_terms *terms, const struct member_path *at,
                                    json_t *given, struct search_filter *out,
                                    struct ks_failure *why)
{
    enum ks_status st = KS_OK;

    if (!json_is_array(given)) {
        return member_refuse(at, why, "must be an array with the operators in and not_in");
    }
    out->count = json_array_size(given);
    terms->values += out->count;
    if (terms->values > SEARCH_VALUES_MAX) {
        return member_refuse(at, why, "more than %d values in all", SEARCH_VALUES_MAX);
    }
    out->operand = arena_alloc(terms->arena, (out->count + 1) * sizeof(*out->operand));
    for (size_t i = 0; i < out->count && st == KS_OK; i++) {
        const struct member_path element = {.up = at, .index = i};

        st = read_operand(terms, &element, json_array_get(given, i), &out->operand[i], why);
    }
    return st;
}

/* Of one word, or absent; null: *index stays. */
static enum ks_status read_word(const struct member_path *at, const char *const *words,
                                json_t *given, size_t *index, struct ks_failure *why)
{
    const struct member_rule rule = {.kind = MEMBER_WORD, .words = words};
    json_t *word = NULL;
    enum ks_status st = given == NULL ? KS_OK : member_read_value(at, &rule, given, &word, why);

    for (size_t i = 0; word != NULL && words[i] != NULL; i++) {
        if (span_eq(json_text_of(word), span_cstr(words[i]))) {
            *index = i;
        }
    }
    json_decref(word);
    return st;
}

static enum ks_status refuse_others(const struct member_path *at, json_t *given,
                                    const char *const *names, struct ks_failure *why)
{
    const char *name;
    json_t *value;

    json_object_foreach (given, name, value) {
        size_t i = 0;

        while (names[i] != NULL && strcmp(names[i], name) != 0) {
            i++;
        }
        if (names[i] == NULL) {
            return member_refuse(at, why, "there is no member \"%.64s\"", name);
        }
    }
    return KS_OK;
}

enum ks_status search_terms_filter(struct search_terms *terms, const struct member_path *up,
                                   json_t *given, struct search_filter *out, struct ks_failure *why)
{
    static const char *const names[] = {"field", "value", "op", NULL};
    static const char *const ops[] = {
        [SEARCH_EQ] = "eq", [SEARCH_IN] = "in", [SEARCH_NOT_IN] = "not_in", NULL};
    const struct member_path field = {.up = up, .name = "field"};
    const struct member_path op = {.up = up, .name = "op"};
    const struct member_path at = {.up = up, .name = "value"};
    json_t *value = json_object_get(given, "value");
    size_t which = SEARCH_EQ;
    enum ks_status st = refuse_others(up, given, names, why);

    if (st == KS_OK) {
        st = read_pointer(terms->arena, &field, json_object_get(given, "field"), &out->field, why);
    }
    if (st == KS_OK) {
        st = read_word(&op, ops, json_object_get(given, "op"), &which, why);
    }
    if (st == KS_OK && value == NULL) {
        st = member_refuse(&at, why, "is missing");
    }
    if (st != KS_OK) {
        return st;
    }
    out->op = (enum search_op)which;
    if (out->op != SEARCH_EQ) {
        return read_operands(terms, &at, value, out, why);
    }
    out->operand = arena_alloc(terms->arena, sizeof(*out->operand));
    out->count = 1;
    return read_operand(terms, &at, value, out->operand, why);
}

/* ---- orders ---- */

enum ks_status search_terms_order(struct search_terms *terms, const struct member_path *up,
                                  json_t *given, struct search_order *out, struct ks_failure *why)
{
    static const char *const names[] = {"field", "direction", NULL};
    static const char *const directions[] = {"asc", "desc", NULL};
    const struct member_path field = {.up = up, .name = "field"};
    const struct member_path at = {.up = up, .name = "direction"};
    json_t *direction = json_object_get(given, "direction");
    size_t descending = direction != NULL; /* null counts as descending, as in Hono */
    enum ks_status st = refuse_others(up, given, names, why);

    if (st == KS_OK) {
        st = read_pointer(terms->arena, &field, json_object_get(given, "field"), &out->field, why);
    }
    for (size_t i = 0; st == KS_OK && i < out->field.count; i++) {
        if (out->field.token[i].len == 0) {
            st = member_refuse(&field, why, "no part of the field to sort by may be empty");
        }
    }
    if (st == KS_OK) {
        st = read_word(&at, directions, direction, &descending, why);
    }
    out->descending = descending == 1;
    return st;
}
