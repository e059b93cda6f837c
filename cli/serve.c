/* The service: puts the parts together, waits for signals, takes them apart in reverse. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "amqp/sender.h"
#include "amqp/server.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "base/pool.h"
#include "cli/command.h"
#include "cli/messaging.h"
#include "http/server.h"
#include "net/reactor.h"
#include "net/tls.h"
#include "service/accounts.h"
#include "service/device_connection.h"
#include "service/outbox.h"
#include "service/search_worker.h"
#include "store/lmdb/lmdb_kv.h"
#include "store/store.h"
#include "store/writer.h"

enum {
    THREADS_MAX = 256,
    READERS_SPARE = 64, /* reader slots beside the threads': tools, searches */
    LANE_DEPTH = 8192,  /* jobs that wait for the writer, each lane */
    HASHES_WAITING = 256,
    HTTP_CONNECTIONS = 1024,
    FILES_SPARE = 128, /* descriptors that are not AMQP connections, beside HTTP's */
    ANSWERS_WITHIN_MS = 5000,
    BROKER_WITHIN_MS = 1000, /* for its word on what it has, at the stop */
    TENANT_MAX_AGE_S = 180,  /* Hono's defaults */
    CREDENTIALS_MAX_AGE_S = 180,
    REGISTRATION_MAX_AGE_S = 300,
};

struct parts {
    struct settings settings;
    struct kv *kv;
    struct store *store;
    struct writer *writer;
    struct pool *pool;
    struct accounts *accounts;
    struct device_connections *device_connections;
    struct search_worker *search;
    struct tls_context *tls;
    struct service service;
    struct reactor *reactors[THREADS_MAX];
    size_t reactor_count;
    struct reactor *management;
    struct messaging messaging;
    struct outbox *outbox;
    struct reactor *messenger; /* the sender's reactor */
    struct sender *sender;
    struct amqp_server *amqp;
    struct http_server *http;
    _Atomic bool started;
    _Atomic bool stopping;
};

static void check_readers(void *arg)
{
    lmdb_kv_check_readers(arg);
}

/* ---- health ---- */

static enum ks_status is_ready(void *arg, struct ks_failure *why)
{
    struct parts *parts = arg;

    if (atomic_load(&parts->stopping)) {
        return ks_fail(why, KS_UNAVAILABLE, "stopping", "the registry is shutting down");
    }
    return writer_health(parts->writer, why);
}

static enum ks_status is_started(void *arg, struct ks_failure *why)
{
    struct parts *parts = arg;

    return atomic_load(&parts->started)
               ? KS_OK
               : ks_fail(why, KS_UNAVAILABLE, "starting", "not all ports listen yet");
}

/* Since the start. */
static const struct {
    const char *name;
    enum counter counter;
} messaging_counters[] = {
    {"sent", COUNTER_OUTBOX_SENT},           {"resent", COUNTER_OUTBOX_RESENT},
    {"rejected", COUNTER_OUTBOX_REJECTED},   {"newly-parked", COUNTER_OUTBOX_PARKED},
    {"discarded", COUNTER_OUTBOX_DISCARDED}, {"refused", COUNTER_OUTBOX_REFUSED},
    {"waits-out", COUNTER_OUTBOX_WAITS_OUT},
};

