/*
 * peers: the connections of all HTTP ports, and what evhttp does not do for them: a cap, an inlet
 * before evhttp (http/inlet.h), deadlines for heads, bodies and silence, an answer of our own where
 * a request cannot be read, a bound on what waits to be read by clients, and an end that lets the
 * last answer arrive.
 *
 * evhttp tells of a connection when it makes its bufferevent, but not when it ends: so a reference
 * of ours keeps the bufferevent, and one whose callbacks evhttp has taken off is one that it is
 * done with.
 *
 * Threads:   the reactor's, but for open and close, which are for when it does not run.
 * Ownership: as above; what evhttp made of a bufferevent stays evhttp's.
 * Source:    docs/decisions/inlet-before-evhttp.md; libevent 2.1's evhttp and bufferevents.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct bufferevent;
struct evhttp_request;
struct peers;
struct reactor;

enum peer_kind {
    PEER_MANAGEMENT,
    PEER_OPERATIONS,
    PEER_KINDS,
};

struct peers_options {
    struct reactor *reactor;
    size_t max_payload; /* bytes of a request body */
    size_t max_connections[PEER_KINDS];
};

struct peers *peers_open(const struct peers_options *options);
/* evhttp has freed its connections. Takes NULL. */
void peers_close(struct peers *peers);
/* New connections are closed at once from now on, but for the operations port's. */
void peers_close_door(struct peers *peers);

/* What evhttp must be ready to take: canonical heads are a little larger than what came. */
size_t peers_head_max(void);
size_t peers_body_max(const struct peers *peers);

/* evhttp is about to make a connection of this bufferevent. */
void peers_admit(struct peers *peers, struct bufferevent *bev, enum peer_kind kind, bool tls);
/* evhttp has handed out a request; called before it is answered. */
void peers_serve(struct peers *peers, struct evhttp_request *request);
