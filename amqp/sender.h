/*
 * sender: takes events and notifications out of the outbox, in order, and sends them to the message
 * broker: one connection, several brokers in turn, reconnected for ever. An entry leaves the store
 * only when the broker has accepted it; whatever happens between is sent again (at least once).
 *
 * Threads:   open, drain, close on the thread that set up the process; all else on a reactor of its
 *            own. Woken from any thread by the outbox. sender_report from any thread.
 * Ownership: borrows everything in the options.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "amqp/broker_url.h"
#include "base/status.h"

struct outbox;
struct reactor;
struct sender;
struct service;
struct tls_context;

struct sender_options {
    const struct broker_url *urls;
    size_t url_count;
    struct tls_context *tls; /* for amqps */
    const char *user;        /* NULL: EXTERNAL with a certificate, else ANONYMOUS */
    const char *password;    /* copied */
    bool certificate;
    const struct service *service; /* with its outbox */
    struct reactor *reactor;
};

/* Before the reactor starts. */
KS_MUST_CHECK enum ks_status sender_open(struct sender **out, const struct sender_options *options,
                                         struct ks_failure *why);
/* Somebody may have mended what is wrong: puts parked events back into the queue, as every new
 * connection does, and dials at once if it was pausing. `password`: copied, of the next login;
 * NULL: as before. Any thread. */
void sender_retry(struct sender *sender, const char *password);
/* Sends nothing more, waits up to `ms` for the broker's word on what it has, and for that to be
 * written down; then says goodbye. The writer and the reactor are still running. */
void sender_drain(struct sender *sender, int64_t ms);
/* The reactor has stopped. Takes NULL. */
void sender_close(struct sender *sender);

struct sender_report {
    bool connected;
    char broker[NET_HOST_PORT_MAX]; /* of the connection, or of the last attempt */
    char trouble[256];              /* of the last attempt; empty while connected */
    uint64_t events;                /* that wait, as of the last look */
    uint64_t notifications;
    uint64_t parked;
    uint64_t dropped;
    int64_t oldest_ms; /* age of the oldest event that waits; 0: none */
};

void sender_report(struct sender *sender, struct sender_report *out);