/* Koseki is ready without a broker; who looks should know all the same. */
static void tell_messaging(void *arg, struct buf *members)
{
    struct parts *parts = arg;
    uint64_t max_events = (uint64_t)parts->settings.messaging_max_events;
    struct sender_report report;

    sender_report(parts->sender, &report);
    buf_printf(members, "\"connected\":%s,\"broker\":", report.connected ? "true" : "false");
    buf_add_json(members, span_cstr(report.broker));
    if (report.events >= max_events) {
        buf_add_cstr(members, ",\"note\":\"full: new devices are refused until the broker takes "
                              "events\"");
    } else if (!report.connected) {
        buf_add_cstr(members, ",\"note\":\"events wait in the store\"");
    }
    if (!report.connected) {
        buf_add_cstr(members, ",\"trouble\":");
        buf_add_json(members, span_cstr(report.trouble));
    }
    buf_printf(members,
               ",\"events\":%" PRIu64 ",\"max-events\":%" PRIu64 ",\"oldest-event-s\":%" PRId64
               ",\"notifications\":%" PRIu64 ",\"parked\":%" PRIu64 ",\"dropped\":%" PRIu64,
               report.events, max_events, report.oldest_ms / 1000, report.notifications,
               report.parked, report.dropped);
    for (size_t i = 0; i < sizeof(messaging_counters) / sizeof(messaging_counters[0]); i++) {
        buf_printf(members, ",\"%s\":%" PRIu64, messaging_counters[i].name,
                   counters_sum(messaging_counters[i].counter));
    }
}

/* ---- opening ---- */

static enum ks_status open_store(struct parts *parts, struct ks_failure *why)
{
    const struct settings *settings = &parts->settings;
    const struct lmdb_kv_options kv_options = {
        .dir = settings->data_dir,
        .map_size = (uint64_t)settings->store_map_size,
        .min_free = (uint64_t)settings->store_min_free,
        .max_readers = THREADS_MAX + READERS_SPARE,
    };
    struct writer_options writer_options = {
        .dir = settings->data_dir,
        .min_free = (uint64_t)settings->store_min_free,
        .lane_depth = LANE_DEPTH,
        .housekeeping = check_readers,
    };
    enum ks_status st = lmdb_kv_open(&parts->kv, &kv_options, why);

    if (st == KS_OK) {
        st = store_open(&parts->store, parts->kv, why);
    }
    if (st == KS_OK) {
        writer_options.housekeeping_arg = parts->kv;
        st = writer_open(&parts->writer, parts->store, &writer_options, why);
    }
    if (st == KS_OK) {
        st = search_worker_open(&parts->search, parts->store, &search_default_limits, why);
    }
    return st;
}

static unsigned cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (unsigned)n;
}

static enum ks_status open_access(struct parts *parts, struct ks_failure *why)
{
    const struct settings *settings = &parts->settings;
    const struct tls_server_options tls = {
        .cert = settings->tls_cert, .key = settings->tls_key, .client_ca = settings->tls_client_ca};
    enum ks_status st = messaging_read(&parts->messaging, settings, why);

    if (st == KS_OK) {
        messaging_log_doubts(&parts->messaging, settings);
    }
    parts->pool = pool_open(cores() > 1 ? cores() - 1 : 1, HASHES_WAITING);
    if (st == KS_OK && settings->accounts != NULL) {
        st = accounts_open(&parts->accounts, settings->accounts, parts->pool, why);
        if (st == KS_OK) {
            accounts_log_doubts(parts->accounts);
        }
    }
    if (st == KS_OK && tls.cert != NULL && tls.key != NULL) {
        st = tls_server_open(&parts->tls, &tls, why);
    }
    parts->device_connections =
        device_connections_open((size_t)settings->limits_max_device_connections,
                                (size_t)settings->limits_max_device_connections_per_tenant);
    parts->service = (struct service){
        .store = parts->store,
        .writer = parts->writer,
        .pool = parts->pool,
        .device_connections = parts->device_connections,
        .search = parts->search,
        .verify = (enum verify_mode)settings->provisioning_verify,
        .max_devices_per_tenant = settings->limits_max_devices_per_tenant,
        .max_credentials_per_device = settings->limits_max_credentials_per_device,
        .max_bcrypt_cost = (int)settings->passwords_max_bcrypt_cost,
        .tenant_max_age_s = TENANT_MAX_AGE_S,
        .credentials_max_age_s = CREDENTIALS_MAX_AGE_S,
        .registration_max_age_s = REGISTRATION_MAX_AGE_S,
    };
    return st;
}

