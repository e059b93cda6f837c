#include "certs/der.h"

bool der_next(struct span *in, struct der_value *out)
{
    const unsigned char *p = (const unsigned char *)in->ptr;
    size_t head = 2;
    size_t len;

    if (in->len < 2 || (p[0] & 0x1F) == 0x1F) {
        return false;
    }
    len = p[1];
    if (len >= 0x80) {
        size_t octets = len & 0x7F;

        if (octets == 0 || octets > 3 || in->len < 2 + octets) {
            return false;
        }
        len = 0;
        for (size_t i = 0; i < octets; i++) {
            len = len << 8 | p[2 + i];
        }
        head += octets;
    }
    if (in->len - head < len) {
        return false;
    }
    out->tag = p[0];
    out->content = span_of(in->ptr + head, len);
    out->whole = span_of(in->ptr, head + len);
    *in = span_of(in->ptr + head + len, in->len - head - len);
    return true;
}

/* Octets that the length of a content takes, with the one that is always there. */
static size_t octets_of(size_t len)
{
    size_t octets = 1;

    if (len >= 0x80) {
        for (; len > 0; len >>= 8) {
            octets++;
        }
    }
    return octets;
}

bool der_take(struct span *in, uint8_t tag, struct der_value *out)
{
    struct span rest = *in;

    if (!der_next(&rest, out) || out->tag != tag ||
        out->whole.len != 1 + octets_of(out->content.len) + out->content.len) {
        return false;
    }
    *in = rest;
    return true;
}
