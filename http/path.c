#include "http/path.h"

#include "base/hex.h"

/* Decodes one segment to the end of the text; *len of it. */
static bool decode_segment(struct span raw, char *to, size_t *len)
{
    size_t n = 0;

    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.ptr[i];

        if (c == '%') {
            int high = raw.len - i > 2 ? hex_digit(raw.ptr[i + 1]) : -1;
            int low = raw.len - i > 2 ? hex_digit(raw.ptr[i + 2]) : -1;

            if (high < 0 || low < 0) {
                return false;
            }
            c = (unsigned char)(high << 4 | low);
            i += 2;
        }
        if (c < 0x20 || c == 0x7F) {
            return false;
        }
        to[n++] = (char)c;
    }
    *len = n;
    return true;
}

static enum path_verdict add_segment(struct path *out, char **to, struct span raw)
{
    size_t len = 0;

    if (!decode_segment(raw, *to, &len)) {
        return PATH_MALFORMED;
    }
    if (len == 0 || span_eq(span_of(*to, len), SPAN("."))) {
        return PATH_OK;
    }
    if (span_eq(span_of(*to, len), SPAN(".."))) {
        out->count -= out->count > 0;
        return PATH_OK;
    }
    if (out->count == PATH_SEGMENTS_MAX) {
        return PATH_UNKNOWN;
    }
    out->segment[out->count++] = span_of(*to, len);
    *to += len;
    return PATH_OK;
}

enum path_verdict path_parse(struct span target, struct path *out)
{
    struct span rest = target;
    const char *query = memchr(rest.ptr, '?', rest.len);
    char *to = out->text;

    out->count = 0;
    if (target.len >= PATH_MAX_LEN) {
        return PATH_TOO_LONG;
    }
    if (query != NULL) {
        rest.len = (size_t)(query - rest.ptr);
    }
    if (rest.len == 0 || rest.ptr[0] != '/') {
        return PATH_UNKNOWN;
    }
    while (rest.len > 0) {
        const char *slash = memchr(rest.ptr + 1, '/', rest.len - 1);
        size_t len = slash == NULL ? rest.len : (size_t)(slash - rest.ptr);
        enum path_verdict verdict = add_segment(out, &to, span_of(rest.ptr + 1, len - 1));

        if (verdict != PATH_OK) {
            return verdict;
        }
        rest = span_of(rest.ptr + len, rest.len - len);
    }
    return PATH_OK;
}

struct span path_query(struct span target)
{
    const char *mark = target.len == 0 ? NULL : memchr(target.ptr, '?', target.len);

    return mark == NULL ? span_of(NULL, 0)
                        : span_of(mark + 1, (size_t)(span_end(target) - mark) - 1);
}
