#include "http/peers.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/clock.h"
#include "http/inlet.h"
#include "net/reactor.h"
#include "net/tls.h"

enum {
    BUCKETS = 2048,
    SWEEP_MS = 250,
    HANDSHAKE_BY_MS = 10000, /* of TLS, from the connect */
    IDLE_BY_MS = 60000,      /* silence between requests */
    HEAD_BY_MS = 10000,      /* a head, from its first byte */
    BODY_BY_MS = 60000,      /* a body, from the end of its head */
    LINGER_MS = 2000,        /* for what is under way when a connection ends */
    PROGRESS_BY_MS = 20000,  /* an answer that is not read; again for each step that is */
    PROGRESS_STEP = 256 << 10,
    HELD_MAX = 64 << 20, /* answers that wait to be read, of all connections */
    HEAD_MAX = 32 << 10, /* of what the inlet passes on */
    BODY_SLACK = 4 << 10,
};

struct peer {
    struct peer *next; /* in its bucket */
    struct peers *peers;
    struct bufferevent *bev;
    enum peer_kind kind;
    bool tls;
    bool refused;   /* over the cap */
    bool feeding;   /* on_input is at work */
    bool seized;    /* taken from evhttp, to be told that its request cannot be read */
    bool lingering; /* evhttp is done with it */
    bool cut;       /* to be ended; its answer is gone already */
    struct inlet inlet;
    uint64_t answered; /* of the requests that the inlet passed on */

    int64_t since; /* when it came to be as it is: */
    enum inlet_phase phase;
    uint64_t heads;

    size_t held;   /* bytes of answers that keep memory: until the last of them is sent */
    size_t unsent; /* of them, what is not sent */
    size_t unsent_then;
    int64_t unsent_since;

    bufferevent_event_cb evhttp_event; /* of one that is seized */
    void *evhttp_arg;
};

struct peers {
    struct peers_options options;
    struct peer *buckets[BUCKETS];
    size_t count[PEER_KINDS];
    size_t held;
    bool door_closed;
    struct reactor_timer sweep;
    struct evbuffer *aside; /* scratch */
    struct buf out;         /* scratch */
};

/* ---- the table ---- */

static struct peer **bucket_of(struct peers *peers, const struct bufferevent *bev)
{
    uint64_t hash = (uint64_t)(uintptr_t)bev * 0x9E3779B97F4A7C15U;

    return &peers->buckets[hash >> 53];
}

static struct peer *find(struct peers *peers, const struct bufferevent *bev)
{
    struct peer *peer = *bucket_of(peers, bev);

    while (peer != NULL && peer->bev != bev) {
        peer = peer->next;
    }
    return peer;
}

/* ---- the end of one ---- */

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg);
static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg);

static void set_held(struct peer *peer, size_t held)
{
    peer->peers->held += held - peer->held;
    peer->held = held;
}

static void drop_at(struct peer **at)
{
    struct peer *peer = *at;

    *at = peer->next;
    peer->peers->count[peer->kind]--;
    set_held(peer, 0);
    (void)evbuffer_remove_cb(bufferevent_get_input(peer->bev), on_input, peer);
    (void)evbuffer_remove_cb(bufferevent_get_output(peer->bev), on_output, peer);
    bufferevent_setcb(peer->bev, NULL, NULL, NULL, NULL);
    (void)bufferevent_decref(peer->bev); /* closes the socket if it was the last */
    inlet_done(&peer->inlet);
    free(peer);
}

static void drop(struct peer *peer)
{
    struct peer **at = bucket_of(peer->peers, peer->bev);

    while (*at != peer) {
        at = &(*at)->next;
    }
    drop_at(at);
}

/* Gives back the memory at once, wherever this is called; the end follows. */
static void cut(struct peer *peer)
{
    struct evbuffer *output = bufferevent_get_output(peer->bev);

    peer->cut = true;
    set_held(peer, 0);
    (void)evbuffer_unfreeze(output, 1);
    (void)evbuffer_drain(output, evbuffer_get_length(output));
    reactor_timer_set(&peer->peers->sweep, 0);
}

