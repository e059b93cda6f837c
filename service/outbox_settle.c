#include "service/outbox_settle.h"

static enum ks_status settle_one(struct outbox_settlement *settlement, struct store_txn *txn,
                                 const struct outbox_verdict *verdict, struct ks_failure *why)
{
    bool parked = false;
    enum ks_status st;

    if (!verdict->park) {
        return store_outbox_delete(txn, verdict->queue, verdict->seq, why);
    }
    st = store_outbox_park(txn, verdict->seq, &parked, why);
    settlement->parked += parked;
    settlement->discarded += st == KS_OK && !parked;
    return st == KS_NOT_FOUND ? KS_OK : st;
}

static enum ks_status run_settlement(struct writer_job *job, struct store_txn *txn,
                                     struct ks_failure *why)
{
    struct outbox_settlement *settlement = (struct outbox_settlement *)job;
    struct store_outbox_depth depth = {.parked = 0};
    enum ks_status st = KS_OK;

    settlement->parked = 0;
    settlement->discarded = 0;
    for (size_t i = 0; i < settlement->count && st == KS_OK; i++) {
        st = settle_one(settlement, txn, &settlement->verdict[i], why);
    }
    if (st == KS_OK) {
        st = store_outbox_depth(txn, &depth, why);
    }
    settlement->waiting = depth.waiting[STORE_EVENTS];
    return st;
}

static void settled(struct writer_job *job, enum ks_status status, const struct ks_failure *why)
{
    struct outbox_settlement *settlement = (struct outbox_settlement *)job;

    (void)why;
    settlement->status = status;
    settlement->done(settlement);
}

enum ks_status outbox_settle(struct writer *writer, struct outbox_settlement *settlement,
                             struct ks_failure *why)
{
    settlement->writer = (struct writer_job){.run = run_settlement, .done = settled};
    return writer_submit(writer, WRITER_AMQP, &settlement->writer, why);
}

static enum ks_status run_requeue(struct writer_job *job, struct store_txn *txn,
                                  struct ks_failure *why)
{
    return store_outbox_unpark(txn, OUTBOX_REQUEUE_MAX, &((struct outbox_requeue *)job)->moved,
                               why);
}

static void requeued(struct writer_job *job, enum ks_status status, const struct ks_failure *why)
{
    struct outbox_requeue *requeue = (struct outbox_requeue *)job;

    (void)why;
    requeue->status = status;
    requeue->done(requeue);
}

enum ks_status outbox_requeue(struct writer *writer, struct outbox_requeue *requeue,
                              struct ks_failure *why)
{
    requeue->writer = (struct writer_job){.run = run_requeue, .done = requeued};
    return writer_submit(writer, WRITER_AMQP, &requeue->writer, why);
}
