/*
 * provisioning: a device that nobody registered is registered on the spot, in one transaction with
 * all that belongs to it, or not at all. There are two kinds:
 *
 * by certificate   inside the credentials look-up: the device shows a certificate of a trusted CA
 * by gateway       inside the assertion: a gateway with the authority speaks for the device
 *
 * A reader finds that it may be done and makes a plan, expensive checks (signature) included; the
 * writer decides again by what then stands: tenant, CA, gateway, flags, limits, ids, and that
 * nobody was faster (then it answers what is there).
 *
 * Threads:   provisioning_job_new on the asking thread; the job then belongs to the writer, and may
 *            go on to the sender, which call `answered` on their own thread after the commit.
 * Ownership: a job owns copies of all it needs; who gets it in `answered` frees it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/span.h"
#include "service/answer.h"
#include "service/identity_template.h"
#include "service/outbox.h"
#include "store/writer.h"

struct counters_slot;
struct service;

struct provisioning_kind; /* service/provisioning_kind.h */
extern const struct provisioning_kind provisioning_by_certificate;
extern const struct provisioning_kind provisioning_by_gateway;

/* The verdict on a certificate, made from a snapshot. */
struct provisioning_certificate {
    struct span auth_id; /* as requested */
    struct span context; /* the request as JSON text: who was faster may have an `ext` */
    struct identity_subject subject; /* of the leaf */
    struct sha256 ca_key_hash;       /* which CA entry signed it (store_ca.key_hash) */
    struct sha256 fingerprint;       /* of the leaf */
    int64_t not_before_ms;           /* of the leaf; checked again at the job's time */
    int64_t not_after_ms;
    bool verified; /* false in modes report and off when the checks did not pass or were not made */
};

/* Who is to be registered behind whom. */
struct provisioning_edge {
    struct span device_id;
    struct span gateway_id;
};

struct provisioning_plan {
    const struct provisioning_kind *kind;
    struct span tenant_id;
    union {
        struct provisioning_certificate certificate;
        struct provisioning_edge edge;
    };
};

struct provisioning_job {
    struct writer_job writer; /* first: the writer's handle on it */
    /* Called once, when `answer` is true (committed, or refused): on the writer's thread, or on the
     * sender's after the event was accepted or the wait for that was over. */
    void (*answered)(struct provisioning_job *job);
    void *owner; /* the caller's */
    struct answer answer;
    struct outbox_waiter waiter;          /* for the broker to accept the event */
    struct provisioning_details *details; /* copies and drawn ids */
};

/* Draws the ids and the time now. Submit &job->writer to the writer's AMQP lane. */
struct provisioning_job *provisioning_job_new(const struct service *service,
                                              const struct provisioning_plan *plan, int64_t now_ns);
/* Takes NULL. */
void provisioning_job_free(struct provisioning_job *job);
/* Turns the job's answer into a refusal: the writer does not take it, or it failed. */
void provisioning_job_refuse(struct provisioning_job *job, enum ks_status status,
                             const struct ks_failure *why);
/* Counts what came of an answered job, on the thread of these counters. */
void provisioning_job_count(const struct provisioning_job *job, struct counters_slot *counters);
