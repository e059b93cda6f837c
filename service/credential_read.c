#include "service/credential_read.h"

#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "certs/dn.h"
#include "service/credential_members.h"
#include "service/json_text.h"
#include "service/member.h"
#include "service/passwords.h"
#include "service/secret_read.h"
#include "store/store.h"

/* ---- forms of names ---- */

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_type(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_lower_or_digit(text.ptr[i]) && text.ptr[i] != '-') {
            return false;
        }
    }
    return text.len > 0;
}

static bool is_user_name(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!is_lower_or_digit(c) && !(c >= 'A' && c <= 'Z') && c != '-' && c != '_' && c != '=' &&
            c != '.') {
            return false;
        }
    }
    return text.len > 0;
}

/* ---- certificates ---- */

/* Of a certificate: its subject is the auth-id, its validity the one secret. */
static enum ks_status take_subject(const struct member_path *at, json_t *credential,
                                   struct ks_failure *why)
{
    struct arena arena;
    struct certificate cert;
    enum ks_status st;

    arena_init(&arena);
    st = secret_read_certificate(at, &arena, x509_credential_at(credential, X509_CREDENTIAL_CERT),
                                 &cert, why);
    if (st == KS_OK &&
        (cert.subject_dn.len > STORE_NAME_MAX ||
         !credential_put(credential, CREDENTIAL_AUTH_ID, json_text_try(cert.subject_dn)) ||
         !credential_put(credential, CREDENTIAL_SECRETS,
                         json_pack("[{so, so}]", secret_name(SECRET_NOT_BEFORE),
                                   member_time_new(cert.not_before_ms),
                                   secret_name(SECRET_NOT_AFTER),
                                   member_time_new(cert.not_after_ms))))) {
        st = member_refuse_member(at, x509_credential_name(X509_CREDENTIAL_CERT), why,
                                  "has a subject or a validity that cannot be kept");
    }
    x509_credential_drop(credential, X509_CREDENTIAL_CERT);
    arena_done(&arena);
    return st;
}

/* A text that is no distinguished name stays as it is. */
static enum ks_status normalize_auth_id(const struct member_path *at, json_t *credential,
                                        struct ks_failure *why)
{
    struct span given = json_text_of(credential_at(credential, CREDENTIAL_AUTH_ID));
    struct buf dn;
    enum ks_status st = KS_OK;

    buf_init(&dn, 0);
    if (dn_normalize(given, &dn, NULL) == KS_OK &&
        (dn.len > STORE_NAME_MAX ||
         !credential_put(credential, CREDENTIAL_AUTH_ID, json_text_try(buf_span(&dn))))) {
        st = member_refuse_member(at, credential_name(CREDENTIAL_AUTH_ID), why,
                                  "cannot be kept: too long, or not UTF-8");
    }
    buf_done(&dn);
    return st;
}

static enum ks_status finish_x509(const struct member_path *at, json_t *given, json_t *credential,
                                  struct ks_failure *why)
{
    enum ks_status st = KS_OK;

    (void)given;
    if (x509_credential_at(credential, X509_CREDENTIAL_CERT) != NULL) {
        st = take_subject(at, credential, why);
    } else if (json_text_of(credential_at(credential, CREDENTIAL_AUTH_ID)).len > 0) {
        st = normalize_auth_id(at, credential, why);
    }
    if (st == KS_OK && json_text_of(credential_at(credential, CREDENTIAL_AUTH_ID)).len == 0) {
        st = member_refuse_member(at, credential_name(CREDENTIAL_AUTH_ID), why,
                                  "is required and must not be empty, or a cert");
    }
    if (st == KS_OK && json_array_size(credential_at(credential, CREDENTIAL_SECRETS)) != 1) {
        st = member_refuse_member(at, credential_name(CREDENTIAL_SECRETS), why,
                                  "must have exactly one element");
    }
    return st;
}

/* ---- the tables ---- */

