#include "base/base64.h"

#include <stdint.h>

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '+') {
        return 62;
    }
    return c == '/' ? 63 : -1;
}

/* The length without padding; false if the padding is not what the length asks for. */
static bool base64_strip(struct span text, size_t *len)
{
    size_t n = text.len;

    while (n > 0 && text.ptr[n - 1] == '=') {
        n--;
    }
    *len = n;
    if (n % 4 == 1) {
        return false;
    }
    return n == text.len || (text.len % 4 == 0 && text.len - n <= 2);
}

bool base64_decode(struct span text, unsigned char *out, size_t *out_len)
{
    size_t len;
    size_t n = 0;
    uint32_t bits = 0;
    unsigned count = 0;

    if (!base64_strip(text, &len)) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        int value = base64_value(text.ptr[i]);

        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[n++] = (unsigned char)(bits >> count);
        }
    }
    *out_len = n;
    return true;
}

void base64_encode(struct buf *out, const void *bytes, size_t len)
{
    const unsigned char *in = bytes;

    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t bits = (uint32_t)in[i] << 16 | (uint32_t)(left > 1 ? in[i + 1] : 0) << 8 |
                        (uint32_t)(left > 2 ? in[i + 2] : 0);
        char four[4] = {base64_alphabet[bits >> 18], base64_alphabet[bits >> 12 & 63],
                        base64_alphabet[bits >> 6 & 63], base64_alphabet[bits & 63]};

        if (left < 3) {
            four[3] = '=';
        }
        if (left < 2) {
            four[2] = '=';
        }
        buf_add(out, four, sizeof(four));
    }
}
