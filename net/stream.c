#include "net/stream.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/reactor.h"

struct stream {
    int fd;
    SSL *ssl; /* NULL: plain */
    struct stream_handler handler;
    void *arg;
    struct event *read_event;  /* level-triggered, persistent */
    struct event *write_event; /* level-triggered, persistent */
    bool want_read;
    bool want_write;
    /* A TLS read may have to wait for the socket to become writable, and a write for it to become
     * readable (handshake, key update): then the other event drives it. */
    bool read_needs_write;
    bool write_needs_read;
    bool failed; /* TLS broke: SSL_shutdown is forbidden */
    int error;   /* of the system, at the last failure; 0: none */
    unsigned long tls_error;
};

static void stream_arm(struct stream *stream)
{
    bool in = (stream->want_read && !stream->read_needs_write) ||
              (stream->want_write && stream->write_needs_read);
    bool out = (stream->want_write && !stream->write_needs_read) ||
               (stream->want_read && stream->read_needs_write);

    if (in != (event_pending(stream->read_event, EV_READ, NULL) != 0)) {
        (void)(in ? event_add(stream->read_event, NULL) : event_del(stream->read_event));
    }
    if (out != (event_pending(stream->write_event, EV_WRITE, NULL) != 0)) {
        (void)(out ? event_add(stream->write_event, NULL) : event_del(stream->write_event));
    }
}

/* The handler may close the stream: nothing of it is touched after a call. */
static void stream_on_read(evutil_socket_t fd, short what, void *arg)
{
    struct stream *stream = arg;

    (void)fd;
    (void)what;
    if (stream->want_write && stream->write_needs_read) {
        stream->handler.writable(stream->arg);
        return; /* level-triggered: a read that is ready too is called on the next turn */
    }
    stream->handler.readable(stream->arg);
}

static void stream_on_write(evutil_socket_t fd, short what, void *arg)
{
    struct stream *stream = arg;

    (void)fd;
    (void)what;
    if (stream->want_read && stream->read_needs_write) {
        stream->handler.readable(stream->arg);
        return;
    }
    stream->handler.writable(stream->arg);
}

struct stream *stream_open(struct reactor *reactor, int fd, struct ssl_st *ssl,
                           const struct stream_handler *handler, void *arg)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    struct event_base *base = reactor_base(reactor);

    if (stream == NULL) {
        abort();
    }
    stream->fd = fd;
    stream->ssl = ssl;
    stream->handler = *handler;
    stream->arg = arg;
    stream->want_read = true;
    stream->read_event = event_new(base, fd, EV_READ | EV_PERSIST, stream_on_read, stream);
    stream->write_event = event_new(base, fd, EV_WRITE | EV_PERSIST, stream_on_write, stream);
    if (stream->read_event == NULL || stream->write_event == NULL) {
        abort();
    }
    stream_arm(stream);
    return stream;
}

void stream_close(struct stream *stream)
{
    if (stream == NULL) {
        return;
    }
    event_free(stream->read_event);
    event_free(stream->write_event);
    SSL_free(stream->ssl);
    close(stream->fd);
    free(stream);
}

/* was_open: its handshake was done before; OpenSSL forgets that when it fails. */
static enum stream_result stream_tls_result(struct stream *stream, int rc, bool reading,
                                            bool was_open)
{
    int system_error = errno;
    int error = SSL_get_error(stream->ssl, rc);
    unsigned long tls_error = ERR_peek_error();

    ERR_clear_error();
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        if (reading) {
            stream->read_needs_write = error == SSL_ERROR_WANT_WRITE;
        } else {
            stream->write_needs_read = error == SSL_ERROR_WANT_READ;
        }
        stream_arm(stream);
        return STREAM_AGAIN;
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
        return STREAM_END;
    }
    stream->failed = true;
    if (error == SSL_ERROR_SSL && was_open &&
        ERR_GET_REASON(tls_error) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        return STREAM_END; /* without a close_notify, as most who die */
    }
    stream->tls_error = tls_error;
    stream->error = error == SSL_ERROR_SYSCALL ? system_error : 0;
    return STREAM_ERROR;
}

