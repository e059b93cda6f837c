/*
 * management_job: a write of the management API on its way: checked on the asking thread, hashed
 * on the pool if it brings passwords, applied by the writer, answered. Shared by the management_*.c
 * files; each kind of write is a `prepare` and a `run`.
 *
 * Threads:   one at a time has the job.
 * Ownership: the job owns all it points to; management.c frees it after it has answered.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/pool.h"
#include "base/uuid.h"
#include "service/management.h"
#include "store/store.h"
#include "store/writer.h"

struct management_job {
    struct writer_job writer; /* first */
    struct pool_job pool;
    const struct service *service;
    const struct management_operation *operation;

    struct arena arena;
    struct span tenant_id; /* given or drawn, checked */
    struct span device_id;
    struct span if_match; /* without quotes */

    /* Drawn when the job was made, so that `run` is pure. */
    int64_t now_ms;
    struct uuid version;
    struct uuid credentials_version;
    struct uuid *secret_ids;

    /* Found out by `run`, for the notification of the change. */
    uint32_t space;     /* of the tenant; 0: it is gone */
    bool nothing;       /* has changed: nothing is told */
    bool invalidate;    /* adapters let go of the tenant at once */
    uint64_t discarded; /* parked events that go with what is deleted */

    json_t *document;           /* what was read from the body, NULL without one */
    struct store_tenant tenant; /* rendered from it */
    struct store_device device;

    struct management_response response; /* of success; sent after the commit */
    management_answered *answered;
    void *arg;
};

/* Checks and renders the body; draws what must be drawn. */
typedef enum ks_status management_prepare(struct management_job *job, struct span body,
                                          struct ks_failure *why);
/* On the writer: checks, then writes. May be run again. */
typedef enum ks_status management_run(struct management_job *job, struct store_txn *txn,
                                      struct ks_failure *why);
/* On a reader with a fresh snapshot. */
typedef enum ks_status management_fetch(struct store_txn *txn,
                                        const struct management_request *request,
                                        struct management_response *response,
                                        struct ks_failure *why);

management_prepare management_tenant_prepare; /* create and update */
management_run management_tenant_create;
management_run management_tenant_update;
management_run management_tenant_delete;
management_fetch management_tenant_read;

management_prepare management_device_prepare; /* create and update */
management_run management_device_create;
management_run management_device_update;
management_run management_device_delete;
management_run management_device_delete_all;
management_fetch management_device_read;

management_prepare management_credentials_prepare;
management_run management_credentials_update;
management_fetch management_credentials_read;

/* ---- what they share (management.c) ---- */

/* KS_NOT_FOUND "unknown-tenant". */
KS_MUST_CHECK enum ks_status management_find_tenant(struct store_txn *txn, struct span id,
                                                    struct store_tenant *out,
                                                    struct ks_failure *why);
/* KS_NOT_FOUND "unknown-device". */
KS_MUST_CHECK enum ks_status management_find_device(struct store_txn *txn, uint32_t space,
                                                    struct span id, struct store_device *out,
                                                    struct ks_failure *why);
/* KS_STALE if the job names a version, and it is not this one. */
KS_MUST_CHECK enum ks_status management_check_version(const struct management_job *job,
                                                      const struct uuid *version,
                                                      struct ks_failure *why);
