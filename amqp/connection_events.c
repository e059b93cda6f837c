/* What the engine says: each event to the function that handles it. */
#include <proton/condition.h>
#include <proton/connection.h>
#include <proton/delivery.h>
#include <proton/event.h>
#include <proton/link.h>
#include <proton/session.h>
#include <proton/transport.h>

#include "amqp/connection.h"
#include "amqp/dispatch.h"
#include "amqp/home.h"
#include "amqp/link.h"
#include "base/clock.h"

/* Frames that a session may have outstanding: more than any credit we grant on a link. */
enum { SESSION_WINDOW_FRAMES = 2048 };

static struct link *link_of(pn_event_t *event)
{
    pn_link_t *engine = pn_event_link(event);

    return engine == NULL ? NULL : pn_link_get_context(engine);
}

static void on_connection_remote_open(struct connection *connection, pn_event_t *event)
{
    pn_connection_open(pn_event_connection(event));
    connection->opened = true;
    connection->open_by = 0;
    connection->tick_at = clock_monotonic_ms(); /* idle supervision begins */
}

static void on_connection_remote_close(struct connection *connection, pn_event_t *event)
{
    (void)connection;
    pn_connection_close(pn_event_connection(event));
}

static void on_session_remote_open(struct connection *connection, pn_event_t *event)
{
    pn_session_t *session = pn_event_session(event);

    pn_session_set_incoming_capacity(session, (size_t)SESSION_WINDOW_FRAMES *
                                                  connection->home->options->limits.max_frame);
    pn_session_open(session);
}

/* Its links have seen a DETACH before. The session itself is freed with the connection: freeing it
 * now is not safe in the engine (0.37). */
static void on_session_remote_close(struct connection *connection, pn_event_t *event)
{
    pn_session_close(pn_event_session(event));
    connection->ends_unwritten++;
}

static void on_link_remote_open(struct connection *connection, pn_event_t *event)
{
    link_attached(connection, pn_event_link(event));
}

static void on_link_remote_end(struct connection *connection, pn_event_t *event)
{
    pn_link_t *engine = pn_event_link(event);
    struct link *link = link_of(event);

    (void)connection;
    if (link != NULL) {
        link_gone(link);
    }
    pn_link_close(engine);
    pn_link_free(engine);
}

static void on_link_flow(struct connection *connection, pn_event_t *event)
{
    struct link *link = link_of(event);

    (void)connection;
    if (link != NULL && link->is_reply) {
        link_pump(link);
    }
}

static void on_delivery(struct connection *connection, pn_event_t *event)
{
    pn_delivery_t *delivery = pn_event_delivery(event);
    struct link *link;

    (void)connection;
    if (pn_delivery_link(delivery) == NULL) {
        return; /* its link was freed meanwhile */
    }
    link = pn_link_get_context(pn_delivery_link(delivery));
    if (link == NULL) {
        pn_delivery_settle(delivery); /* on a link that we refused or detached: not looked at */
    } else if (link->is_reply) {
        link_answer_updated(link, delivery);
    } else {
        dispatch_delivery(link, delivery);
    }
}

static void handle_event(struct connection *connection, pn_event_t *event)
{
    static const struct {
        pn_event_type_t type;
        void (*handle)(struct connection *connection, pn_event_t *event);
    } table[] = {
        {PN_DELIVERY, on_delivery},
        {PN_LINK_FLOW, on_link_flow},
        {PN_LINK_REMOTE_OPEN, on_link_remote_open},
        {PN_LINK_REMOTE_DETACH, on_link_remote_end},
        {PN_LINK_REMOTE_CLOSE, on_link_remote_end},
        {PN_SESSION_REMOTE_OPEN, on_session_remote_open},
        {PN_SESSION_REMOTE_CLOSE, on_session_remote_close},
        {PN_CONNECTION_REMOTE_OPEN, on_connection_remote_open},
        {PN_CONNECTION_REMOTE_CLOSE, on_connection_remote_close},
    };
    pn_event_type_t type = pn_event_type(event);

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].type == type) {
            table[i].handle(connection, event);
            return;
        }
    }
}

void connection_handle_events(struct connection *connection)
{
    pn_event_t *event = pn_connection_driver_next_event(&connection->engine);

    while (event != NULL) {
        handle_event(connection, event);
        event = pn_connection_driver_next_event(&connection->engine);
    }
}

void connection_fail_link(struct connection *connection, const struct guard_event *at,
                          const struct ks_failure *why)
{
    for (uint32_t i = 0; i < connection->links.count; i++) {
        struct link *link = connection->links.slot[i].item;

        if (link != NULL && link->channel == at->channel && link->remote_handle == at->handle) {
            link_fail(link, why->reason, why->text);
            return;
        }
    }
}
