#include "amqp/event_extras.h"

#include <stdlib.h>

#include "amqp/codec.h"
#include "amqp/json_value.h"
#include "base/buf.h"
#include "base/json_scan.h"
#include "store/store.h"

/* ---- defaults as application properties ---- */

/* Not copied: properties of the message, and what says who and what it is. */
static bool is_reserved(struct span name)
{
    static const char *const names[] = {"ttl",
                                        "message-id",
                                        "user-id",
                                        "to",
                                        "subject",
                                        "reply-to",
                                        "correlation-id",
                                        "content-type",
                                        "creation-time",
                                        "group-id",
                                        "group-sequence",
                                        "reply-to-group-id",
                                        "durable",
                                        "priority",
                                        "first-acquirer",
                                        "delivery-count",
                                        "tenant_id",
                                        "device_id",
                                        "orig_adapter",
                                        "orig_address",
                                        "qos",
                                        "content-encoding",
                                        "absolute-expiry-time",
                                        "hono_registration_status",
                                        "JMS_AMQP_CONTENT_TYPE",
                                        "JMS_AMQP_CONTENT_ENCODING"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (span_eq(name, span_cstr(names[i]))) {
            return true;
        }
    }
    return false;
}

struct written {
    struct buf properties;
    uint32_t count;
    struct buf gateway_id;
};

/* False: it cannot be written, or there is no more room. */
static bool write_default(struct written *to, const struct json_member *member)
{
    char *room = malloc(member->key.len + 2);
    struct buf *out = &to->properties;
    struct span name;
    bool ok = true;

    if (room == NULL) {
        abort();
    }
    json_scan_string(span_of(member->key.ptr - 1, member->key.len + 2), room, &name);
    if (member->kind != JSON_KIND_NULL && !is_reserved(name)) {
        bool of_gateway = span_eq(name, SPAN("gateway_id"));

        out = of_gateway ? &to->gateway_id : out;
        codec_write_string(out, name);
        ok = json_value_write(out, member->value, member->kind) && !out->overflow &&
             to->properties.len + to->gateway_id.len <= EVENT_DEFAULTS_MAX;
        to->count += of_gateway ? 0 : 2;
    }
    free(room);
    return ok;
}

/* All or none. */
static void encode_defaults(const struct json_members *defaults, struct arena *arena,
                            struct event_extras *out)
{
    struct written written = {.count = 0};
    bool ok = true;

    buf_init(&written.properties, EVENT_DEFAULTS_MAX);
    buf_init(&written.gateway_id, EVENT_DEFAULTS_MAX);
    for (size_t i = 0; i < defaults->count && ok; i++) {
        ok = write_default(&written, &defaults->item[i]);
    }
    if (ok) {
        out->properties = arena_span(arena, buf_span(&written.properties));
        out->gateway_id = arena_span(arena, buf_span(&written.gateway_id));
        out->count = written.count;
    }
    buf_done(&written.properties);
    buf_done(&written.gateway_id);
}

/* ---- the content encoding ---- */

/* What a symbol holds (AMQP 1.0 part 1, section 1.6.21: ASCII), and a reader can print. */
static bool is_printable(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] > 0x7E) {
            return false;
        }
    }
    return true;
}

static struct span encoding_of(const struct json_members *defaults, struct arena *arena)
{
    const struct json_member *member = json_members_find(defaults, SPAN("content-encoding"));
    char room[EVENT_ENCODING_MAX + 2];
    struct span text = span_of(NULL, 0);

    if (member != NULL && member->kind == JSON_KIND_STRING && member->value.len <= sizeof(room)) {
        json_scan_string(member->value, room, &text);
    }
    return is_printable(text) ? arena_span(arena, text) : span_of(NULL, 0);
}

void event_extras_encode(const struct event_details *details, struct arena *arena,
                         struct event_extras *out)
{
    struct json_members *defaults = calloc(1, sizeof(*defaults));

    if (defaults == NULL) {
        abort();
    }
    *out = (struct event_extras){.ttl_s = details->ttl_s};
    if (details->defaults.len > 0 && json_scan_object(details->defaults, defaults, NULL) == KS_OK) {
        encode_defaults(defaults, arena, out);
        out->content_encoding = encoding_of(defaults, arena);
    } /* else: more members or levels than are copied */
    free(defaults);
}

/* ---- what is kept ---- */

static const struct event_extras *find(const struct event_extras_cache *cache,
                                       const struct store_tenant *tenant)
{
    for (size_t i = 0; i < cache->count; i++) {
        const struct event_extras_kept *kept = &cache->kept[i];

        if (kept->space == tenant->space && uuid_eq(&kept->version, &tenant->version)) {
            return &kept->extras;
        }
    }
    return NULL;
}

static enum ks_status encode_new(struct event_extras_cache *cache, struct arena *arena,
                                 const struct store_tenant *tenant, struct event_extras *out,
                                 struct ks_failure *why)
{
    struct event_details details;
    struct arena scratch;
    enum ks_status st;

    arena_init(&scratch);
    st = event_details_read(tenant, &scratch, &details, why);
    if (st == KS_OK) {
        if (cache->count == EVENT_EXTRAS_KEPT) {
            cache->count = 0;
        }
        if (cache->count == 0) {
            arena_reset(arena);
        }
        event_extras_encode(&details, arena, out);
        cache->kept[cache->count++] = (struct event_extras_kept){
            .space = tenant->space, .version = tenant->version, .extras = *out};
    }
    arena_done(&scratch);
    return st;
}

enum ks_status event_extras_get(struct event_extras_cache *cache, struct arena *arena,
                                struct store_txn *txn, uint32_t space, struct event_extras *out,
                                struct ks_failure *why)
{
    struct store_tenant tenant;
    const struct event_extras *kept;
    enum ks_status st = store_tenant_get(txn, space, &tenant, why);

    if (st == KS_NOT_FOUND) {
        *out = (struct event_extras){.ttl_s = 0};
        return KS_OK;
    }
    if (st != KS_OK) {
        return st;
    }
    kept = find(cache, &tenant);
    if (kept == NULL) {
        return encode_new(cache, arena, &tenant, out, why);
    }
    *out = *kept;
    return KS_OK;
}
