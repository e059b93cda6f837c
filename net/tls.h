/*
 * tls: server contexts (TLS 1.2 and 1.3, optional client certificates) that can be reloaded, and
 * client contexts for the command line tools. With stream.c, the only files that know OpenSSL's
 * SSL.
 *
 * Threads:   open, close, reload on any one thread at a time; new sessions from any thread.
 * Ownership: sessions hold their context; a context may be closed or reloaded under them.
 * Errors:    KS_INVALID or KS_IO with the file and OpenSSL's own words; on a failed reload the old
 *            context stays.
 */
#pragma once

#include <stdbool.h>

#include "base/status.h"

struct bufferevent;
struct event_base;
struct ssl_st; /* OpenSSL's SSL */
struct tls_context;

struct tls_server_options {
    const char *cert;      /* PEM chain */
    const char *key;       /* PEM */
    const char *client_ca; /* PEM; NULL: no client certificate is asked for */
};

KS_MUST_CHECK enum ks_status tls_server_open(struct tls_context **out,
                                             const struct tls_server_options *options,
                                             struct ks_failure *why);
KS_MUST_CHECK enum ks_status tls_reload(struct tls_context *context, struct ks_failure *why);
/* Verifies the server against `ca` (PEM; NULL: the CAs of the system) by host name; cert and key
 * may be NULL. */
KS_MUST_CHECK enum ks_status tls_client_open(struct tls_context **out, const char *ca,
                                             const char *cert, const char *key,
                                             struct ks_failure *why);
void tls_close(struct tls_context *context);

/* A session over a connected socket, not yet shaken hands; NULL when memory is gone. For a client,
 * `host` is the name to verify and to send as SNI; NULL on a server. */
struct ssl_st *tls_session(struct tls_context *context, int fd, const char *host);
/* A filterless bufferevent of libevent over a fresh server session, for evhttp. */
struct bufferevent *tls_bufferevent(struct tls_context *context, struct event_base *base);
/* Whether such a one has shaken hands. */
bool tls_bufferevent_is_open(struct bufferevent *bev);
