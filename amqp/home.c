#include "amqp/home.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "amqp/connection.h"
#include "amqp/link.h"

enum { RESPONSE_MAX = 4 << 20 };

void home_connection_gone(struct home *home)
{
    atomic_fetch_sub(reactor_load(home->reactor), 1);
    atomic_fetch_sub(home->all_connections, 1);
}

static void turn_dirty(void *arg)
{
    struct home *home = arg;

    while (home->dirty != NULL) {
        struct connection *connection = home->dirty;

        home->dirty = connection->next_dirty;
        connection->next_dirty = NULL;
        connection->dirty = false;
        connection_turn(connection);
    }
}

/* The longest queue of the connection; NULL if it has none. */
static struct link *first_waiting(const struct home *home, uint32_t index)
{
    const struct connection *connection = home->connections.slot[index].item;

    return connection == NULL ? NULL : connection->waiting;
}

void home_reclaim(struct home *home)
{
    size_t bound = (size_t)ALL_QUEUES_MAX / home->options->reactor_count;

    while (home->queued_bytes > bound) {
        struct connection *most = NULL;

        for (uint32_t i = 0; i < home->connections.count; i++) {
            struct link *link = first_waiting(home, i);

            if (link != NULL &&
                (most == NULL || link->connection->queued_bytes > most->queued_bytes)) {
                most = link->connection;
            }
        }
        assert(most != NULL);
        link_fail(most->waiting, "amqp:resource-limit-exceeded",
                  "too many answers wait for credit on reply links");
        connection_turn_later(most);
    }
}

enum ks_status home_open(struct home *home, struct reactor *reactor, struct ks_failure *why)
{
    enum ks_status st;

    home->reactor = reactor;
    home->counters = reactor_counters(reactor);
    slots_init(&home->connections);
    answer_init(&home->answer);
    buf_init(&home->response, RESPONSE_MAX);
    home->message = malloc(home->options->limits.max_message);
    if (home->message == NULL) {
        abort();
    }
    reactor_timer_init(&home->turn_dirty, reactor, turn_dirty, home);
    st = service_reader_open(&home->reader, home->options->service, home->counters, why);
    home->has_reader = st == KS_OK;
    return st;
}

void home_close(struct home *home)
{
    if (home->reactor == NULL) {
        return; /* never opened */
    }
    for (uint32_t i = 0; i < home->connections.count; i++) {
        if (home->connections.slot[i].item != NULL) {
            connection_abandon(home->connections.slot[i].item);
        }
    }
    slots_done(&home->connections);
    reactor_timer_done(&home->turn_dirty);
    if (home->has_reader) {
        service_reader_close(&home->reader);
    }
    answer_done(&home->answer);
    buf_done(&home->response);
    free(home->message);
}
