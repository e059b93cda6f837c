#include "service/provisioning.h"

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "service/credential_answer.h"
#include "service/credential_document.h"
#include "service/device_document.h"
#include "service/outbox.h"
#include "service/provisioning_event.h"
#include "service/reasons.h"
#include "service/service.h"
#include "service/trust.h"
#include "store/store.h"

enum { IDS_DRAWN = 4 };

static const struct span type_x509 = {.ptr = "x509-cert", .len = sizeof("x509-cert") - 1};

/* All that a run uses is here, so that every run comes to the same. */
struct provisioning_details {
    const struct service *service;
    struct arena kept;    /* the plan's texts */
    struct arena scratch; /* of one run */
    struct provisioning_plan plan;
    int64_t now_ns;
    struct uuid device_ids[IDS_DRAWN]; /* the first that is free is taken */
    struct uuid secret_id;
    struct uuid device_version;
    struct uuid credentials_version;
};

static int64_t now_ms_of(const struct provisioning_details *details)
{
    return details->now_ns / 1000000;
}

/* ---- what must still stand ---- */

static bool find_ca(const struct store_tenant *tenant, const struct sha256 *key_hash,
                    int64_t now_ms, struct store_ca *out)
{
    size_t offset = 0;

    while (store_cas_next(tenant->cas, &offset, out)) {
        if (memcmp(out->key_hash, key_hash->bytes, sizeof(out->key_hash)) == 0 &&
            out->not_before_ms <= now_ms && now_ms <= out->not_after_ms) {
            return true;
        }
    }
    return false;
}

static enum ks_status confirm_tenant(const struct provisioning_details *details,
                                     struct store_txn *txn, struct store_tenant *tenant,
                                     struct ks_failure *why)
{
    uint32_t space = 0;
    enum ks_status st = store_tenant_find(txn, details->plan.tenant_id, &space, why);

    if (st == KS_OK) {
        st = store_tenant_get(txn, space, tenant, why);
    }
    if (st == KS_NOT_FOUND) {
        return ks_fail(why, st, REASON_UNKNOWN_TENANT, "no such tenant");
    }
    if (st == KS_OK && (tenant->flags & STORE_TENANT_ENABLED) == 0) {
        return ks_fail(why, KS_NOT_FOUND, REASON_DISABLED, "the tenant is disabled");
    }
    return st;
}

static enum ks_status confirm_ca(const struct provisioning_details *details,
                                 const struct store_tenant *tenant, struct store_ca *ca,
                                 struct ks_failure *why)
{
    const struct provisioning_plan *plan = &details->plan;
    int64_t now_ms = now_ms_of(details);

    if (!find_ca(tenant, &plan->ca_key_hash, now_ms, ca)) {
        return ks_fail(why, KS_NOT_FOUND, REASON_NO_TRUSTED_CA,
                       "the tenant does not trust the certificate's CA any more");
    }
    if ((ca->flags & STORE_CA_AUTO_PROVISIONING) == 0) {
        return ks_fail(why, KS_NOT_FOUND, REASON_PROVISIONING_OFF,
                       "the trusted CA does not provision devices");
    }
    return plan->verified
               ? trust_check_validity(plan->not_before_ms, plan->not_after_ms, now_ms, why)
               : KS_OK;
}

/* The tenant's own limit wins, also if it is 0; the service's 0 means none. -1: no limit. */
static int64_t limit_of(int32_t of_tenant, int64_t of_service)
{
    if (of_tenant > -1) {
        return of_tenant;
    }
    return of_service > 0 ? of_service : -1;
}

static enum ks_status confirm_limits(const struct provisioning_details *details,
                                     struct store_txn *txn, const struct store_tenant *tenant,
                                     struct ks_failure *why)
{
    int64_t devices = limit_of(tenant->max_devices, details->service->max_devices_per_tenant);
    int64_t credentials =
        limit_of(tenant->max_credentials_per_device, details->service->max_credentials_per_device);
    uint64_t count = 0;
    enum ks_status st = store_device_count(txn, tenant->space, &count, why);

    if (st == KS_OK && devices >= 0 && count >= (uint64_t)devices) {
        return ks_fail(why, KS_LIMIT, REASON_DEVICE_LIMIT,
                       "the tenant has reached its limit of %lld devices", (long long)devices);
    }
    if (st == KS_OK && credentials == 0) {
        return ks_fail(why, KS_LIMIT, REASON_CREDENTIALS_LIMIT,
                       "the tenant's devices may not have credentials");
    }
    return st;
}

