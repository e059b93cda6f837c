#include "service/management.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"
#include "service/answer.h"
#include "service/credential_members.h"
#include "service/credential_read.h"
#include "service/ids.h"
#include "service/json_text.h"
#include "service/management_job.h"
#include "service/outbox.h"
#include "service/passwords.h"
#include "service/reasons.h"
#include "service/service.h"

struct management_operation {
    management_prepare *prepare; /* NULL: takes no body */
    management_run *run;         /* of a write */
    management_fetch *fetch;     /* of a read */
    int status;                  /* of success */
    bool of_device;              /* names a device, too */
    bool creates;                /* its last id may be empty: drawn */
    bool needs_body;
    bool heeds_version; /* If-Match counts */
    bool has_etag;
    bool tells; /* of the change, by a notification of: */
    enum notification_type type;
    enum notification_change change;
};

static const struct management_operation operations[] = {
    [MANAGEMENT_TENANT_CREATE] = {.prepare = management_tenant_prepare,
                                  .run = management_tenant_create,
                                  .status = 201,
                                  .creates = true,
                                  .has_etag = true,
                                  .tells = true,
                                  .type = NOTIFICATION_TENANT,
                                  .change = NOTIFICATION_CREATE},
    [MANAGEMENT_TENANT_READ] = {.fetch = management_tenant_read, .status = 200},
    [MANAGEMENT_TENANT_SEARCH] = {.status = 200}, /* service/search_worker.h */
    [MANAGEMENT_TENANT_UPDATE] = {.prepare = management_tenant_prepare,
                                  .run = management_tenant_update,
                                  .status = 204,
                                  .needs_body = true,
                                  .heeds_version = true,
                                  .has_etag = true,
                                  .tells = true,
                                  .type = NOTIFICATION_TENANT,
                                  .change = NOTIFICATION_UPDATE},
    [MANAGEMENT_TENANT_DELETE] = {.run = management_tenant_delete,
                                  .status = 204,
                                  .heeds_version = true,
                                  .tells = true,
                                  .type = NOTIFICATION_TENANT,
                                  .change = NOTIFICATION_DELETE},
    [MANAGEMENT_DEVICE_CREATE] = {.prepare = management_device_prepare,
                                  .run = management_device_create,
                                  .status = 201,
                                  .of_device = true,
                                  .creates = true,
                                  .has_etag = true,
                                  .tells = true,
                                  .type = NOTIFICATION_DEVICE,
                                  .change = NOTIFICATION_CREATE},
    [MANAGEMENT_DEVICE_SEARCH] = {.status = 200},
    [MANAGEMENT_DEVICE_READ] = {.fetch = management_device_read, .status = 200, .of_device = true},
    [MANAGEMENT_DEVICE_UPDATE] = {.prepare = management_device_prepare,
                                  .run = management_device_update,
                                  .status = 204,
                                  .of_device = true,
                                  .needs_body = true,
                                  .heeds_version = true,
                                  .has_etag = true,
                                  .tells = true,
                                  .type = NOTIFICATION_DEVICE,
                                  .change = NOTIFICATION_UPDATE},
    [MANAGEMENT_DEVICE_DELETE] = {.run = management_device_delete,
                                  .status = 204,
                                  .of_device = true,
                                  .heeds_version = true,
                                  .tells = true,
                                  .type = NOTIFICATION_DEVICE,
                                  .change = NOTIFICATION_DELETE},
    [MANAGEMENT_DEVICE_DELETE_ALL] = {.run = management_device_delete_all,
                                      .status = 204,
                                      .tells = true,
                                      .type = NOTIFICATION_ALL_DEVICES},
    [MANAGEMENT_CREDENTIALS_READ] = {.fetch = management_credentials_read,
                                     .status = 200,
                                     .of_device = true},
    [MANAGEMENT_CREDENTIALS_UPDATE] = {.prepare = management_credentials_prepare,
                                       .run = management_credentials_update,
                                       .status = 204,
                                       .of_device = true,
                                       .needs_body = true,
                                       .heeds_version = true,
                                       .has_etag = true,
                                       .tells = true,
                                       .type = NOTIFICATION_CREDENTIALS},
};

