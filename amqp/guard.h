/*
 * guard: stands between the socket and Proton's engine, whose released versions can be brought down
 * by frames that are legal to parse but not to send. Every frame after SASL passes here before the
 * engine sees it; what cannot be read exactly, or does not fit the state of its connection,
 * session, link or delivery, ends the connection (or the link).
 *
 * It keeps its own small picture of what the peer has open: sessions by channel, links by handle,
 * the delivery that is under way on each, the credit that the link code granted.
 *
 * Threads:   its connection's.
 * Ownership: guard_init / guard_done around it; frames are borrowed for the call.
 * Source:    AMQP 1.0 part 2; the engine's behaviour in docs/decisions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

struct guard_session;

struct guard_limits {
    uint32_t max_frame;
    uint32_t max_message;
    uint32_t max_sessions;       /* live; channels are 0 to this less one */
    uint32_t max_session_begins; /* in the connection's life */
    uint32_t max_links;          /* live, all sessions */
    /* The peer is the server: it answers our session, on our channel 0, and our links, on all of
     * which we send. What it says in words may be long. */
    bool answers;
};

struct guard {
    struct guard_limits limits;
    struct guard_session **session; /* by channel; max_sessions of them, made at the first BEGIN */
    bool opened;
    bool closed;
    uint32_t begins;
    uint32_t sessions; /* live */
    uint32_t links;
    uint64_t unfinished;   /* bytes of deliveries under way, all links */
    int64_t attach_budget; /* attaches that may still come before time refills it */
    int64_t attach_refilled_ms;
    /* May be set: told of each link that an END takes with it. The engine lets a link go only when
     * it sees a DETACH of it. */
    void (*link_ended)(void *arg, uint16_t channel, uint32_t handle);
    void *link_ended_arg;
};

enum guard_frame_kind {
    GUARD_FRAME_EMPTY,
    GUARD_FRAME_OPEN,
    GUARD_FRAME_BEGIN,
    GUARD_FRAME_ATTACH,
    GUARD_FRAME_FLOW,
    GUARD_FRAME_TRANSFER,
    GUARD_FRAME_DISPOSITION,
    GUARD_FRAME_DETACH,
    GUARD_FRAME_END,
    GUARD_FRAME_CLOSE,
};

/* What a frame was about. */
struct guard_event {
    enum guard_frame_kind kind;
    uint16_t channel;
    uint32_t handle;     /* of an attach, detach, transfer, or flow with a link */
    uint32_t deliveries; /* that a disposition names */
};

enum guard_verdict {
    GUARD_PASS,
    /* The link (event->channel, event->handle) is to be detached with why->reason. The frame still
     * goes to the engine, which counts deliveries; whatever it brings on that link is settled
     * unseen. */
    GUARD_FAIL_LINK,
    GUARD_FAIL_CONNECTION, /* to be closed with why->reason; the frame goes nowhere */
};

void guard_init(struct guard *guard, const struct guard_limits *limits);
void guard_done(struct guard *guard);

/* From the first 8 bytes of a frame: its whole size. False: no frame that we take. */
bool guard_frame_size(struct span head, uint32_t max_frame, size_t *size, struct ks_failure *why);

/* Judges one whole frame. why->reason is an AMQP condition. now_ms: monotonic, for the attach rate.
 */
enum guard_verdict guard_check(struct guard *guard, struct span frame, int64_t now_ms,
                               struct guard_event *event, struct ks_failure *why);

/* The link code granted `credit` more on a link where the peer sends. */
void guard_grant(struct guard *guard, uint16_t channel, uint32_t handle, uint32_t credit);
/* We detached; the peer's DETACH is still to come. */
void guard_link_closed(struct guard *guard, uint16_t channel, uint32_t handle);
