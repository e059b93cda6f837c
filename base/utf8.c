#include "base/utf8.h"

#include <string.h>

/* What the first byte says: how long the character is, and which second bytes may follow. */
struct lead {
    unsigned char first;
    unsigned char last;
    unsigned char len;
    unsigned char second_min;
    unsigned char second_max;
};

static const struct lead leads[] = {
    {0x00, 0x7F, 1, 0, 0},       {0xC2, 0xDF, 2, 0x80, 0xBF}, {0xE0, 0xE0, 3, 0xA0, 0xBF},
    {0xE1, 0xEC, 3, 0x80, 0xBF}, {0xED, 0xED, 3, 0x80, 0x9F}, {0xEE, 0xEF, 3, 0x80, 0xBF},
    {0xF0, 0xF0, 4, 0x90, 0xBF}, {0xF1, 0xF3, 4, 0x80, 0xBF}, {0xF4, 0xF4, 4, 0x80, 0x8F},
};

size_t utf8_length(const unsigned char *p, size_t left)
{
    const struct lead *lead = leads;

    while (*p > lead->last) {
        if (++lead == leads + sizeof(leads) / sizeof(leads[0])) {
            return 0;
        }
    }
    if (*p < lead->first || left < lead->len) {
        return 0;
    }
    if (lead->len > 1 && (p[1] < lead->second_min || p[1] > lead->second_max)) {
        return 0;
    }
    for (size_t i = 2; i < lead->len; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return lead->len;
}

bool utf8_valid(struct span text)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    size_t i = 0;

    while (i < text.len) {
        size_t len = utf8_length(p + i, text.len - i);

        if (len == 0) {
            return false;
        }
        i += len;
    }
    return true;
}

void utf8_mend(char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        size_t len = utf8_length((const unsigned char *)text, left);

        if (len == 0) {
            *text = '?';
            len = 1;
        }
        text += len;
        left -= len;
    }
}