static const struct management_operation *operation_of(enum management_op op)
{
    assert((size_t)op < sizeof(operations) / sizeof(operations[0]));
    return &operations[op];
}

struct management_traits management_traits_of(enum management_op op)
{
    const struct management_operation *operation = operation_of(op);

    return (struct management_traits){.status = operation->status,
                                      .of_device = operation->of_device,
                                      .needs_body = operation->needs_body,
                                      .heeds_version = operation->heeds_version,
                                      .has_etag = operation->has_etag || operation->fetch != NULL};
}

/* ---- responses ---- */

void management_response_init(struct management_response *response)
{
    *response = (struct management_response){.status = 0};
    buf_init(&response->body, 0);
}

/* Custom secrets are shown in clear. */
void management_response_done(struct management_response *response)
{
    buf_done_secret(&response->body);
}

void management_refuse(struct management_response *response, int status, const char *reason,
                       const char *text)
{
    response->status = status;
    response->has_etag = false;
    response->location[0] = '\0';
    buf_clear(&response->body);
    buf_add_cstr(&response->body, "{\"error\":");
    answer_add_text(&response->body, text);
    buf_add_cstr(&response->body, ",\"reason\":");
    buf_add_json(&response->body, span_cstr(reason));
    buf_add_char(&response->body, '}');
}

static void fail(struct management_response *response, enum ks_status status,
                 const struct ks_failure *why)
{
    management_refuse(response, answer_status_code(status), answer_reason(status, why),
                      why->text[0] != '\0' ? why->text : ks_status_name(status));
}

/* ---- what requests name ---- */

static enum ks_status check_ids(const struct management_operation *operation,
                                const struct management_request *request, struct ks_failure *why)
{
    bool draws_tenant = operation->creates && !operation->of_device;

    if (!ids_is_tenant(request->tenant_id) && !(draws_tenant && request->tenant_id.len == 0)) {
        return ks_fail(
            why, KS_INVALID, REASON_BAD_REQUEST,
            "a tenant id must have 1 to %d of the characters " IDS_OF_TENANTS IDS_NO_STEPS,
            STORE_ID_MAX);
    }
    if (operation->of_device && !ids_is_device(request->device_id) &&
        !(operation->creates && request->device_id.len == 0)) {
        return ks_fail(
            why, KS_INVALID, REASON_BAD_REQUEST,
            "a device id must have 1 to %d of the characters " IDS_OF_DEVICES IDS_NO_STEPS,
            STORE_ID_MAX);
    }
    return KS_OK;
}

enum ks_status management_find_tenant(struct store_txn *txn, struct span id,
                                      struct store_tenant *out, struct ks_failure *why)
{
    uint32_t space;
    enum ks_status st = store_tenant_find(txn, id, &space, why);

    if (st == KS_OK) {
        st = store_tenant_get(txn, space, out, why);
    }
    return st == KS_NOT_FOUND ? ks_fail(why, st, REASON_UNKNOWN_TENANT, "no such tenant") : st;
}

enum ks_status management_find_device(struct store_txn *txn, uint32_t space, struct span id,
                                      struct store_device *out, struct ks_failure *why)
{
    enum ks_status st = store_device_get(txn, space, id, out, why);

    return st == KS_NOT_FOUND ? ks_fail(why, st, REASON_UNKNOWN_DEVICE, "no such device") : st;
}

enum ks_status management_check_version(const struct management_job *job,
                                        const struct uuid *version, struct ks_failure *why)
{
    char text[UUID_TEXT_LEN + 1];

    uuid_format(version, text);
    if (job->if_match.len > 0 && !span_eq(job->if_match, span_cstr(text))) {
        return ks_fail(why, KS_STALE, REASON_VERSION,
                       "the resource has another version than If-Match names");
    }
    return KS_OK;
}

/* ---- reads ---- */

void management_read(struct service_reader *reader, const struct management_request *request,
                     struct management_response *response)
{
    const struct management_operation *operation = operation_of(request->op);
    struct ks_failure why = {0};
    enum ks_status st = check_ids(operation, request, &why);

