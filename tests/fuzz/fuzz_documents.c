/*
 * JSON bodies through the readers of tenants, devices and credentials sets. What is read must be
 * rendered, and what is rendered must be read again as the same: the stored form is a fixed point
 * (but for names of certificates: their text need not be one).
 *
 * Covers: service/tenant_document.c service/device_document.c
 * Covers: service/credential_document.c service/credential_read.c service/credential_merge.c
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "service/credential_document.h"
#include "service/credential_merge.h"
#include "service/credential_read.h"
#include "service/device_document.h"
#include "service/json_text.h"
#include "service/tenant_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_COST = 10, SIZE_MAX_TRIED = 64 << 10 };

static void try_tenant(struct arena *arena, struct span body)
{
    struct store_tenant tenant = {.flags = 0};
    struct ks_failure why = {0};
    json_t *once = NULL;
    json_t *twice = NULL;
    enum ks_status st = tenant_document_read(body, &once, &why);

    assert(st == KS_OK || (st == KS_INVALID && why.reason != NULL && why.text[0] != '\0'));
    if (st != KS_OK) {
        return;
    }
    st = tenant_document_render(arena, once, SPAN("T"), &tenant, &why);
    assert(st == KS_OK);
    if (json_object_get(once, "trusted-ca") == NULL) {
        st = tenant_document_read(tenant.document, &twice, &why);
        assert(st == KS_OK && json_equal(once, twice));
    }
    json_decref(once);
    json_decref(twice);
}

static void try_device(struct arena *arena, struct span body)
{
    struct store_device device = {.flags = 0};
    struct ks_failure why = {0};
    json_t *once = NULL;
    json_t *twice = NULL;
    enum ks_status st = device_document_read(body, &once, &why);

    assert(st == KS_OK || (st == KS_INVALID && why.reason != NULL && why.text[0] != '\0'));
    if (st != KS_OK) {
        return;
    }
    st = device_document_render(arena, once, SPAN("D"), &device, &why);
    assert(st == KS_OK);
    st = device_document_read(device.document, &twice, &why);
    assert(st == KS_OK && json_equal(once, twice));
    json_decref(once);
    json_decref(twice);
}

static void render_credentials(struct arena *arena, const json_t *set)
{
    struct ks_failure why = {0};
    json_t *credential;
    size_t i;

    json_array_foreach (set, i, credential) {
        struct store_credential rendered;
        json_t *shown = NULL;
        enum ks_status st =
            credential_document_render(arena, credential, SPAN("D"), &rendered, &why);

        assert(st == KS_OK && rendered.type.len > 0 && rendered.auth_id.len > 0);
        st = credential_document_show(rendered.document, &shown, &why);
        assert(st == KS_OK);
        json_decref(shown);
    }
}

/* Different ids, the same at every run. */
static struct uuid *make_ids(struct arena *arena, size_t count)
{
    static const struct uuid base = {{0x5b, 0x1f, 0xc2, 0x77, 0x90, 0x3e, 0x4a, 0xd1, 0x8e, 0x06,
                                      0x6f, 0xb9, 0x00, 0x00, 0x00, 0x00}};
    struct uuid *ids = arena_alloc(arena, count * sizeof(*ids));

    for (size_t i = 0; i < count; i++) {
        uint32_t number = (uint32_t)i;

        ids[i] = base;
        memcpy(ids[i].bytes + 12, &number, sizeof(number));
    }
    return ids;
}

/* As an import takes it: what is whole stays as it is. */
static void try_complete(struct arena *arena, const json_t *set)
{
    struct ks_failure why = {0};
    json_t *whole = json_deep_copy(set);
    json_t *again;

    if (credential_read_next_plain(whole) == NULL && credential_complete(whole, &why) == KS_OK) {
        enum ks_status st;

        again = json_deep_copy(whole);
        st = credential_complete(again, &why);
        assert(st == KS_OK && json_equal(whole, again));
        render_credentials(arena, whole);
        json_decref(again);
    }
    json_decref(whole);
}

static void try_credentials(struct arena *arena, struct span body)
{
    struct ks_failure why = {0};
    struct uuid *ids;
    json_t *set = NULL;
    json_t *merged = NULL;
    json_t *again = NULL;
    enum ks_status st = credential_read_set(body, MAX_COST, &set, &why);

    assert(st == KS_OK || (st == KS_INVALID && why.reason != NULL && why.text[0] != '\0'));
    if (st != KS_OK) {
        return;
    }
    ids = make_ids(arena, credential_read_count_secrets(set));
    render_credentials(arena, set);
    try_complete(arena, set);
    /* on top of itself, each secret is what it refers to */
    if (credential_merge(set, set, ids, &merged, &why) == KS_OK) {
        render_credentials(arena, merged);
        st = credential_merge(merged, merged, ids, &again, &why);
        assert(st == KS_OK && json_equal(merged, again));
    }
    json_decref(again);
    json_decref(merged);
    json_decref(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span body = span_of(data, size);
    struct arena arena;

    if (size > SIZE_MAX_TRIED) {
        return 0;
    }
    arena_init(&arena);
    try_tenant(&arena, body);
    try_device(&arena, body);
    try_credentials(&arena, body);
    arena_done(&arena);
    return 0;
}