static const struct member_rule password_secret_rule = {.kind = MEMBER_OBJECT,
                                                        .table = &password_secret_table};
static const struct member_rule psk_secret_rule = {.kind = MEMBER_OBJECT,
                                                   .table = &psk_secret_table};
static const struct member_rule x509_secret_rule = {.kind = MEMBER_OBJECT,
                                                    .table = &x509_secret_table};
static const struct member_rule rpk_secret_rule = {.kind = MEMBER_OBJECT,
                                                   .table = &rpk_secret_table};
static const struct member_rule custom_secret_rule = {.kind = MEMBER_OBJECT,
                                                      .table = &custom_secret_table};

#define SECRETS(rule)                                                                              \
    .kind = MEMBER_LIST, .flags = MEMBER_REQUIRED, .min = 1, .max = STORE_LIST_MAX,                \
    .element = &(rule)

#include "service/member_tables.h"

#include "service/credential.def"

const struct credential_kind credential_kinds[CREDENTIAL_KINDS] = {
    {"hashed-password", &password_credential_table, &password_secret_table},
    {"psk", &psk_credential_table, &psk_secret_table},
    {"x509-cert", &x509_credential_table, &x509_secret_table},
    {"rpk", &rpk_credential_table, &rpk_secret_table},
    {NULL, &credential_table, &custom_secret_table},
};

const struct credential_kind *credential_kind_of(struct span type)
{
    const struct credential_kind *kind = credential_kinds;

    while (kind->type != NULL && !span_eq(type, span_cstr(kind->type))) {
        kind++;
    }
    return kind;
}

const struct credential_kind *credential_kind_at(const json_t *credential)
{
    return credential_kind_of(json_text_of(credential_at(credential, CREDENTIAL_TYPE)));
}

/* ---- the set ---- */

static enum ks_status read_credential(const struct member_path *at, json_t *given, json_t **out,
                                      struct ks_failure *why)
{
    const struct member_rule *rule = &credential_table.rules[CREDENTIAL_TYPE];
    const struct member_path type_at = {.up = at, .name = rule->name};
    json_t *given_type = credential_at(given, CREDENTIAL_TYPE);
    json_t *type = NULL;
    enum ks_status st;

    if (!json_is_object(given)) {
        return member_refuse(at, why, "must be an object");
    }
    if (given_type == NULL || json_is_null(given_type)) {
        return member_refuse(&type_at, why, "is required");
    }
    st = member_read_value(&type_at, rule, given_type, &type, why);
    if (st == KS_OK) {
        st = member_read_object(at, credential_kind_of(json_text_of(type))->credential, given, out,
                                why);
    }
    json_decref(type);
    return st;
}

static bool is_password(const json_t *credential)
{
    return credential_kind_at(credential)->secret == &password_secret_table;
}

static enum ks_status check_hashes(const struct member_path *up, const json_t *credential,
                                   int max_bcrypt_cost, struct ks_failure *why)
{
    const struct member_path at = {.up = up, .name = credential_name(CREDENTIAL_SECRETS)};
    const json_t *secret;
    size_t i;

    json_array_foreach (credential_at(credential, CREDENTIAL_SECRETS), i, secret) {
        const struct member_path here = {.up = &at, .index = i};
        struct ks_failure cause = {0};

        if (span_eq(json_text_of(password_secret_at(secret, PASSWORD_SECRET_FUNCTION)),
                    SPAN("bcrypt")) &&
            passwords_check_hash(json_text_of(password_secret_at(secret, PASSWORD_SECRET_HASH)),
                                 max_bcrypt_cost, &cause) != KS_OK) {
            return member_refuse_member(&here, password_secret_name(PASSWORD_SECRET_HASH), why,
                                        cause.text);
        }
    }
    return KS_OK;
}

