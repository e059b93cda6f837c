/* The credentials sets of the management API. */
#include <string.h>

#include "service/credential_document.h"
#include "service/credential_merge.h"
#include "service/credential_read.h"
#include "service/json_text.h"
#include "service/management_job.h"
#include "service/reasons.h"
#include "service/service.h"

enum ks_status management_credentials_prepare(struct management_job *job, struct span body,
                                              struct ks_failure *why)
{
    size_t count;
    enum ks_status st =
        credential_read_set(body, job->service->max_bcrypt_cost, &job->document, why);

    if (st != KS_OK) {
        return st;
    }
    count = credential_read_count_secrets(job->document);
    job->secret_ids = arena_alloc(&job->arena, count * sizeof(*job->secret_ids));
    for (size_t i = 0; i < count; i++) {
        job->secret_ids[i] = uuid_random();
    }
    return KS_OK;
}

/* ---- writing ---- */

/* What one run of an update works with. */
struct update {
    struct store_txn *txn;
    struct store_tenant tenant;
    struct store_device device;
    struct arena arena;
    struct span old; /* the device's list of credentials, copied: writes would invalidate it */
    json_t *stored;  /* those credentials */
    json_t *merged;  /* what they become */
    struct store_credential credentials[STORE_LIST_MAX];
    size_t count;
};

static enum ks_status check_limit(const struct management_job *job,
                                  const struct store_tenant *tenant, struct ks_failure *why)
{
    int64_t limit =
        tenant->max_credentials_per_device >= 0 ? tenant->max_credentials_per_device : -1;
    size_t count = json_array_size(job->document);

    if (limit < 0 && job->service->max_credentials_per_device > 0) {
        limit = job->service->max_credentials_per_device;
    }
    if (limit >= 0 && count > (uint64_t)limit) {
        return ks_fail(why, KS_LIMIT, REASON_CREDENTIALS_LIMIT,
                       "a device of this tenant may have %lld credentials", (long long)limit);
    }
    return KS_OK;
}

static enum ks_status load_stored(struct update *update, struct ks_failure *why)
{
    struct store_credential_ref ref;
    size_t offset = 0;

    update->stored = json_text_must(json_array());
    while (store_credential_refs_next(update->old, &offset, &ref)) {
        struct store_credential found = {.flags = 0};
        json_t *document = NULL;
        enum ks_status st = store_credential_get(update->txn, update->tenant.space, ref.type,
                                                 ref.auth_id, &found, why);

        if (st == KS_OK && json_text_parse(found.document, &document, NULL) != KS_OK) {
            st = KS_NOT_FOUND;
        }
        if (st == KS_NOT_FOUND) {
            return ks_fail(why, KS_CORRUPT, NULL, "a stored credential is missing or unreadable");
        }
        if (st != KS_OK) {
            return st;
        }
        (void)json_array_append_new(update->stored, document);
    }
    return KS_OK;
}

static enum ks_status check_owner(struct update *update, const struct store_credential *credential,
                                  struct ks_failure *why)
{
    struct store_credential found = {.flags = 0};
    enum ks_status st = store_credential_get(update->txn, update->tenant.space, credential->type,
                                             credential->auth_id, &found, why);

    if (st == KS_NOT_FOUND) {
        return KS_OK;
    }
    if (st == KS_OK && !span_eq(found.device_id, credential->device_id)) {
        return ks_fail(why, KS_EXISTS, REASON_AUTH_ID_TAKEN,
                       "another device of the tenant has credentials of type %.*s with the auth-id "
                       "\"%.*s\"",
                       SPAN_ARG(credential->type), SPAN_ARG(credential->auth_id));
    }
    return st;
}

static enum ks_status render(struct update *update, struct span device_id, struct ks_failure *why)
{
    enum ks_status st = KS_OK;

    update->count = json_array_size(update->merged);
    for (size_t i = 0; i < update->count && st == KS_OK; i++) {
        st = credential_document_render(&update->arena, json_array_get(update->merged, i),
                                        device_id, &update->credentials[i], why);
        if (st == KS_OK) {
            st = check_owner(update, &update->credentials[i], why);
        }
    }
    return st;
}

/* All checks, before the first write. */
static enum ks_status decide(const struct management_job *job, struct update *update,
                             struct ks_failure *why)
{
    enum ks_status st = management_find_tenant(update->txn, job->tenant_id, &update->tenant, why);

    if (st == KS_OK) {
        st = check_limit(job, &update->tenant, why);
    }
    if (st == KS_OK) {
        st = management_find_device(update->txn, update->tenant.space, job->device_id,
                                    &update->device, why);
    }
    if (st == KS_OK) {
        update->old = arena_span(&update->arena, update->device.credentials);
        st = load_stored(update, why);
    }
    if (st == KS_OK) {
        st = credential_merge(job->document, update->stored, job->secret_ids, &update->merged, why);
    }
    if (st == KS_OK) {
        st = management_check_version(job, &update->device.credentials_version, why);
    }
    return st == KS_OK ? render(update, job->device_id, why) : st;
}

