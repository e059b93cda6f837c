#include "service/authority.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

struct grant {
    char *key; /* NULL: a free slot */
    size_t len;
    unsigned activities;
};

/* Grants in an open hash table that is never more than half full. */
struct identity {
    _Atomic unsigned refs;
    char *name;
    size_t slots; /* a power of two */
    size_t used;
    struct grant grant[];
};

bool address_parse(struct span text, struct address *out)
{
    size_t start = 0;

    while (text.len > 0 && text.ptr[text.len - 1] == '/') {
        text.len--;
    }
    if (text.len == 0 || text.ptr[0] == '/') {
        return false;
    }
    *out = (struct address){.text = text};
    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && text.ptr[i] != '/') {
            continue;
        }
        if (out->count < ADDRESS_SEGMENTS) {
            out->segment[out->count] = span_of(text.ptr + start, i - start);
        }
        out->count++;
        start = i + 1;
    }
    return true;
}

static void *must(void *memory)
{
    if (memory == NULL) {
        abort();
    }
    return memory;
}

struct identity *identity_new(struct span name, size_t grants)
{
    size_t slots = 2;
    struct identity *identity;

    while (slots < 2 * grants) {
        slots *= 2;
    }
    identity = must(calloc(1, sizeof(*identity) + slots * sizeof(identity->grant[0])));
    identity->slots = slots;
    identity->name = must(strndup(name.len == 0 ? "" : name.ptr, name.len));
    atomic_init(&identity->refs, 1);
    return identity;
}

struct identity *identity_ref(struct identity *identity)
{
    atomic_fetch_add_explicit(&identity->refs, 1, memory_order_relaxed);
    return identity;
}

void identity_unref(struct identity *identity)
{
    if (identity == NULL ||
        atomic_fetch_sub_explicit(&identity->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < identity->slots; i++) {
        free(identity->grant[i].key);
    }
    free(identity->name);
    free(identity);
}

const char *identity_name(const struct identity *identity)
{
    return identity->name;
}

/* A key in the parts that make it up, so that a look-up puts no text together. */
struct parts {
    struct span part[6];
    size_t count;
};

static void parts_add(struct parts *parts, struct span part)
{
    parts->part[parts->count++] = part;
}

static struct parts key_parts(struct span endpoint, struct span slash, struct span tenant,
                              struct span operation)
{
    struct parts parts = {.count = 0};

    parts_add(&parts, operation.ptr == NULL ? SPAN("r:") : SPAN("o:"));
    parts_add(&parts, endpoint);
    parts_add(&parts, slash);
    parts_add(&parts, tenant);
    if (operation.ptr != NULL) {
        parts_add(&parts, SPAN(":"));
        parts_add(&parts, operation);
    }
    return parts;
}

static bool parts_match(const struct parts *parts, const struct grant *grant)
{
    size_t at = 0;

    for (size_t i = 0; i < parts->count; i++) {
        struct span part = parts->part[i];

        if (part.len > grant->len - at || !span_eq(part, span_of(grant->key + at, part.len))) {
            return false;
        }
        at += part.len;
    }
    return at == grant->len;
}

/* FNV-1a: the file with the keys is the operator's own. */
static uint64_t parts_hash(const struct parts *parts)
{
    uint64_t hash = 0xCBF29CE484222325U;

    for (size_t i = 0; i < parts->count; i++) {
        for (size_t k = 0; k < parts->part[i].len; k++) {
            hash = (hash ^ (unsigned char)parts->part[i].ptr[k]) * 0x100000001B3U;
        }
    }
    return hash;
}

/* The slot that holds the key or would hold it. */
static size_t slot_of(const struct identity *identity, const struct parts *parts)
{
    size_t slot = (size_t)parts_hash(parts) & (identity->slots - 1);

    while (identity->grant[slot].key != NULL && !parts_match(parts, &identity->grant[slot])) {
        slot = (slot + 1) & (identity->slots - 1);
    }
    return slot;
}

void identity_grant(struct identity *identity, struct span resource, struct span operation,
                    unsigned activities)
{
    struct parts parts = key_parts(resource, SPAN(""), SPAN(""), operation);
    struct grant *grant = &identity->grant[slot_of(identity, &parts)];

    if (grant->key == NULL) {
        assert(2 * (identity->used + 1) <= identity->slots);
        identity->used++;
        for (size_t i = 0; i < parts.count; i++) {
            grant->len += parts.part[i].len;
        }
        grant->key = must(malloc(grant->len + 1));
        for (size_t i = 0, at = 0; i < parts.count; at += parts.part[i++].len) {
            if (parts.part[i].len > 0) {
                memcpy(grant->key + at, parts.part[i].ptr, parts.part[i].len);
            }
        }
    }
    grant->activities |= activities;
}

/* What is granted on a resource, to the operation and to the operation '*' if one is asked for. The
 * wide grants are looked up first, here and below: adapters have those. */
static bool granted(const struct identity *identity, struct span endpoint, struct span slash,
                    struct span tenant, struct span operation, unsigned activity)
{
    struct parts parts;
    unsigned found = 0;

    if (operation.ptr != NULL) {
        parts = key_parts(endpoint, slash, tenant, SPAN("*"));
        found = identity->grant[slot_of(identity, &parts)].activities;
    }
    if ((found & activity) == 0) {
        parts = key_parts(endpoint, slash, tenant, operation);
        found = identity->grant[slot_of(identity, &parts)].activities;
    }
    return (found & activity) != 0;
}

static bool may(const struct identity *identity, const struct address *address,
                struct span operation, unsigned activity)
{
    const struct span none = SPAN("");
    const struct span slash = SPAN("/");
    struct span endpoint = address->segment[0];
    struct span tenant = address->segment[1];

    if (address->segment[2].len > 0 &&
        granted(identity, address->text, none, none, operation, activity)) {
        return true;
    }
    if (tenant.len > 0 && (granted(identity, endpoint, slash, SPAN("*"), operation, activity) ||
                           granted(identity, endpoint, slash, tenant, operation, activity))) {
        return true;
    }
    return granted(identity, endpoint, none, none, operation, activity) ||
           granted(identity, SPAN("*"), none, none, operation, activity);
}

bool identity_may_use(const struct identity *identity, const struct address *address, char activity)
{
    assert(activity == 'R' || activity == 'W');
    return may(identity, address, span_of(NULL, 0),
               activity == 'R' ? ACTIVITY_READ : ACTIVITY_WRITE);
}

bool identity_may_call(const struct identity *identity, const struct address *address,
                       struct span operation)
{
    return may(identity, address, operation.ptr == NULL ? SPAN("") : operation, ACTIVITY_EXECUTE);
}
