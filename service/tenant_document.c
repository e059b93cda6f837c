#include "service/tenant_document.h"

#include <assert.h>
#include <stdbool.h>

#include "base/buf.h"
#include "service/ca_document.h"
#include "service/json_text.h"
#include "service/member.h"

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

static const struct member_rule adapter_rules[] = {
    {.name = "type", .kind = MEMBER_TEXT, .flags = MEMBER_REQUIRED},
    {.name = "enabled", .kind = MEMBER_FLAG, .flags = MEMBER_NULL_IS_ZERO | MEMBER_FILLED},
    {.name = "device-authentication-required",
     .kind = MEMBER_FLAG,
     .flags = MEMBER_NULL_IS_ZERO | MEMBER_FILLED,
     .fallback = 1},
    {.name = "ext", .kind = MEMBER_FREE, .flags = MEMBER_HIDES_DEFAULT},
};
static const struct member_table adapter_table = {.rules = adapter_rules,
                                                  .count = MEMBER_COUNT(adapter_rules)};
static const struct member_rule adapter_rule = {.kind = MEMBER_OBJECT, .table = &adapter_table};

static const char *const period_modes[] = {"days", "monthly", "unknown", NULL};
static const struct member_rule period_rules[] = {
    {.name = "mode",
     .kind = MEMBER_WORD,
     .flags = MEMBER_REQUIRED | MEMBER_NOT_NULL,
     .words = period_modes},
    {.name = "no-of-days",
     .kind = MEMBER_NUMBER,
     .flags = MEMBER_NULL_IS_ZERO | MEMBER_HIDES_DEFAULT,
     .max = INT32_MAX},
};
static const struct member_table period_table = {.rules = period_rules,
                                                 .count = MEMBER_COUNT(period_rules)};

/* What is limited over a period of time; `amount` is shown unless it is 0. */
#define LIMITED(amount)                                                                            \
    {                                                                                              \
        {.name = "effective-since",                                                                \
         .kind = MEMBER_TIME,                                                                      \
         .flags = MEMBER_REQUIRED | MEMBER_NOT_NULL},                                              \
            {.name = "period", .kind = MEMBER_OBJECT, .table = &period_table},                     \
            {.name = (amount),                                                                     \
             .kind = MEMBER_NUMBER,                                                                \
             .flags = MEMBER_NULL_IS_ZERO | MEMBER_HIDES_DEFAULT,                                  \
             .min = -1,                                                                            \
             .max = INT64_MAX},                                                                    \
    }

static enum ks_status finish_limited(const struct member_path *at, json_t *given, json_t *limited,
                                     struct ks_failure *why)
{
    (void)at;
    (void)given;
    (void)why;
    if (json_object_get(limited, "period") == NULL) {
        (void)json_object_set_new(limited, "period", json_pack("{ss}", "mode", "monthly"));
    }
    return KS_OK;
}

static const struct member_rule volume_rules[] = LIMITED("max-bytes");
static const struct member_table volume_table = {
    .rules = volume_rules, .count = MEMBER_COUNT(volume_rules), .finish = finish_limited};
static const struct member_rule duration_rules[] = LIMITED("max-minutes");
static const struct member_table duration_table = {
    .rules = duration_rules, .count = MEMBER_COUNT(duration_rules), .finish = finish_limited};

/* -1: no limit, not shown. */
#define LIMIT(member, stored, largest)                                                             \
    {                                                                                              \
        .name = (member), .stored_as = (stored), .kind = MEMBER_NUMBER,                            \
        .flags = MEMBER_NULL_IS_ZERO | MEMBER_HIDES_DEFAULT, .min = -1, .max = (largest),          \
        .fallback = -1                                                                             \
    }

static const struct member_rule resource_rules[] = {
    LIMIT("max-connections", NULL, INT32_MAX),
    LIMIT("max-ttl", NULL, INT64_MAX),
    /* A second name that Hono sends by a slip: read, never written. */
    LIMIT("maxTtlTelemetryQoS0", "max-ttl-telemetry-qos0", INT64_MAX),
    LIMIT("max-ttl-telemetry-qos0", NULL, INT64_MAX),
    LIMIT("max-ttl-telemetry-qos1", NULL, INT64_MAX),
    LIMIT("max-ttl-command-response", NULL, INT64_MAX),
    {.name = "data-volume", .kind = MEMBER_OBJECT, .table = &volume_table},
    {.name = "connection-duration", .kind = MEMBER_OBJECT, .table = &duration_table},
    {.name = "ext", .kind = MEMBER_FREE, .flags = MEMBER_HIDES_DEFAULT},
};
static const struct member_table resource_table = {.rules = resource_rules,
                                                   .count = MEMBER_COUNT(resource_rules)};

