/*
 * provisioning_kind: what sets one kind of provisioning apart from the other, and what they share
 * on the writer. Internal to service/provisioning*.c.
 *
 * Threads:   the writer's, but for `keep`, which runs where the job is made.
 * Ownership: what is found in a transaction dies at its first write; the arena `scratch` lives for
 *            one run.
 */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "base/counters.h"
#include "base/uuid.h"
#include "service/provisioning.h"
#include "store/store.h"

enum { PROVISIONING_IDS_DRAWN = 4 };

/* All that a run uses is here, so that every run comes to the same. */
struct provisioning_details {
    const struct service *service;
    struct arena kept;    /* the plan's texts */
    struct arena scratch; /* of one run */
    struct provisioning_plan plan;
    int64_t now_ns;
    struct uuid device_ids[PROVISIONING_IDS_DRAWN]; /* the first that is free is taken */
    struct uuid secret_id;
    struct uuid device_version;
    struct uuid credentials_version;
    uint64_t event_seq; /* of this run; 0: none */
};

struct provisioning_kind {
    enum counter counter; /* of the devices registered so */
    /* Copies what the plan borrows. */
    void (*keep)(struct provisioning_plan *plan, struct arena *arena);
    /* In the write transaction, for a tenant that exists and is enabled. Checks, registers, fills
     * the answer; or answers what is there. May run again. */
    enum ks_status (*run)(struct provisioning_details *details, struct store_txn *txn,
                          const struct store_tenant *tenant, struct answer *answer,
                          struct ks_failure *why);
    /* As answer_refuse, in the manner of the API that was asked. */
    void (*refuse)(struct answer *answer, enum ks_status status, const struct ks_failure *why);
};

/* ---- what both do ---- */

static inline int64_t provisioning_now_ms(const struct provisioning_details *details)
{
    return details->now_ns / 1000000;
}

/* The tenant's own limit wins, also if it is 0; the service's 0 means none. -1: no limit. */
int64_t provisioning_limit(int32_t of_tenant, int64_t of_service);
/* KS_LIMIT "device-limit" if the tenant has as many devices as it may have. */
KS_MUST_CHECK enum ks_status provisioning_check_limit(const struct provisioning_details *details,
                                                      struct store_txn *txn,
                                                      const struct store_tenant *tenant,
                                                      struct ks_failure *why);

struct provisioning_device {
    struct span id;
    json_t *document;        /* borrowed */
    struct span credentials; /* the encoded list; empty: none */
    struct span gateway_id;  /* empty: not behind one */
};
/* The transaction's first write: the device, and with it whatever a device that came so entails. */
KS_MUST_CHECK enum ks_status provisioning_register(struct provisioning_details *details,
                                                   struct store_txn *txn,
                                                   const struct store_tenant *tenant,
                                                   const struct provisioning_device *device,
                                                   struct ks_failure *why);
