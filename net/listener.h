/*
 * listener: accepts on a listening socket, a few sockets a turn, so that a burst of connects does
 * not hold up the connections of the same reactor.
 *
 * Threads:   its reactor's; open before the reactor starts, close after it stopped or on it.
 * Ownership: owns the listening socket; an accepted one is the callback's.
 */
#pragma once

#include "base/status.h"

struct listener;
struct reactor;

struct listener *listener_open(struct reactor *reactor, int fd, void (*accepted)(void *arg, int fd),
                               void *arg);
/* Stops accepting; takes NULL. */
void listener_close(struct listener *listener);
