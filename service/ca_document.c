#include "service/ca_document.h"

#include <string.h>

#include "base/base64.h"
#include "base/digest.h"
#include "base/uuid.h"
#include "certs/certificate.h"
#include "certs/dn.h"
#include "service/identity_template.h"
#include "service/json_text.h"

static const struct member_rule ca_rules[] = {
    {.name = "id", .kind = MEMBER_TEXT},
    {.name = "cert", .kind = MEMBER_BINARY, .flags = MEMBER_NOT_NULL},
    {.name = "subject-dn", .kind = MEMBER_TEXT, .flags = MEMBER_NOT_NULL, .max = STORE_NAME_MAX},
    {.name = "subject-dn-bytes", .kind = MEMBER_BINARY},
    {.name = "public-key", .kind = MEMBER_BINARY},
    {.name = "algorithm", .kind = MEMBER_TEXT},
    {.name = "not-before", .kind = MEMBER_TIME, .flags = MEMBER_NOT_NULL},
    {.name = "not-after", .kind = MEMBER_TIME, .flags = MEMBER_NOT_NULL},
    {.name = "auto-provisioning-enabled",
     .kind = MEMBER_FLAG,
     .flags = MEMBER_NULL_IS_ZERO | MEMBER_FILLED},
    {.name = "auto-provision-as-gateway",
     .kind = MEMBER_FLAG,
     .flags = MEMBER_NULL_IS_ZERO | MEMBER_FILLED},
    {.name = "auto-provisioning-device-id-template",
     .kind = MEMBER_TEXT,
     .flags = MEMBER_NOT_NULL,
     .max = STORE_NAME_MAX},
    {.name = "auth-id-template",
     .kind = MEMBER_TEXT,
     .flags = MEMBER_NOT_NULL,
     .max = STORE_NAME_MAX},
    {.name = "ocsp-revocation-enabled",
     .kind = MEMBER_FLAG,
     .flags = MEMBER_NULL_IS_ZERO | MEMBER_HIDES_DEFAULT},
    {.name = "ocsp-responder-uri", .kind = MEMBER_TEXT},
    {.name = "ocsp-responder-cert", .kind = MEMBER_BINARY},
    {.name = "ocsp-nonce-enabled",
     .kind = MEMBER_FLAG,
     .flags = MEMBER_NULL_IS_ZERO | MEMBER_HIDES_DEFAULT},
    {.name = "provisioning", .kind = MEMBER_UNSUPPORTED},
};

/* ---- reading ---- */

/* The subject as it was taken from a certificate, whose text need not be one that can be read
 * (docs/names.md): it stays, or what is shown of a tenant could not be set again. */
static bool is_of_certificate(const json_t *ca)
{
    const json_t *bytes = json_object_get(ca, "subject-dn-bytes");
    struct arena arena;
    struct buf dn;
    bool same;

    if (bytes == NULL) {
        return false;
    }
    arena_init(&arena);
    buf_init(&dn, 0);
    same = dn_from_der(member_binary_bytes(&arena, bytes), &dn, NULL) == KS_OK &&
           span_eq(buf_span(&dn), json_text_of(json_object_get(ca, "subject-dn")));
    buf_done(&dn);
    arena_done(&arena);
    return same;
}

static enum ks_status normalize_dn(const struct member_path *at, json_t *ca, struct ks_failure *why)
{
    const json_t *given = json_object_get(ca, "subject-dn");
    struct ks_failure cause = {0};
    struct buf dn;
    enum ks_status st;

    if (given == NULL || is_of_certificate(ca)) {
        return KS_OK;
    }
    buf_init(&dn, 0);
    st = dn_normalize(json_text_of(given), &dn, &cause);
    if (st != KS_OK) {
        st = member_refuse_member(at, "subject-dn", why, cause.text);
    } else if (dn.len > STORE_NAME_MAX ||
               json_object_set_new(ca, "subject-dn", json_text_try(buf_span(&dn))) != 0) {
        st = member_refuse_member(at, "subject-dn", why, "cannot be kept: too long, or not UTF-8");
    }
    buf_done(&dn);
    return st;
}

