/*
 * clock: time as milliseconds since the Unix epoch (UTC), monotonic time, and their text.
 *
 * Threads: any.
 * Source:  RFC 3339; Hono's timestamps are UTC with second precision ("2026-11-24T10:00:00Z").
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

/* Bounds that mean "no limit" in validity periods. */
#define CLOCK_MIN INT64_MIN
#define CLOCK_MAX INT64_MAX

int64_t clock_now_ms(void);
int64_t clock_now_ns(void);
/* Milliseconds that never go back; the origin is arbitrary. */
int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);

struct clock_text {
    char text[40];
};
/* "2026-11-24T10:00:00Z": the fraction is cut off. */
void clock_format(int64_t ms, struct clock_text *out);
/* "2026-11-24T10:00:00.123456789Z", as Java prints an instant with nanoseconds. */
void clock_format_ns(int64_t ns, struct clock_text *out);
/* ISO 8601 date-time with a mandatory offset, as Hono takes it (management-api rules): seconds
 * optional, fraction of 0 to 9 digits, offset Z, +hh, +hh:mm or +hh:mm:ss up to 18 hours, T and Z
 * in either case; no second 60, no hour 24, the day must exist. False: not such a text. */
bool clock_parse(struct span text, int64_t *ms);
