#include "service/passwords.h"

#include <assert.h>
#include <crypt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "service/reasons.h"

enum { SALT_BYTES = 16 };

static const char prefix[] = "$2a$";

enum ks_status passwords_check_plain(struct span plain, struct ks_failure *why)
{
    if (plain.len == 0 || plain.len > PASSWORDS_PLAIN_MAX || span_has_nul(plain)) {
        return ks_fail(why, KS_INVALID, REASON_BAD_REQUEST,
                       "a password must have 1 to %d bytes and no NUL", PASSWORDS_PLAIN_MAX);
    }
    return KS_OK;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hash_char(char c)
{
    return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '/';
}

/* -1 if it is no such hash. */
static int cost_of(struct span hash)
{
    const size_t digits = sizeof(prefix) - 1;

    if (hash.len != PASSWORDS_HASH_LEN || memcmp(hash.ptr, prefix, digits) != 0 ||
        !is_digit(hash.ptr[digits]) || !is_digit(hash.ptr[digits + 1]) ||
        hash.ptr[digits + 2] != '$') {
        return -1;
    }
    for (size_t i = digits + 3; i < hash.len; i++) {
        if (!is_hash_char(hash.ptr[i])) {
            return -1;
        }
    }
    return (hash.ptr[digits] - '0') * 10 + (hash.ptr[digits + 1] - '0');
}

enum ks_status passwords_check_hash(struct span hash, int max_cost, struct ks_failure *why)
{
    int cost = cost_of(hash);

    if (cost < 0) {
        return ks_fail(
            why, KS_INVALID, REASON_BAD_REQUEST,
            "a bcrypt hash must be $2a$, two digits, $ and 53 characters of ./A-Za-z0-9");
    }
    if (cost < PASSWORDS_COST_MIN || cost > max_cost) {
        return ks_fail(why, KS_INVALID, REASON_BAD_REQUEST,
                       "a bcrypt hash must cost %d to %d; this one costs %d", PASSWORDS_COST_MIN,
                       max_cost, cost);
    }
    return KS_OK;
}

static bool make(const char *plain, int cost, struct crypt_data *data, char *out)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    char salt[SALT_BYTES];
    const char *made;

    random_bytes(salt, sizeof(salt));
    if (crypt_gensalt_rn(prefix, (unsigned long)cost, salt, sizeof(salt), setting,
                         sizeof(setting)) == NULL) {
        return false;
    }
    made = crypt_rn(plain, setting, data, (int)sizeof(*data));
    if (made == NULL || strlen(made) != PASSWORDS_HASH_LEN) {
        return false;
    }
    memcpy(out, made, PASSWORDS_HASH_LEN + 1);
    return true;
}

enum ks_status passwords_hash(struct span plain, int cost, char out[PASSWORDS_HASH_LEN + 1],
                              struct ks_failure *why)
{
    char text[PASSWORDS_PLAIN_MAX + 1] = {0};
    struct crypt_data *data;
    bool ok;
    enum ks_status st = passwords_check_plain(plain, why);

    assert(cost >= PASSWORDS_COST_MIN && cost <= PASSWORDS_COST_MAX);
    if (st != KS_OK) {
        return st;
    }
    data = calloc(1, sizeof(*data));
    if (data == NULL) {
        abort();
    }
    memcpy(text, plain.ptr, plain.len);
    ok = make(text, cost, data, out);
    explicit_bzero(text, sizeof(text));
    explicit_bzero(data, sizeof(*data));
    free(data);
    return ok ? KS_OK : ks_fail(why, KS_IO, REASON_INTERNAL, "libcrypt cannot make a bcrypt hash");
}
