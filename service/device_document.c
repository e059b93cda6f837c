#include "service/device_document.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "service/device_members.h"
#include "service/json_text.h"
#include "service/member.h"

/* ---- members ---- */

/* An empty list counts as no name, an empty text as one. */
static bool names_something(const json_t *given)
{
    return !json_is_null(given) && (!json_is_array(given) || json_array_size(given) > 0);
}

/* A device is behind gateways or is one itself. As in Hono, a member of the second kind is refused
 * whatever its value behind one of the first that names something. */
static enum ks_status check_sides(const struct member_path *up, json_t *given,
                                  struct ks_failure *why)
{
    const char *name;
    json_t *value;
    bool behind = false;
    bool gateway = false;

    json_object_foreach (given, name, value) {
        const struct member_path at = {.up = up, .name = name};
        bool is_member_of = strcmp(name, device_name(DEVICE_MEMBER_OF)) == 0;
        bool is_via = strcmp(name, device_name(DEVICE_VIA)) == 0 ||
                      strcmp(name, device_name(DEVICE_VIA_GROUPS)) == 0;

        if ((is_via && gateway) || (is_member_of && behind)) {
            return member_refuse(&at, why, "memberOf excludes via and viaGroups");
        }
        gateway = gateway || (is_member_of && names_something(value));
        behind = behind || (is_via && names_something(value));
    }
    return KS_OK;
}

/* Authorities are a set. */
static void drop_repeated(json_t *list)
{
    for (size_t i = json_array_size(list); i-- > 1;) {
        for (size_t k = 0; k < i; k++) {
            if (json_equal(json_array_get(list, i), json_array_get(list, k))) {
                (void)json_array_remove(list, i);
                break;
            }
        }
    }
}

static enum ks_status finish_device(const struct member_path *at, json_t *given, json_t *device,
                                    struct ks_failure *why)
{
    drop_repeated(device_at(device, DEVICE_AUTHORITIES));
    return check_sides(at, given, why);
}

static const struct member_rule name_rule = {.kind = MEMBER_TEXT, .max = STORE_ID_MAX};
static const struct member_rule scalar_rule = {.kind = MEMBER_TEXT};

#define NAMES(more_flags)                                                                          \
    .kind = MEMBER_STRINGS, .flags = MEMBER_HIDES_DEFAULT | (more_flags), .max = STORE_LIST_MAX,   \
    .fallback = JSON([]), .element = &name_rule

#include "service/member_tables.h"

#include "service/device.def"

/* ---- reading ---- */

enum ks_status device_document_read(struct span body, json_t **out, struct ks_failure *why)
{
    return member_read_body(&device_table, body, out, why);
}

/* ---- rendering ---- */

static struct span encode_strings(struct arena *arena, const json_t *list)
{
    struct span strings[STORE_LIST_MAX];
    size_t i;
    const json_t *string;

    assert(json_array_size(list) <= STORE_LIST_MAX);
    json_array_foreach (list, i, string) {
        strings[i] = json_text_of(string);
    }
    return store_strings_encode(arena, strings, json_array_size(list));
}

/* What has nothing in it adapters are not sent. */
static bool says_something(const json_t *value)
{
    return json_array_size(value) + json_object_size(value) + json_string_length(value) > 0;
}

static enum ks_status render_answer(struct arena *arena, const json_t *document, struct span id,
                                    struct span *out, struct ks_failure *why)
{
    const struct member_rule *rule;
    size_t next = 0;
    struct buf text;
    enum ks_status st;

    buf_init(&text, JSON_TEXT_MAX);
    buf_add_cstr(&text, "{\"device-id\":");
    buf_add_json(&text, id);
    while ((rule = member_next(&device_table, &next)) != NULL) {
        json_t *value = json_object_get(document, rule->name);

        if ((rule->flags & MEMBER_TOLD) != 0 && says_something(value)) {
            buf_printf(&text, ",\"%s\":", rule->name);
            json_text_add(&text, value);
        }
    }
    buf_add_char(&text, '}');
    st = json_text_keep(arena, &text, out, why);
    buf_done(&text);
    return st;
}

static bool may_provision(const json_t *document)
{
    const json_t *authorities = device_at(document, DEVICE_AUTHORITIES);
    const json_t *authority;
    size_t i;

    json_array_foreach (authorities, i, authority) {
        if (span_eq(json_text_of(authority), SPAN(DEVICE_AUTHORITY_PROVISION))) {
            return true;
        }
    }
    return false;
}

static uint32_t flags_of(const json_t *document)
{
    uint32_t flags = json_is_false(device_at(document, DEVICE_ENABLED)) ? 0 : STORE_DEVICE_ENABLED;

    return may_provision(document) ? flags | STORE_DEVICE_PROVISIONER : flags;
}

enum ks_status device_document_render(struct arena *arena, json_t *document, struct span id,
                                      struct store_device *out, struct ks_failure *why)
{
    struct span text;
    struct span answer;
    enum ks_status st = json_text_render(arena, document, &text, why);

    if (st == KS_OK) {
        st = render_answer(arena, document, id, &answer, why);
    }
    if (st != KS_OK) {
        return st;
    }
    out->id = arena_span(arena, id);
    out->document = text;
    out->answer = answer;
    out->via = encode_strings(arena, device_at(document, DEVICE_VIA));
    out->via_groups = encode_strings(arena, device_at(document, DEVICE_VIA_GROUPS));
    out->member_of = encode_strings(arena, device_at(document, DEVICE_MEMBER_OF));
    out->flags &= ~(uint32_t)(STORE_DEVICE_ENABLED | STORE_DEVICE_PROVISIONER);
    out->flags |= flags_of(document);
    return KS_OK;
}
