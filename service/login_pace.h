/*
 * login_pace: how failed logins are slowed down without getting in the way of others: a bounded
 * table of recent failures, by address, by account, and by both together. It decides; whoever asks
 * does the waiting.
 *
 * - Guesses of one address at one account wait for each other: beyond a few, another password is
 *   looked at only when its turn has come. A password that failed before is no guess, so a client
 *   with an old one does not get in the way of the right one.
 * - A refusal is told late, and later the more there were of that address or account.
 * - A login that is right is never told late. It waits only behind guesses at the same account from
 *   the same address, and ends what was held against account and pair.
 *
 * Threads:   none of its own: its owner's thread.
 * Ownership: fixed memory, all of it at open. Passwords are kept only as eight bytes of an HMAC.
 * Source:    docs/decisions/failed-logins-over-http.md
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum {
    LOGIN_PACE_PAIR_FREE = 3, /* guesses, and failures, before an address waits for an account */
    LOGIN_PACE_ACCOUNT_FREE = 10, /* failures */
    LOGIN_PACE_ADDRESS_FREE = 20,
    LOGIN_PACE_FIRST_MS = 250,   /* doubled with each failure */
    LOGIN_PACE_TOLD_MS = 1000,   /* the latest that a refusal is told */
    LOGIN_PACE_TURN_MS = 2000,   /* the longest from one turn to the next */
    LOGIN_PACE_QUEUE_MS = 10000, /* a guess whose turn would come later is not looked at */
    LOGIN_PACE_FORGET_MS = 900000,
};

struct login_pace;

struct login_attempt {
    uint64_t address;
    uint64_t account;
    uint64_t pair;
    uint64_t password; /* of this account */
};

struct login_pace *login_pace_open(void);
/* Takes NULL. */
void login_pace_close(struct login_pace *pace);

/* No login has failed or is tried yet: every password may be looked at, no success needs to be
 * told. */
bool login_pace_is_quiet(const struct login_pace *pace);
struct login_attempt login_pace_attempt(const struct login_pace *pace, uint64_t address,
                                        struct span user, struct span password);

/* How long until the password may be looked at; -1: too many wait. Takes the turn. */
int64_t login_pace_ask(struct login_pace *pace, const struct login_attempt *attempt,
                       int64_t now_ms);
/* A hash is being made of the password: it counts as a guess until it turns out to be right, so
 * that many at once get no further than one after the other. */
void login_pace_trying(struct login_pace *pace, const struct login_attempt *attempt,
                       int64_t now_ms);
void login_pace_succeeded(struct login_pace *pace, const struct login_attempt *attempt,
                          int64_t now_ms);
/* How long until the refusal may be told. */
int64_t login_pace_failed(struct login_pace *pace, const struct login_attempt *attempt,
                          int64_t now_ms);