static void set_binary(json_t *object, const char *name, struct span bytes)
{
    struct buf text;

    buf_init(&text, 0);
    base64_encode(&text, bytes.ptr, bytes.len);
    (void)json_object_set_new(object, name, json_text_new(buf_span(&text)));
    buf_done(&text);
}

/* False for values that a document cannot hold. */
static bool set_from_certificate(json_t *ca, const struct certificate *cert)
{
    json_t *dn = json_text_try(cert->subject_dn);
    json_t *from = member_time_new(cert->not_before_ms);
    json_t *until = member_time_new(cert->not_after_ms);
    /* Each set takes its value, and fails for a NULL: all are made. */
    bool ok = json_object_set_new(ca, "subject-dn", dn) == 0;

    ok = json_object_set_new(ca, "not-before", from) == 0 && ok;
    ok = json_object_set_new(ca, "not-after", until) == 0 && ok;

    set_binary(ca, "subject-dn-bytes", cert->subject_der);
    set_binary(ca, "public-key", cert->public_key);
    (void)json_object_set_new(ca, "algorithm", json_text_new(cert->algorithm));
    return ok && cert->subject_dn.len <= STORE_NAME_MAX;
}

static enum ks_status read_certificate(const struct member_path *at, struct arena *arena,
                                       json_t *ca, struct ks_failure *why)
{
    const json_t *given = json_object_get(ca, "cert");
    struct certificate cert;
    struct ks_failure cause = {0};

    if (given == NULL) {
        return KS_OK;
    }
    if (certificate_parse(member_binary_bytes(arena, given), arena, &cert, &cause) != KS_OK) {
        return member_refuse_member(at, "cert", why, cause.text);
    }
    if (!set_from_certificate(ca, &cert)) {
        return member_refuse_member(at, "cert", why,
                                    "has a subject or a validity that cannot be kept");
    }
    if (json_is_true(json_object_get(ca, "ocsp-revocation-enabled")) &&
        json_object_get(ca, "ocsp-responder-cert") == NULL) {
        set_binary(ca, "ocsp-responder-cert", cert.der);
    }
    (void)json_object_del(ca, "cert");
    return KS_OK;
}

static enum ks_status check_complete(const struct member_path *at, const json_t *ca,
                                     struct ks_failure *why)
{
    static const char *const required[] = {"subject-dn", "public-key", "not-before", "not-after"};

    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
        if (json_object_get(ca, required[i]) == NULL) {
            return member_refuse_member(at, required[i], why, "is required where there is no cert");
        }
    }
    return KS_OK;
}

static enum ks_status check_key(const struct member_path *at, struct arena *arena, const json_t *ca,
                                struct ks_failure *why)
{
    struct span key = member_binary_bytes(arena, json_object_get(ca, "public-key"));
    struct span algorithm = json_text_of(json_object_get(ca, "algorithm"));
    struct ks_failure cause = {0};

    if (public_key_check(key, algorithm, &cause) != KS_OK) {
        return member_refuse_member(at, "public-key", why, cause.text);
    }
    return KS_OK;
}

static enum ks_status check_flags(const struct member_path *at, const json_t *ca,
                                  struct ks_failure *why)
{
    if (json_is_true(json_object_get(ca, "ocsp-revocation-enabled")) &&
        json_object_get(ca, "ocsp-responder-cert") == NULL) {
        return member_refuse_member(at, "ocsp-revocation-enabled", why,
                                    "needs a cert or an ocsp-responder-cert");
    }
    return KS_OK;
}

static enum ks_status check_templates(const struct member_path *at, const json_t *ca,
                                      struct ks_failure *why)
{
    static const struct {
        const char *name;
        enum ks_status (*check)(struct span template, struct ks_failure *why);
    } templates[] = {
        {"auto-provisioning-device-id-template", identity_template_check_device_id},
        {"auth-id-template", identity_template_check_auth_id},
    };

    for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
        const json_t *template = json_object_get(ca, templates[i].name);
        struct ks_failure cause = {0};