#define REGISTRATION_LIMIT(member)                                                                 \
    {                                                                                              \
        .name = (member), .kind = MEMBER_NUMBER, .flags = MEMBER_NULL_IS_ZERO | MEMBER_FILLED,     \
        .min = -1, .max = INT32_MAX, .fallback = -1                                                \
    }

static const struct member_rule registration_rules[] = {
    REGISTRATION_LIMIT("max-devices"),
    REGISTRATION_LIMIT("max-credentials-per-device"),
};
static const struct member_table registration_table = {.rules = registration_rules,
                                                       .count = MEMBER_COUNT(registration_rules)};

static const char *const sampling_modes[] = {"default", "all", "none", NULL};
static const struct member_rule sampling_rule = {.kind = MEMBER_WORD, .words = sampling_modes};
static const struct member_rule tracing_rules[] = {
    {.name = "sampling-mode", .kind = MEMBER_WORD, .words = sampling_modes},
    {.name = "sampling-mode-per-auth-id",
     .kind = MEMBER_MAP,
     .flags = MEMBER_HIDES_DEFAULT,
     .element = &sampling_rule},
};

/* The one member that is shown as null. */
static enum ks_status finish_tracing(const struct member_path *at, json_t *given, json_t *tracing,
                                     struct ks_failure *why)
{
    (void)at;
    (void)given;
    (void)why;
    if (json_object_get(tracing, "sampling-mode") == NULL) {
        (void)json_object_set_new(tracing, "sampling-mode", json_null());
    }
    return KS_OK;
}

static const struct member_table tracing_table = {
    .rules = tracing_rules, .count = MEMBER_COUNT(tracing_rules), .finish = finish_tracing};

static const struct member_rule tenant_rules[] = {
    {.name = "enabled", .kind = MEMBER_FLAG},
    {.name = "alias",
     .kind = MEMBER_TEXT,
     .flags = MEMBER_NOT_NULL,
     .max = STORE_NAME_MAX,
     .accepts = is_alias,
     .wants = "of a-z, 0-9 and '-'"},
    {.name = "ext", .kind = MEMBER_FREE, .flags = MEMBER_HIDES_DEFAULT},
    {.name = "defaults", .kind = MEMBER_FREE, .flags = MEMBER_HIDES_DEFAULT},
    {.name = "adapters",
     .kind = MEMBER_LIST,
     .min = 1,
     .max = STORE_LIST_MAX,
     .element = &adapter_rule},
    {.name = "minimum-message-size",
     .kind = MEMBER_NUMBER,
     .flags = MEMBER_NOT_NULL | MEMBER_HIDES_DEFAULT,
     .max = INT32_MAX},
    {.name = "resource-limits", .kind = MEMBER_OBJECT, .table = &resource_table},
    {.name = "registration-limits", .kind = MEMBER_OBJECT, .table = &registration_table},
    {.name = "tracing", .kind = MEMBER_OBJECT, .table = &tracing_table},
    {.name = "trust-anchor-group", .kind = MEMBER_TEXT, .max = STORE_NAME_MAX},
    {.name = "trusted-ca",
     .kind = MEMBER_LIST,
     .flags = MEMBER_HIDES_DEFAULT,
     .max = STORE_CAS_MAX,
     .element = &ca_document_rule},
};

/* ---- reading ---- */

static bool differ(const json_t *ca, const json_t *other, const char *member)
{
    return !span_eq(json_text_of(json_object_get(ca, member)),
                    json_text_of(json_object_get(other, member)));
}

