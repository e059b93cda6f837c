#include "net/dialer.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "net/address.h"
#include "net/reactor.h"

/* A look-up on its thread. Whoever comes last frees it: the dialer, which may have lost interest,
 * or the thread. */
struct lookup {
    struct reactor_post post; /* first */
    struct reactor *reactor;
    char host_port[NET_HOST_PORT_MAX];

    struct lock lock;      /* guards the two below */
    bool ended;            /* the thread has posted */
    struct dialer *dialer; /* NULL: nobody wants the result any more */

    struct addrinfo *found;
    enum ks_status status;
    struct ks_failure why;
};

struct dialer {
    struct reactor *reactor;
    struct lookup *lookup; /* under way; it may outlive its attempt */
    bool wanted;           /* its result is */
    bool busy;             /* an attempt is under way */
    struct addrinfo *found;
    const struct addrinfo *next; /* to be tried */
    int fd;                      /* connecting; -1: none */
    struct event *writable;
    struct reactor_timer begin; /* so that `done` is never called from within dialer_connect */
    struct reactor_timer timer; /* of the look-up, then of each address */
    int64_t by;                 /* of the attempt; monotonic */
    char host_port[NET_HOST_PORT_MAX];
    struct ks_failure why; /* of the last address */
    void (*done)(void *arg, int fd, const struct ks_failure *why);
    void *arg;
};

/* ---- the end of an attempt ---- */

static void drop_socket(struct dialer *dialer)
{
    if (dialer->writable != NULL) {
        event_free(dialer->writable);
        dialer->writable = NULL;
    }
    if (dialer->fd >= 0) {
        close(dialer->fd);
        dialer->fd = -1;
    }
}

static void clear(struct dialer *dialer)
{
    drop_socket(dialer);
    reactor_timer_clear(&dialer->begin);
    reactor_timer_clear(&dialer->timer);
    if (dialer->found != NULL) {
        freeaddrinfo(dialer->found);
        dialer->found = NULL;
    }
    dialer->wanted = false;
    dialer->busy = false;
}

static void end(struct dialer *dialer, int fd)
{
    struct ks_failure why = dialer->why;

    if (fd >= 0) {
        dialer->fd = -1; /* handed over */
    }
    clear(dialer);
    dialer->done(dialer->arg, fd, &why);
}

/* ---- connecting ---- */

static void try_next(struct dialer *dialer);

static void failed(struct dialer *dialer, int error)
{
    drop_socket(dialer);
    (void)ks_fail(&dialer->why, KS_IO, NULL, "%s", ks_errno_text(error));
    try_next(dialer);
}

static void on_timer(void *arg)
{
    struct dialer *dialer = arg;

    if (dialer->found != NULL) {
        failed(dialer, ETIMEDOUT);
        return;
    }
    (void)ks_fail(&dialer->why, KS_IO, NULL, "the look-up of the name timed out");
    end(dialer, -1);
}

/* An address that says nothing takes only its share of the time. */
static int64_t share_of_time(const struct dialer *dialer, const struct addrinfo *at)
{
    int64_t left = dialer->by - clock_monotonic_ms();
    int64_t addresses = 0;

    for (; at != NULL; at = at->ai_next) {
        addresses++;
    }
    return left / addresses;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct dialer *dialer = arg;
    int error = 0;
    socklen_t len = sizeof(error);

    (void)what;
    if (getsockopt((int)fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        error = errno;
    }
    if (error == 0 && net_is_own_peer((int)fd)) {
        error = ECONNREFUSED; /* nobody listens */
    }
    if (error != 0) {
        failed(dialer, error);
    } else {
        end(dialer, (int)fd);
    }
}

static void try_next(struct dialer *dialer)
{
    const struct addrinfo *at = dialer->next;
    const int on = 1;

    if (at == NULL) {
        end(dialer, -1);
        return;
    }
    reactor_timer_set(&dialer->timer, share_of_time(dialer, at));
    dialer->next = at->ai_next;
    dialer->fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dialer->fd < 0) {
        failed(dialer, errno);
        return;
    }
    (void)setsockopt(dialer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(dialer->fd, at->ai_addr, at->ai_addrlen) != 0 && errno != EINPROGRESS) {
        failed(dialer, errno);
        return;
    }
    dialer->writable =
        event_new(reactor_base(dialer->reactor), dialer->fd, EV_WRITE, on_writable, dialer);
    if (dialer->writable == NULL || event_add(dialer->writable, NULL) != 0) {
        abort();
    }
}

/* ---- looking up ---- */

