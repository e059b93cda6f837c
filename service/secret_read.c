#include "service/secret_read.h"

#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/base64.h"
#include "base/buf.h"
#include "service/credential_members.h"
#include "service/json_text.h"
#include "service/passwords.h"

/* As given: before the fractions are cut off. */
static enum ks_status check_order(const struct member_path *at, const json_t *given,
                                  struct ks_failure *why)
{
    int64_t from;
    int64_t until;

    if (member_parse_time(secret_at(given, SECRET_NOT_BEFORE), &from) &&
        member_parse_time(secret_at(given, SECRET_NOT_AFTER), &until) && from > until) {
        return member_refuse_member(at, secret_name(SECRET_NOT_BEFORE), why,
                                    "must not be later than not-after");
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
    return json_text_of(secret_at(secret, SECRET_ID)).len > 0;
}

static void drop_empty(json_t *secret, enum password_secret_member member)
{
    if (json_text_of(password_secret_at(secret, member)).len == 0) {
        password_secret_drop(secret, member);
    }
}

static enum ks_status finish_plain(const struct member_path *at, json_t *secret,
                                   struct ks_failure *why)
{
    struct ks_failure cause = {0};

    if (passwords_check_plain(json_text_of(password_secret_at(secret, PASSWORD_SECRET_PLAIN)),
                              &cause) != KS_OK) {
        return member_refuse_member(at, password_secret_name(PASSWORD_SECRET_PLAIN), why,
                                    cause.text);
    }
    password_secret_drop(secret, PASSWORD_SECRET_FUNCTION);
    password_secret_drop(secret, PASSWORD_SECRET_HASH);
    password_secret_drop(secret, PASSWORD_SECRET_SALT);
    return KS_OK;
}

static enum ks_status finish_password(const struct member_path *at, json_t *given, json_t *secret,
                                      struct ks_failure *why)
{
    enum ks_status st = check_order(at, given, why);

    drop_empty(secret, PASSWORD_SECRET_PLAIN);
    drop_empty(secret, PASSWORD_SECRET_FUNCTION);
    drop_empty(secret, PASSWORD_SECRET_HASH);
    if (st != KS_OK) {
        return st;
    }
    if (password_secret_at(secret, PASSWORD_SECRET_PLAIN) != NULL) {
        return finish_plain(at, secret, why);
    }
    if (password_secret_at(secret, PASSWORD_SECRET_FUNCTION) == NULL &&
        password_secret_at(secret, PASSWORD_SECRET_HASH) == NULL && refers(secret)) {
        password_secret_drop(secret, PASSWORD_SECRET_SALT);
        return KS_OK;
    }
    if (password_secret_at(secret, PASSWORD_SECRET_HASH) == NULL) {
        return member_refuse_member(at, password_secret_name(PASSWORD_SECRET_HASH), why,
                                    "is required, or pwd-plain, or the id of a secret");
    }
    if (password_secret_at(secret, PASSWORD_SECRET_FUNCTION) == NULL) {
        return member_refuse_member(at, password_secret_name(PASSWORD_SECRET_FUNCTION), why,
                                    "is required with pwd-hash");
    }
    return KS_OK;
}

static enum ks_status finish_psk(const struct member_path *at, json_t *given, json_t *secret,
                                 struct ks_failure *why)
{
    if (psk_secret_at(secret, PSK_SECRET_KEY) == NULL && !refers(secret)) {
        return member_refuse_member(at, psk_secret_name(PSK_SECRET_KEY), why,
                                    "is required, or the id of a secret");
    }
    return check_order(at, given, why);
}

enum ks_status secret_read_certificate(const struct member_path *at, struct arena *arena,
                                       const json_t *base64, struct certificate *out,
                                       struct ks_failure *why)
{
    struct ks_failure cause = {0};

    if (certificate_parse(member_binary_bytes(arena, base64), arena, out, &cause) != KS_OK) {
        return member_refuse_member(at, rpk_secret_name(RPK_SECRET_CERT), why, cause.text);
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
    } taken[] = {{rpk_secret_name(RPK_SECRET_KEY), json_text_new(buf_span(&key))},
                 {rpk_secret_name(RPK_SECRET_ALGORITHM), json_text_new(cert->algorithm)},
                 {secret_name(SECRET_NOT_BEFORE), member_time_new(cert->not_before_ms)},
                 {secret_name(SECRET_NOT_AFTER), member_time_new(cert->not_after_ms)}};
    bool ok = true;

    buf_done(&key);
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        ok = ok && taken[i].value != NULL;
        if (comes_behind(given, rpk_secret_name(RPK_SECRET_CERT), taken[i].name)) {
            json_decref(taken[i].value);
        } else {
            (void)json_object_set_new(secret, taken[i].name, taken[i].value);
        }
    }
    return ok ? KS_OK
              : member_refuse_member(at, rpk_secret_name(RPK_SECRET_CERT), why,
                                     "has a validity that cannot be kept");
}

static enum ks_status check_key(const struct member_path *at, struct arena *arena,
                                const json_t *secret, struct ks_failure *why)
{
    const json_t *key = rpk_secret_at(secret, RPK_SECRET_KEY);
    const json_t *algorithm = rpk_secret_at(secret, RPK_SECRET_ALGORITHM);
    struct ks_failure cause = {0};

    if (key == NULL || algorithm == NULL) {
        return member_refuse_member(
            at, rpk_secret_name(key == NULL ? RPK_SECRET_KEY : RPK_SECRET_ALGORITHM), why,
            "is required where there is no cert");
    }
    if (public_key_check(member_binary_bytes(arena, key), json_text_of(algorithm), &cause) !=
        KS_OK) {
        return member_refuse_member(at, rpk_secret_name(RPK_SECRET_KEY), why, cause.text);
    }
    return KS_OK;
}

static enum ks_status finish_rpk(const struct member_path *at, json_t *given, json_t *secret,
                                 struct ks_failure *why)
{
    const json_t *base64 = rpk_secret_at(secret, RPK_SECRET_CERT);
    struct arena arena;
    struct certificate cert;
    enum ks_status st = KS_OK;

    arena_init(&arena);
    if (base64 != NULL) {
        st = secret_read_certificate(at, &arena, base64, &cert, why);
        if (st == KS_OK) {
            st = take_key(at, given, secret, &cert, why);
        }
        rpk_secret_drop(secret, RPK_SECRET_CERT);
        given = secret;
    }
    if (st == KS_OK) {
        st = check_key(at, &arena, secret, why);
    }
    arena_done(&arena);
    return st == KS_OK ? check_order(at, given, why) : st;
}

/* ---- the tables ---- */

#include "service/member_tables.h"

#include "service/secret.def"

static const struct member_about x509_secret_about = {
    .name = "X509Secret",
    .text = "When a certificate counts.",
    .base = &secret_table,
    .finish = finish_secret,
};
const struct member_table x509_secret_table = {.about = &x509_secret_about};

static const struct member_about custom_secret_about = {
    .name = "CustomSecret",
    .text = "A secret of a custom type: members beside these are kept and shown as they are.",
    .base = &secret_table,
    .open = true,
    .finish = finish_secret,
};
const struct member_table custom_secret_table = {.about = &custom_secret_about};