static bool is_kept(const struct update *update, const struct store_credential_ref *ref)
{
    for (size_t i = 0; i < update->count; i++) {
        if (span_eq(update->credentials[i].type, ref->type) &&
            span_eq(update->credentials[i].auth_id, ref->auth_id)) {
            return true;
        }
    }
    return false;
}

/* The device record with the new list; its spans still borrow from the transaction. */
static enum ks_status replace_device(const struct management_job *job, struct update *update,
                                     struct ks_failure *why)
{
    struct store_credential_ref refs[STORE_LIST_MAX];
    struct store_device device = update->device;

    for (size_t i = 0; i < update->count; i++) {
        refs[i] = (struct store_credential_ref){.type = update->credentials[i].type,
                                                .auth_id = update->credentials[i].auth_id};
    }
    device.id = job->device_id;
    device.via = arena_span(&update->arena, device.via);
    device.via_groups = arena_span(&update->arena, device.via_groups);
    device.member_of = arena_span(&update->arena, device.member_of);
    device.document = arena_span(&update->arena, device.document);
    device.answer = arena_span(&update->arena, device.answer);
    device.credentials = store_credential_refs_encode(&update->arena, refs, update->count);
    device.credentials_version = job->version;
    return store_device_replace(update->txn, update->tenant.space, &device, why);
}

static enum ks_status write(const struct management_job *job, struct update *update,
                            struct ks_failure *why)
{
    struct store_credential_ref ref;
    size_t offset = 0;
    enum ks_status st = replace_device(job, update, why);

    while (st == KS_OK && store_credential_refs_next(update->old, &offset, &ref)) {
        if (!is_kept(update, &ref)) {
            st = store_credential_delete(update->txn, update->tenant.space, ref.type, ref.auth_id,
                                         why);
        }
    }
    for (size_t i = 0; i < update->count && st == KS_OK; i++) {
        st = store_credential_put(update->txn, update->tenant.space, &update->credentials[i], why);
    }
    return st;
}

enum ks_status management_credentials_update(struct management_job *job, struct store_txn *txn,
                                             struct ks_failure *why)
{
    struct update *update = arena_alloc(&job->arena, sizeof(*update));
    enum ks_status st;

    update->txn = txn;
    arena_init(&update->arena);
    st = decide(job, update, why);
    if (st == KS_OK) {
        job->space = update->tenant.space;
        st = write(job, update, why);
    }
    json_decref(update->stored);
    json_decref(update->merged);
    arena_done(&update->arena);
    return st;
}

/* ---- reading ---- */

static enum ks_status add_shown(struct buf *out, struct span stored, struct ks_failure *why)
{
    json_t *shown = NULL;
    enum ks_status st = credential_document_show(stored, &shown, why);

    if (st == KS_OK) {
        json_text_add(out, shown);
    }
    json_decref(shown);
    return st;
}

static enum ks_status add_set(struct buf *out, struct store_txn *txn, uint32_t space,
                              struct span refs, struct ks_failure *why)
{
    struct store_credential_ref ref;
    const char *separator = "";
    size_t offset = 0;
    enum ks_status st = KS_OK;

    buf_add_char(out, '[');
    while (st == KS_OK && store_credential_refs_next(refs, &offset, &ref)) {
        struct store_credential found = {.flags = 0};

        buf_add_cstr(out, separator);
        separator = ",";
        st = store_credential_get(txn, space, ref.type, ref.auth_id, &found, why);
        if (st == KS_NOT_FOUND) {
            return ks_fail(why, KS_CORRUPT, NULL, "a credential of the device's list is missing");
        }
        if (st == KS_OK) {
            st = add_shown(out, found.document, why);
        }
    }
    buf_add_char(out, ']');
    return st;
}

enum ks_status management_credentials_read(struct store_txn *txn,
                                           const struct management_request *request,
                                           struct management_response *response,
                                           struct ks_failure *why)
{
    struct store_tenant tenant = {.space = 0};
    struct store_device device = {.flags = 0};
    enum ks_status st = management_find_tenant(txn, request->tenant_id, &tenant, why);

    if (st == KS_OK) {
        st = management_find_device(txn, tenant.space, request->device_id, &device, why);
    }

    if (st == KS_OK) {
        st = add_set(&response->body, txn, tenant.space, device.credentials, why);
    }
    if (st == KS_OK) {
        response->has_etag = true;
        response->etag = device.credentials_version;
    }
    return st;
}
