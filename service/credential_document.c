#include "service/credential_document.h"

#include <assert.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/clock.h"
#include "service/credential_members.h"
#include "service/json_text.h"

/* ---- showing ---- */

static void hide_in(json_t *secret, const struct member_table *table)
{
    const struct member_rule *rule;
    size_t next = 0;

    while ((rule = member_next(table, &next)) != NULL) {
        if ((rule->flags & MEMBER_NEVER_SHOWN) != 0) {
            (void)json_object_del(secret, rule->name);
        }
    }
}

static void hide(const json_t *credential)
{
    const struct credential_kind *kind = credential_kind_at(credential);
    json_t *secret;
    size_t i;

    json_array_foreach (credential_at(credential, CREDENTIAL_SECRETS), i, secret) {
        hide_in(secret, kind->secret);
    }
}

enum ks_status credential_document_show(struct span stored, json_t **out, struct ks_failure *why)
{
    if (json_text_parse(stored, out, NULL) != KS_OK) {
        return ks_fail(why, KS_CORRUPT, NULL, "a stored credential is no JSON");
    }
    hide(*out);
    return KS_OK;
}

/* ---- rendering ---- */

/* The time of a stored timestamp member, `otherwise` if there is none. */
static enum ks_status read_time(const json_t *secret, enum secret_member member, int64_t otherwise,
                                int64_t *ms, struct ks_failure *why)
{
    const json_t *text = secret_at(secret, member);

    *ms = otherwise;
    if (text != NULL && !clock_parse(json_text_of(text), ms)) {
        return ks_fail(why, KS_CORRUPT, NULL, "a stored secret's %s is no timestamp",
                       secret_name(member));
    }
    return KS_OK;
}

/* Members of custom secrets have no rule, and are the adapter's business. */
static bool is_told(const struct member_table *table, const char *name)
{
    const struct member_rule *rule = member_find(table, name);

    return rule == NULL || (rule->flags & MEMBER_TOLD) != 0;
}

static enum ks_status add_secret(struct buf *text, const struct member_table *table, json_t *secret,
                                 struct store_segment *segment, struct ks_failure *why)
{
    const char *separator = "{";
    const char *name;
    json_t *value;
    enum ks_status st = read_time(secret, SECRET_NOT_BEFORE, CLOCK_MIN, &segment->from_ms, why);

    if (st == KS_OK) {
        st = read_time(secret, SECRET_NOT_AFTER, CLOCK_MAX, &segment->until_ms, why);
    }
    if (st != KS_OK) {
        return st;
    }
    segment->enabled = !json_is_false(secret_at(secret, SECRET_ENABLED));
    segment->offset = (uint32_t)text->len;
    json_object_foreach (secret, name, value) {
        if (is_told(table, name)) {
            buf_add_cstr(text, separator);
            buf_add_json(text, span_cstr(name));
            buf_add_char(text, ':');
            json_text_add(text, value);
            separator = ",";
        }
    }
    buf_add_cstr(text, *separator == '{' ? "{}" : "}");
    segment->len = (uint32_t)(text->len - segment->offset);
    return KS_OK;
}

static enum ks_status add_secrets(struct arena *arena, struct buf *text, const json_t *credential,
                                  struct span *encoded, struct ks_failure *why)
{
    const struct member_table *table = credential_kind_at(credential)->secret;
    const json_t *secrets = credential_at(credential, CREDENTIAL_SECRETS);
    struct store_segment segments[STORE_LIST_MAX];
    size_t i;
    json_t *secret;
    enum ks_status st = KS_OK;

    assert(json_array_size(secrets) <= STORE_LIST_MAX);
    buf_printf(text, ",\"%s\":[", credential_name(CREDENTIAL_SECRETS));
    json_array_foreach (secrets, i, secret) {
        if (i > 0) {
            buf_add_char(text, ',');
        }
        st = add_secret(text, table, secret, &segments[i], why);
        if (st != KS_OK) {
            return st;
        }
    }
    buf_add_char(text, ']');
    *encoded = store_segments_encode(arena, segments, json_array_size(secrets));
    return KS_OK;
}

static enum ks_status render_answer(struct arena *arena, const json_t *stored,
                                    struct span device_id, struct store_answer *out,
                                    struct ks_failure *why)
{
    const struct member_rule *rule;
    size_t next = 0;
    struct buf text;
    enum ks_status st;

    buf_init(&text, JSON_TEXT_MAX);
    buf_add_cstr(&text, "{\"device-id\":");
    buf_add_json(&text, device_id);
    while ((rule = member_next(&credential_table, &next)) != NULL) {
        json_t *value = json_object_get(stored, rule->name);

        if (value != NULL && (rule->flags & MEMBER_TOLD) != 0) {
            buf_printf(&text, ",\"%s\":", rule->name);
            json_text_add(&text, value);
        }
    }
    st = add_secrets(arena, &text, stored, &out->segments, why);
    buf_add_char(&text, '}');
    if (st == KS_OK) {
        st = json_text_keep(arena, &text, &out->text, why);
    }
    buf_done_secret(&text);
    return st;
}

enum ks_status credential_document_render(struct arena *arena, json_t *stored,
                                          struct span device_id, struct store_credential *out,
                                          struct ks_failure *why)
{
    json_t *ext = credential_at(stored, CREDENTIAL_EXT);
    struct store_credential made = {
        .type = arena_span(arena, json_text_of(credential_at(stored, CREDENTIAL_TYPE))),
        .auth_id = arena_span(arena, json_text_of(credential_at(stored, CREDENTIAL_AUTH_ID))),
        .device_id = arena_span(arena, device_id)};
    enum ks_status st = json_text_render(arena, stored, &made.document, why);

    if (st == KS_OK && json_object_size(ext) > 0) {
        made.flags |= STORE_CREDENTIAL_HAS_EXT;
        st = json_text_render(arena, ext, &made.ext, why);
    }
    if (st == KS_OK) {
        st = render_answer(arena, stored, device_id, &made.answer, why);
    }
    if (st != KS_OK) {
        return st;
    }
    if (!json_is_false(credential_at(stored, CREDENTIAL_ENABLED))) {
        made.flags |= STORE_CREDENTIAL_ENABLED;
    }
    *out = made;
    return KS_OK;
}
