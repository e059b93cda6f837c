#include "http/framing.h"

#include <string.h>
#include <strings.h>

enum { LENGTH_DIGITS_MAX = 15 };

static bool is(struct span name, const char *word)
{
    return name.len == strlen(word) && strncasecmp(name.ptr, word, name.len) == 0;
}

static bool is_number(struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') {
            return false;
        }
    }
    return value.len > 0 && value.len <= LENGTH_DIGITS_MAX;
}

/* RFC 9110 section 5.6.2. */
static bool is_token(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool alphanumeric =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!alphanumeric && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)) {
            return false;
        }
    }
    return name.len > 0;
}

void framing_take(struct framing *framing, struct span name, struct span value)
{
    framing->bad_name = framing->bad_name || !is_token(name);
    if (is(name, "host")) {
        framing->hosts++;
    } else if (is(name, "content-length")) {
        framing->lengths++;
        framing->bad_length = framing->bad_length || !is_number(value);
    } else if (is(name, "transfer-encoding")) {
        framing->encodings++;
        framing->bad_encoding = framing->bad_encoding || !is(value, "chunked");
    }
}

const char *framing_check(const struct framing *framing, bool http_1_0)
{
    if (framing->bad_name) {
        return "a header name has characters other than those of a token";
    }
    if (framing->hosts > 1 || (framing->hosts == 0 && !http_1_0)) {
        return "a request has exactly one Host header";
    }
    if (framing->lengths > 1 || framing->bad_length) {
        return "a request has at most one Content-Length, of digits";
    }
    if (framing->encodings > 1 || framing->bad_encoding) {
        return "the only Transfer-Encoding is chunked";
    }
    if (framing->lengths > 0 && framing->encodings > 0) {
        return "Content-Length and Transfer-Encoding exclude each other";
    }
    return NULL;
}
