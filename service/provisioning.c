/* The job, and what the kinds of provisioning share. */
#include "service/provisioning.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "service/device_document.h"
#include "service/outbox.h"
#include "service/provisioning_event.h"
#include "service/provisioning_kind.h"
#include "service/reasons.h"
#include "service/service.h"

/* ---- what must still stand ---- */

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

int64_t provisioning_limit(int32_t of_tenant, int64_t of_service)
{
    if (of_tenant > -1) {
        return of_tenant;
    }
    return of_service > 0 ? of_service : -1;
}

enum ks_status provisioning_check_limit(const struct provisioning_details *details,
                                        struct store_txn *txn, const struct store_tenant *tenant,
                                        struct ks_failure *why)
{
    int64_t limit =
        provisioning_limit(tenant->max_devices, details->service->max_devices_per_tenant);
    uint64_t count = 0;
    enum ks_status st = store_device_count(txn, tenant->space, &count, why);

    if (st == KS_OK && limit >= 0 && count >= (uint64_t)limit) {
        return ks_fail(why, KS_LIMIT, REASON_DEVICE_LIMIT,
                       "the tenant has reached its limit of %lld devices", (long long)limit);
    }
    return st;
}

/* ---- what is written ---- */

enum ks_status provisioning_register(struct provisioning_details *details, struct store_txn *txn,
                                     const struct store_tenant *tenant,
                                     const struct provisioning_device *device,
                                     struct ks_failure *why)
{
    struct store_device record = {.flags = STORE_DEVICE_AUTO_PROVISIONED,
                                  .version = details->device_version,
                                  .credentials_version = details->credentials_version,
                                  .created_ms = provisioning_now_ms(details),
                                  .credentials = device->credentials};
    const struct provisioning_event event = {.space = tenant->space,
                                             .tenant_id = details->plan.tenant_id,
                                             .device_id = device->id,
                                             .gateway_id = device->gateway_id,
                                             .has_credentials = device->credentials.len > 0,
                                             .now_ms = provisioning_now_ms(details)};
    struct outbox *outbox = details->service->outbox;
    enum ks_status st =
        device_document_render(&details->scratch, device->document, device->id, &record, why);

    if (st == KS_OK) {
        st = outbox_has_room(outbox, txn, event.space, why);
    }
    if (st == KS_OK) {
        st = provisioning_event_add(outbox, txn, &event, &details->event_seq, why);
    }
    record.event_seq = details->event_seq;
    return st == KS_OK ? store_device_insert(txn, event.space, &record, why) : st;
}

/* ---- the job ---- */

static enum ks_status job_run(struct writer_job *writer_job, struct store_txn *txn,
                              struct ks_failure *why)
{
    struct provisioning_job *job = (struct provisioning_job *)writer_job;
    struct provisioning_details *details = job->details;
    struct store_tenant tenant = {.space = 0};
    enum ks_status st;

    arena_reset(&details->scratch);
    answer_clear(&job->answer);
    details->event_seq = 0;
    st = confirm_tenant(details, txn, &tenant, why);
    return st == KS_OK ? details->plan.kind->run(details, txn, &tenant, &job->answer, why) : st;
}

static bool is_refused_for_room(enum ks_status status, const struct ks_failure *why)
{
    return status == KS_UNAVAILABLE && why->reason != NULL &&
           strcmp(why->reason, REASON_OUTBOX_FULL) == 0;
}

static void job_done(struct writer_job *writer_job, enum ks_status status,
                     const struct ks_failure *why)
{
    struct provisioning_job *job = (struct provisioning_job *)writer_job;

    struct outbox *outbox = job->details->service->outbox;

    job->waiter.seq = job->details->event_seq;
    if (status != KS_OK) {
        provisioning_job_refuse(job, status, why);
        if (is_refused_for_room(status, why)) {
            outbox_note_refused(outbox);
        }
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
    plan->kind->keep(&details->plan, &details->kept);
    for (size_t i = 0; i < PROVISIONING_IDS_DRAWN; i++) {
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

void provisioning_job_refuse(struct provisioning_job *job, enum ks_status status,
                             const struct ks_failure *why)
{
    job->details->plan.kind->refuse(&job->answer, status, why);
    job->answer.provisioning = ANSWER_NOT_PROVISIONED;
}

/* Neither: another login of the same device was faster. */
void provisioning_job_count(const struct provisioning_job *job, struct counters_slot *counters)
{
    if (job->answer.status >= 400) {
        counters_add(counters, COUNTER_PROVISIONING_REFUSED, 1);
    } else if (job->answer.provisioning == ANSWER_PROVISIONED) {
        counters_add(counters, job->details->plan.kind->counter, 1);
    }
}
