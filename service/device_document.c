#include "service/device_document.h"

#include <assert.h>

#include "base/buf.h"
#include "service/json_text.h"

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

static enum ks_status render_answer(struct arena *arena, const json_t *document, struct span id,
                                    struct span *out, struct ks_failure *why)
{
    static const char *const told[] = {"via", "defaults", "downstream-message-mapper",
                                       "upstream-message-mapper", "command-endpoint"};
    struct buf text;
    enum ks_status st;

    buf_init(&text, JSON_TEXT_MAX);
    buf_add_cstr(&text, "{\"device-id\":");
    buf_add_json(&text, id);
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        json_t *value = json_object_get(document, told[i]);

        if (value != NULL) {
            buf_printf(&text, ",\"%s\":", told[i]);
            json_text_add(&text, value);
        }
    }
    buf_add_char(&text, '}');
    st = json_text_keep(arena, &text, out, why);
    buf_done(&text);
    return st;
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
    out->via = encode_strings(arena, json_object_get(document, "via"));
    out->via_groups = encode_strings(arena, json_object_get(document, "viaGroups"));
    out->member_of = encode_strings(arena, json_object_get(document, "memberOf"));
    out->flags &= ~(uint32_t)STORE_DEVICE_ENABLED;
    if (!json_is_false(json_object_get(document, "enabled"))) {
        out->flags |= STORE_DEVICE_ENABLED;
    }
    return KS_OK;
}
