#include "service/ca_document.h"

#include <string.h>

#include "base/base64.h"
#include "base/digest.h"
#include "base/uuid.h"
#include "certs/certificate.h"
#include "certs/dn.h"
#include "service/identity_template.h"
#include "service/json_text.h"
#include "service/tenant_members.h"

/* ---- reading ---- */

/* The subject as it was taken from a certificate, whose text need not be one that can be read
 * (docs/names.md): it stays, or what is shown of a tenant could not be set again. */
static bool is_of_certificate(const json_t *ca)
{
    const json_t *bytes = ca_at(ca, CA_SUBJECT_DN_BYTES);
    struct arena arena;
    struct buf dn;
    bool same;

    if (bytes == NULL) {
        return false;
    }
    arena_init(&arena);
    buf_init(&dn, 0);
    same = dn_from_der(member_binary_bytes(&arena, bytes), &dn, NULL) == KS_OK &&
           span_eq(buf_span(&dn), json_text_of(ca_at(ca, CA_SUBJECT_DN)));
    buf_done(&dn);
    arena_done(&arena);
    return same;
}

static enum ks_status normalize_dn(const struct member_path *at, json_t *ca, struct ks_failure *why)
{
    const json_t *given = ca_at(ca, CA_SUBJECT_DN);
    struct ks_failure cause = {0};
    struct buf dn;
    enum ks_status st;

    if (given == NULL || is_of_certificate(ca)) {
        return KS_OK;
    }
    buf_init(&dn, 0);
    st = dn_normalize(json_text_of(given), &dn, &cause);
    if (st != KS_OK) {
        st = member_refuse_member(at, ca_name(CA_SUBJECT_DN), why, cause.text);
    } else if (dn.len > STORE_NAME_MAX ||
               !ca_put(ca, CA_SUBJECT_DN, json_text_try(buf_span(&dn)))) {
        st = member_refuse_member(at, ca_name(CA_SUBJECT_DN), why,
                                  "cannot be kept: too long, or not UTF-8");
    }
    buf_done(&dn);
    return st;
}

static void set_binary(json_t *ca, enum ca_member member, struct span bytes)
{
    struct buf text;

    buf_init(&text, 0);
    base64_encode(&text, bytes.ptr, bytes.len);
    (void)ca_put(ca, member, json_text_new(buf_span(&text)));
    buf_done(&text);
}

/* False for values that a document cannot hold. */
static bool set_from_certificate(json_t *ca, const struct certificate *cert)
{
    json_t *dn = json_text_try(cert->subject_dn);
    json_t *from = member_time_new(cert->not_before_ms);
    json_t *until = member_time_new(cert->not_after_ms);
    /* Each set takes its value, and fails for a NULL: all are made. */
    bool ok = ca_put(ca, CA_SUBJECT_DN, dn);

    ok = ca_put(ca, CA_NOT_BEFORE, from) && ok;
    ok = ca_put(ca, CA_NOT_AFTER, until) && ok;

    set_binary(ca, CA_SUBJECT_DN_BYTES, cert->subject_der);
    set_binary(ca, CA_PUBLIC_KEY, cert->public_key);
    (void)ca_put(ca, CA_ALGORITHM, json_text_new(cert->algorithm));
    return ok && cert->subject_dn.len <= STORE_NAME_MAX;
}

static enum ks_status read_certificate(const struct member_path *at, struct arena *arena,
                                       json_t *ca, struct ks_failure *why)
{
    const json_t *given = ca_at(ca, CA_CERT);
    struct certificate cert;
    struct ks_failure cause = {0};

    if (given == NULL) {
        return KS_OK;
    }
    if (certificate_parse(member_binary_bytes(arena, given), arena, &cert, &cause) != KS_OK) {
        return member_refuse_member(at, ca_name(CA_CERT), why, cause.text);
    }
    if (!set_from_certificate(ca, &cert)) {
        return member_refuse_member(at, ca_name(CA_CERT), why,
                                    "has a subject or a validity that cannot be kept");
    }
    if (json_is_true(ca_at(ca, CA_OCSP_ENABLED)) && ca_at(ca, CA_OCSP_CERT) == NULL) {
        set_binary(ca, CA_OCSP_CERT, cert.der);
    }
    ca_drop(ca, CA_CERT);
    return KS_OK;
}

static enum ks_status check_complete(const struct member_path *at, const json_t *ca,
                                     struct ks_failure *why)
{
    static const enum ca_member required[] = {CA_SUBJECT_DN, CA_PUBLIC_KEY, CA_NOT_BEFORE,
                                              CA_NOT_AFTER};

    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
        if (ca_at(ca, required[i]) == NULL) {
            return member_refuse_member(at, ca_name(required[i]), why,
                                        "is required where there is no cert");
        }
    }
    return KS_OK;
}

