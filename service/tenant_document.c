#include "service/tenant_document.h"

#include <assert.h>
#include <stdbool.h>

#include "base/buf.h"
#include "service/ca_document.h"
#include "service/json_text.h"
#include "service/member.h"
#include "service/tenant_members.h"

/* ---- members ---- */

static bool is_alias(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-') {
            return false;
        }
    }
    return text.len > 0;
}

static bool differ(const json_t *ca, const json_t *other, enum ca_member member)
{
    return !span_eq(json_text_of(ca_at(ca, member)), json_text_of(ca_at(other, member)));
}

static bool overlap(const json_t *ca, const json_t *other)
{
    int64_t from[2] = {0};
    int64_t until[2] = {0};

    return member_parse_time(ca_at(ca, CA_NOT_BEFORE), &from[0]) &&
           member_parse_time(ca_at(ca, CA_NOT_AFTER), &until[0]) &&
           member_parse_time(ca_at(other, CA_NOT_BEFORE), &from[1]) &&
           member_parse_time(ca_at(other, CA_NOT_AFTER), &until[1]) && from[0] <= until[1] &&
           from[1] <= until[0];
}

/* An adapter takes the template of the first CA that has the issuer's name, the registry that of
 * the CA whose key signed: they must come to the same auth-id. */
static enum ks_status check_auth_id_templates(const struct member_path *up, const json_t *tenant,
                                              struct ks_failure *why)
{
    const json_t *list = tenant_at(tenant, TENANT_TRUSTED_CA);
    const struct member_path at = {.up = up, .name = tenant_name(TENANT_TRUSTED_CA)};

    for (size_t i = 1; i < json_array_size(list); i++) {
        for (size_t k = 0; k < i; k++) {
            const json_t *ca = json_array_get(list, i);
            const json_t *other = json_array_get(list, k);

            if (!differ(ca, other, CA_SUBJECT_DN) && differ(ca, other, CA_AUTH_ID_TEMPLATE) &&
                overlap(ca, other)) {
                return member_refuse(&at, why,
                                     "elements %zu and %zu have the same subject-dn at the same "
                                     "time and must have the same auth-id-template",
                                     k, i);
            }
        }
    }
    return KS_OK;
}

static enum ks_status finish_tenant(const struct member_path *at, json_t *given, json_t *tenant,
                                    struct ks_failure *why)
{
    enum ks_status st = member_check_distinct(at, tenant, tenant_name(TENANT_ADAPTERS),
                                              adapter_name(ADAPTER_TYPE), why);

    (void)given;
    if (st == KS_OK) {
        st = member_check_distinct(at, tenant, tenant_name(TENANT_TRUSTED_CA), ca_name(CA_ID), why);
    }
    return st == KS_OK ? check_auth_id_templates(at, tenant, why) : st;
}

static const char *const period_modes[] = {"days", "monthly", "unknown", NULL};
static const char *const sampling_modes[] = {"default", "all", "none", NULL};
static const struct member_rule sampling_rule = {.kind = MEMBER_WORD, .words = sampling_modes};
static const struct member_rule adapter_rule = {.kind = MEMBER_OBJECT, .table = &adapter_table};

/* Not negative but for -1: no limit, not stored. */
#define LIMIT(largest)                                                                             \
    .kind = MEMBER_NUMBER, .flags = MEMBER_NULL_IS_ZERO | MEMBER_HIDES_DEFAULT, .min = -1,         \
    .max = (largest), .fallback = JSON(-1)

#include "service/member_tables.h"

#include "service/tenant.def"

/* ---- reading ---- */

enum ks_status tenant_document_read(struct span body, json_t **out, struct ks_failure *why)
{
    return member_read_body(&tenant_table, body, out, why);
}

/* ---- rendering ---- */

struct rendered_cas {
    struct store_ca ca[STORE_CAS_MAX];
    struct store_segment segment[STORE_CAS_MAX];
    size_t count;
};

static enum ks_status render_cas(struct arena *arena, const json_t *list, struct rendered_cas *out,
                                 struct ks_failure *why)
{
    enum ks_status st = KS_OK;

