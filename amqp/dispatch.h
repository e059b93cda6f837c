/*
 * dispatch: a request's way: bytes of a delivery -> request -> API -> answer -> reply link.
 *
 * Threads:   the connection's reactor; answers of jobs come back to it by post.
 * Source:    Hono: a request is accepted and settled before it is processed; rejected only when it
 *            is malformed or has no reply link.
 */
#pragma once

#include <proton/delivery.h>

struct link;

/* A delivery on a request link made progress. */
void dispatch_delivery(struct link *link, pn_delivery_t *delivery);
