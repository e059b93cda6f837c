/*
 * held: how much of our answers the engine keeps for a connection: until they are written, and,
 * unless they went out settled, until the peer settles them. The engine has no bound of its own.
 *
 * A connection always has a small share, so that peers that never settle cannot take the others'
 * room; beyond it, it takes from what all connections of the reactor have together.
 *
 * Threads:   the reactor's only.
 * Units:     bytes, as the engine spends them: twice the message (its buffers double) and its
 *            records of a delivery.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct connection;

enum {
    HELD_SHARE = 16 << 10,         /* of each connection, whatever the others hold */
    HELD_CONNECTION_MAX = 4 << 20, /* of one connection */
    HELD_ALL_MAX = 16 << 20,       /* of all connections beyond their shares */
};

/* Whether an answer of `len` bytes may go to the engine now. One always may. */
bool held_has_room(const struct connection *connection, size_t len);
/* Counts one that went there; what to give back. */
size_t held_take(struct connection *connection, size_t len);
/* Counts one that went there settled: it is given back when all output is written. */
void held_take_until_written(struct connection *connection, size_t len);
void held_give(struct connection *connection, size_t cost);
/* All output is written, or the connection is gone. */
void held_written(struct connection *connection);