/* No other of the set before it has its type and auth-id. */
static enum ks_status check_unique(const struct member_path *at, const json_t *set,
                                   const json_t *credential, struct ks_failure *why)
{
    const json_t *other;
    size_t i;

    json_array_foreach (set, i, other) {
        if (json_equal(credential_at(other, CREDENTIAL_TYPE),
                       credential_at(credential, CREDENTIAL_TYPE)) &&
            json_equal(credential_at(other, CREDENTIAL_AUTH_ID),
                       credential_at(credential, CREDENTIAL_AUTH_ID))) {
            return member_refuse(at, why, "has the type and auth-id of element %zu", i);
        }
    }
    return KS_OK;
}

static enum ks_status add_credential(const struct member_path *at, json_t *given,
                                     int max_bcrypt_cost, json_t *set, struct ks_failure *why)
{
    json_t *credential = NULL;
    enum ks_status st = read_credential(at, given, &credential, why);

    if (st == KS_OK) {
        st = member_check_distinct(at, credential, credential_name(CREDENTIAL_SECRETS),
                                   secret_name(SECRET_ID), why);
    }
    if (st == KS_OK && is_password(credential)) {
        st = check_hashes(at, credential, max_bcrypt_cost, why);
    }
    if (st == KS_OK) {
        st = check_unique(at, set, credential, why);
    }
    if (st == KS_OK) {
        (void)json_array_append(set, credential);
    }
    json_decref(credential);
    return st;
}

/* How many passwords in clear the set brings; *first (if wanted): the first of them. */
static size_t find_plain(const json_t *set, json_t **first)
{
    const json_t *credential;
    size_t count = 0;
    size_t i;

    json_array_foreach (set, i, credential) {
        json_t *secret;
        size_t k;

        if (!is_password(credential)) {
            continue;
        }
        json_array_foreach (credential_at(credential, CREDENTIAL_SECRETS), k, secret) {
            if (password_secret_at(secret, PASSWORD_SECRET_PLAIN) == NULL) {
                continue;
            }
            if (first != NULL && count == 0) {
                *first = secret;
            }
            count++;
        }
    }
    return count;
}

static enum ks_status read_elements(const json_t *given, int max_bcrypt_cost, json_t *set,
                                    struct ks_failure *why)
{
    json_t *item;
    size_t i;

    if (!json_is_array(given) || json_array_size(given) > STORE_LIST_MAX) {
        return member_refuse(NULL, why, "credentials must be an array of at most %d elements",
                             STORE_LIST_MAX);
    }
    json_array_foreach (given, i, item) {
        const struct member_path at = {.index = i};
        enum ks_status st = add_credential(&at, item, max_bcrypt_cost, set, why);

        if (st != KS_OK) {
            return st;
        }
    }
    if (find_plain(set, NULL) > CREDENTIAL_READ_PLAIN_MAX) {
        return member_refuse(NULL, why, "at most %d passwords in clear can be set at once",
                             CREDENTIAL_READ_PLAIN_MAX);
    }
    return KS_OK;
}

enum ks_status credential_read_set(struct span body, int max_bcrypt_cost, json_t **out,
                                   struct ks_failure *why)
{
    json_t *given = NULL;
    json_t *set = json_text_must(json_array());
    enum ks_status st = json_text_parse(body, &given, why);

    if (st == KS_OK) {
        st = read_elements(given, max_bcrypt_cost, set, why);
    }
    json_decref(given);
    if (st != KS_OK) {
        json_decref(set);
        return st;
    }
    *out = set;
    return KS_OK;
}

size_t credential_read_count_secrets(const json_t *set)
{
    const json_t *credential;
    size_t count = 0;
    size_t i;

    json_array_foreach (set, i, credential) {
        count += json_array_size(credential_at(credential, CREDENTIAL_SECRETS));
    }
    return count;
}

json_t *credential_read_next_plain(const json_t *set)
{
    json_t *first = NULL;

    (void)find_plain(set, &first);
    return first;
}
