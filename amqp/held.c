#include "amqp/held.h"

#include <assert.h>

#include "amqp/connection.h"
#include "amqp/home.h"

enum { DELIVERY_COST = 1024 };

static size_t held_cost(size_t len)
{
    return 2 * len + DELIVERY_COST;
}

/* Of a connection's bytes, those beyond its share. */
static size_t held_beyond(size_t held)
{
    return held > HELD_SHARE ? held - HELD_SHARE : 0;
}

static void held_set(struct connection *connection, size_t held)
{
    struct home *home = connection->home;

    home->held_bytes -= held_beyond(connection->held_bytes);
    home->held_bytes += held_beyond(held);
    connection->held_bytes = held;
}

bool held_has_room(const struct connection *connection, size_t len)
{
    const struct home *home = connection->home;
    size_t after = connection->held_bytes + held_cost(len);

    if (connection->held_bytes == 0 || after <= HELD_SHARE) {
        return true;
    }
    return after <= HELD_CONNECTION_MAX &&
           home->held_bytes < (size_t)HELD_ALL_MAX / home->options->reactor_count;
}

size_t held_take(struct connection *connection, size_t len)
{
    size_t cost = held_cost(len);

    held_set(connection, connection->held_bytes + cost);
    return cost;
}

void held_take_until_written(struct connection *connection, size_t len)
{
    connection->held_settled += held_take(connection, len);
}

void held_give(struct connection *connection, size_t cost)
{
    assert(cost <= connection->held_bytes);
    held_set(connection, connection->held_bytes - cost);
}

void held_written(struct connection *connection)
{
    held_give(connection, connection->held_settled);
    connection->held_settled = 0;
}
