/*
 * address: HOST:PORT texts, listening sockets, and the text of a bound or peer address.
 *
 * Threads: any. Name look-ups block: only at start and in the command line tools.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

/* "127.0.0.1:5672", "[::1]:5672" and a NUL. */
struct net_address_text {
    char text[80];
};

enum { NET_HOST_PORT_MAX = 272 }; /* bytes of a checked HOST:PORT and its NUL, at most */

/* Splits HOST:PORT or [HOST]:PORT; a bare ":PORT" is refused, port 0 is fine. */
KS_MUST_CHECK enum ks_status net_address_check(const char *host_port, struct ks_failure *why);
/* HOST of HOST:PORT or [HOST]:PORT, cut to size - 1. */
void net_host_of(const char *host_port, char *out, size_t size);
/* A non-blocking listening socket with SO_REUSEADDR, TCP_NODELAY, backlog 4096; *bound is where. */
KS_MUST_CHECK enum ks_status net_listen(const char *host_port, int *fd,
                                        struct net_address_text *bound, struct ks_failure *why);
struct addrinfo;
/* The addresses of HOST:PORT, to be freed by freeaddrinfo; with `numeric` only an address is taken,
 * and nothing blocks. */
KS_MUST_CHECK enum ks_status net_resolve(const char *host_port, bool numeric, struct addrinfo **out,
                                         struct ks_failure *why);
/* A connected blocking socket, for the command line tools. */
KS_MUST_CHECK enum ks_status net_connect(const char *host_port, int timeout_ms, int *fd,
                                         struct ks_failure *why);
/* Whether a connected socket has met itself: a connect to a port of this machine where nobody
 * listens may be given that very port for its own end, and then succeeds. Kept open it would keep
 * the server from its port. */
bool net_is_own_peer(int fd);
void net_peer_text(int fd, struct net_address_text *out);
/* The fairness key: a hash of the peer's address without its port. */
uint64_t net_peer_key(int fd);
uint64_t net_host_key(struct span host);