/* As if the connection had failed: evhttp frees what it has of it, and lets go. */
static void end(struct peer *peer)
{
    bufferevent_event_cb event = NULL;
    void *arg = NULL;

    bufferevent_getcb(peer->bev, NULL, NULL, &event, &arg);
    if (event != NULL) {
        event(peer->bev, BEV_EVENT_READING | BEV_EVENT_ERROR, arg);
    }
    drop(peer);
}

static bool evhttp_is_done(const struct peer *peer)
{
    bufferevent_data_cb read = NULL;
    bufferevent_data_cb write = NULL;
    bufferevent_event_cb event = NULL;

    bufferevent_getcb(peer->bev, &read, &write, &event, NULL);
    return read == NULL && write == NULL && event == NULL;
}

static void on_linger_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    (void)what;
    drop(arg);
}

/* What the peer still sends is read and dropped: a socket closed on unread bytes resets the
 * connection, and the peer may lose the answer that is on its way to it. */
static void linger(struct peer *peer)
{
    peer->lingering = true;
    peer->since = clock_monotonic_ms();
    bufferevent_setcb(peer->bev, NULL, NULL, on_linger_event, peer);
    (void)bufferevent_disable(peer->bev, EV_WRITE);
    (void)bufferevent_enable(peer->bev, EV_READ);
}

/* ---- requests that cannot be read ---- */

static const char *refusal_of(enum inlet_verdict verdict)
{
    switch (verdict) {
    case INLET_MALFORMED:
        return "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    case INLET_LINE_TOO_LONG:
        return "HTTP/1.1 414 URI Too Long\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    case INLET_FIELDS_TOO_LARGE:
        return "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n"
               "connection: close\r\n\r\n";
    case INLET_FINE:
    case INLET_BROKEN_BODY:
        break;
    }
    return NULL;
}

static void give_back(struct peer *peer)
{
    bufferevent_event_cb fail = peer->evhttp_event;
    void *arg = peer->evhttp_arg;

    peer->seized = false;
    bufferevent_setcb(peer->bev, NULL, NULL, fail, arg);
    fail(peer->bev, BEV_EVENT_READING | BEV_EVENT_ERROR, arg);
    reactor_timer_set(&peer->peers->sweep, 0);
}

static void on_refusal_sent(struct bufferevent *bev, void *arg)
{
    (void)bev;
    give_back(arg);
}

static void on_refusal_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    if ((what & (BEV_EVENT_WRITING | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) != 0) {
        give_back(arg);
    }
}

/* evhttp waits for a request of which it has seen nothing, and will not see any more. */
static void seize(struct peer *peer)
{
    const char *refusal = refusal_of(peer->inlet.verdict);

    if (refusal == NULL) {
        end(peer);
        return;
    }
    peer->seized = true;
    peer->since = clock_monotonic_ms();
    bufferevent_getcb(peer->bev, NULL, NULL, &peer->evhttp_event, &peer->evhttp_arg);
    bufferevent_setcb(peer->bev, NULL, on_refusal_sent, on_refusal_event, peer);
    (void)bufferevent_write(peer->bev, refusal, strlen(refusal));
    (void)bufferevent_enable(peer->bev, EV_WRITE);
}

/* ---- what comes and goes ---- */

static void note_phase(struct peer *peer)
{
    enum inlet_phase phase = inlet_phase(&peer->inlet);

    if (phase != peer->phase || peer->heads != peer->inlet.heads) {
        peer->phase = phase;
        peer->heads = peer->inlet.heads;
        peer->since = clock_monotonic_ms();
    }
}

