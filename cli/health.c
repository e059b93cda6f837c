/* koseki health: asks the operations port of a service that runs how it is, for container engines
 * and scripts: no other program is needed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cli/command.h"
#include "net/address.h"
#include "net/client_stream.h"

enum { TIMEOUT_MS = 3000, ANSWER_MAX = 64 << 10, READ_STEP = 4096, STATUS_UP = 200 };

static const char *const checks[] = {"readiness", "liveness", "started"};

/* ---- where to ask ---- */

/* A service that listens on all addresses is asked on loopback. */
static const char *reachable_host(const char *host)
{
    static const struct {
        const char *any;
        const char *loopback;
    } hosts[] = {{"0.0.0.0", "127.0.0.1"}, {"::", "::1"}};

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        if (strcmp(host, hosts[i].any) == 0) {
            return hosts[i].loopback;
        }
    }
    return host;
}

static enum ks_status address_of(const char *listener, char out[NET_HOST_PORT_MAX],
                                 struct ks_failure *why)
{
    char host[NET_HOST_PORT_MAX];
    const char *port;
    const char *reachable;

    if (listener == NULL) {
        return ks_fail(why, KS_INVALID, NULL,
                       "ops.listen is not set, so there is no port to ask; set it, or give "
                       "--connect HOST:PORT");
    }
    port = strrchr(listener, ':') + 1;
    if (strtoul(port, NULL, 10) == 0) {
        return ks_fail(why, KS_INVALID, NULL,
                       "ops.listen is %s: the port was picked at the start; give --connect "
                       "HOST:PORT as the line event=ready names it",
                       listener);
    }
    net_host_of(listener, host, sizeof(host));
    reachable = reachable_host(host);
    (void)snprintf(out, NET_HOST_PORT_MAX, strchr(reachable, ':') != NULL ? "[%s]:%s" : "%s:%s",
                   reachable, port);
    return KS_OK;
}

/* ---- asking ---- */

/* The length of head and body, once the head is whole; 0: not yet, SIZE_MAX: until the end. */
static size_t answer_length(const struct buf *answer)
{
    static const char field[] = "content-length:";
    const char *head = answer->ptr;
    const char *end = answer->len == 0 ? NULL : memmem(head, answer->len, "\r\n\r\n", 4);

    if (end == NULL) {
        return 0;
    }
    for (const char *line = head; line < end;) {
        const char *eol = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);

        if ((size_t)(eol - line) > sizeof(field) &&
            strncasecmp(line, field, sizeof(field) - 1) == 0) {
            /* ends at the line's end, which strtoul does not pass */
            unsigned long length = strtoul(line + sizeof(field) - 1, NULL, 10);

            return (size_t)(end + 4 - head) + (length < ANSWER_MAX ? length : ANSWER_MAX);
        }
        line = eol + 2;
    }
    return SIZE_MAX;
}

static enum ks_status receive(struct client_stream *stream, struct buf *answer,
                              struct ks_failure *why)
{
    int64_t until = clock_monotonic_ms() + TIMEOUT_MS;

    for (;;) {
        size_t whole = answer_length(answer);
        size_t done = 0;
        char *room;
        enum ks_status st;

        if (whole > 0 && answer->len >= whole) {
            return KS_OK;
        }
        room = buf_reserve(answer, READ_STEP);
        if (room == NULL) {
            return ks_fail(why, KS_TOO_LARGE, NULL, "the answer is too long for a health check");
        }
        st = client_stream_read(stream, room, READ_STEP, &done, why);
        if (st != KS_OK) {
            return whole == SIZE_MAX ? KS_OK : st;
        }
        buf_commit(answer, done);
        if (clock_monotonic_ms() > until) {
            return ks_fail(why, KS_IO, NULL, "the answer takes too long");
        }
    }
}

/* Prints what was answered; KS_UNAVAILABLE: it is not "up". */
static enum ks_status judge(const struct buf *answer, struct ks_failure *why)
{
    static const char start[] = "HTTP/1.1 ";
    const char *body;

    if (answer->len < sizeof(start) + 3 || memcmp(answer->ptr, "HTTP/1.", 7) != 0) {
        return ks_fail(why, KS_IO, NULL, "what answers there is no operations port");
    }
    body = (const char *)memmem(answer->ptr, answer->len, "\r\n\r\n", 4) + 4;
    (void)printf("%.*s\n", (int)(answer->ptr + answer->len - body), body);
    if (strtoul(answer->ptr + sizeof(start) - 1, NULL, 10) != STATUS_UP) {
        return ks_fail(why, KS_UNAVAILABLE, NULL, "it answered %.3s",
                       answer->ptr + sizeof(start) - 1);
    }
    return KS_OK;
}

static enum ks_status ask(const char *address, const char *check, struct ks_failure *why)
{
    struct client_stream *stream = NULL;
    struct buf request;
    struct buf answer;
    enum ks_status st = client_stream_open(&stream, address, NULL, TIMEOUT_MS, why);

    buf_init(&request, 0);
    buf_init(&answer, ANSWER_MAX);
    buf_printf(&request, "GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", check,
               address);
    if (st == KS_OK) {
        st = client_stream_write(stream, request.ptr, request.len, why);
    }
    if (st == KS_OK) {
        st = receive(stream, &answer, why);
    }
    if (st == KS_OK) {
        st = judge(&answer, why);
    }
    buf_done(&request);
    buf_done(&answer);
    client_stream_close(stream);
    return st;
}

/* ---- the command ---- */

static const char *find_check(const char *name)
{
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (name == NULL || strcmp(name, checks[i]) == 0) {
            return checks[i];
        }
    }
    return NULL;
}

int command_health(const struct command_options *options)
{
    const char *check = find_check(options->check);
    struct settings settings;
    char address[NET_HOST_PORT_MAX];
    struct ks_failure why = {0};
    enum ks_status st = KS_OK;

    if (check == NULL) {
        (void)fprintf(stderr,
                      "koseki health: there is no check '%.40s'; use readiness, liveness or "
                      "started\n",
                      options->check);
        return EXIT_USAGE;
    }
    if (options->connect != NULL && net_address_check(options->connect, &why) != KS_OK) {
        (void)fprintf(stderr, "koseki health: --connect: %s\n", why.text);
        return EXIT_USAGE;
    }
    if (!command_settings(options, &settings)) {
        settings_done(&settings);
        return EXIT_FAILED;
    }
    if (options->connect == NULL) {
        st = address_of(settings.ops_listen, address, &why);
    }
    settings_done(&settings);
    if (st == KS_OK) {
        st = ask(options->connect != NULL ? options->connect : address, check, &why);
    }
    if (st != KS_OK) {
        (void)fprintf(stderr, "koseki health: %s: %s\n", check, why.text);
        return EXIT_FAILED;
    }
    return EXIT_OK;
}
