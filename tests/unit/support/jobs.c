#include "support/jobs.h"

#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* ---- answers ---- */

/* A job's owner is the job itself once it is answered. */
static void answered(struct provisioning_job *job)
{
    pthread_mutex_lock(&mutex);
    job->owner = job;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

void jobs_adopt(struct provisioning_job *job)
{
    job->answered = answered;
}

struct provisioning_job *jobs_submit(struct registry *registry,
                                     const struct provisioning_plan *plan)
{
    struct provisioning_job *job = provisioning_job_new(&registry->service, plan, JOBS_NOW_NS);

    jobs_adopt(job);
    assert_ok(writer_submit(registry->writer, WRITER_AMQP, &job->writer, why));
    return job;
}

void jobs_await(struct provisioning_job *const *jobs, size_t count)
{
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < count; i++) {
        while (jobs[i]->owner == NULL) {
            pthread_cond_wait(&changed, &mutex);
        }
    }
    pthread_mutex_unlock(&mutex);
}

void jobs_provision(struct registry *registry, const struct provisioning_plan *plan)
{
    struct provisioning_job *job = jobs_submit(registry, plan);

    jobs_await(&job, 1);
    answer_clear(&registry->answer);
    registry->answer.status = job->answer.status;
    registry->answer.max_age_s = job->answer.max_age_s;
    registry->answer.reason = job->answer.reason;
    registry->answer.provisioning = job->answer.provisioning;
    buf_add_span(&registry->answer.body, buf_span(&job->answer.body));
    provisioning_job_count(job, registry->counters);
    provisioning_job_free(job);
}

enum ks_status jobs_run_in_vain(struct registry *registry, struct provisioning_job *job,
                                struct ks_failure *why_not)
{
    struct store_txn *txn = NULL;
    enum ks_status st;

    assert_ok(store_write_begin(registry->store, &txn, why));
    st = job->writer.run(&job->writer, txn, why_not);
    store_write_abort(txn);
    return st;
}

/* ---- holding the writer ---- */

static enum ks_status holder_run(struct writer_job *job, struct store_txn *txn,
                                 struct ks_failure *why)
{
    struct jobs_holder *holder = (struct jobs_holder *)job;

    (void)txn;
    (void)why;
    pthread_mutex_lock(&mutex);
    holder->running = true;
    pthread_cond_broadcast(&changed);
    while (!holder->let_go) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
    return KS_OK;
}

static void holder_done(struct writer_job *job, enum ks_status status, const struct ks_failure *why)
{
    struct jobs_holder *holder = (struct jobs_holder *)job;

    (void)status;
    (void)why;
    pthread_mutex_lock(&mutex);
    holder->done = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

void jobs_hold(struct registry *registry, struct jobs_holder *holder)
{
    *holder = (struct jobs_holder){.job = {.run = holder_run, .done = holder_done}};
    assert_ok(writer_submit(registry->writer, WRITER_MANAGEMENT, &holder->job, why));
    pthread_mutex_lock(&mutex);
    while (!holder->running) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}

void jobs_let_go(struct jobs_holder *holder)
{
    pthread_mutex_lock(&mutex);
    holder->let_go = true;
    pthread_cond_broadcast(&changed);
    while (!holder->done) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}