static enum ks_status choose_id(const struct provisioning_details *details, struct store_txn *txn,
                                uint32_t space, char id[UUID_TEXT_LEN + 1], struct ks_failure *why)
{
    enum ks_status st = KS_OK;

    for (size_t i = 0; i < IDS_DRAWN && st == KS_OK; i++) {
        struct store_device taken;

        uuid_format(&details->device_ids[i], id);
        st = store_device_get(txn, space, span_of(id, UUID_TEXT_LEN), &taken, why);
    }
    if (st == KS_OK) {
        return ks_fail(why, KS_EXISTS, REASON_ID_TAKEN, "every device id drawn is taken");
    }
    return st == KS_NOT_FOUND ? KS_OK : st;
}

/* ---- what is written ---- */

/* "Auto-provisioned at 2026-11-24T10:00:00.123456789Z": as Hono notes it, for operators. */
struct comment {
    char text[80];
};

static void comment_make(const struct provisioning_details *details, struct comment *out)
{
    struct clock_text at;

    clock_format_ns(details->now_ns, &at);
    (void)snprintf(out->text, sizeof(out->text), "Auto-provisioned at %s", at.text);
}

static enum ks_status insert_device(struct provisioning_details *details, struct store_txn *txn,
                                    uint32_t space, struct span id, uint64_t seq,
                                    const struct store_ca *ca, struct ks_failure *why)
{
    const struct store_credential_ref ref = {.type = type_x509, .auth_id = details->plan.auth_id};
    struct store_device device = {.flags = 0};
    struct comment comment;
    json_t *document;
    enum ks_status st;

    comment_make(details, &comment);
    document = json_pack("{s:b, s:{s:s}}", "enabled", 1, "ext", "comment", comment.text);
    if (document == NULL ||
        ((ca->flags & STORE_CA_AS_GATEWAY) != 0 &&
         json_object_set_new(document, "authorities",
                             json_pack("[s]", "auto-provisioning-enabled")) != 0)) {
        abort(); /* memory is gone: nothing in it comes from outside */
    }
    st = device_document_render(&details->scratch, document, id, &device, why);
    json_decref(document);
    if (st != KS_OK) {
        return st;
    }
    device.flags |= STORE_DEVICE_AUTO_PROVISIONED;
    device.version = details->device_version;
    device.credentials_version = details->credentials_version;
    device.created_ms = now_ms_of(details);
    device.event_seq = seq;
    device.credentials = store_credential_refs_encode(&details->scratch, &ref, 1);
    return store_device_insert(txn, space, &device, why);
}

static enum ks_status put_credential(struct provisioning_details *details, struct store_txn *txn,
                                     uint32_t space, struct span device_id, struct ks_failure *why)
{
    struct span auth_id = details->plan.auth_id;
    struct store_credential credential = {.flags = 0};
    struct comment comment;
    char secret_id[UUID_TEXT_LEN + 1];
    json_t *stored;
    enum ks_status st;

    comment_make(details, &comment);
    uuid_format(&details->secret_id, secret_id);
    stored =
        json_pack("{s:s, s:s%, s:b, s:s, s:[{s:s}]}", "type", type_x509.ptr, "auth-id", auth_id.ptr,
                  auth_id.len, "enabled", 1, "comment", comment.text, "secrets", "id", secret_id);
    if (stored == NULL) {
        return ks_fail(why, KS_INVALID, REASON_BAD_REQUEST, "the auth-id is no UTF-8 text");
    }
    st = credential_document_render(&details->scratch, stored, device_id, &credential, why);
    json_decref(stored);
    return st == KS_OK ? store_credential_put(txn, space, &credential, why) : st;
}

/* Without id and comment of the secret and without its device's: what Hono's adapters read. */
static void answer_created(struct answer *answer, struct span device_id, struct span auth_id)
{
    answer->status = 201;
    answer->max_age_s = ANSWER_NO_CACHE;
    buf_add_cstr(&answer->body, "{\"device-id\":");
    buf_add_json(&answer->body, device_id);
    buf_add_cstr(&answer->body, ",\"type\":");
    buf_add_json(&answer->body, type_x509);
    buf_add_cstr(&answer->body, ",\"auth-id\":");
    buf_add_json(&answer->body, auth_id);
    buf_add_cstr(&answer->body, ",\"enabled\":true,\"secrets\":[{}]}");
}

static enum ks_status announce(const struct provisioning_details *details, struct store_txn *txn,
                               uint32_t space, struct span id, uint64_t *seq,
                               struct ks_failure *why)
{
    const struct provisioning_event event = {.space = space,
                                             .tenant_id = details->plan.tenant_id,
                                             .device_id = id,
                                             .has_credentials = true,
                                             .now_ms = now_ms_of(details)};

