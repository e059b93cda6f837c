#include "base/uuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/hex.h"

void random_bytes(void *out, size_t len)
{
    unsigned char *at = out;

    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);

        if (n > 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno != EINTR) {
            abort();
        }
    }
}

/* Of UUIDs to come. Each answer has one: a system call for each is a tenth of a look-up. */
struct drawn {
    struct uuid uuid[32];
    size_t left;
};

struct uuid uuid_random(void)
{
    static _Thread_local struct drawn drawn;
    struct uuid uuid;

    if (drawn.left == 0) {
        random_bytes(drawn.uuid, sizeof(drawn.uuid));
        drawn.left = sizeof(drawn.uuid) / sizeof(drawn.uuid[0]);
    }
    uuid = drawn.uuid[--drawn.left];
    drawn.uuid[drawn.left] = (struct uuid){.bytes = {0}};     /* nobody finds it here afterwards */
    uuid.bytes[6] = (uint8_t)((uuid.bytes[6] & 0x0f) | 0x40); /* version 4 */
    uuid.bytes[8] = (uint8_t)((uuid.bytes[8] & 0x3f) | 0x80); /* variant of RFC 9562 */
    return uuid;
}

static bool uuid_hyphen_at(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

void uuid_format(const struct uuid *uuid, char out[UUID_TEXT_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    const uint8_t *byte = uuid->bytes;

    for (size_t i = 0; i < UUID_TEXT_LEN; i += 2) {
        if (uuid_hyphen_at(i)) {
            out[i++] = '-';
        }
        out[i] = hex[*byte >> 4];
        out[i + 1] = hex[*byte & 15];
        byte++;
    }
    out[UUID_TEXT_LEN] = '\0';
}

bool uuid_parse(struct span text, struct uuid *out)
{
    struct uuid uuid;
    uint8_t *byte = uuid.bytes;

    if (text.len != UUID_TEXT_LEN) {
        return false;
    }
    for (size_t i = 0; i < UUID_TEXT_LEN; i += 2) {
        int high;
        int low;

        if (uuid_hyphen_at(i) && text.ptr[i++] != '-') {
            return false;
        }
        high = hex_digit(text.ptr[i]);
        low = hex_digit(text.ptr[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        *byte++ = (uint8_t)(high << 4 | low);
    }
    *out = uuid;
    return true;
}

bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
