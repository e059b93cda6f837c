#include "service/json_text.h"

#include <assert.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/json_path.h"
#include "service/reasons.h"

static void wipe_and_free(void *ptr)
{
    if (ptr != NULL) {
        explicit_bzero(ptr, malloc_usable_size(ptr));
        free(ptr);
    }
}

void json_text_setup(void)
{
    json_set_alloc_funcs(malloc, wipe_and_free);
    json_object_seed(0);
}

/* ---- parsing ---- */

/* How deep arrays and objects are nested; what is wrong otherwise the parser will find. */
static size_t depth_of(struct span text)
{
    size_t depth = 0;
    size_t deepest = 0;
    bool quoted = false;

    for (size_t i = 0; i < text.len; i++) {
        switch (text.ptr[i]) {
        case '"':
            quoted = !quoted;
            break;
        case '\\':
            i++;
            break;
        case '[':
        case '{':
            depth += quoted ? 0 : 1;
            deepest = depth > deepest ? depth : deepest;
            break;
        case ']':
        case '}':
            depth -= quoted || depth == 0 ? 0 : 1;
            break;
        default:
            break;
        }
    }
    return deepest;
}

/* In our words: jansson's quote the text. Where the text is no JSON nothing of it is shown: what
 * looks like a name there may be a password. */
enum { PATH_SHOWN_MAX = 160 };

struct fault {
    const char *text;
    enum json_error_code code;
    bool has_path;
};

static const struct fault *fault_of(const json_error_t *error)
{
    static const struct fault faults[] = {
        {"not UTF-8", json_error_invalid_utf8, false},
        {"the text ends too early", json_error_premature_end_of_input, false},
        {"something follows the JSON value", json_error_end_of_input_expected, false},
        {"\\u0000 is not allowed", json_error_null_character, true},
        {"\\u0000 is not allowed", json_error_null_byte_in_key, true},
        {"the name occurs twice", json_error_duplicate_key, true},
        {"the number is too large", json_error_numeric_overflow, true},
    };
    static const struct fault other = {"not well-formed, or neither an object nor an array",
                                       json_error_unknown, false};
    enum json_error_code code = json_error_code(error);

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        if (faults[i].code == code) {
            return &faults[i];
        }
    }
    return &other;
}

static enum ks_status refuse(struct span text, const json_error_t *error, struct ks_failure *why)
{
    const struct fault *fault = fault_of(error);
    struct buf path;

    buf_init(&path, PATH_SHOWN_MAX);
    if (fault->has_path) {
        json_path_add(&path, text, (size_t)error->position);
    }
    if (path.overflow) {
        buf_clear(&path); /* line and column must do */
    }
    (void)ks_fail(why, KS_INVALID, REASON_BAD_JSON, "JSON line %d, column %d%s%.*s: %s",
                  error->line, error->column, path.len > 0 ? ", at " : "",
                  SPAN_ARG(buf_span(&path)), fault->text);
    buf_done(&path);
    return KS_INVALID;
}

enum ks_status json_text_parse(struct span text, json_t **out, struct ks_failure *why)
{
    json_error_t error;
    json_t *parsed;

    if (depth_of(text) > JSON_TEXT_DEPTH) {
        return ks_fail(why, KS_INVALID, REASON_BAD_JSON,
                       "the JSON text is nested deeper than %d levels", JSON_TEXT_DEPTH);
    }
    parsed = json_loadb(text.len > 0 ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES, &error);
    if (parsed == NULL) {
        return refuse(text, &error, why);
    }
    *out = parsed;
    return KS_OK;
}

/* ---- rendering ---- */

enum {
    REAL_DIGITS_MAX = 17, /* of a double: enough to tell any two apart */
    PLAIN_EXPONENT_MIN = -3,
    PLAIN_EXPONENT_MAX = 6,
};

/* The fewest digits that read back equal; without an exponent where people write none. */
static void add_real(struct buf *out, double value)
{
    char text[64];
    int digits = 0;
    long exponent;

    do {
        (void)snprintf(text, sizeof(text), "%.*e", digits, value);
        digits++;
    } while (digits < REAL_DIGITS_MAX && strtod(text, NULL) != value);
    exponent = strtol(strchr(text, 'e') + 1, NULL, 10);
    if (exponent >= PLAIN_EXPONENT_MIN && exponent <= PLAIN_EXPONENT_MAX) {
        int decimals = digits - 1 - (int)exponent;

        (void)snprintf(text, sizeof(text), "%.*f", decimals < 1 ? 1 : decimals, value);
    }
    buf_add_cstr(out, text);
}

static void add_object(struct buf *out, json_t *object)
{
    const char *name;
    size_t len;
    json_t *value;
    const char *separator = "";

    buf_add_char(out, '{');
    json_object_keylen_foreach(object, name, len, value)
    {
        buf_add_cstr(out, separator);
        buf_add_json(out, span_of(name, len));
        buf_add_char(out, ':');
        json_text_add(out, value);
        separator = ",";
    }
    buf_add_char(out, '}');
}

static void add_array(struct buf *out, const json_t *array)
{
    size_t i;
    json_t *value;

    buf_add_char(out, '[');
    json_array_foreach (array, i, value) {
        if (i > 0) {
            buf_add_char(out, ',');
        }
        json_text_add(out, value);
    }
    buf_add_char(out, ']');
}

void json_text_add(struct buf *out, json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        add_object(out, value);
        break;
    case JSON_ARRAY:
        add_array(out, value);
        break;
    case JSON_STRING:
        buf_add_json(out, json_text_of(value));
        break;
    case JSON_INTEGER:
        buf_add_int(out, json_integer_value(value));
        break;
    case JSON_REAL:
        add_real(out, json_real_value(value));
        break;
    case JSON_TRUE:
        buf_add_cstr(out, "true");
        break;
    case JSON_FALSE:
        buf_add_cstr(out, "false");
        break;
    case JSON_NULL:
        buf_add_cstr(out, "null");
        break;
    }
}

enum ks_status json_text_keep(struct arena *arena, const struct buf *text, struct span *out,
                              struct ks_failure *why)
{
    if (text->overflow) {
        return ks_fail(why, KS_TOO_LARGE, REASON_TOO_LARGE,
                       "the document would take more than %d bytes", JSON_TEXT_MAX);
    }
    *out = arena_span(arena, buf_span(text));
    return KS_OK;
}

enum ks_status json_text_render(struct arena *arena, json_t *value, struct span *out,
                                struct ks_failure *why)
{
    struct buf text;
    enum ks_status st;

    buf_init(&text, JSON_TEXT_MAX);
    json_text_add(&text, value);
    st = json_text_keep(arena, &text, out, why);
    buf_done_secret(&text);
    return st;
}

json_t *json_text_must(json_t *made)
{
    if (made == NULL) {
        abort();
    }
    return made;
}

struct span json_text_of(const json_t *string)
{
    const char *text = json_string_value(string);

    return text == NULL ? SPAN("") : span_of(text, json_string_length(string));
}

json_t *json_text_try(struct span text)
{
    return json_stringn(text.len > 0 ? text.ptr : "", text.len);
}

json_t *json_text_new(struct span text)
{
    json_t *string = json_text_try(text);

    assert(string != NULL);
    return string;
}