    return provisioning_event_add(details->service->outbox, txn, &event, seq, why);
}

/* ---- the job ---- */

static enum ks_status provision(struct provisioning_job *job, struct store_txn *txn,
                                const struct store_tenant *tenant, const struct store_ca *ca,
                                struct ks_failure *why)
{
    struct provisioning_details *details = job->details;
    uint32_t space = tenant->space;
    char text[UUID_TEXT_LEN + 1] = "";
    struct span id = span_of(text, UUID_TEXT_LEN);
    enum ks_status st = confirm_limits(details, txn, tenant, why);

    if (st == KS_OK) {
        st = choose_id(details, txn, space, text, why);
    }
    if (st == KS_OK) {
        st = outbox_has_room(details->service->outbox, txn, space, why);
    }
    if (st == KS_OK) {
        st = announce(details, txn, space, id, &job->waiter.seq, why);
    }
    if (st == KS_OK) {
        st = insert_device(details, txn, space, id, job->waiter.seq, ca, why);
    }
    if (st == KS_OK) {
        st = put_credential(details, txn, space, id, why);
    }
    if (st == KS_OK) {
        answer_created(&job->answer, id, details->plan.auth_id);
    }
    return st;
}

static enum ks_status job_run(struct writer_job *writer_job, struct store_txn *txn,
                              struct ks_failure *why)
{
    struct provisioning_job *job = (struct provisioning_job *)writer_job;
    struct provisioning_details *details = job->details;
    struct store_tenant tenant = {.space = 0};
    struct store_credential found = {.flags = 0};
    struct store_ca ca = {.flags = 0};
    enum ks_status st;

    arena_reset(&details->scratch);
    answer_clear(&job->answer);
    job->waiter.seq = 0;
    st = confirm_tenant(details, txn, &tenant, why);
    if (st == KS_OK) {
        st = confirm_ca(details, &tenant, &ca, why);
    }
    if (st != KS_OK) {
        return st;
    }
    st = store_credential_get(txn, tenant.space, type_x509, details->plan.auth_id, &found, why);
    if (st == KS_NOT_FOUND) {
        return provision(job, txn, &tenant, &ca, why);
    }
    if (st == KS_OK) { /* somebody was faster: what is there is the answer */
        credential_answer(details->service, &found, details->plan.context, now_ms_of(details),
                          &job->answer);
    }
    return st;
}

static void job_done(struct writer_job *writer_job, enum ks_status status,
                     const struct ks_failure *why)
{
    struct provisioning_job *job = (struct provisioning_job *)writer_job;

    struct outbox *outbox = job->details->service->outbox;

    if (status != KS_OK) {
        credential_refuse(&job->answer, status, why);
    } else if (job->waiter.seq != 0) {
        if (outbox_wait(outbox, &job->waiter)) {
            return; /* answered when the wait is over */
        }
        outbox_wake(outbox);
    }
    job->answered(job);
}

/* On the sender's thread. */
static void wait_over(struct outbox_waiter *waiter)
{
    void *start = (char *)waiter - offsetof(struct provisioning_job, waiter);
    struct provisioning_job *job = start;

    job->answered(job);
}

struct provisioning_job *provisioning_job_new(const struct service *service,
                                              const struct provisioning_plan *plan, int64_t now_ns)
{
    struct provisioning_job *job = calloc(1, sizeof(*job));
    struct provisioning_details *details = calloc(1, sizeof(*details));

    if (job == NULL || details == NULL) {
        abort();
    }
    details->service = service;
    details->now_ns = now_ns;
    arena_init(&details->kept);
    arena_init(&details->scratch);
    details->plan = *plan;
    details->plan.tenant_id = arena_span(&details->kept, plan->tenant_id);
    details->plan.auth_id = arena_span(&details->kept, plan->auth_id);
    details->plan.context = arena_span(&details->kept, plan->context);
    for (size_t i = 0; i < IDS_DRAWN; i++) {
        details->device_ids[i] = uuid_random();
    }
    details->secret_id = uuid_random();
    details->device_version = uuid_random();
    details->credentials_version = uuid_random();
    job->writer = (struct writer_job){.run = job_run, .done = job_done};
    job->waiter.released = wait_over;
    answer_init(&job->answer);
    job->details = details;
    return job;
}

void provisioning_job_free(struct provisioning_job *job)
{
    if (job == NULL) {
        return;
    }
    arena_done(&job->details->kept);
    arena_done(&job->details->scratch);
    free(job->details);
    answer_done(&job->answer);
    free(job);
}
