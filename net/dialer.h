/*
 * dialer: connects to HOST:PORT without ever making its reactor wait: names are looked up on a
 * thread of their own, and the addresses found are tried one after the other, without blocking.
 *
 * One attempt at a time. A look-up that outlives its attempt (a name server that says nothing) is
 * left to end by itself; the next attempt fails until it has.
 *
 * Threads:   its reactor's only; `resolver` threads are its own.
 * Ownership: a connected socket (non-blocking, TCP_NODELAY) is handed over by `done`.
 * Errors:    KS_IO: what the system or the resolver says; "timed out".
 */
#pragma once

#include <stdint.h>

#include "base/status.h"

struct dialer;
struct reactor;

struct dialer *dialer_open(struct reactor *reactor);
/* Ends an attempt that is under way. Takes NULL. */
void dialer_close(struct dialer *dialer);

/* No attempt is under way. `done` is called once, later: fd, or -1 and why not. */
void dialer_connect(struct dialer *dialer, const char *host_port, int64_t timeout_ms,
                    void (*done)(void *arg, int fd, const struct ks_failure *why), void *arg);
/* Forgets the attempt, if there is one: `done` is not called any more. */
void dialer_cancel(struct dialer *dialer);
