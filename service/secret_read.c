#include "service/secret_read.h"

#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/base64.h"
#include "base/buf.h"
#include "service/json_text.h"
#include "service/passwords.h"

#define SECRET_RULES                                                                               \
    {.name = "id", .kind = MEMBER_TEXT}, {.name = "enabled", .kind = MEMBER_FLAG},                 \
        {.name = "not-before", .kind = MEMBER_TIME}, {.name = "not-after", .kind = MEMBER_TIME},   \
    {                                                                                              \
        .name = "comment", .kind = MEMBER_TEXT                                                     \
    }

/* As given: before the fractions are cut off. */
static enum ks_status check_order(const struct member_path *at, const json_t *given,
                                  struct ks_failure *why)
{
    int64_t from;
    int64_t until;

    if (member_parse_time(json_object_get(given, "not-before"), &from) &&
        member_parse_time(json_object_get(given, "not-after"), &until) && from > until) {
        return member_refuse_member(at, "not-before", why, "must not be later than not-after");
    }
    return KS_OK;
}

static enum ks_status finish_secret(const struct member_path *at, json_t *given, json_t *secret,
                                    struct ks_failure *why)
{
    (void)secret;
    return check_order(at, given, why);
}

/* A secret without content must say to which stored one it refers. */
static bool refers(const json_t *secret)
{
    return json_text_of(json_object_get(secret, "id")).len > 0;
}

static void drop_empty(json_t *object, const char *name)
{
    if (json_text_of(json_object_get(object, name)).len == 0) {
        (void)json_object_del(object, name);
    }
}

static enum ks_status finish_plain(const struct member_path *at, json_t *secret,
                                   struct ks_failure *why)
{
    struct ks_failure cause = {0};

    if (passwords_check_plain(json_text_of(json_object_get(secret, "pwd-plain")), &cause) !=
        KS_OK) {
        return member_refuse_member(at, "pwd-plain", why, cause.text);
    }
    (void)json_object_del(secret, "hash-function");
    (void)json_object_del(secret, "pwd-hash");
    (void)json_object_del(secret, "salt");
    return KS_OK;
}

static enum ks_status finish_password(const struct member_path *at, json_t *given, json_t *secret,
                                      struct ks_failure *why)
{
    enum ks_status st = check_order(at, given, why);

    drop_empty(secret, "pwd-plain");
    drop_empty(secret, "hash-function");
    drop_empty(secret, "pwd-hash");
    if (st != KS_OK) {
        return st;
    }
    if (json_object_get(secret, "pwd-plain") != NULL) {
        return finish_plain(at, secret, why);
    }
    if (json_object_get(secret, "hash-function") == NULL &&
        json_object_get(secret, "pwd-hash") == NULL && refers(secret)) {
        (void)json_object_del(secret, "salt");
        return KS_OK;
    }
    if (json_object_get(secret, "pwd-hash") == NULL) {
        return member_refuse_member(at, "pwd-hash", why,
                                    "is required, or pwd-plain, or the id of a secret");
    }
    if (json_object_get(secret, "hash-function") == NULL) {
        return member_refuse_member(at, "hash-function", why, "is required with pwd-hash");
    }
    return KS_OK;
}

static enum ks_status finish_psk(const struct member_path *at, json_t *given, json_t *secret,
                                 struct ks_failure *why)
{
    if (json_object_get(secret, "key") == NULL && !refers(secret)) {
        return member_refuse_member(at, "key", why, "is required, or the id of a secret");
    }
    return check_order(at, given, why);
}

enum ks_status secret_read_certificate(const struct member_path *at, struct arena *arena,
                                       const json_t *base64, struct certificate *out,
                                       struct ks_failure *why)
{
    struct ks_failure cause = {0};

    if (certificate_parse(member_binary_bytes(arena, base64), arena, out, &cause) != KS_OK) {
        return member_refuse_member(at, "cert", why, cause.text);
    }
    return KS_OK;
}

static bool comes_behind(json_t *object, const char *first, const char *second)
{
    const char *name;
    json_t *value;
    bool seen = false;

    json_object_foreach (object, name, value) {
        if (seen && strcmp(name, second) == 0) {
            return true;
        }
        seen = seen || strcmp(name, first) == 0;
    }
    return false;
}