    out->count = json_array_size(list);
    assert(out->count <= STORE_CAS_MAX);
    for (size_t i = 0; i < out->count && st == KS_OK; i++) {
        st = ca_document_render(arena, json_array_get(list, i), &out->ca[i], why);
    }
    return st;
}

static void add_cas(struct buf *text, const json_t *list, struct rendered_cas *cas)
{
    buf_printf(text, ",\"%s\":[", tenant_name(TENANT_TRUSTED_CA));
    for (size_t i = 0; i < cas->count; i++) {
        if (i > 0) {
            buf_add_char(text, ',');
        }
        ca_document_add_answer(text, json_array_get(list, i), &cas->ca[i], &cas->segment[i]);
    }
    buf_add_char(text, ']');
}

/* What adapters are told of one member. */
static void add_told(struct buf *text, const struct member_rule *rule, json_t *value)
{
    if (value != NULL && (rule->flags & (MEMBER_TOLD | MEMBER_TOLD_ALWAYS)) != 0) {
        buf_printf(text, ",\"%s\":", rule->name);
        json_text_add(text, value);
    } else if ((rule->flags & MEMBER_TOLD_ALWAYS) != 0) {
        buf_printf(text, ",\"%s\":%s", rule->name, rule->fallback);
    }
}

static void add_answer(struct buf *text, const json_t *document, struct span id,
                       struct rendered_cas *cas)
{
    const struct member_rule *rule;
    size_t next = 0;

    buf_add_cstr(text, "{\"tenant-id\":");
    buf_add_json(text, id);
    while ((rule = member_next(&tenant_table, &next)) != NULL) {
        if (rule == &tenant_table.rules[TENANT_TRUSTED_CA]) {
            add_cas(text, tenant_at(document, TENANT_TRUSTED_CA), cas);
        } else {
            add_told(text, rule, json_object_get(document, rule->name));
        }
    }
    buf_add_char(text, '}');
}

static enum ks_status render_answer(struct arena *arena, const json_t *document, struct span id,
                                    struct rendered_cas *cas, struct store_answer *out,
                                    struct ks_failure *why)
{
    struct buf text;
    enum ks_status st;

    buf_init(&text, JSON_TEXT_MAX);
    add_answer(&text, document, id, cas);
    st = json_text_keep(arena, &text, &out->text, why);
    buf_done(&text);
    out->segments = store_segments_encode(arena, cas->segment, cas->count);
    return st;
}

static int32_t limit_of(const json_t *document, enum registration_member member)
{
    const json_t *limit = registration_at(tenant_at(document, TENANT_REGISTRATION_LIMITS), member);

    return limit == NULL ? -1 : (int32_t)json_integer_value(limit);
}

enum ks_status tenant_document_render(struct arena *arena, json_t *document, struct span id,
                                      struct store_tenant *out, struct ks_failure *why)
{
    struct rendered_cas *cas = arena_alloc(arena, sizeof(*cas));
    struct store_answer answer;
    struct span text;
    enum ks_status st = render_cas(arena, tenant_at(document, TENANT_TRUSTED_CA), cas, why);

    if (st == KS_OK) {
        st = json_text_render(arena, document, &text, why);
    }
    if (st == KS_OK) {
        st = render_answer(arena, document, id, cas, &answer, why);
    }
    if (st != KS_OK) {
        return st;
    }
    out->id = arena_span(arena, id);
    out->alias = arena_span(arena, json_text_of(tenant_at(document, TENANT_ALIAS)));
    out->trust_anchor_group =
        arena_span(arena, json_text_of(tenant_at(document, TENANT_TRUST_ANCHOR_GROUP)));
    out->max_devices = limit_of(document, REGISTRATION_MAX_DEVICES);
    out->max_credentials_per_device = limit_of(document, REGISTRATION_MAX_CREDENTIALS);
    out->cas = store_cas_encode(arena, cas->ca, cas->count);
    out->document = text;
    out->answer = answer;
    out->flags &= ~(uint32_t)STORE_TENANT_ENABLED;
    if (!json_is_false(tenant_at(document, TENANT_ENABLED))) {
        out->flags |= STORE_TENANT_ENABLED;
    }
    return KS_OK;
}
