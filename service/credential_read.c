#include "service/credential_read.h"

#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "certs/dn.h"
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

static bool is_not_empty(struct span text)
{
    return text.len > 0;
}

/* ---- credentials ---- */

static const struct member_rule type_rule = {.name = "type",
                                             .kind = MEMBER_TEXT,
                                             .flags = MEMBER_REQUIRED,
                                             .max = STORE_TYPE_MAX,
                                             .accepts = is_type,
                                             .wants = "of a-z, 0-9 and '-'"};

#define CREDENTIAL_RULES                                                                           \
    {.name = "type", .kind = MEMBER_TEXT}, {.name = "enabled", .kind = MEMBER_FLAG},               \
        {.name = "comment", .kind = MEMBER_TEXT},                                                  \
    {                                                                                              \
        .name = "ext", .kind = MEMBER_FREE, .flags = MEMBER_HIDES_DEFAULT                          \
    }
#define AUTH_ID(form, text)                                                                        \
    {                                                                                              \
        .name = "auth-id", .kind = MEMBER_TEXT, .flags = MEMBER_REQUIRED, .max = STORE_NAME_MAX,   \
        .accepts = (form), .wants = (text)                                                         \
    }
#define SECRETS(rule)                                                                              \
    {                                                                                              \
        .name = "secrets", .kind = MEMBER_LIST, .flags = MEMBER_REQUIRED, .min = 1,                \
        .max = STORE_LIST_MAX, .element = &(rule)                                                  \
    }

static const struct member_rule password_credential_rules[] = {
    CREDENTIAL_RULES, AUTH_ID(is_user_name, "of a-z, A-Z, 0-9 and -_=."),
    SECRETS(secret_read_password)};
static const struct member_table password_credential = {
    .rules = password_credential_rules, .count = MEMBER_COUNT(password_credential_rules)};

static const struct member_rule psk_credential_rules[] = {
    CREDENTIAL_RULES, AUTH_ID(is_not_empty, "a text that is not empty"), SECRETS(secret_read_psk)};
static const struct member_table psk_credential = {.rules = psk_credential_rules,
                                                   .count = MEMBER_COUNT(psk_credential_rules)};

static const struct member_rule rpk_credential_rules[] = {
    CREDENTIAL_RULES, AUTH_ID(is_not_empty, "a text that is not empty"), SECRETS(secret_read_rpk)};
static const struct member_table rpk_credential = {.rules = rpk_credential_rules,
                                                   .count = MEMBER_COUNT(rpk_credential_rules)};

static const struct member_rule custom_credential_rules[] = {
    CREDENTIAL_RULES, AUTH_ID(is_not_empty, "a text that is not empty"),
    SECRETS(secret_read_custom)};
static const struct member_table custom_credential = {
    .rules = custom_credential_rules, .count = MEMBER_COUNT(custom_credential_rules)};

/* Of a certificate: its subject is the auth-id, its validity the one secret. */
static enum ks_status take_subject(const struct member_path *at, json_t *credential,
                                   struct ks_failure *why)
{
    struct arena arena;
    struct certificate cert;
    enum ks_status st;

    arena_init(&arena);
    st = secret_read_certificate(at, &arena, json_object_get(credential, "cert"), &cert, why);
    if (st == KS_OK &&
        (cert.subject_dn.len > STORE_NAME_MAX ||
         json_object_set_new(credential, "auth-id", json_text_try(cert.subject_dn)) != 0 ||
         json_object_set_new(credential, "secrets",
                             json_pack("[{so, so}]", "not-before",
                                       member_time_new(cert.not_before_ms), "not-after",
                                       member_time_new(cert.not_after_ms))) != 0)) {
        st = member_refuse_member(at, "cert", why,
                                  "has a subject or a validity that cannot be kept");
    }
    (void)json_object_del(credential, "cert");
    arena_done(&arena);
    return st;
}

/* A text that is no distinguished name stays as it is. */
static enum ks_status normalize_auth_id(const struct member_path *at, json_t *credential,
                                        struct ks_failure *why)
{
    struct span given = json_text_of(json_object_get(credential, "auth-id"));
    struct buf dn;
    enum ks_status st = KS_OK;

    buf_init(&dn, 0);
    if (dn_normalize(given, &dn, NULL) == KS_OK &&
        (dn.len > STORE_NAME_MAX ||
         json_object_set_new(credential, "auth-id", json_text_try(buf_span(&dn))) != 0)) {
        st = member_refuse_member(at, "auth-id", why, "cannot be kept: too long, or not UTF-8");
    }
    buf_done(&dn);
    return st;
}

