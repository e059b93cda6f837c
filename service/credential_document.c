#include "service/credential_document.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "service/json_text.h"

/* ---- showing ---- */

static void hide(const json_t *credential)
{
    static const struct {
        const char *type;
        const char *hidden[3];
    } kinds[] = {{"hashed-password", {"hash-function", "pwd-hash", "salt"}}, {"psk", {"key"}}};
    struct span type = json_text_of(json_object_get(credential, "type"));
    json_t *secret;
    size_t i;

    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        if (!span_eq(type, span_cstr(kinds[kind].type))) {
            continue;
        }
        json_array_foreach (json_object_get(credential, "secrets"), i, secret) {
            for (size_t k = 0; k < 3 && kinds[kind].hidden[k] != NULL; k++) {
                (void)json_object_del(secret, kinds[kind].hidden[k]);
            }
        }
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
static enum ks_status read_time(const json_t *object, const char *name, int64_t otherwise,
                                int64_t *ms, struct ks_failure *why)
{
    const json_t *text = json_object_get(object, name);

    *ms = otherwise;
    if (text != NULL && !clock_parse(json_text_of(text), ms)) {
        return ks_fail(why, KS_CORRUPT, NULL, "a stored secret's %s is no timestamp", name);
    }
    return KS_OK;
}

static bool is_told(const char *name)
{
    return strcmp(name, "id") != 0 && strcmp(name, "comment") != 0;
}

static enum ks_status add_secret(struct buf *text, json_t *secret, struct store_segment *segment,
                                 struct ks_failure *why)
{
    const char *separator = "{";
    const char *name;
    json_t *value;
    enum ks_status st = read_time(secret, "not-before", CLOCK_MIN, &segment->from_ms, why);

    if (st == KS_OK) {
        st = read_time(secret, "not-after", CLOCK_MAX, &segment->until_ms, why);
    }
    if (st != KS_OK) {
        return st;
    }
    segment->enabled = !json_is_false(json_object_get(secret, "enabled"));
    segment->offset = (uint32_t)text->len;
    json_object_foreach (secret, name, value) {
        if (is_told(name)) {
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

static enum ks_status add_secrets(struct arena *arena, struct buf *text, const json_t *secrets,
                                  struct span *encoded, struct ks_failure *why)
{
    struct store_segment segments[STORE_LIST_MAX];
    size_t i;
    json_t *secret;
    enum ks_status st = KS_OK;

    assert(json_array_size(secrets) <= STORE_LIST_MAX);
    buf_add_cstr(text, ",\"secrets\":[");
    json_array_foreach (secrets, i, secret) {
        if (i > 0) {
            buf_add_char(text, ',');
        }
        st = add_secret(text, secret, &segments[i], why);
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
    static const char *const told[] = {"type", "auth-id", "enabled", "ext"};
    struct buf text;
    enum ks_status st;

    buf_init(&text, JSON_TEXT_MAX);
    buf_add_cstr(&text, "{\"device-id\":");
    buf_add_json(&text, device_id);
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        json_t *value = json_object_get(stored, told[i]);

        if (value != NULL) {
            buf_printf(&text, ",\"%s\":", told[i]);
            json_text_add(&text, value);
        }
    }
    st = add_secrets(arena, &text, json_object_get(stored, "secrets"), &out->segments, why);
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
    json_t *ext = json_object_get(stored, "ext");
    struct store_credential made = {
        .type = arena_span(arena, json_text_of(json_object_get(stored, "type"))),
        .auth_id = arena_span(arena, json_text_of(json_object_get(stored, "auth-id"))),
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
    if (!json_is_false(json_object_get(stored, "enabled"))) {
        made.flags |= STORE_CREDENTIAL_ENABLED;
    }
    *out = made;
    return KS_OK;
}
