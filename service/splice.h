/*
 * splice: puts a stored answer together from the elements (trusted CAs, secrets) that count at a
 * moment, and says how long that will stay true.
 *
 * Threads:   pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "store/store.h"

/* Appends the text without the elements that are disabled or not valid at `now_ms`. *shown: how
 * many are left. *until_ms: the last moment at which the same text would come out; CLOCK_MAX: for
 * ever. KS_CORRUPT if the segments do not fit the text. */
KS_MUST_CHECK enum ks_status splice_answer(struct buf *out, const struct store_answer *answer,
                                           int64_t now_ms, size_t *shown, int64_t *until_ms,
                                           struct ks_failure *why);
/* Seconds an answer may be cached: what is configured (0: not at all), but not beyond `until_ms`;
 * at least 1 if at all, since clients cannot read a 0. */
int splice_max_age(int configured_s, int64_t now_ms, int64_t until_ms);
