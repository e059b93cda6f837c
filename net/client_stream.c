#include "net/client_stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "net/address.h"
#include "net/tls.h"

struct client_stream {
    int fd;
    SSL *ssl; /* NULL: plain */
};

static enum ks_status socket_fail(struct ks_failure *why, const char *what)
{
    return ks_fail(why, KS_IO, NULL, "%s: %s", what,
                   errno == EAGAIN ? "timed out" : ks_errno_text(errno));
}

static enum ks_status tls_fail(const struct client_stream *stream, int rc, const char *what,
                               struct ks_failure *why)
{
    long verdict = SSL_get_verify_result(stream->ssl);
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    int error = SSL_get_error(stream->ssl, rc);

    ERR_clear_error();
    if (verdict != X509_V_OK) {
        text = X509_verify_cert_error_string(verdict);
    } else if (text == NULL) {
        text = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE
                   ? "timed out"
                   : "the connection was closed";
    }
    return ks_fail(why, KS_IO, NULL, "%s: %s", what, text);
}

enum ks_status client_stream_open(struct client_stream **out, const char *host_port,
                                  struct tls_context *tls, int timeout_ms, struct ks_failure *why)
{
    const struct timeval limit = {.tv_sec = timeout_ms / 1000,
                                  .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};
    struct client_stream *stream = calloc(1, sizeof(*stream));
    char host[256];
    enum ks_status st;
    int rc;

    if (stream == NULL) {
        abort();
    }
    stream->fd = -1;
    st = net_connect(host_port, timeout_ms, &stream->fd, why);
    if (st == KS_OK &&
        (setsockopt(stream->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
         setsockopt(stream->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0)) {
        st = socket_fail(why, "cannot set up the connection");
    }
    if (st == KS_OK && tls != NULL) {
        net_host_of(host_port, host, sizeof(host));
        stream->ssl = tls_session(tls, stream->fd, host);
        rc = stream->ssl == NULL ? -1 : SSL_connect(stream->ssl);
        if (rc != 1) {
            st = stream->ssl == NULL ? ks_fail(why, KS_IO, NULL, "cannot set up TLS")
                                     : tls_fail(stream, rc, "cannot shake hands over TLS", why);
        }
    }
    if (st != KS_OK) {
        client_stream_close(stream);
        return st;
    }
    *out = stream;
    return KS_OK;
}

enum ks_status client_stream_write(struct client_stream *stream, const void *bytes, size_t len,
                                   struct ks_failure *why)
{
    const char *at = bytes;

    while (len > 0) {
        size_t done = 0;

        if (stream->ssl != NULL) {
            int rc = SSL_write_ex(stream->ssl, at, len, &done);

            if (rc != 1) {
                return tls_fail(stream, rc, "cannot send", why);
            }
        } else {
            ssize_t n = send(stream->fd, at, len, MSG_NOSIGNAL);

            if (n < 0) {
                return socket_fail(why, "cannot send");
            }
            done = (size_t)n;
        }
        at += done;
        len -= done;
    }
    return KS_OK;
}

enum ks_status client_stream_read(struct client_stream *stream, void *bytes, size_t cap,
                                  size_t *done, struct ks_failure *why)
{
    ssize_t n;

    if (stream->ssl != NULL) {
        int rc = SSL_read_ex(stream->ssl, bytes, cap, done);

        return rc == 1 ? KS_OK : tls_fail(stream, rc, "cannot receive", why);
    }
    n = recv(stream->fd, bytes, cap, 0);
    if (n < 0) {
        return socket_fail(why, "cannot receive");
    }
    if (n == 0) {
        return ks_fail(why, KS_IO, NULL, "the server closed the connection");
    }
    *done = (size_t)n;
    return KS_OK;
}

void client_stream_close(struct client_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    SSL_free(stream->ssl);
    if (stream->fd >= 0) {
        close(stream->fd);
    }
    free(stream);
}
