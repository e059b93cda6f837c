#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * NET_BACKLOG: connections that wait to be accepted, capped by net.core.somaxconn. A fleet that
 * comes back at once must fit: once the queue is full the kernel may let a client believe that it
 * is connected, and keep nothing of it.
 */
enum { NET_BACKLOG = 4096, NET_HOST_MAX = 256 };

struct host_port {
    char host[NET_HOST_MAX];
    char port[8];
};

static enum ks_status split(const char *text, struct host_port *out, struct ks_failure *why)
{
    const char *colon = strrchr(text, ':');
    const char *host = text;
    size_t host_len;
    unsigned long port;
    char *end;

    if (colon == NULL || colon[1] < '0' || colon[1] > '9' || strlen(colon + 1) > 5) {
        return ks_fail(why, KS_INVALID, "bad-address", "'%.80s' is not HOST:PORT", text);
    }
    host_len = (size_t)(colon - text);
    port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port > 65535) {
        return ks_fail(why, KS_INVALID, "bad-address", "'%.80s' has no port of 0 to 65535", text);
    }
    if (host_len >= 2 && host[0] == '[' && host[host_len - 1] == ']') {
        host++;
        host_len -= 2;
    } else if (memchr(host, ':', host_len) != NULL) {
        return ks_fail(why, KS_INVALID, "bad-address",
                       "'%.80s': write an IPv6 address in brackets, as in [::1]:5672", text);
    }
    if (host_len == 0 || host_len >= NET_HOST_MAX) {
        return ks_fail(why, KS_INVALID, "bad-address",
                       "'%.80s' names no host; write 127.0.0.1:PORT or 0.0.0.0:PORT", text);
    }
    memcpy(out->host, host, host_len);
    out->host[host_len] = '\0';
    (void)snprintf(out->port, sizeof(out->port), "%lu", port);
    return KS_OK;
}

enum ks_status net_address_check(const char *host_port, struct ks_failure *why)
{
    struct host_port parts;

    return split(host_port, &parts, why);
}

void net_host_of(const char *host_port, char *out, size_t size)
{
    const char *colon = strrchr(host_port, ':');
    size_t len = colon == NULL ? strlen(host_port) : (size_t)(colon - host_port);

    if (len > 1 && host_port[0] == '[') {
        host_port++;
        len -= 2;
    }
    len = len < size ? len : size - 1;
    memcpy(out, host_port, len);
    out[len] = '\0';
}

static enum ks_status resolve(const char *host_port, int flags, struct addrinfo **out,
                              struct ks_failure *why)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct host_port parts;
    enum ks_status st = split(host_port, &parts, why);
    int rc;

    if (st != KS_OK) {
        return st;
    }
    *out = NULL;
    rc = getaddrinfo(parts.host, parts.port, &hints, out);
    if (rc != 0) {
        return ks_fail(why, KS_IO, NULL, "cannot resolve %s: %s", host_port, gai_strerror(rc));
    }
    return KS_OK;
}

enum ks_status net_resolve(const char *host_port, bool numeric, struct addrinfo **out,
                           struct ks_failure *why)
{
    return resolve(host_port, numeric ? AI_NUMERICHOST : 0, out, why);
}

static void address_text(const struct sockaddr *sa, socklen_t len, struct net_address_text *out)
{
    char host[INET6_ADDRSTRLEN + 16];
    char port[8];

    if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        (void)snprintf(out->text, sizeof(out->text), "unknown");
        return;
    }
    (void)snprintf(out->text, sizeof(out->text),
                   sa->sa_family == AF_INET6 ? "[%.60s]:%s" : "%.60s:%s", host, port);
}

static bool listen_on(int fd, const struct addrinfo *at)
{
    const int on = 1;

    if (at->ai_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    /* Accepted sockets inherit TCP_NODELAY on Linux. */
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
           bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, NET_BACKLOG) == 0;
}

enum ks_status net_listen(const char *host_port, int *fd, struct net_address_text *bound,
                          struct ks_failure *why)
{
    struct addrinfo *at = NULL;
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    enum ks_status st = resolve(host_port, AI_PASSIVE, &at, why);
    int s;

    if (st != KS_OK) {
        return st;
    }
    s = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0 || !listen_on(s, at) || getsockname(s, (struct sockaddr *)&sa, &len) != 0) {
        st = ks_fail(why, KS_IO, NULL, "cannot listen on %s: %s", host_port, ks_errno_text(errno));
        if (s >= 0) {
            close(s);
        }
    } else {
        address_text((struct sockaddr *)&sa, len, bound);
        *fd = s;
    }
    freeaddrinfo(at);
    return st;
}

bool net_is_own_peer(int fd)
{
    struct sockaddr_storage own = {0};
    struct sockaddr_storage peer = {0};
    socklen_t own_len = sizeof(own);
    socklen_t peer_len = sizeof(peer);

    return getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 && own_len == peer_len &&
           memcmp(&own, &peer, own_len) == 0;
}

/* Connects within the time limit; the socket is blocking afterwards. */
static int connect_to(const struct addrinfo *at, int timeout_ms)
{
    int s = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct pollfd p = {.fd = s, .events = POLLOUT};
    const int on = 1;
    int error = 0;
    socklen_t len = sizeof(error);

    if (s < 0) {
        return -1;
    }
    if (connect(s, at->ai_addr, at->ai_addrlen) != 0) {
        error = errno;
    }
    if (error == EINPROGRESS) {
        int n = poll(&p, 1, timeout_ms);

        error = n == 0 ? ETIMEDOUT : errno;
        if (n > 0 && getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
            error = errno;
        }
    }
    if (error == 0 && net_is_own_peer(s)) {
        error = ECONNREFUSED; /* nobody listens */
    }
    if (error != 0 || fcntl(s, F_SETFL, 0) != 0 ||
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) {
        close(s);
        errno = error != 0 ? error : errno;
        return -1;
    }
    return s;
}

enum ks_status net_connect(const char *host_port, int timeout_ms, int *fd, struct ks_failure *why)
{
    struct addrinfo *list = NULL;
    enum ks_status st = resolve(host_port, 0, &list, why);
    int s = -1;

    if (st != KS_OK) {
        return st;
    }
    for (const struct addrinfo *at = list; at != NULL && s < 0; at = at->ai_next) {
        s = connect_to(at, timeout_ms);
    }
    if (s < 0) {
        st = ks_fail(why, KS_IO, NULL, "cannot connect to %s: %s", host_port, ks_errno_text(errno));
    } else {
        *fd = s;
    }
    freeaddrinfo(list);
    return st;
}

void net_peer_text(int fd, struct net_address_text *out)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);

    if (getpeername(fd, (struct sockaddr *)&sa, &len) != 0) {
        (void)snprintf(out->text, sizeof(out->text), "unknown");
        return;
    }
    address_text((struct sockaddr *)&sa, len, out);
}

uint64_t net_host_key(struct span host)
{
    uint64_t hash = 1469598103934665603ULL; /* FNV-1a: spreads hosts over fairness queues */

    for (size_t i = 0; i < host.len; i++) {
        hash = (hash ^ (unsigned char)host.ptr[i]) * 1099511628211ULL;
    }
    return hash;
}

uint64_t net_peer_key(int fd)
{
    struct net_address_text peer;
    const char *port;

    net_peer_text(fd, &peer);
    port = strrchr(peer.text, ':');
    return net_host_key(span_of(peer.text, port == NULL ? 0 : (size_t)(port - peer.text)));
}
