#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { NS_PER_MS = 1000000, MS_PER_S = 1000, OFFSET_MAX_S = 18 * 3600 };

static int64_t clock_read_ns(clockid_t id)
{
    struct timespec now;

    if (clock_gettime(id, &now) != 0) {
        abort();
    }
    return (int64_t)now.tv_sec * MS_PER_S * NS_PER_MS + now.tv_nsec;
}

int64_t clock_now_ns(void)
{
    return clock_read_ns(CLOCK_REALTIME);
}

int64_t clock_now_ms(void)
{
    return clock_now_ns() / NS_PER_MS;
}

int64_t clock_monotonic_us(void)
{
    return clock_read_ns(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_monotonic_ms(void)
{
    return clock_read_ns(CLOCK_MONOTONIC) / NS_PER_MS;
}

/* Seconds rounded towards the past, and what is left over. */
static int64_t floor_div(int64_t value, int64_t by, int64_t *rest)
{
    int64_t quotient = value / by;

    *rest = value % by;
    if (*rest < 0) {
        *rest += by;
        quotient--;
    }
    return quotient;
}

static void clock_format_seconds(int64_t seconds, const char *fraction, struct clock_text *out)
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL) {
        (void)snprintf(out->text, sizeof(out->text), "out-of-range");
        return;
    }
    /* ISO 8601: a year beyond 9999 has a sign. */
    (void)snprintf(out->text, sizeof(out->text), "%s%04d-%02d-%02dT%02d:%02d:%02d%sZ",
                   tm.tm_year + 1900 > 9999 ? "+" : "", tm.tm_year + 1900, tm.tm_mon + 1,
                   tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
}

void clock_format(int64_t ms, struct clock_text *out)
{
    int64_t rest;

    clock_format_seconds(floor_div(ms, MS_PER_S, &rest), "", out);
}

void clock_format_ns(int64_t ns, struct clock_text *out)
{
    int64_t rest;
    int64_t seconds = floor_div(ns, (int64_t)MS_PER_S * NS_PER_MS, &rest);
    char fraction[16];

    (void)snprintf(fraction, sizeof(fraction), ".%09d", (int)rest);
    clock_format_seconds(seconds, fraction, out);
}

/* ---- parsing ---- */

struct reader {
    const char *at;
    const char *end;
};

static bool read_digits(struct reader *r, int count, int *value)
{
    int v = 0;

    if (r->end - r->at < count) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        char c = r->at[i];

        if (c < '0' || c > '9') {
            return false;
        }
        v = v * 10 + (c - '0');
    }
    r->at += count;
    *value = v;
    return true;
}

static bool read_char(struct reader *r, char c)
{
    if (r->at == r->end || *r->at != c) {
        return false;
    }
    r->at++;
    return true;
}

static bool read_letter(struct reader *r, char upper)
{
    return read_char(r, upper) || read_char(r, (char)(upper - 'A' + 'a'));
}

/* Four digits, or a sign and up to nine for what does not fit into four. */
static bool read_year(struct reader *r, int *year)
{
    int digits = 0;

    if (!read_char(r, '+')) {
        return read_digits(r, 4, year);
    }
    while (r->at + digits < r->end && r->at[digits] >= '0' && r->at[digits] <= '9') {
        digits++;
    }
    return digits > 4 && digits <= 6 && read_digits(r, digits, year);
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

static bool read_date(struct reader *r, struct tm *tm)
{
    int year;
    int month;
    int day;

    if (!read_year(r, &year) || !read_char(r, '-') || !read_digits(r, 2, &month) ||
        !read_char(r, '-') || !read_digits(r, 2, &day)) {
        return false;
    }
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) {
        return false;
    }
    tm->tm_year = year - 1900;
    tm->tm_mon = month - 1;
    tm->tm_mday = day;
    return true;
}

/* '.' and 0 to 9 digits; milliseconds of it. */
static bool read_fraction(struct reader *r, int *ms)
{
    int digits = 0;

    *ms = 0;
    if (!read_char(r, '.')) {
        return true;
    }
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        if (digits < 3) {
            *ms = *ms * 10 + (*r->at - '0');
        }
        digits++;
        r->at++;
    }
    for (int i = digits; i < 3; i++) {
        *ms *= 10;
    }
    return digits <= 9;
}

static bool read_time(struct reader *r, struct tm *tm, int *ms)
{
    *ms = 0;
    if (!read_digits(r, 2, &tm->tm_hour) || !read_char(r, ':') || !read_digits(r, 2, &tm->tm_min) ||
        tm->tm_hour > 23 || tm->tm_min > 59) {
        return false;
    }
    if (!read_char(r, ':')) {
        return true;
    }
    return read_digits(r, 2, &tm->tm_sec) && tm->tm_sec <= 59 && read_fraction(r, ms);
}

static bool read_offset(struct reader *r, int *seconds)
{
    int sign;
    int h;
    int m = 0;
    int s = 0;

    *seconds = 0;
    if (read_letter(r, 'Z')) {
        return true;
    }
    if (read_char(r, '+')) {
        sign = 1;
    } else if (read_char(r, '-')) {
        sign = -1;
    } else {
        return false;
    }
    if (!read_digits(r, 2, &h) || (read_char(r, ':') && !read_digits(r, 2, &m)) ||
        (r->at < r->end && (!read_char(r, ':') || !read_digits(r, 2, &s)))) {
        return false;
    }
    *seconds = sign * (h * 3600 + m * 60 + s);
    return m <= 59 && s <= 59 && h * 3600 + m * 60 + s <= OFFSET_MAX_S;
}

bool clock_parse(struct span text, int64_t *ms)
{
    struct reader r = {.at = text.ptr, .end = span_end(text)};
    struct tm tm = {0};
    int fraction;
    int offset;

    if (text.len == 0 || !read_date(&r, &tm) || !read_letter(&r, 'T') ||
        !read_time(&r, &tm, &fraction) || !read_offset(&r, &offset) || r.at != r.end) {
        return false;
    }
    *ms = ((int64_t)timegm(&tm) - offset) * MS_PER_S + fraction;
    return true;
}
