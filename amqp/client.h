/*
 * client: a small blocking AMQP 1.0 client that does what a protocol adapter does, for `koseki
 * probe`. Login by PLAIN (sasl_client), then Proton's engine.
 *
 * Threads:   the caller's only; every call waits at most `timeout_ms`.
 * Ownership: answers belong to the caller (buf_done on body).
 * Errors:    KS_IO: could not connect, the connection broke, or no AMQP is spoken there;
 *            KS_UNAUTHORIZED: login refused; KS_UNAVAILABLE: logins cannot be checked now;
 *            KS_FORBIDDEN: link refused (the AMQP condition's text is in why->text).
 */
#pragma once

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

struct amqp_client;
struct tls_context;

struct amqp_client_options {
    const char *address;     /* HOST:PORT */
    struct tls_context *tls; /* NULL: plain */
    const char *user;
    const char *password;
    int timeout_ms;
};

struct amqp_client_request {
    const char *endpoint; /* "tenant", "credentials", "registration" */
    struct span tenant;   /* empty for the tenant endpoint */
    const char *subject;
    struct span device_id; /* application property; empty: none */
    struct span body;      /* JSON; empty: none */
};

struct amqp_client_answer {
    int status;
    struct buf body;
};

KS_MUST_CHECK enum ks_status amqp_client_open(struct amqp_client **out,
                                              const struct amqp_client_options *options,
                                              struct ks_failure *why);
/* Opens the links it needs, sends, waits for the answer. */
KS_MUST_CHECK enum ks_status amqp_client_call(struct amqp_client *client,
                                              const struct amqp_client_request *request,
                                              struct amqp_client_answer *answer,
                                              struct ks_failure *why);
void amqp_client_close(struct amqp_client *client);