/* Takes the last `added` bytes out, and puts back what the inlet passes on. */
static void feed(struct peer *peer, struct evbuffer *input, size_t added)
{
    struct peers *peers = peer->peers;
    size_t before = evbuffer_get_length(input) - added;
    enum inlet_verdict verdict;

    if (before > 0 && evbuffer_remove_buffer(input, peers->aside, before) != (int)before) {
        abort();
    }
    buf_clear(&peers->out);
    verdict = inlet_feed(&peer->inlet, span_of(evbuffer_pullup(input, -1), added), &peers->out);
    if (evbuffer_drain(input, added) != 0 || evbuffer_add_buffer(input, peers->aside) != 0 ||
        evbuffer_add(input, peers->out.ptr, peers->out.len) != 0) {
        abort();
    }
    note_phase(peer);
    if (verdict != INLET_FINE) {
        (void)bufferevent_disable(peer->bev, EV_READ); /* the end of it is of no interest now */
        reactor_timer_set(&peers->sweep, 0);
    }
}

/* While bytes are being added to a buffer, its callbacks may change it. */
static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct peer *peer = arg;

    if (peer->feeding || info->n_added == 0) {
        return;
    }
    peer->feeding = true;
    if (peer->lingering || peer->refused || peer->inlet.verdict != INLET_FINE) {
        (void)evbuffer_drain(input, info->n_added);
    } else {
        feed(peer, input, info->n_added);
    }
    peer->feeding = false;
}

/* Whose answer has waited longest to be read. */
static void cut_slowest(struct peers *peers)
{
    struct peer *slowest = NULL;

    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct peer *peer = peers->buckets[i]; peer != NULL; peer = peer->next) {
            if (peer->held > 0 && (slowest == NULL || peer->unsent_since < slowest->unsent_since)) {
                slowest = peer;
            }
        }
    }
    if (slowest != NULL) {
        cut(slowest);
    }
}

static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
    struct peer *peer = arg;

    if (peer->cut || peer->lingering) {
        return;
    }
    peer->unsent = evbuffer_get_length(output);
    set_held(peer, peer->unsent > 0 ? peer->held + info->n_added : 0);
    if (info->n_added > 0) {
        peer->unsent_then = peer->unsent;
        peer->unsent_since = clock_monotonic_ms();
    }
    if (peer->peers->held > HELD_MAX) {
        cut_slowest(peer->peers);
    }
}

static void on_answered(struct evhttp_request *request, void *arg)
{
    struct peer *peer = arg;

    (void)request;
    peer->answered++;
    peer->since = clock_monotonic_ms();
    if (peer->inlet.verdict != INLET_FINE) {
        reactor_timer_set(&peer->peers->sweep, 0);
    }
}

/* evhttp is about to be done with it. */
static void on_close(struct evhttp_connection *connection, void *arg)
{
    struct peer *peer = arg;

    (void)connection;
    reactor_timer_set(&peer->peers->sweep, 0);
}

void peers_serve(struct peers *peers, struct evhttp_request *request)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    struct peer *peer = find(peers, evhttp_connection_get_bufferevent(connection));

    if (peer != NULL) {
        evhttp_request_set_on_complete_cb(request, on_answered, peer);
        evhttp_connection_set_closecb(connection, on_close, peer);
    }
}

/* ---- deadlines ---- */

/* How long it may stay as it is; 0: for ever. */
static int64_t patience(const struct peer *peer)
{
    if (peer->seized || peer->lingering) {
        return LINGER_MS;
    }
    if (peer->inlet.whole > peer->answered) {
        return 0; /* it waits for us, or has an answer to read */
    }
    switch (peer->phase) {
    case INLET_IDLE:
        return peer->tls && peer->heads == 0 && !tls_bufferevent_is_open(peer->bev)
                   ? HANDSHAKE_BY_MS
                   : IDLE_BY_MS;
    case INLET_HEAD:
        return HEAD_BY_MS;
    case INLET_BODY:
        return BODY_BY_MS;
    }
    return IDLE_BY_MS;
}