    assert(operation->fetch != NULL);
    if (st == KS_OK) {
        st = operation->fetch(reader->txn, request, response, &why);
    }
    if (st == KS_OK && response->body.overflow) {
        st = ks_fail(&why, KS_TOO_LARGE, REASON_TOO_LARGE, "the answer is too large to be shown");
    }
    response->status = operation->status;
    if (st != KS_OK) {
        fail(response, st, &why);
    }
}

/* ---- a job's end ---- */

static void answer(struct management_job *job)
{
    job->answered(job->arg, &job->response);
    management_response_done(&job->response);
    json_decref(job->document);
    arena_done(&job->arena);
    free(job);
}

static void refuse(struct management_job *job, enum ks_status status, const struct ks_failure *why)
{
    fail(&job->response, status, why);
    answer(job);
}

static void finish(struct writer_job *writer_job, enum ks_status status,
                   const struct ks_failure *why)
{
    struct management_job *job = (struct management_job *)writer_job;

    if (status == KS_OK) {
        outbox_note_discarded(job->service->outbox, job->discarded,
                              "the broker had rejected them, and their device or tenant was "
                              "deleted");
        outbox_wake(job->service->outbox);
        answer(job);
    } else {
        refuse(job, status, why);
    }
}

/* ---- a job's stations: pool, writer ---- */

/* In the transaction of the change. */
static enum ks_status tell(struct management_job *job, struct store_txn *txn,
                           struct ks_failure *why)
{
    const struct management_operation *operation = job->operation;
    bool deleted = operation->change == NOTIFICATION_DELETE;
    uint32_t enabled = operation->of_device ? job->device.flags & STORE_DEVICE_ENABLED
                                            : job->tenant.flags & STORE_TENANT_ENABLED;
    const struct notification notification = {.type = operation->type,
                                              .change = operation->change,
                                              .tenant_id = job->tenant_id,
                                              .device_id = job->device_id,
                                              .enabled = enabled != 0 && !deleted,
                                              .invalidate = job->invalidate || deleted,
                                              .created_ms = job->now_ms};

    return outbox_add_notification(job->service->outbox, txn, job->space, &notification, why);
}

static enum ks_status run(struct writer_job *writer_job, struct store_txn *txn,
                          struct ks_failure *why)
{
    struct management_job *job = (struct management_job *)writer_job;
    enum ks_status st;

    job->space = 0;
    job->nothing = false;
    job->invalidate = false;
    job->discarded = 0;
    st = job->operation->run(job, txn, why);
    return st == KS_OK && job->operation->tells && !job->nothing ? tell(job, txn, why) : st;
}

/* One password: between two of a request others get their turn. */
static enum ks_status hash_next(const struct management_job *job, struct ks_failure *why)
{
    json_t *secret = credential_read_next_plain(job->document);
    char hash[PASSWORDS_HASH_LEN + 1];
    enum ks_status st =
        passwords_hash(json_text_of(password_secret_at(secret, PASSWORD_SECRET_PLAIN)),
                       job->service->max_bcrypt_cost, hash, why);

    if (st == KS_OK) {
        password_secret_drop(secret, PASSWORD_SECRET_PLAIN);
        (void)password_secret_put(secret, PASSWORD_SECRET_FUNCTION, json_text_new(SPAN("bcrypt")));
        (void)password_secret_put(secret, PASSWORD_SECRET_HASH, json_text_new(span_cstr(hash)));
    }
    return st;
}

static bool has_plain(const struct management_job *job)
{
    return json_is_array(job->document) && credential_read_next_plain(job->document) != NULL;
}

/* To the next station; the job is handed over on KS_OK. */
static enum ks_status pass_on(struct management_job *job, struct ks_failure *why)
{
    return has_plain(job)
               ? pool_submit(job->service->pool, POOL_NORMAL, &job->pool, why)
               : writer_submit(job->service->writer, WRITER_MANAGEMENT, &job->writer, why);
}

static void hash_on_pool(struct pool_job *pool_job, bool discard)
{
    void *start = (char *)pool_job - offsetof(struct management_job, pool);
    struct management_job *job = start;
    struct ks_failure why = {0};
    enum ks_status st;

    if (discard) {
        st = ks_fail(&why, KS_UNAVAILABLE, REASON_UNAVAILABLE, "the service is shutting down");
    } else {
        st = hash_next(job, &why);
    }
    if (st == KS_OK) {
        st = pass_on(job, &why);
    }
    if (st != KS_OK) {
        refuse(job, st, &why);
    }
}

