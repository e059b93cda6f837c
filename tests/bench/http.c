/*
 * http: sends requests of the management API on connections that stay open, one in flight on each,
 * and measures. One thread. Prints one JSON line.
 *
 *     http --port P --pid PID --case create|credentials|read|delete [--connections 16]
 *          [--count 10000] [--seconds 3] [--tenant T] [--user U] [--password P]
 *
 * create, credentials and delete are done once for each of --count devices; read goes on for
 * --seconds over them. --pid is the server's: its CPU time over the measured part is read from its
 * clock. A request that is answered other than 2xx ends it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "ids.h"

enum { CONNECTIONS_MAX = 1024, ANSWER_MAX = 64 << 10, PATIENCE_MS = 120000 };

struct connection {
    int fd;
    char in[ANSWER_MAX];
    size_t len;
    uint64_t sent_at; /* ns; 0: nothing is in flight */
};

struct kind {
    const char *name;
    const char *method;
    const char *collection;
    bool once; /* for each device, not for a time */
    void (*body)(struct buf *out, uint32_t number);
};

static struct {
    int port;
    int pid;
    unsigned connections;
    uint32_t count;
    double seconds;
    const char *tenant;
    const char *user;
    const char *password;
    const struct kind *kind;
} options = {.connections = 16,
             .count = 10000,
             .seconds = 3,
             .tenant = "T",
             .user = "admin",
             .password = "admin-secret"};

static struct connection connections[CONNECTIONS_MAX];
static struct pollfd polled[CONNECTIONS_MAX];
static struct buf login;
static uint64_t *latency; /* ns */
static size_t latencies;
static size_t latency_room;
static uint64_t sent;
static uint64_t end_at; /* ns; of what goes on for a time */

static void die(const char *what)
{
    (void)fprintf(stderr, "http: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t = {0};

    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t cpu_ns(void)
{
    clockid_t clock;

    return options.pid > 0 && clock_getcpuclockid(options.pid, &clock) == 0 ? clock_ns(clock) : 0;
}

/* ---- requests ---- */

static void device_body(struct buf *out, uint32_t number)
{
    buf_printf(out,
               "{\"enabled\":true,\"defaults\":{\"content-type\":\"application/json\","
               "\"ttl\":60},\"ext\":{\"serial\":\"SN-%07u\",\"site\":\"plant 7\"}}",
               number);
}

static void credentials_body(struct buf *out, uint32_t number)
{
    char id[BENCH_ID_MAX];

    bench_id(number, id);
    buf_printf(out,
               "[{\"type\":\"hashed-password\",\"auth-id\":\"%s\",\"secrets\":[{\"hash-function\":"
               "\"sha-256\",\"salt\":\"MTIzNDU2Nzg=\",\"pwd-hash\":"
               "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}]}]",
               id);
}

static const struct kind kinds[] = {
    {"create", "POST", "devices", true, device_body},
    {"credentials", "PUT", "credentials", true, credentials_body},
    {"read", "GET", "devices", false, NULL},
    {"delete", "DELETE", "devices", true, NULL},
};

static void send_request(struct connection *c, uint32_t number)
{
    static struct buf out;
    static struct buf body;
    char id[BENCH_ID_MAX];

    buf_clear(&out);
    buf_clear(&body);
    bench_id(number, id);
    buf_printf(&out, "%s /v1/%s/%s/%s HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic %.*s\r\n",
               options.kind->method, options.kind->collection, options.tenant, id,
               SPAN_ARG(buf_span(&login)));
    if (options.kind->body != NULL) {
        options.kind->body(&body, number);
        buf_printf(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body.len);
        buf_add_span(&out, buf_span(&body));
    } else {
        buf_add_cstr(&out, "\r\n");
    }
    c->len = 0;
    c->sent_at = now_ns();
    if (write(c->fd, out.ptr, out.len) != (ssize_t)out.len) {
        die("write"); /* far below what a socket takes */
    }
}

/* The next request on a connection that is free, if there is one. */
static void next(struct connection *c)
{
    if (options.kind->once ? sent < options.count : now_ns() < end_at) {
        send_request(c, options.kind->once ? (uint32_t)sent
                                           : (uint32_t)(sent * 7919U % options.count));
        sent++;
    }
}

/* ---- answers ---- */

static size_t content_length(const char *head, size_t len)
{
    static const char name[] = "\r\nContent-Length:";

    for (size_t i = 0; i + sizeof(name) <= len; i++) {
        if (strncasecmp(head + i, name, sizeof(name) - 1) == 0) {
            return strtoul(head + i + sizeof(name) - 1, NULL, 10);
        }
    }
    return 0;
}

static bool is_whole(const struct connection *c)
{
    const char *end = memmem(c->in, c->len, "\r\n\r\n", 4);
    size_t head = end == NULL ? 0 : (size_t)(end - c->in) + 4;

    return end != NULL && c->len >= head + content_length(c->in, head);
}

static void check(const struct connection *c)
{
    if (c->len < 12 || c->in[9] != '2') {
        (void)fprintf(stderr, "http: answered with %.*s\n", (int)c->len, c->in);
        exit(1);
    }
}

static void keep_latency(uint64_t ns)
{
    if (latencies == latency_room) {
        latency_room = latency_room == 0 ? 65536 : 2 * latency_room;
        latency = realloc(latency, latency_room * sizeof(latency[0]));
        if (latency == NULL) {
            die("memory");
        }
    }
    latency[latencies++] = ns;
}

static void take_input(struct connection *c)
{
    ssize_t n = read(c->fd, c->in + c->len, sizeof(c->in) - c->len);

    if (n <= 0) {
        die("the connection has ended");
    }
    c->len += (size_t)n;
    if (is_whole(c)) {
        check(c);
        keep_latency(now_ns() - c->sent_at);
        c->sent_at = 0;
        next(c);
    }
}

static bool is_done(void)
{
    for (unsigned i = 0; i < options.connections; i++) {
        if (connections[i].sent_at != 0) {
            return false;
        }
    }
    return true;
}

static void run(void)
{
    for (unsigned i = 0; i < options.connections; i++) {
        next(&connections[i]);
    }
    while (!is_done()) {
        int n = poll(polled, options.connections, PATIENCE_MS);

        if (n == 0) {
            errno = ETIMEDOUT;
            die("no answers");
        }
        for (unsigned i = 0; i < options.connections && n > 0; i++) {
            if (polled[i].revents != 0) {
                take_input(&connections[i]);
                n--;
            }
        }
    }
}

/* ---- the rest ---- */

static void dial(unsigned i)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)options.port),
                                   .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int yes = 1;

    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
        die("connect");
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    connections[i].fd = fd;
    polled[i] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static int compare(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a;
    uint64_t other = *(const uint64_t *)b;

    return (one > other) - (one < other);
}