static bool reads_too_slowly(struct peer *peer, int64_t now)
{
    if (peer->unsent == 0 || now - peer->unsent_since <= PROGRESS_BY_MS) {
        return false;
    }
    if (peer->unsent + PROGRESS_STEP > peer->unsent_then) {
        return true;
    }
    peer->unsent_then = peer->unsent;
    peer->unsent_since = now;
    return false;
}

static bool is_overdue(struct peer *peer, int64_t now)
{
    int64_t ms = patience(peer);

    return (ms != 0 && now - peer->since > ms) || reads_too_slowly(peer, now);
}

static bool is_unreadable(const struct peer *peer)
{
    return !peer->seized && peer->inlet.verdict != INLET_FINE &&
           peer->answered == peer->inlet.whole;
}

static void sweep_one(struct peer *peer, int64_t now)
{
    if (peer->lingering) {
        if (is_overdue(peer, now)) {
            drop(peer);
        }
    } else if (peer->cut || peer->refused || is_overdue(peer, now)) {
        end(peer);
    } else if (!evhttp_is_done(peer)) {
        if (is_unreadable(peer)) {
            seize(peer);
        }
    } else if (peer->unsent > 0) {
        drop(peer);
    } else {
        linger(peer);
    }
}

static void sweep(void *arg)
{
    struct peers *peers = arg;
    int64_t now = clock_monotonic_ms();

    for (size_t i = 0; i < BUCKETS; i++) {
        struct peer *next;

        for (struct peer *peer = peers->buckets[i]; peer != NULL; peer = next) {
            next = peer->next;
            sweep_one(peer, now);
        }
    }
    reactor_timer_set(&peers->sweep, SWEEP_MS);
}

/* ---- all of them ---- */

size_t peers_head_max(void)
{
    return HEAD_MAX;
}

size_t peers_body_max(const struct peers *peers)
{
    return peers->options.max_payload + BODY_SLACK;
}

struct peers *peers_open(const struct peers_options *options)
{
    struct peers *peers = calloc(1, sizeof(*peers));

    if (peers == NULL) {
        abort();
    }
    peers->options = *options;
    peers->aside = evbuffer_new();
    if (peers->aside == NULL) {
        abort();
    }
    buf_init(&peers->out, 0);
    reactor_timer_init(&peers->sweep, options->reactor, sweep, peers);
    reactor_timer_set(&peers->sweep, SWEEP_MS);
    return peers;
}

void peers_close(struct peers *peers)
{
    if (peers == NULL) {
        return;
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        while (peers->buckets[i] != NULL) {
            drop_at(&peers->buckets[i]);
        }
    }
    reactor_timer_done(&peers->sweep);
    evbuffer_free(peers->aside);
    buf_done_secret(&peers->out);
    free(peers);
}

void peers_close_door(struct peers *peers)
{
    peers->door_closed = true;
}

void peers_admit(struct peers *peers, struct bufferevent *bev, enum peer_kind kind, bool tls)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    struct peer **bucket = bucket_of(peers, bev);

    if (peer == NULL) {
        abort();
    }
    peer->peers = peers;
    peer->bev = bev;
    peer->kind = kind;
    peer->tls = tls;
    peer->since = clock_monotonic_ms();
    peer->refused = peers->count[kind] >= peers->options.max_connections[kind] ||
                    (peers->door_closed && kind == PEER_MANAGEMENT);
    inlet_init(&peer->inlet, peers->options.max_payload);
    bufferevent_incref(bev);
    bufferevent_setwatermark(bev, EV_READ, 0, peers_head_max() + peers_body_max(peers));
    if (evbuffer_add_cb(bufferevent_get_input(bev), on_input, peer) == NULL ||
        evbuffer_add_cb(bufferevent_get_output(bev), on_output, peer) == NULL) {
        abort();
    }
    peer->next = *bucket;
    *bucket = peer;
    peers->count[kind]++;
    if (peer->refused) {
        reactor_timer_set(&peers->sweep, 0); /* evhttp has set the socket by then */
    }
}