/* Messaging was switched off, perhaps by mistake, while there was something to be sent. */
static enum ks_status warn_of_events(struct store *store, struct ks_failure *why)
{
    struct store_outbox_depth depth = {.parked = 0};
    struct store_txn *txn = NULL;
    enum ks_status st = store_reader_open(store, &txn, why);

    if (st == KS_OK) {
        st = store_reader_renew(txn, why);
    }
    if (st == KS_OK) {
        st = store_outbox_depth(txn, &depth, why);
    }
    store_reader_close(txn);
    if (depth.waiting[STORE_EVENTS] + depth.parked > 0) {
        log_warn("events-wait",
                 "events=%" PRIu64 " parked=%" PRIu64
                 " action=\"set messaging.urls: they are for applications, and stay in the store\"",
                 depth.waiting[STORE_EVENTS], depth.parked);
    }
    return st;
}

static enum ks_status open_messaging(struct parts *parts, struct ks_failure *why)
{
    const struct settings *settings = &parts->settings;
    const struct outbox_options options = {
        .max_events = (uint64_t)settings->messaging_max_events,
        .max_notifications = (uint64_t)settings->messaging_max_notifications,
        .event_wait_ms = settings->provisioning_event_wait_ms,
    };
    struct sender_options sender = {
        .urls = parts->messaging.urls,
        .url_count = parts->messaging.url_count,
        .tls = parts->messaging.tls,
        .user = settings->messaging_username,
        .password = parts->messaging.password,
        .certificate = settings->messaging_cert != NULL,
        .service = &parts->service,
    };
    enum ks_status st;

    if (parts->messaging.url_count == 0) {
        return warn_of_events(parts->store, why);
    }
    parts->outbox = outbox_open(&options);
    parts->service.outbox = parts->outbox;
    st = reactor_open(&parts->messenger, "messaging", why);
    sender.reactor = parts->messenger;
    return st == KS_OK ? sender_open(&parts->sender, &sender, why) : st;
}

static enum ks_status open_reactors(struct parts *parts, struct ks_failure *why)
{
    size_t count = parts->settings.threads > 0 ? (size_t)parts->settings.threads : cores();
    enum ks_status st = reactor_open(&parts->management, "management", why);

    for (size_t i = 0; i < count && st == KS_OK; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "amqp-%zu", i);
        st = reactor_open(&parts->reactors[i], name, why);
        parts->reactor_count += st == KS_OK;
    }
    return st;
}

struct connection_caps {
    uint32_t amqp;
    uint32_t http;
};

/* Every connection takes a descriptor: the caps stay below what the system gives, an eighth of it
 * for HTTP if that is little. */
static struct connection_caps connection_caps(const struct settings *settings)
{
    struct connection_caps caps = {.amqp = (uint32_t)settings->amqp_max_connections,
                                   .http = HTTP_CONNECTIONS};
    bool has_amqp = settings->amqp_listen != NULL || settings->amqp_tls_listen != NULL;
    int64_t needed = settings->amqp_max_connections + HTTP_CONNECTIONS + FILES_SPARE;
    struct rlimit files;
    int64_t left;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return caps;
    }
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    (void)getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur == RLIM_INFINITY || (int64_t)files.rlim_cur >= needed) {
        return caps;
    }
    left = (int64_t)files.rlim_cur - FILES_SPARE;
    if (left / 8 < HTTP_CONNECTIONS) {
        caps.http = left < 128 ? 16 : (uint32_t)(left / 8);
    }
    left -= caps.http;
    caps.amqp = left < 16 ? 16 : (uint32_t)left;
    if (has_amqp) {
        log_warn("connections-capped",
                 "amqp.max-connections=%lld cap=%u open-files=%lld needed=%lld action=\"raise the "
                 "open-file limit (LimitNOFILE), or lower amqp.max-connections\"",
                 (long long)settings->amqp_max_connections, caps.amqp, (long long)files.rlim_cur,
                 (long long)needed);
    }
    return caps;
}