static void lookup_free(struct lookup *lookup)
{
    if (lookup->found != NULL) {
        freeaddrinfo(lookup->found);
    }
    lock_done(&lookup->lock);
    free(lookup);
}

static void looked_up(struct reactor_post *post, bool discard)
{
    struct lookup *lookup = (struct lookup *)post;
    struct dialer *dialer;

    lock_take(&lookup->lock); /* until the thread that posted has let go of it */
    dialer = lookup->dialer;
    lock_give(&lookup->lock);
    if (dialer == NULL || discard) {
        if (dialer != NULL) {
            dialer->lookup = NULL;
        }
        lookup_free(lookup);
        return;
    }
    dialer->lookup = NULL;
    if (!dialer->wanted) {
        lookup_free(lookup);
        return;
    }
    dialer->wanted = false;
    dialer->found = lookup->found;
    dialer->next = lookup->found;
    dialer->why = lookup->why;
    lookup->found = NULL;
    lookup_free(lookup);
    try_next(dialer);
}

static void *lookup_main(void *arg)
{
    struct lookup *lookup = arg;
    bool wanted;

    lookup->status = net_resolve(lookup->host_port, false, &lookup->found, &lookup->why);
    lock_take(&lookup->lock);
    lookup->ended = true;
    wanted = lookup->dialer != NULL;
    if (wanted) { /* under the lock: the dialer, and with it the reactor, is still there */
        lookup->post.run = looked_up;
        reactor_post(lookup->reactor, &lookup->post);
    }
    lock_give(&lookup->lock);
    if (!wanted) {
        lookup_free(lookup);
    }
    return NULL;
}

static void start_lookup(struct dialer *dialer)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    pthread_attr_t attributes;
    pthread_t thread;
    int rc;

    if (lookup == NULL) {
        abort();
    }
    memcpy(lookup->host_port, dialer->host_port, sizeof(lookup->host_port));
    lookup->reactor = dialer->reactor;
    lookup->dialer = dialer;
    lock_init(&lookup->lock);
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&thread, &attributes, lookup_main, lookup);
    (void)pthread_attr_destroy(&attributes);
    if (rc != 0) {
        lookup_free(lookup);
        (void)ks_fail(&dialer->why, KS_IO, NULL, "cannot start the resolver thread: %s",
                      ks_errno_text(rc));
        end(dialer, -1);
        return;
    }
    dialer->lookup = lookup;
    dialer->wanted = true;
}

static void begin(void *arg)
{
    struct dialer *dialer = arg;

    if (net_resolve(dialer->host_port, true, &dialer->found, NULL) == KS_OK) {
        dialer->next = dialer->found; /* an address: there is nothing to look up */
        try_next(dialer);
    } else if (dialer->lookup != NULL) {
        (void)ks_fail(&dialer->why, KS_IO, NULL, "an earlier look-up of a name has not ended");
        end(dialer, -1);
    } else {
        start_lookup(dialer);
    }
}

void dialer_connect(struct dialer *dialer, const char *host_port, int64_t timeout_ms,
                    void (*done)(void *arg, int fd, const struct ks_failure *why), void *arg)
{
    assert(!dialer->busy && strlen(host_port) < sizeof(dialer->host_port));
    memcpy(dialer->host_port, host_port, strlen(host_port) + 1);
    dialer->done = done;
    dialer->arg = arg;
    dialer->busy = true;
    dialer->why = (struct ks_failure){0};
    dialer->by = clock_monotonic_ms() + timeout_ms;
    reactor_timer_set(&dialer->timer, timeout_ms);
    reactor_timer_set(&dialer->begin, 0);
}

void dialer_cancel(struct dialer *dialer)
{
    if (dialer->busy) {
        clear(dialer);
    }
}

struct dialer *dialer_open(struct reactor *reactor)
{
    struct dialer *dialer = calloc(1, sizeof(*dialer));

    if (dialer == NULL) {
        abort();
    }
    dialer->reactor = reactor;
    dialer->fd = -1;
    reactor_timer_init(&dialer->begin, reactor, begin, dialer);
    reactor_timer_init(&dialer->timer, reactor, on_timer, dialer);
    return dialer;
}

void dialer_close(struct dialer *dialer)
{
    struct lookup *lookup;

    if (dialer == NULL) {
        return;
    }
    dialer_cancel(dialer);
    lookup = dialer->lookup;
    if (lookup != NULL) {
        lock_take(&lookup->lock);
        lookup->dialer = NULL; /* posted: the post frees it; else the thread does */
        lock_give(&lookup->lock);
    }
    reactor_timer_done(&dialer->begin);
    reactor_timer_done(&dialer->timer);
    free(dialer);
}