static enum ks_status check_key(const struct member_path *at, struct arena *arena, const json_t *ca,
                                struct ks_failure *why)
{
    struct span key = member_binary_bytes(arena, ca_at(ca, CA_PUBLIC_KEY));
    struct span algorithm = json_text_of(ca_at(ca, CA_ALGORITHM));
    struct ks_failure cause = {0};

    if (public_key_check(key, algorithm, &cause) != KS_OK) {
        return member_refuse_member(at, ca_name(CA_PUBLIC_KEY), why, cause.text);
    }
    return KS_OK;
}

static enum ks_status check_flags(const struct member_path *at, const json_t *ca,
                                  struct ks_failure *why)
{
    if (json_is_true(ca_at(ca, CA_OCSP_ENABLED)) && ca_at(ca, CA_OCSP_CERT) == NULL) {
        return member_refuse_member(at, ca_name(CA_OCSP_ENABLED), why,
                                    "needs a cert or an ocsp-responder-cert");
    }
    return KS_OK;
}

static enum ks_status check_templates(const struct member_path *at, const json_t *ca,
                                      struct ks_failure *why)
{
    static const struct {
        enum ca_member member;
        enum ks_status (*check)(struct span template, struct ks_failure *why);
    } templates[] = {
        {CA_DEVICE_ID_TEMPLATE, identity_template_check_device_id},
        {CA_AUTH_ID_TEMPLATE, identity_template_check_auth_id},
    };

    for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
        const json_t *template = ca_at(ca, templates[i].member);
        struct ks_failure cause = {0};

        if (template != NULL && templates[i].check(json_text_of(template), &cause) != KS_OK) {
            return member_refuse_member(at, ca_name(templates[i].member), why, cause.text);
        }
    }
    return KS_OK;
}

static void draw_id(json_t *ca)
{
    struct uuid id = uuid_random();
    char text[UUID_TEXT_LEN + 1];

    if (ca_at(ca, CA_ID) == NULL) {
        uuid_format(&id, text);
        (void)ca_put(ca, CA_ID, json_text_new(span_cstr(text)));
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

#include "service/member_tables.h"

#include "service/ca.def"

const struct member_rule ca_document_rule = {.kind = MEMBER_OBJECT, .table = &ca_table};

/* ---- rendering ---- */

enum ks_status ca_document_render(struct arena *arena, const json_t *ca, struct store_ca *out,
                                  struct ks_failure *why)
{
    struct sha256 hash;

    if (!member_parse_time(ca_at(ca, CA_NOT_BEFORE), &out->not_before_ms) ||
        !member_parse_time(ca_at(ca, CA_NOT_AFTER), &out->not_after_ms)) {
        return ks_fail(why, KS_CORRUPT, NULL, "a stored CA's validity cannot be read");
    }
    out->subject_dn = arena_span(arena, json_text_of(ca_at(ca, CA_SUBJECT_DN)));
    out->public_key = member_binary_bytes(arena, ca_at(ca, CA_PUBLIC_KEY));
    hash = sha256_of_pair(out->subject_dn, out->public_key);
    memcpy(out->key_hash, hash.bytes, sizeof(out->key_hash));
    out->flags = json_is_true(ca_at(ca, CA_AUTO_PROVISIONING)) ? STORE_CA_AUTO_PROVISIONING : 0;
    if (json_is_true(ca_at(ca, CA_AS_GATEWAY))) {
        out->flags |= STORE_CA_AS_GATEWAY;
    }
    out->device_id_template = arena_span(arena, json_text_of(ca_at(ca, CA_DEVICE_ID_TEMPLATE)));
    out->auth_id_template = arena_span(arena, json_text_of(ca_at(ca, CA_AUTH_ID_TEMPLATE)));
    return KS_OK;
}

void ca_document_add_answer(struct buf *text, const json_t *ca, const struct store_ca *rendered,
                            struct store_segment *segment)
{
    const struct member_rule *rule;
    size_t next = 0;
    const char *separator = "{";

    *segment = (struct store_segment){.from_ms = rendered->not_before_ms,
                                      .until_ms = rendered->not_after_ms,
                                      .offset = (uint32_t)text->len,
                                      .enabled = true};
    while ((rule = member_next(&ca_table, &next)) != NULL) {
        json_t *value = json_object_get(ca, rule->name);

        if (value != NULL && (rule->flags & MEMBER_TOLD) != 0) {
            buf_printf(text, "%s\"%s\":", separator, rule->name);
            json_text_add(text, value);
            separator = ",";
        }
    }
    buf_add_char(text, '}');
    segment->len = (uint32_t)(text->len - segment->offset);
}