static enum ks_status open_servers(struct parts *parts, struct ks_failure *why)
{
    const struct settings *settings = &parts->settings;
    const struct connection_caps caps = connection_caps(settings);
    struct amqp_options amqp = {
        .listen = settings->amqp_listen,
        .tls_listen = settings->amqp_tls_listen,
        .tls = parts->tls,
        .accounts = parts->accounts,
        .service = &parts->service,
        .reactors = parts->reactors,
        .reactor_count = parts->reactor_count,
        .limits = amqp_default_limits,
    };
    const struct http_options http = {
        .listen = settings->http_listen,
        .tls_listen = settings->http_tls_listen,
        .ops_listen = settings->ops_listen,
        .tls = parts->tls,
        .accounts = parts->accounts,
        .authentication = settings->http_authentication,
        .cors_allowed_origin = settings->http_cors_allowed_origin,
        .service = &parts->service,
        .reactor = parts->management,
        .max_payload = (size_t)settings->http_max_payload,
        .max_connections = caps.http,
        .health = {.ready = is_ready,
                   .started = is_started,
                   .note_name = "messaging",
                   .note = parts->sender != NULL ? tell_messaging : NULL,
                   .arg = parts},
    };
    enum ks_status st;

    amqp.limits.link_credit = (uint32_t)settings->amqp_link_credit;
    amqp.limits.max_frame = (uint32_t)settings->amqp_max_frame_size;
    amqp.limits.max_message = (uint32_t)settings->amqp_max_message_size;
    amqp.limits.max_links = (uint32_t)settings->amqp_max_links;
    amqp.limits.max_connections = caps.amqp;
    st = amqp_server_open(&parts->amqp, &amqp, why);
    return st == KS_OK ? http_server_open(&parts->http, &http, why) : st;
}

static enum ks_status start_reactors(struct parts *parts, struct ks_failure *why)
{
    enum ks_status st = reactor_start(parts->management, why);

    if (st == KS_OK && parts->messenger != NULL) {
        st = reactor_start(parts->messenger, why);
    }
    for (size_t i = 0; i < parts->reactor_count && st == KS_OK; i++) {
        st = reactor_start(parts->reactors[i], why);
    }
    return st;
}

static enum ks_status open_parts(struct parts *parts, struct ks_failure *why)
{
    enum ks_status (*const steps[])(struct parts * parts, struct ks_failure * why) = {
        open_store, open_access, open_messaging, open_reactors, open_servers, start_reactors};
    enum ks_status st = KS_OK;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && st == KS_OK; i++) {
        st = steps[i](parts, why);
    }
    return st;
}

/* ---- running ---- */

static void announce(struct parts *parts)
{
    const struct {
        const char *key;
        const struct net_address_text *bound;
    } ports[] = {
        {"amqp.listen", amqp_server_bound(parts->amqp)},
        {"amqp.tls-listen", amqp_server_tls_bound(parts->amqp)},
        {"http.listen", http_server_bound(parts->http)},
        {"http.tls-listen", http_server_tls_bound(parts->http)},
        {"ops.listen", http_server_ops_bound(parts->http)},
    };
    struct buf pairs;

    buf_init(&pairs, 0);
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        if (ports[i].bound != NULL) {
            buf_printf(&pairs, "%s%s=%s", pairs.len > 0 ? " " : "", ports[i].key,
                       ports[i].bound->text);
        }
    }
    atomic_store(&parts->started, true);
    log_announce("ready", "%.*s", SPAN_ARG(buf_span(&pairs)));
    buf_done(&pairs);
}

static void reload_one(const char *what, enum ks_status st, const struct ks_failure *why)
{
    struct log_text text;

    if (st == KS_OK) {
        log_info("reloaded", "what=%s", what);
    } else {
        log_error("reload-failed", "what=%s why=%s action=\"the old one stays in use\"", what,
                  log_text(&text, span_cstr(why->text)));
    }
}

