/*
 * stream: the bytes of one non-blocking socket, plain or TLS, with readiness callbacks on its
 * reactor. Handshakes, WANT_READ in a write and WANT_WRITE in a read are handled here.
 *
 * Threads:   its reactor's only.
 * Ownership: owns the socket and the session.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

struct reactor;
struct ssl_st;
struct stream;

struct stream_handler {
    void (*readable)(void *arg); /* reading may make progress */
    void (*writable)(void *arg); /* writing may make progress */
};

enum stream_result {
    STREAM_OK,    /* *done bytes moved, > 0 */
    STREAM_AGAIN, /* nothing now; the handler will be called */
    STREAM_END,   /* the peer closed its side; with TLS, whether it said so or not */
    STREAM_ERROR, /* reset, TLS alert, … */
};

/* Takes fd and ssl (NULL: plain). */
struct stream *stream_open(struct reactor *reactor, int fd, struct ssl_st *ssl,
                           const struct stream_handler *handler, void *arg);
void stream_close(struct stream *stream);

enum stream_result stream_read(struct stream *stream, void *to, size_t cap, size_t *done);
enum stream_result stream_write(struct stream *stream, const void *from, size_t len, size_t *done);

/* Only after STREAM_ERROR: why, in the system's or OpenSSL's words; of a certificate, what is wrong
 * with it. Always sets *why, KS_IO. */
void stream_explain(const struct stream *stream, struct ks_failure *why);

/* Whether `readable` is wanted; starts as true. Calling it with true while OpenSSL holds decrypted
 * bytes makes `readable` be called on the next turn: a reader that stops for fairness calls it. */
void stream_want_read(struct stream *stream, bool want);
/* Whether OpenSSL holds decrypted bytes that a read would give at once. */
bool stream_pending(const struct stream *stream);
/* Whether `writable` is wanted; starts as false. */
void stream_want_write(struct stream *stream, bool want);
/* Half-closes our side (and sends the TLS alert), as far as the socket takes it now. */
void stream_shutdown(struct stream *stream);

bool stream_is_tls(const struct stream *stream);
/* Whether its handshake is done. */
bool stream_is_tls_open(const struct stream *stream);
/* The DER of the subject Name of the verified client certificate; false without one. */
bool stream_peer_subject(struct stream *stream, struct buf *der);