static enum stream_result stream_socket_result(struct stream *stream)
{
    if (errno == EAGAIN) {
        return STREAM_AGAIN;
    }
    stream->error = errno;
    return STREAM_ERROR;
}

enum stream_result stream_read(struct stream *stream, void *to, size_t cap, size_t *done)
{
    ssize_t n;

    if (stream->ssl != NULL) {
        bool was_open = stream_is_tls_open(stream);
        int rc;

        ERR_clear_error();
        rc = SSL_read_ex(stream->ssl, to, cap, done);
        if (rc != 1) {
            return stream_tls_result(stream, rc, true, was_open);
        }
        if (stream->read_needs_write) {
            stream->read_needs_write = false;
            stream_arm(stream);
        }
        return STREAM_OK;
    }
    do {
        n = recv(stream->fd, to, cap, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        *done = (size_t)n;
        return STREAM_OK;
    }
    if (n == 0) {
        return STREAM_END;
    }
    return stream_socket_result(stream);
}

enum stream_result stream_write(struct stream *stream, const void *from, size_t len, size_t *done)
{
    ssize_t n;

    if (stream->ssl != NULL) {
        bool was_open = stream_is_tls_open(stream);
        int rc;

        ERR_clear_error();
        rc = SSL_write_ex(stream->ssl, from, len, done);
        if (rc != 1) {
            return stream_tls_result(stream, rc, false, was_open);
        }
        if (stream->write_needs_read) {
            stream->write_needs_read = false;
            stream_arm(stream);
        }
        return STREAM_OK;
    }
    do {
        n = send(stream->fd, from, len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        *done = (size_t)n;
        return STREAM_OK;
    }
    return stream_socket_result(stream);
}

void stream_explain(const struct stream *stream, struct ks_failure *why)
{
    long verdict = stream->ssl == NULL ? X509_V_OK : SSL_get_verify_result(stream->ssl);
    const char *text = ERR_reason_error_string(stream->tls_error);

    if (verdict != X509_V_OK) {
        (void)ks_fail(why, KS_IO, NULL, "the certificate is not accepted: %s",
                      X509_verify_cert_error_string(verdict));
    } else if (text != NULL) {
        (void)ks_fail(why, KS_IO, NULL, "TLS failed: %s", text);
    } else {
        (void)ks_fail(why, KS_IO, NULL, "the connection broke: %s",
                      stream->error != 0 ? ks_errno_text(stream->error) : "it was cut off");
    }
}

void stream_want_read(struct stream *stream, bool want)
{
    stream->want_read = want;
    stream_arm(stream);
    /* Bytes that OpenSSL decrypted already will not make the socket readable again. */
    if (want && stream_pending(stream)) {
        event_active(stream->read_event, EV_READ, 1);
    }
}

bool stream_pending(const struct stream *stream)
{
    return stream->ssl != NULL && SSL_pending(stream->ssl) > 0;
}

void stream_want_write(struct stream *stream, bool want)
{
    stream->want_write = want;
    stream_arm(stream);
}

void stream_shutdown(struct stream *stream)
{
    if (stream->ssl != NULL && !stream->failed && SSL_is_init_finished(stream->ssl)) {
        ERR_clear_error();
        (void)SSL_shutdown(stream->ssl);
        ERR_clear_error();
    }
    (void)shutdown(stream->fd, SHUT_WR);
}

bool stream_is_tls(const struct stream *stream)
{
    return stream->ssl != NULL;
}

bool stream_is_tls_open(const struct stream *stream)
{
    return stream->ssl != NULL && SSL_is_init_finished(stream->ssl) == 1;
}

bool stream_peer_subject(struct stream *stream, struct buf *der)
{
    const X509 *cert = stream->ssl == NULL ? NULL : SSL_get0_peer_certificate(stream->ssl);
    unsigned char *bytes = NULL;
    int len;

    if (cert == NULL || SSL_get_verify_result(stream->ssl) != X509_V_OK) {
        return false;
    }
    len = i2d_X509_NAME(X509_get_subject_name(cert), &bytes);
    if (len <= 0) {
        ERR_clear_error();
        return false;
    }
    buf_add(der, bytes, (size_t)len);
    OPENSSL_free(bytes);
    return true;
}
