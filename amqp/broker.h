/*
 * broker: one connection to a message broker: dial, TLS, SASL, OPEN, one session; frames in and out
 * through the engine, heartbeats, deadlines. What is sent over it is the sender's business.
 *
 * The engine is fed whole frames only, and none but what a broker has to say: it answers our OPEN,
 * our session and our links, and speaks of our deliveries. The guard sees to it; we grant no
 * credit, so a TRANSFER ends the connection too.
 *
 * Threads:   its reactor's only.
 * Ownership: the handler hears `ended` once and closes the broker within that call; after that it
 *            hears nothing.
 * Source:    AMQP 1.0 part 2.
 */
#pragma once

#include <stdbool.h>

#include "amqp/broker_url.h"
#include "base/status.h"

struct broker;
struct pn_delivery_t;
struct pn_link_t;
struct pn_session_t;
struct reactor;
struct tls_context;

struct broker_options {
    struct reactor *reactor;
    struct dialer *dialer;   /* of all attempts: one after the other */
    struct tls_context *tls; /* for amqps */
    const char *user;        /* NULL: EXTERNAL with a certificate, else ANONYMOUS */
    const char *password;
    bool certificate; /* the TLS context has one */
    const char *container;
};

struct broker_handler {
    void (*opened)(void *arg);
    /* Attached, or with other credit; or ended by the peer: then it is freed after the call. */
    void (*link_changed)(void *arg, struct pn_link_t *link, bool ended);
    /* The peer's word on a delivery; settled after the call. */
    void (*outcome)(void *arg, struct pn_delivery_t *delivery);
    /* After events were handled, before output is written. */
    void (*turned)(void *arg);
    /* `why` is borrowed for the call. */
    void (*ended)(void *arg, const struct ks_failure *why);
};

/* Begins to dial. `options`, `url` and `handler` are borrowed for its life. */
struct broker *broker_open(const struct broker_options *options, const struct broker_url *url,
                           const struct broker_handler *handler, void *arg);
/* At once. Takes NULL. */
void broker_close(struct broker *broker);
/* Ends the connection for this reason: calls `ended`. */
void broker_give_up(struct broker *broker, const char *why);
/* Sends a CLOSE; `ended` follows. */
void broker_shut_down(struct broker *broker);
/* Writes what the engine has to say: the end of whatever was done from outside. May call `ended`.
 */
void broker_turn(struct broker *broker);

bool broker_is_open(const struct broker *broker);
struct pn_session_t *broker_session(struct broker *broker);
/* Whether the peer takes messages on a link without an address. */
bool broker_relays(struct broker *broker);
