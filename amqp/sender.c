/* The connection to the broker: one of several in turn, tried for ever, and who may wake it. */
#include "amqp/sender.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "amqp/sender_state.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "net/dialer.h"

enum {
    DRAIN_POLL_NS = 5000000,
    LASTING_MS = 30000, /* a connection that was open for so long was a good one */
    BRIEF_MS = 1000,    /* one that was open for less is followed by a pause at least */
    BRIEF_PAUSE_MS = 100,
    BARREN_MAX = 3, /* connections in a row that came to nothing: then one entry at a time */
};

static char *secret_copy(const char *text)
{
    char *copy = strdup(text);

    if (copy == NULL) {
        abort();
    }
    return copy;
}

/* Takes NULL. */
static void secret_free(char *text)
{
    if (text != NULL) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
}

static const char *broker_name(const struct sender *sender)
{
    return sender->options.urls[sender->url].host_port;
}

static void report(struct sender *sender, bool connected, const char *trouble)
{
    lock_take(&sender->lock);
    sender->report.connected = connected;
    (void)snprintf(sender->report.broker, sizeof(sender->report.broker), "%s", broker_name(sender));
    (void)snprintf(sender->report.trouble, sizeof(sender->report.trouble), "%s", trouble);
    lock_give(&sender->lock);
    outbox_set_flowing(sender->options.service->outbox, connected);
}

void sender_turn(struct sender *sender)
{
    if (sender->broker != NULL && broker_is_open(sender->broker)) {
        broker_turn(sender->broker); /* pumps */
    } else {
        sender_pump(sender);
    }
}

/* ---- the broker's events ---- */

static void opened(void *arg)
{
    struct sender *sender = arg;

    sender->opened_ms = clock_monotonic_ms();
    memset(sender->told, 0, sizeof(sender->told));
    sender->careful = sender->barren >= BARREN_MAX;
    sender_outcome_begin(sender);
    if (!sender->careful) {          /* else it may be one of them that ends connections */
        sender_requeue_soon(sender); /* somebody may have mended what they were parked for */
    }
    report(sender, true, "");
    log_info("broker-connected", "broker=%s", broker_name(sender));
}

static void turned(void *arg)
{
    struct sender *sender = arg;

    if (sender->careful && clock_monotonic_ms() - sender->opened_ms >= LASTING_MS) {
        sender->careful = false;
        sender_requeue_soon(sender);
    }
    sender_pump(sender);
}

static void link_changed(void *arg, struct pn_link_t *link, bool ended)
{
    sender_link_changed(arg, link, ended);
}

static void outcome(void *arg, struct pn_delivery_t *delivery)
{
    sender_outcome(arg, delivery);
}

/* The next broker at once; after all of them, the back-off. A broker that lets us in only to close
 * again counts as one that does not answer; one that takes something before it does, is let be for
 * a moment. */
static int64_t pause_before_redial(struct sender *sender)
{
    int64_t open_ms = sender->opened_ms == 0 ? 0 : clock_monotonic_ms() - sender->opened_ms;
    int64_t least_ms = sender->opened_ms != 0 && open_ms < BRIEF_MS ? BRIEF_PAUSE_MS : 0;
    bool lasted = open_ms >= LASTING_MS;

    if (sender->fruitful || lasted) {
        sender->rounds = 0;
        sender->tried = 0;
    }
    sender->fruitful = false;
    sender->opened_ms = 0;
    sender->url = (sender->url + 1) % sender->options.url_count;
    if (++sender->tried < sender->options.url_count) {
        return least_ms;
    }
    sender->tried = 0;
    return sender_pause_ms(sender->rounds++);
}

/* FNV-1a of all but digits: ports and times change from one try to the next. */
static uint64_t hash_of_words(const char *text)
{
    uint64_t hash = 1469598103934665603ULL;

    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            hash = (hash ^ (unsigned char)*text) * 1099511628211ULL;
        }
    }
    return hash;
}