static void reload(struct parts *parts)
{
    struct ks_failure why = {0};

    if (parts->accounts != NULL) {
        reload_one("accounts", accounts_reload(parts->accounts, &why), &why);
        accounts_log_doubts(parts->accounts);
    }
    if (parts->tls != NULL) {
        reload_one("certificates", tls_reload(parts->tls, &why), &why);
    }
    if (parts->sender != NULL) {
        enum ks_status st = messaging_reload(&parts->messaging, &parts->settings, &why);

        reload_one("messaging", st, &why);
        sender_retry(parts->sender, st == KS_OK ? parts->messaging.password : NULL);
    }
}

/* The signals are blocked in all threads and taken in wait_for_stop. It comes first: the kernel
 * drops signals for a container's process 1 that it neither handles nor blocks. */
static void block_signals(sigset_t *set)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, set, NULL);
}

static void wait_for_stop(struct parts *parts, const sigset_t *set)
{
    for (;;) {
        int signal = 0;

        if (sigwait(set, &signal) != 0) {
            return;
        }
        if (signal != SIGHUP) {
            log_info("stopping", "signal=%d", signal);
            return;
        }
        reload(parts);
    }
}

/* ---- the end, in the order of docs/threads.md ---- */

static void drain(struct parts *parts)
{
    int64_t until = clock_monotonic_ms() + ANSWERS_WITHIN_MS;

    atomic_store(&parts->stopping, true);
    search_worker_stop(parts->search); /* what it answers now goes out while HTTP drains */
    http_server_drain(parts->http, ANSWERS_WITHIN_MS / 2);
    amqp_server_drain(parts->amqp, until - clock_monotonic_ms());
    if (parts->sender != NULL) {
        sender_drain(parts->sender, BROKER_WITHIN_MS);
    }
}

static void close_parts(struct parts *parts)
{
    if (parts->search != NULL) {
        search_worker_stop(parts->search);
    }
    if (parts->writer != NULL) {
        writer_stop(parts->writer);
    }
    pool_close(parts->pool); /* nothing submits to it any more, but what ends up refused */
    for (size_t i = 0; i < parts->reactor_count; i++) {
        reactor_stop(parts->reactors[i]);
    }
    if (parts->management != NULL) {
        reactor_stop(parts->management);
    }
    if (parts->messenger != NULL) {
        reactor_stop(parts->messenger);
    }
    sender_close(parts->sender);
    amqp_server_close(parts->amqp);
    http_server_close(parts->http);
    for (size_t i = 0; i < parts->reactor_count; i++) {
        reactor_close(parts->reactors[i]);
    }
    reactor_close(parts->management);
    reactor_close(parts->messenger);
    outbox_close(parts->outbox);
    messaging_done(&parts->messaging);
    accounts_close(parts->accounts);
    device_connections_close(parts->device_connections);
    tls_close(parts->tls);
    search_worker_close(parts->search);
    writer_close(parts->writer);
    if (parts->store != NULL) {
        store_close(parts->store);
    } else if (parts->kv != NULL) {
        lmdb_kv_close(parts->kv);
    }
    counters_done();
}

int command_serve(const struct command_options *options)
{
    struct parts *parts = calloc(1, sizeof(*parts));
    struct ks_failure why = {0};
    sigset_t signals;
    enum ks_status st;

    if (parts == NULL) {
        abort();
    }
    block_signals(&signals);
    if (!command_settings(options, &parts->settings) ||
        settings_check_service(&parts->settings, &command_report) != KS_OK) {
        settings_done(&parts->settings);
        free(parts);
        return EXIT_FAILED;
    }
    log_setup((enum log_level)parts->settings.log_level, parts->settings.log_format == 1);
    st = open_parts(parts, &why);
    if (st == KS_OK) {
        announce(parts);
        wait_for_stop(parts, &signals);
        drain(parts);
    } else {
        struct log_text text;

        log_error("start-failed", "why=%s", log_text(&text, span_cstr(why.text)));
    }
    close_parts(parts);
    if (st == KS_OK) {
        log_info("stopped", "code=0");
    }
    settings_done(&parts->settings);
    free(parts);
    return st == KS_OK ? EXIT_OK : EXIT_FAILED;
}