/* What the certificate says wins over what stands before it, and loses to what stands behind. */
static enum ks_status take_key(const struct member_path *at, json_t *given, json_t *secret,
                               const struct certificate *cert, struct ks_failure *why)
{
    struct buf key;

    buf_init(&key, 0);
    base64_encode(&key, cert->public_key.ptr, cert->public_key.len);
    const struct {
        const char *name;
        json_t *value;
    } taken[] = {{"key", json_text_new(buf_span(&key))},
                 {"algorithm", json_text_new(cert->algorithm)},
                 {"not-before", member_time_new(cert->not_before_ms)},
                 {"not-after", member_time_new(cert->not_after_ms)}};
    bool ok = true;

    buf_done(&key);
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        ok = ok && taken[i].value != NULL;
        if (comes_behind(given, "cert", taken[i].name)) {
            json_decref(taken[i].value);
        } else {
            (void)json_object_set_new(secret, taken[i].name, taken[i].value);
        }
    }
    return ok ? KS_OK : member_refuse_member(at, "cert", why, "has a validity that cannot be kept");
}

static enum ks_status check_key(const struct member_path *at, struct arena *arena,
                                const json_t *secret, struct ks_failure *why)
{
    const json_t *key = json_object_get(secret, "key");
    const json_t *algorithm = json_object_get(secret, "algorithm");
    struct ks_failure cause = {0};

    if (key == NULL || algorithm == NULL) {
        return member_refuse_member(at, key == NULL ? "key" : "algorithm", why,
                                    "is required where there is no cert");
    }
    if (public_key_check(member_binary_bytes(arena, key), json_text_of(algorithm), &cause) !=
        KS_OK) {
        return member_refuse_member(at, "key", why, cause.text);
    }
    return KS_OK;
}

static enum ks_status finish_rpk(const struct member_path *at, json_t *given, json_t *secret,
                                 struct ks_failure *why)
{
    const json_t *base64 = json_object_get(secret, "cert");
    struct arena arena;
    struct certificate cert;
    enum ks_status st = KS_OK;

    arena_init(&arena);
    if (base64 != NULL) {
        st = secret_read_certificate(at, &arena, base64, &cert, why);
        if (st == KS_OK) {
            st = take_key(at, given, secret, &cert, why);
        }
        (void)json_object_del(secret, "cert");
        given = secret;
    }
    if (st == KS_OK) {
        st = check_key(at, &arena, secret, why);
    }
    arena_done(&arena);
    return st == KS_OK ? check_order(at, given, why) : st;
}

static const struct member_rule plain_rules[] = {SECRET_RULES};
static const struct member_table x509_table = {
    .rules = plain_rules, .count = MEMBER_COUNT(plain_rules), .finish = finish_secret};
static const struct member_table custom_table = {.rules = plain_rules,
                                                 .count = MEMBER_COUNT(plain_rules),
                                                 .open = true,
                                                 .finish = finish_secret};

static const struct member_rule password_rules[] = {SECRET_RULES,
                                                    {.name = "hash-function", .kind = MEMBER_TEXT},
                                                    {.name = "pwd-hash", .kind = MEMBER_TEXT},
                                                    {.name = "salt", .kind = MEMBER_TEXT},
                                                    {.name = "pwd-plain", .kind = MEMBER_TEXT}};
static const struct member_table password_table = {
    .rules = password_rules, .count = MEMBER_COUNT(password_rules), .finish = finish_password};

static const struct member_rule psk_rules[] = {
    SECRET_RULES, {.name = "key", .kind = MEMBER_BINARY, .flags = MEMBER_NOT_NULL, .min = 1}};
static const struct member_table psk_table = {
    .rules = psk_rules, .count = MEMBER_COUNT(psk_rules), .finish = finish_psk};

static const struct member_rule rpk_rules[] = {
    SECRET_RULES,
    {.name = "key", .kind = MEMBER_BINARY, .flags = MEMBER_NOT_NULL, .min = 1},
    {.name = "algorithm", .kind = MEMBER_TEXT, .flags = MEMBER_NOT_NULL},
    {.name = "cert", .kind = MEMBER_BINARY, .flags = MEMBER_NOT_NULL}};
static const struct member_table rpk_table = {
    .rules = rpk_rules, .count = MEMBER_COUNT(rpk_rules), .finish = finish_rpk};

const struct member_rule secret_read_password = {.kind = MEMBER_OBJECT, .table = &password_table};
const struct member_rule secret_read_psk = {.kind = MEMBER_OBJECT, .table = &psk_table};
const struct member_rule secret_read_x509 = {.kind = MEMBER_OBJECT, .table = &x509_table};
const struct member_rule secret_read_rpk = {.kind = MEMBER_OBJECT, .table = &rpk_table};
const struct member_rule secret_read_custom = {.kind = MEMBER_OBJECT, .table = &custom_table};