/* Once an outage, broker and reason. */
static void tell_trouble(struct sender *sender, const char *why)
{
    uint64_t hash = hash_of_words(why);
    struct log_text text;

    if (sender->told[sender->url] == hash || sender->draining) {
        return;
    }
    log_warn("broker-lost",
             "broker=%s why=%s action=\"events wait in the store; tried again and again\"",
             broker_name(sender), log_text(&text, span_cstr(why)));
    sender->told[sender->url] = hash;
}

static void ended(void *arg, const struct ks_failure *why)
{
    struct sender *sender = arg;

    report(sender, false, why->text);
    tell_trouble(sender, why->text);
    if (sender->fruitful) {
        sender->barren = 0;
    } else if (sender->opened_ms != 0 && sender_lanes_in_use(sender->lanes) > 0) {
        sender->barren++;
    }
    broker_close(sender->broker);
    sender->broker = NULL;
    sender_outcome_reset(sender);
    sender_pump_reset(sender);
    sender_release_all(sender);
    sender_settle(sender);
    if (!sender->draining) {
        reactor_timer_set(&sender->redial, pause_before_redial(sender));
    }
}

static const struct broker_handler handler = {.opened = opened,
                                              .link_changed = link_changed,
                                              .outcome = outcome,
                                              .turned = turned,
                                              .ended = ended};

/* Between two connections: a login under way still reads the old one. */
static void use_new_password(struct sender *sender)
{
    char *password;

    lock_take(&sender->lock);
    password = sender->new_password;
    sender->new_password = NULL;
    lock_give(&sender->lock);
    if (password != NULL) {
        secret_free(sender->password);
        sender->password = password;
        sender->broker_options.password = password;
    }
}

static void redial(void *arg)
{
    struct sender *sender = arg;

    use_new_password(sender);
    if (sender->report.trouble[0] == '\0') {
        report(sender, false, "connecting");
    }
    sender->broker =
        broker_open(&sender->broker_options, &sender->options.urls[sender->url], &handler, sender);
}

/* ---- the stop ---- */

static void check_drained(struct sender *sender)
{
    if (sender->draining && sender->broker != NULL && sender_lanes_in_use(sender->lanes) == 0) {
        broker_shut_down(sender->broker);
    }
}

static void drain_on_reactor(struct reactor_post *post, bool discard)
{
    void *start = (char *)post - offsetof(struct sender, drain_post);
    struct sender *sender = start;

    if (discard) {
        return;
    }
    sender->draining = true;
    reactor_timer_clear(&sender->redial);
    outbox_set_flowing(sender->options.service->outbox, false);
    sender_release_all(sender);
    sender_turn(sender);
    check_drained(sender);
}

static void drain_done(struct sender *sender)
{
    if (sender->draining) {
        check_drained(sender);
        atomic_store(&sender->drained, sender->broker == NULL && !sender->settling);
    }
}

/* ---- from other threads ---- */

static void wake_on_reactor(struct reactor_post *post, bool discard)
{
    void *start = (char *)post - offsetof(struct sender, wake_post);
    struct sender *sender = start;

    atomic_store(&sender->woken, false);
    if (discard) {
        sender_release_all(sender);
    } else {
        sender_turn(sender);
        drain_done(sender);
    }
}

/* Any thread. */
static void wake(void *arg)
{
    struct sender *sender = arg;

    if (!atomic_exchange(&sender->woken, true)) {
        reactor_post(sender->options.reactor, &sender->wake_post);
    }
}

static void retry_on_reactor(struct reactor_post *post, bool discard)
{
    void *start = (char *)post - offsetof(struct sender, retry_post);
    struct sender *sender = start;

    atomic_store(&sender->retrying, false);
    if (discard || sender->draining) {
        return;
    }
    sender_requeue_soon(sender);
    if (sender->broker == NULL) {
        reactor_timer_set(&sender->redial, 0);
    }
    sender_turn(sender);
}

void sender_retry(struct sender *sender, const char *password)
{
    if (password != NULL) {
        char *copy = secret_copy(password);

        lock_take(&sender->lock);
        secret_free(sender->new_password);
        sender->new_password = copy;
        lock_give(&sender->lock);
    }
    if (!atomic_exchange(&sender->retrying, true)) {
        reactor_post(sender->options.reactor, &sender->retry_post);
    }
}

