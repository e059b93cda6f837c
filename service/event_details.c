#include "service/event_details.h"

#include <string.h>

#include "service/json_text.h"
#include "service/tenant_members.h"
#include "store/store.h"

/* Most tenants have neither, and a document with many CAs is long: look before it is parsed. */
static bool mentions(struct span document, struct span name)
{
    return memmem(document.ptr, document.len, name.ptr, name.len) != NULL;
}

static int64_t positive(const json_t *value)
{
    int64_t number = json_is_integer(value) ? json_integer_value(value) : 0;

    return number > 0 ? number : 0;
}

static int64_t smaller(int64_t one, int64_t other)
{
    return one == 0 || (other != 0 && other < one) ? other : one;
}

static enum ks_status read(const json_t *tenant, struct arena *arena, struct event_details *out,
                           struct ks_failure *why)
{
    json_t *defaults = tenant_at(tenant, TENANT_DEFAULTS);
    const json_t *limits = tenant_at(tenant, TENANT_RESOURCE_LIMITS);

    out->ttl_s = smaller(positive(json_object_get(defaults, "ttl")),
                         positive(resource_at(limits, RESOURCE_MAX_TTL)));
    return json_object_size(defaults) > 0 ? json_text_render(arena, defaults, &out->defaults, why)
                                          : KS_OK;
}

enum ks_status event_details_read(const struct store_tenant *tenant, struct arena *arena,
                                  struct event_details *out, struct ks_failure *why)
{
    json_t *document = NULL;
    enum ks_status st;

    *out = (struct event_details){.ttl_s = 0};
    if (!mentions(tenant->document, SPAN("\"defaults\"")) &&
        !mentions(tenant->document, SPAN("\"max-ttl\""))) {
        return KS_OK;
    }
    st = json_text_parse(tenant->document, &document, why);
    if (st == KS_OK) {
        st = read(document, arena, out, why);
    }
    json_decref(document);
    return st;
}
