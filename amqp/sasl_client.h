/*
 * sasl_client: the client's side of SASL: header, mechanisms, init, outcome. PLAIN with a user,
 * EXTERNAL with a certificate, else ANONYMOUS. Never reaches the engine.
 *
 * Threads:   its owner's; no I/O: bytes in, bytes out.
 * Ownership: borrows user and password for its life; the output holds the password until it is
 *            written: wipe it (buf_done_secret).
 * Source:    AMQP 1.0 part 5.3.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

enum { SASL_CLIENT_FRAME_MAX = 4096 };

struct sasl_client {
    const char *peer; /* who is talked to, in failures: "the broker" */
    const char *user; /* NULL: no PLAIN */
    const char *password;
    bool certificate; /* the TLS session has shown one */
    bool has_header;
    bool has_init;
    bool done;
};

/* Appends what goes out first. */
void sasl_client_begin(struct sasl_client *client, struct buf *out);
/* Takes what is whole of `in`: *taken bytes. KS_OK: more is wanted, or `done`: logged in.
 * KS_UNAUTHORIZED, KS_UNAVAILABLE: the outcome; KS_INVALID: no SASL, or not the mechanism we need.
 */
KS_MUST_CHECK enum ks_status sasl_client_take(struct sasl_client *client, struct span in,
                                              size_t *taken, struct buf *out,
                                              struct ks_failure *why);