void sender_drain(struct sender *sender, int64_t ms)
{
    static const struct timespec pause = {.tv_nsec = DRAIN_POLL_NS};
    int64_t until = clock_monotonic_ms() + ms;

    reactor_post(sender->options.reactor, &sender->drain_post);
    while (!atomic_load(&sender->drained) && clock_monotonic_ms() < until) {
        (void)nanosleep(&pause, NULL);
        wake(sender);
    }
}

/* ---- opening, closing ---- */

static enum ks_status read_instance(struct sender *sender, struct ks_failure *why)
{
    struct store_stat stat;
    enum ks_status st = store_reader_renew(sender->txn, why);

    if (st == KS_OK) {
        st = store_stat(sender->txn, &stat, why);
        store_reader_reset(sender->txn);
    }
    if (st == KS_OK) {
        sender->instance = stat.instance;
    }
    return st;
}

enum ks_status sender_open(struct sender **out, const struct sender_options *options,
                           struct ks_failure *why)
{
    struct sender *sender = calloc(1, sizeof(*sender));
    char id[UUID_TEXT_LEN + 1];
    enum ks_status st;

    if (sender == NULL) {
        abort();
    }
    sender->options = *options;
    sender->options.password = NULL;
    sender->password = options->password != NULL ? secret_copy(options->password) : NULL;
    sender->counters = reactor_counters(options->reactor);
    sender->lanes = sender_lanes_open();
    arena_init(&sender->scratch);
    buf_init(&sender->message, EVENT_MESSAGE_MAX);
    lock_init(&sender->lock);
    sender->wake_post.run = wake_on_reactor;
    sender->drain_post.run = drain_on_reactor;
    sender->retry_post.run = retry_on_reactor;
    reactor_timer_init(&sender->redial, options->reactor, redial, sender);
    sender->dialer = dialer_open(options->reactor);
    sender_pump_init(sender);
    sender_outcome_init(sender);
    sender_settle_init(sender);
    st = store_reader_open(options->service->store, &sender->txn, why);
    if (st == KS_OK) {
        st = read_instance(sender, why);
    }
    if (st != KS_OK) {
        sender_close(sender);
        return st;
    }
    uuid_format(&sender->instance, id);
    (void)snprintf(sender->container, sizeof(sender->container), "koseki-%s", id);
    sender->broker_options = (struct broker_options){.reactor = options->reactor,
                                                     .dialer = sender->dialer,
                                                     .tls = options->tls,
                                                     .user = options->user,
                                                     .password = sender->password,
                                                     .certificate = options->certificate,
                                                     .container = sender->container};
    outbox_attach(options->service->outbox, wake, sender);
    sender_pump(sender); /* what waits from before can be told from the beginning */
    reactor_timer_set(&sender->redial, 0);
    *out = sender;
    return KS_OK;
}

void sender_close(struct sender *sender)
{
    if (sender == NULL) {
        return;
    }
    if (sender->txn != NULL) {
        broker_close(sender->broker);
        sender_outcome_reset(sender);
        sender_release_all(sender);
    }
    store_reader_close(sender->txn);
    sender_settle_done(sender);
    sender_outcome_done(sender);
    sender_pump_done(sender);
    reactor_timer_done(&sender->redial);
    dialer_close(sender->dialer);
    sender_lanes_close(sender->lanes);
    arena_done(&sender->scratch);
    buf_done(&sender->message);
    lock_done(&sender->lock);
    secret_free(sender->password);
    secret_free(sender->new_password);
    free(sender);
}

void sender_report(struct sender *sender, struct sender_report *out)
{
    int64_t now = clock_now_ms();

    lock_take(&sender->lock);
    *out = sender->report;
    out->oldest_ms = sender->oldest_created_ms == 0 || sender->oldest_created_ms > now
                         ? 0
                         : now - sender->oldest_created_ms;
    lock_give(&sender->lock);
}
