/*
 * log: one line per event to standard error, key=value or JSON.
 *
 *     log_info("listening", "setting=%s address=%s", name, log_quote(address, scratch));
 *
 * Levels: error (someone must act), warn (degraded, we go on; say how), info (lifecycle, changes to
 * the registry), debug. Arguments are not evaluated when the level is off.
 *
 * Threads:   any; a line is written by one write(2), so lines never mix.
 * Ownership: nothing is kept.
 * Peer text: pass it through log_text, which escapes and cuts it. Secrets are never passed at all.
 */
#pragma once

#include <stdbool.h>

#include "base/span.h"
#include "base/status.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Before threads start. */
void log_setup(enum log_level level, bool json);
/* For tests: lines go to `sink` instead of standard error; NULL restores it. */
void log_capture(void (*sink)(const char *line, size_t len, void *arg), void *arg);

bool log_enabled(enum log_level level);
/* `event` is a kebab-case literal; `format` yields blank-separated key=value pairs whose values are
 * bare words or come from log_text. */
void log_write(enum log_level level, const char *event, const char *format, ...) KS_PRINTF(3, 4);
/* A line for whoever started the process: whatever the level, and nothing before `event=`. */
void log_announce(const char *event, const char *format, ...) KS_PRINTF(2, 3);

#define LOG_AT(level, ...)                                                                         \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            log_write(level, __VA_ARGS__);                                                         \
        }                                                                                          \
    } while (0)
#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* A quoted, escaped and cut copy of text from a peer or a file, in a buffer of the caller's frame:
 *     struct log_text t; log_warn("login-refused", "user=%s", log_text(&t, user));        */
struct log_text {
    char text[264];
};
const char *log_text(struct log_text *out, struct span text);