        if (template != NULL && templates[i].check(json_text_of(template), &cause) != KS_OK) {
            return member_refuse_member(at, templates[i].name, why, cause.text);
        }
    }
    return KS_OK;
}

static void draw_id(json_t *ca)
{
    struct uuid id = uuid_random();
    char text[UUID_TEXT_LEN + 1];

    if (json_object_get(ca, "id") == NULL) {
        uuid_format(&id, text);
        (void)json_object_set_new(ca, "id", json_text_new(span_cstr(text)));
    }
}

static enum ks_status finish_ca(const struct member_path *at, json_t *given, json_t *ca,
                                struct ks_failure *why)
{
    struct arena arena;
    enum ks_status st;

    (void)given;
    arena_init(&arena);
    st = normalize_dn(at, ca, why);
    if (st == KS_OK) {
        st = read_certificate(at, &arena, ca, why);
    }
    if (st == KS_OK) {
        st = check_complete(at, ca, why);
    }
    if (st == KS_OK) {
        st = check_key(at, &arena, ca, why);
    }
    if (st == KS_OK) {
        st = check_flags(at, ca, why);
    }
    if (st == KS_OK) {
        st = check_templates(at, ca, why);
    }
    arena_done(&arena);
    draw_id(ca);
    return st;
}

static const struct member_table ca_table = {
    .rules = ca_rules, .count = MEMBER_COUNT(ca_rules), .finish = finish_ca};
const struct member_rule ca_document_rule = {.kind = MEMBER_OBJECT, .table = &ca_table};

/* ---- rendering ---- */

enum ks_status ca_document_render(struct arena *arena, const json_t *ca, struct store_ca *out,
                                  struct ks_failure *why)
{
    struct sha256 hash;

    if (!member_parse_time(json_object_get(ca, "not-before"), &out->not_before_ms) ||
        !member_parse_time(json_object_get(ca, "not-after"), &out->not_after_ms)) {
        return ks_fail(why, KS_CORRUPT, NULL, "a stored CA's validity cannot be read");
    }
    out->subject_dn = arena_span(arena, json_text_of(json_object_get(ca, "subject-dn")));
    out->public_key = member_binary_bytes(arena, json_object_get(ca, "public-key"));
    hash = sha256_of_pair(out->subject_dn, out->public_key);
    memcpy(out->key_hash, hash.bytes, sizeof(out->key_hash));
    out->flags = json_is_true(json_object_get(ca, "auto-provisioning-enabled"))
                     ? STORE_CA_AUTO_PROVISIONING
                     : 0;
    if (json_is_true(json_object_get(ca, "auto-provision-as-gateway"))) {
        out->flags |= STORE_CA_AS_GATEWAY;
    }
    out->device_id_template = arena_span(
        arena, json_text_of(json_object_get(ca, "auto-provisioning-device-id-template")));
    out->auth_id_template =
        arena_span(arena, json_text_of(json_object_get(ca, "auth-id-template")));
    return KS_OK;
}

void ca_document_add_answer(struct buf *text, const json_t *ca, const struct store_ca *rendered,
                            struct store_segment *segment)
{
    static const char *const told[] = {"subject-dn",
                                       "subject-dn-bytes",
                                       "public-key",
                                       "algorithm",
                                       "auth-id-template",
                                       "auto-provisioning-enabled",
                                       "ocsp-revocation-enabled",
                                       "ocsp-responder-uri",
                                       "ocsp-responder-cert",
                                       "ocsp-nonce-enabled"};
    const char *separator = "{";

    *segment = (struct store_segment){.from_ms = rendered->not_before_ms,
                                      .until_ms = rendered->not_after_ms,
                                      .offset = (uint32_t)text->len,
                                      .enabled = true};
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        json_t *value = json_object_get(ca, told[i]);

        if (value != NULL) {
            buf_printf(text, "%s\"%s\":", separator, told[i]);
            json_text_add(text, value);
            separator = ",";
        }
    }
    buf_add_char(text, '}');
    segment->len = (uint32_t)(text->len - segment->offset);
}