static enum ks_status finish_x509(const struct member_path *at, json_t *given, json_t *credential,
                                  struct ks_failure *why)
{
    enum ks_status st = KS_OK;

    (void)given;
    if (json_object_get(credential, "cert") != NULL) {
        st = take_subject(at, credential, why);
    } else if (json_text_of(json_object_get(credential, "auth-id")).len > 0) {
        st = normalize_auth_id(at, credential, why);
    }
    if (st == KS_OK && json_text_of(json_object_get(credential, "auth-id")).len == 0) {
        st = member_refuse_member(at, "auth-id", why,
                                  "is required and must not be empty, or a cert");
    }
    if (st == KS_OK && json_array_size(json_object_get(credential, "secrets")) != 1) {
        st = member_refuse_member(at, "secrets", why, "must have exactly one element");
    }
    return st;
}

static const struct member_rule x509_credential_rules[] = {
    CREDENTIAL_RULES,
    {.name = "auth-id", .kind = MEMBER_TEXT, .max = STORE_NAME_MAX},
    {.name = "secrets", .kind = MEMBER_LIST, .max = STORE_LIST_MAX, .element = &secret_read_x509},
    {.name = "cert", .kind = MEMBER_BINARY, .min = 1}};
static const struct member_table x509_credential = {.rules = x509_credential_rules,
                                                    .count = MEMBER_COUNT(x509_credential_rules),
                                                    .finish = finish_x509};

/* ---- the set ---- */

static const struct member_table *table_of(struct span type)
{
    static const struct {
        const char *type;
        const struct member_table *table;
    } kinds[] = {{"hashed-password", &password_credential},
                 {"psk", &psk_credential},
                 {"x509-cert", &x509_credential},
                 {"rpk", &rpk_credential}};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (span_eq(type, span_cstr(kinds[i].type))) {
            return kinds[i].table;
        }
    }
    return &custom_credential;
}

static enum ks_status read_credential(const struct member_path *at, json_t *given, json_t **out,
                                      struct ks_failure *why)
{
    const struct member_path type_at = {.up = at, .name = type_rule.name};
    json_t *type = NULL;
    enum ks_status st;

    if (!json_is_object(given)) {
        return member_refuse(at, why, "must be an object");
    }
    if (json_is_null(json_object_get(given, type_rule.name)) ||
        json_object_get(given, type_rule.name) == NULL) {
        return member_refuse(&type_at, why, "is required");
    }
    st =
        member_read_value(&type_at, &type_rule, json_object_get(given, type_rule.name), &type, why);
    if (st == KS_OK) {
        st = member_read_object(at, table_of(json_text_of(type)), given, out, why);
    }
    json_decref(type);
    return st;
}

static bool is_password(const json_t *credential)
{
    return span_eq(json_text_of(json_object_get(credential, "type")), SPAN("hashed-password"));
}

static enum ks_status check_hashes(const struct member_path *up, const json_t *credential,
                                   int max_bcrypt_cost, struct ks_failure *why)
{
    const struct member_path at = {.up = up, .name = "secrets"};
    const json_t *secret;
    size_t i;

    json_array_foreach (json_object_get(credential, "secrets"), i, secret) {
        const struct member_path here = {.up = &at, .index = i};
        struct ks_failure cause = {0};

        if (span_eq(json_text_of(json_object_get(secret, "hash-function")), SPAN("bcrypt")) &&
            passwords_check_hash(json_text_of(json_object_get(secret, "pwd-hash")), max_bcrypt_cost,
                                 &cause) != KS_OK) {
            return member_refuse_member(&here, "pwd-hash", why, cause.text);
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
        if (json_equal(json_object_get(other, "type"), json_object_get(credential, "type")) &&
            json_equal(json_object_get(other, "auth-id"), json_object_get(credential, "auth-id"))) {
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
        st = member_check_distinct(at, credential, "secrets", "id", why);
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
        json_array_foreach (json_object_get(credential, "secrets"), k, secret) {
            if (json_object_get(secret, "pwd-plain") == NULL) {
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
        count += json_array_size(json_object_get(credential, "secrets"));
    }
    return count;
}

json_t *credential_read_next_plain(const json_t *set)
{
    json_t *first = NULL;

    (void)find_plain(set, &first);
    return first;
}
