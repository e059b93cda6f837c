/*
 * client_stream: a blocking connection with a time limit on each step, plain or TLS, for the
 * command line tools.
 *
 * Threads:   the caller's only.
 * Errors:    KS_IO with what the system or OpenSSL says.
 */
#pragma once

#include <stddef.h>

#include "base/status.h"

struct client_stream;
struct tls_context;

/* Connects, and shakes hands if `tls` is not NULL; the server must prove the host's name. */
KS_MUST_CHECK enum ks_status client_stream_open(struct client_stream **out, const char *host_port,
                                                struct tls_context *tls, int timeout_ms,
                                                struct ks_failure *why);
/* All of it. */
KS_MUST_CHECK enum ks_status client_stream_write(struct client_stream *stream, const void *bytes,
                                                 size_t len, struct ks_failure *why);
/* Some of it: *done > 0. The peer's end is KS_IO too. */
KS_MUST_CHECK enum ks_status client_stream_read(struct client_stream *stream, void *bytes,
                                                size_t cap, size_t *done, struct ks_failure *why);
/* Takes NULL. */
void client_stream_close(struct client_stream *stream);