/* ---- a job's start ---- */

static struct span draw_id(struct arena *arena)
{
    struct uuid id = uuid_random();
    char text[UUID_TEXT_LEN + 1];

    uuid_format(&id, text);
    return arena_span(arena, span_cstr(text));
}

static struct span copy_id(struct arena *arena, struct span id)
{
    return id.len > 0 ? arena_span(arena, id) : draw_id(arena);
}

static struct span unquoted(struct span version)
{
    if (version.len >= 2 && version.ptr[0] == '"' && version.ptr[version.len - 1] == '"') {
        return span_of(version.ptr + 1, version.len - 2);
    }
    return version;
}

/* Jobs of one tenant take turns with those of others. */
static uint64_t peer_of(struct span tenant_id)
{
    struct sha256 hash = sha256_of(tenant_id);
    uint64_t peer;

    memcpy(&peer, hash.bytes, sizeof(peer));
    return peer;
}

static struct management_job *job_new(const struct service *service,
                                      const struct management_request *request,
                                      management_answered *answered, void *arg)
{
    struct management_job *job = calloc(1, sizeof(*job));

    if (job == NULL) {
        abort();
    }
    *job = (struct management_job){.writer = {.run = run, .done = finish},
                                   .pool = {.run = hash_on_pool},
                                   .service = service,
                                   .operation = operation_of(request->op),
                                   .now_ms = clock_now_ms(),
                                   .version = uuid_random(),
                                   .answered = answered,
                                   .arg = arg};
    arena_init(&job->arena);
    management_response_init(&job->response);
    return job;
}

static void copy_request(struct management_job *job, const struct management_request *request)
{
    job->tenant_id = copy_id(&job->arena, request->tenant_id);
    job->pool.peer = peer_of(job->tenant_id);
    if (job->operation->of_device) {
        job->device_id = copy_id(&job->arena, request->device_id);
    }
    if (job->operation->heeds_version) {
        job->if_match = arena_span(&job->arena, unquoted(request->if_match));
    }
}

static void fill_created(struct management_job *job)
{
    struct management_response *response = &job->response;
    bool of_device = job->operation->of_device;
    int n = of_device
                ? snprintf(response->location, sizeof(response->location), "/v1/devices/%.*s/%.*s",
                           SPAN_ARG(job->tenant_id), SPAN_ARG(job->device_id))
                : snprintf(response->location, sizeof(response->location), "/v1/tenants/%.*s",
                           SPAN_ARG(job->tenant_id));

    assert(n > 0 && (size_t)n < sizeof(response->location));
    buf_add_cstr(&response->body, "{\"id\":");
    buf_add_json(&response->body, of_device ? job->device_id : job->tenant_id);
    buf_add_char(&response->body, '}');
}

/* What is answered if all goes well. */
static void fill_response(struct management_job *job)
{
    job->response.status = job->operation->status;
    job->response.has_etag = job->operation->has_etag;
    job->response.etag = job->version;
    if (job->operation->creates) {
        fill_created(job);
    }
}

static enum ks_status prepare(struct management_job *job, const struct management_request *request,
                              struct ks_failure *why)
{
    enum ks_status st = check_ids(job->operation, request, why);

    if (st != KS_OK) {
        return st;
    }
    if (job->operation->needs_body && request->body.len == 0) {
        return ks_fail(why, KS_INVALID, REASON_BAD_REQUEST, "the request needs a body");
    }
    copy_request(job, request);
    fill_response(job);
    return job->operation->prepare != NULL ? job->operation->prepare(job, request->body, why)
                                           : KS_OK;
}

void management_write(const struct service *service, const struct management_request *request,
                      management_answered *answered, void *arg)
{
    struct management_job *job = job_new(service, request, answered, arg);
    struct ks_failure why = {0};
    enum ks_status st;

    assert(job->operation->run != NULL);
    st = prepare(job, request, &why);
    if (st == KS_OK) {
        st = pass_on(job, &why);
    }
    if (st != KS_OK) {
        refuse(job, st, &why);
    }
}
