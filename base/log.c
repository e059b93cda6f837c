#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

static _Atomic int log_threshold = LOG_LEVEL_INFO;
static _Atomic bool log_json;
static void (*log_sink)(const char *line, size_t len, void *arg);
static void *log_sink_arg;

static const char *const log_level_names[] = {"error", "warn", "info", "debug"};

void log_setup(enum log_level level, bool json)
{
    atomic_store(&log_threshold, (int)level);
    atomic_store(&log_json, json);
}

void log_capture(void (*sink)(const char *line, size_t len, void *arg), void *arg)
{
    log_sink = sink;
    log_sink_arg = arg;
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_threshold, memory_order_relaxed);
}

/* Turns the blank-separated key=value pairs into members of a JSON object. */
static void log_pairs_as_json(struct buf *out, const char *pairs)
{
    const char *p = pairs;

    while (*p != '\0') {
        const char *eq = strchr(p, '=');
        size_t key_len;

        if (eq == NULL) {
            return;
        }
        key_len = (size_t)(eq - p);
        buf_add_char(out, ',');
        buf_add_json(out, span_of(p, key_len));
        buf_add_char(out, ':');
        p = eq + 1;
        if (*p == '"') { /* log_text's form is a JSON string already */
            const char *end = p + 1;

            while (*end != '\0' && *end != '"') {
                end += *end == '\\' && end[1] != '\0' ? 2 : 1;
            }
            end += *end == '"';
            buf_add(out, p, (size_t)(end - p));
            p = end;
        } else {
            size_t n = strcspn(p, " ");

            buf_add_json(out, span_of(p, n));
            p += n;
        }
        p += strspn(p, " ");
    }
}

static void log_emit(const struct buf *line)
{
    if (log_sink != NULL) {
        log_sink(line->ptr, line->len, log_sink_arg);
    } else {
        ssize_t ignored = write(STDERR_FILENO, line->ptr, line->len);

        (void)ignored; /* nowhere left to complain */
    }
}

/* level NULL: neither time nor level is told. */
static void log_line(const char *level, const char *event, const char *pairs)
{
    struct buf line;
    struct clock_text now;

    buf_init(&line, (size_t)64 << 10);
    clock_format(clock_now_ms(), &now);
    if (atomic_load(&log_json)) {
        buf_add_char(&line, '{');
        if (level != NULL) {
            buf_printf(&line, "\"time\":\"%s\",\"level\":\"%s\",", now.text, level);
        }
        buf_printf(&line, "\"event\":\"%s\"", event);
        log_pairs_as_json(&line, pairs);
        buf_add_cstr(&line, "}\n");
    } else {
        if (level != NULL) {
            buf_printf(&line, "time=%s level=%s ", now.text, level);
        }
        buf_printf(&line, "event=%s%s%s\n", event, *pairs == '\0' ? "" : " ", pairs);
    }
    log_emit(&line);
    buf_done(&line);
}

void log_write(enum log_level level, const char *event, const char *format, ...)
{
    int saved = errno;
    char pairs[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(pairs, sizeof(pairs), format, args);
    va_end(args);
    log_line(log_level_names[level], event, pairs);
    errno = saved;
}

void log_announce(const char *event, const char *format, ...)
{
    char pairs[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(pairs, sizeof(pairs), format, args);
    va_end(args);
    log_line(NULL, event, pairs);
}

const char *log_text(struct log_text *out, struct span text)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    size_t i;

    out->text[n++] = '"';
    for (i = 0; i < text.len && n < sizeof(out->text) - 12; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c == '"' || c == '\\') {
            out->text[n++] = '\\';
            out->text[n++] = (char)c;
        } else if (c >= 0x20 && c < 0x7f) {
            out->text[n++] = (char)c;
        } else {
            memcpy(out->text + n, "\\u00", 4);
            out->text[n + 4] = hex[c >> 4];
            out->text[n + 5] = hex[c & 15];
            n += 6;
        }
    }
    if (i < text.len) {
        memcpy(out->text + n, "...", 3);
        n += 3;
    }
    out->text[n++] = '"';
    out->text[n] = '\0';
    return out->text;
}
