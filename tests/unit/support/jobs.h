/*
 * jobs: provisioning jobs at the writer of a test's registry: submitted alone, or held back so that
 * many come as one batch.
 *
 * Threads: the test's; answers come on the writer's and are waited for.
 */
#pragma once

#include "support/registry.h"

#include "service/provisioning.h"

/* The time of all jobs: a moment after REGISTRY_NOW. */
#define JOBS_NOW_NS (REGISTRY_NOW * INT64_C(1000000) + 123456789)

/* Lets jobs_await hear of a job that the test makes itself. */
void jobs_adopt(struct provisioning_job *job);
struct provisioning_job *jobs_submit(struct registry *registry,
                                     const struct provisioning_plan *plan);
/* Until all of them are answered. */
void jobs_await(struct provisioning_job *const *jobs, size_t count);
/* Submits and waits; the answer is copied to the registry's. */
void jobs_provision(struct registry *registry, const struct provisioning_plan *plan);
/* Runs the job as the writer does, in a transaction that is then thrown away. */
KS_MUST_CHECK enum ks_status jobs_run_in_vain(struct registry *registry,
                                              struct provisioning_job *job,
                                              struct ks_failure *why_not);

/* Holds the writer, so that what is submitted meanwhile comes as one batch. */
struct jobs_holder {
    struct writer_job job;
    bool running;
    bool let_go;
    bool done;
};
void jobs_hold(struct registry *registry, struct jobs_holder *holder);
void jobs_let_go(struct jobs_holder *holder);
