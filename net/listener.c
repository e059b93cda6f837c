#include "net/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/reactor.h"

enum { ACCEPTS_A_TURN = 8, PAUSE_MS = 100 };

struct listener {
    int fd;
    void (*accepted)(void *arg, int fd);
    void *arg;
    struct event *event;
    struct reactor_timer resume; /* after the process ran out of descriptors */
};

static void listener_resume(void *arg)
{
    struct listener *listener = arg;

    (void)event_add(listener->event, NULL);
}

/* The peer gave up between connect and accept, or the network did: nothing of ours. */
static int is_passing(int error)
{
    return error == EAGAIN || error == EINTR || error == ECONNABORTED || error == EPROTO ||
           error == EPERM;
}

static void listener_on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct listener *listener = arg;

    (void)what;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int s = accept4((int)fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (s >= 0) {
            listener->accepted(listener->arg, s);
            continue;
        }
        if (!is_passing(errno)) {
            struct log_text text;

            log_warn("accept-failed", "reason=%s action=\"pause %d ms\"",
                     log_text(&text, span_cstr(ks_errno_text(errno))), PAUSE_MS);
            (void)event_del(listener->event);
            reactor_timer_set(&listener->resume, PAUSE_MS);
        }
        return;
    }
}

struct listener *listener_open(struct reactor *reactor, int fd, void (*accepted)(void *arg, int fd),
                               void *arg)
{
    struct listener *listener = calloc(1, sizeof(*listener));

    if (listener == NULL) {
        abort();
    }
    listener->fd = fd;
    listener->accepted = accepted;
    listener->arg = arg;
    reactor_timer_init(&listener->resume, reactor, listener_resume, listener);
    listener->event =
        event_new(reactor_base(reactor), fd, EV_READ | EV_PERSIST, listener_on_readable, listener);
    if (listener->event == NULL || event_add(listener->event, NULL) != 0) {
        abort();
    }
    return listener;
}

void listener_close(struct listener *listener)
{
    if (listener == NULL) {
        return;
    }
    event_free(listener->event);
    reactor_timer_done(&listener->resume);
    close(listener->fd);
    free(listener);
}