static double percentile(double share)
{
    return latencies == 0 ? 0 : (double)latency[(size_t)(share * (double)(latencies - 1))] / 1000;
}

static void report(uint64_t ns, uint64_t cpu)
{
    qsort(latency, latencies, sizeof(latency[0]), compare);
    (void)printf("{\"case\":\"%s\",\"connections\":%u,\"requests\":%zu,\"rate\":%.0f,"
                 "\"cpu_us\":%.3f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f}\n",
                 options.kind->name, options.connections, latencies,
                 (double)latencies * 1e9 / (double)ns,
                 (double)cpu / 1000 / (double)(latencies > 0 ? latencies : 1), percentile(0.5),
                 percentile(0.99), percentile(0.999));
}

static void usage(void)
{
    (void)fprintf(stderr, "http: see the head of tests/bench/http.c\n");
    exit(64);
}

static void read_options(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i];
        const char *value = argv[i + 1];

        if (strcmp(name, "--port") == 0) {
            options.port = (int)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--pid") == 0) {
            options.pid = (int)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--connections") == 0) {
            options.connections = (unsigned)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--count") == 0) {
            options.count = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--seconds") == 0) {
            options.seconds = strtod(value, NULL);
        } else if (strcmp(name, "--tenant") == 0) {
            options.tenant = value;
        } else if (strcmp(name, "--user") == 0) {
            options.user = value;
        } else if (strcmp(name, "--password") == 0) {
            options.password = value;
        } else if (strcmp(name, "--case") == 0) {
            for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
                options.kind = strcmp(kinds[k].name, value) == 0 ? &kinds[k] : options.kind;
            }
        } else {
            usage();
        }
    }
    if (options.port == 0 || options.kind == NULL || options.count == 0 ||
        options.connections == 0 || options.connections > CONNECTIONS_MAX) {
        usage();
    }
}

int main(int argc, char **argv)
{
    struct buf token;
    uint64_t begin;
    uint64_t cpu;

    read_options(argc, argv);
    buf_init(&token, 0);
    buf_init(&login, 0);
    buf_printf(&token, "%s:%s", options.user, options.password);
    base64_encode(&login, (const unsigned char *)token.ptr, token.len);
    for (unsigned i = 0; i < options.connections; i++) {
        dial(i);
    }
    begin = now_ns();
    cpu = cpu_ns();
    end_at = begin + (uint64_t)(options.seconds * 1e9);
    run();
    report(now_ns() - begin, cpu_ns() - cpu);
    return 0;
}
