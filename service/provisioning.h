/*
 * provisioning: a device that shows up with a certificate of a trusted CA is registered, inside the
 * credentials look-up: device, credential and counters in one transaction, or nothing.
 *
 * The expensive checks (signature) are made before the job, on the reader's thread; the job carries
 * the verdict, and the writer only confirms that this CA entry and its flags still stand, that
 * tenant, limits and ids allow it, and that nobody was faster (then it answers what is there, 200).
 *
 * Threads:   provisioning_job_new on the asking thread; the job then belongs to the writer, and may
 *            go on to the sender, which call `answered` on their own thread after the commit.
 * Ownership: a job owns copies of all it needs; who gets it in `answered` frees it.
 */
#pragma once

#include <stdint.h>

#include "base/digest.h"
#include "base/span.h"
#include "base/uuid.h"
#include "service/answer.h"
#include "service/outbox.h"
#include "store/writer.h"

struct credentials_query;
struct service;

/* The verdict on a certificate, made from a snapshot. */
struct provisioning_plan {
    struct span tenant_id;
    struct span auth_id;       /* the certificate's subject DN = the requested auth-id */
    struct span context;       /* the request as JSON text: who was faster may have set an `ext` */
    struct sha256 ca_key_hash; /* which CA entry signed it (store_ca.key_hash) */
    struct sha256 fingerprint; /* of the leaf */
    int64_t not_before_ms;     /* of the leaf; checked again at the job's time */
    int64_t not_after_ms;
    bool verified; /* false in modes report and off when the checks did not pass or were not made */
};

struct provisioning_job {
    struct writer_job writer; /* first: the writer's handle on it */
    /* Called once, when `answer` is true (committed, or refused): on the writer's thread, or on the
     * sender's after the event was accepted or the wait for that was over. */
    void (*answered)(struct provisioning_job *job);
    void *owner; /* the caller's */
    struct answer answer;
    struct outbox_waiter waiter;          /* for the broker to accept the event */
    struct provisioning_details *details; /* copies and drawn ids, see provisioning.c */
};

/* Draws the ids and the time now. Submit &job->writer to the writer's AMQP lane. */
struct provisioning_job *provisioning_job_new(const struct service *service,
                                              const struct provisioning_plan *plan, int64_t now_ns);
/* Takes NULL. */
void provisioning_job_free(struct provisioning_job *job);
