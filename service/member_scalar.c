#include "service/member_scalar.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "service/json_text.h"

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

bool member_scalar_is_blank(const json_t *given)
{
    return json_is_string(given) && trim(json_text_of(given)).len == 0;
}

enum ks_status member_scalar_flag(const struct member_path *at, const struct member_rule *rule,
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

enum ks_status member_scalar_number(const struct member_path *at, const struct member_rule *rule,
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
    *out = json_text_must(json_integer(value));
    return KS_OK;
}

enum ks_status member_scalar_text(const struct member_path *at, const struct member_rule *rule,
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
    if (text.len < (size_t)rule->min) {
        st = member_refuse(at, why, "must have at least %lld bytes", (long long)rule->min);
    } else if (rule->max > 0 && text.len > (size_t)rule->max) {
        st = member_refuse(at, why, "must not be longer than %lld bytes", (long long)rule->max);
    } else if (rule->accepts != NULL && !rule->accepts(text)) {
        st = member_refuse(at, why, "must be %s", rule->wants);
    } else {
        *out = json_text_new(text);
    }
    buf_done(&printed);
    return st;
}

enum ks_status member_scalar_word(const struct member_path *at, const struct member_rule *rule,
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

enum ks_status member_scalar_time(const struct member_path *at, const struct member_rule *rule,
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

struct span member_binary_bytes(struct arena *arena, const json_t *text)
{
    unsigned char *bytes = arena_alloc(arena, BASE64_DECODED_MAX(json_string_length(text)));
    size_t len = 0;

    return base64_decode(json_text_of(text), bytes, &len) ? span_of(bytes, len) : SPAN("");
}

enum ks_status member_scalar_binary(const struct member_path *at, const struct member_rule *rule,
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