static bool overlap(const json_t *ca, const json_t *other)
{
    int64_t from[2] = {0};
    int64_t until[2] = {0};

    return member_parse_time(json_object_get(ca, "not-before"), &from[0]) &&
           member_parse_time(json_object_get(ca, "not-after"), &until[0]) &&
           member_parse_time(json_object_get(other, "not-before"), &from[1]) &&
           member_parse_time(json_object_get(other, "not-after"), &until[1]) &&
           from[0] <= until[1] && from[1] <= until[0];
}

/* An adapter takes the template of the first CA that has the issuer's name, the registry that of
 * the CA whose key signed: they must come to the same auth-id. */
static enum ks_status check_auth_id_templates(const struct member_path *up, const json_t *tenant,
                                              struct ks_failure *why)
{
    const json_t *list = json_object_get(tenant, "trusted-ca");
    const struct member_path at = {.up = up, .name = "trusted-ca"};

    for (size_t i = 1; i < json_array_size(list); i++) {
        for (size_t k = 0; k < i; k++) {
            const json_t *ca = json_array_get(list, i);
            const json_t *other = json_array_get(list, k);

            if (!differ(ca, other, "subject-dn") && differ(ca, other, "auth-id-template") &&
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
    enum ks_status st = member_check_distinct(at, tenant, "adapters", "type", why);

    (void)given;
    if (st == KS_OK) {
        st = member_check_distinct(at, tenant, "trusted-ca", "id", why);
    }
    return st == KS_OK ? check_auth_id_templates(at, tenant, why) : st;
}

static const struct member_table tenant_table = {
    .rules = tenant_rules, .count = MEMBER_COUNT(tenant_rules), .finish = finish_tenant};

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

/* A member that is always there, or only when stored (`otherwise` NULL). */
static void add_member(struct buf *text, const json_t *document, const char *name,
                       const char *otherwise)
{
    json_t *value = json_object_get(document, name);

    if (value == NULL && otherwise == NULL) {
        return;
    }
    buf_printf(text, ",\"%s\":", name);
    if (value == NULL) {
        buf_add_cstr(text, otherwise);
    } else {
        json_text_add(text, value);
    }
}

static void add_answer(struct buf *text, const json_t *document, struct span id,
                       struct rendered_cas *cas)
{
    const json_t *list = json_object_get(document, "trusted-ca");

    buf_add_cstr(text, "{\"tenant-id\":");
    buf_add_json(text, id);
    add_member(text, document, "enabled", "true");
    add_member(text, document, "minimum-message-size", "0");
    add_member(text, document, "defaults", "{}");
    add_member(text, document, "ext", "{}");
    buf_add_cstr(text, ",\"trusted-ca\":[");
    for (size_t i = 0; i < cas->count; i++) {
        if (i > 0) {
            buf_add_char(text, ',');
        }
        ca_document_add_answer(text, json_array_get(list, i), &cas->ca[i], &cas->segment[i]);
    }
    buf_add_char(text, ']');
    add_member(text, document, "adapters", NULL);
    add_member(text, document, "resource-limits", NULL);
    add_member(text, document, "tracing", NULL);
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

static int32_t limit_of(const json_t *document, const char *name)
{
    const json_t *limit = json_object_get(json_object_get(document, "registration-limits"), name);

    return limit == NULL ? -1 : (int32_t)json_integer_value(limit);
}

enum ks_status tenant_document_render(struct arena *arena, json_t *document, struct span id,
                                      struct store_tenant *out, struct ks_failure *why)
{
    struct rendered_cas *cas = arena_alloc(arena, sizeof(*cas));
    struct store_answer answer;
    struct span text;
    enum ks_status st = render_cas(arena, json_object_get(document, "trusted-ca"), cas, why);

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
    out->alias = arena_span(arena, json_text_of(json_object_get(document, "alias")));
    out->trust_anchor_group =
        arena_span(arena, json_text_of(json_object_get(document, "trust-anchor-group")));
    out->max_devices = limit_of(document, "max-devices");
    out->max_credentials_per_device = limit_of(document, "max-credentials-per-device");
    out->cas = store_cas_encode(arena, cas->ca, cas->count);
    out->document = text;
    out->answer = answer;
    out->flags &= ~(uint32_t)STORE_TENANT_ENABLED;
    if (!json_is_false(json_object_get(document, "enabled"))) {
        out->flags |= STORE_TENANT_ENABLED;
    }
    return KS_OK;
}
