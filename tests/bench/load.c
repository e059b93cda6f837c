/*
 * load: sends requests as protocol adapters do, with hand-coded frames, and measures. One thread,
 * any number of connections, a fixed number of requests in flight on each. Prints one JSON line.
 *
 *     load --port P --pid PID --case credentials|assert|tenant|provision|idle|login
 *          [--connections 4] [--outstanding 25] [--seconds 3] [--devices 10000] [--tenant T]
 *          [--user U] [--password P] [--certs FILE] [--ca FILE]
 *
 * --ca makes it TLS. --pid is the server's: its CPU time over the measured part is read from its
 * clock. Ids are dev-0000000 … as `fill` makes them. A file of certificates has lines `auth-id TAB
 * base64`; each is asked for once.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
    IN_FLIGHT_MAX = 4096,
    BUFFER = 1 << 20,
    CREDIT = 20000,
    ID_DIGITS = 10,
    PATIENCE_S = 120, /* without any answer: something is broken, not slow */
};

struct bytes {
    unsigned char *at;
    size_t len;
    size_t cap;
};

struct connection {
    int fd;
    SSL *tls; /* NULL: plain */
    struct bytes in;
    struct bytes out;
    size_t out_done;
    uint32_t sent;     /* deliveries */
    uint32_t received; /* answers */
    uint32_t disposed;
    uint32_t credit_until; /* sent may grow to this */
    uint32_t granted;      /* credit that we gave, as a delivery count */
    uint32_t in_flight;
    bool wants_write;
};

static struct {
    int port;
    pid_t pid;
    const char *kind;
    unsigned connections;
    unsigned outstanding;
    double seconds;
    unsigned devices;
    const char *tenant;
    const char *user;
    const char *password;
    const char *certs;
    const char *ca; /* PEM file: TLS */
} options = {.kind = "credentials",
             .connections = 4,
             .outstanding = 25,
             .seconds = 3,
             .devices = 10000,
             .tenant = "T",
             .user = "adapter@HONO",
             .password = "secret"};

static uint64_t *started; /* ns, by message number modulo its size */
static uint64_t *latency; /* ns */
static size_t latencies;
static size_t latency_room;
static uint64_t next_message;
static uint64_t errors;
static bool measuring;
static char **cert_lines;
static size_t cert_count;

static void die(const char *what)
{
    (void)fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static uint64_t cpu_ns(void)
{
    clockid_t clock;
    struct timespec t = {0};

    if (options.pid > 0 && clock_getcpuclockid(options.pid, &clock) == 0) {
        (void)clock_gettime(clock, &t);
    }
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* ---- putting frames together ---- */

static void add(struct bytes *b, const void *data, size_t len)
{
    if (b->len + len > b->cap) {
        b->cap = 2 * (b->len + len);
        b->at = realloc(b->at, b->cap);
        if (b->at == NULL) {
            die("memory");
        }
    }
    memcpy(b->at + b->len, data, len);
    b->len += len;
}

static void add_byte(struct bytes *b, unsigned value)
{
    unsigned char byte = (unsigned char)value;

    add(b, &byte, 1);
}

static void add_u32(struct bytes *b, uint32_t value)
{
    const unsigned char four[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                                   (unsigned char)(value >> 8), (unsigned char)value};

    add(b, four, 4);
}

static void set_u32(struct bytes *b, size_t at, size_t value)
{
    for (size_t i = 0; i < 4; i++) {
        b->at[at + i] = (unsigned char)(value >> (8 * (3 - i)));
    }
}

static void add_uint(struct bytes *b, uint32_t value)
{
    add_byte(b, 0x70);
    add_u32(b, value);
}

static void add_text(struct bytes *b, unsigned code, const char *text) /* string, symbol, binary */
{
    add_byte(b, code + 0x10);
    add_u32(b, (uint32_t)strlen(text));
    add(b, text, strlen(text));
}

static void add_null(struct bytes *b, unsigned count)
{
    while (count-- > 0) {
        add_byte(b, 0x40);
    }
}

struct open_list {
    size_t frame;
    size_t list;
};

static struct open_list begin_list(struct bytes *b, unsigned descriptor)
{
    struct open_list at;

    add(b, "\0\x53", 2);
    add_byte(b, descriptor);
    add_byte(b, 0xD0);
    at.list = b->len;
    add(b, "\0\0\0\0\0\0\0\0", 8);
    return at;
}

static void end_list(struct bytes *b, size_t list, uint32_t count)
{
    set_u32(b, list, b->len - list - 4);
    set_u32(b, list + 4, count);
}

static struct open_list begin_frame(struct bytes *b, unsigned descriptor, unsigned type)
{
    struct open_list at;
    size_t frame = b->len;

    add(b, "\0\0\0\0\2", 5);
    add_byte(b, type);
    add(b, "\0", 2);
    at = begin_list(b, descriptor);
    at.frame = frame;
    return at;
}

static void end_frame(struct bytes *b, struct open_list at, uint32_t count)
{
    end_list(b, at.list, count);
    set_u32(b, at.frame, b->len - at.frame);
}

static void add_terminus(struct bytes *b, unsigned descriptor, const char *address)
{
    struct open_list at = begin_list(b, descriptor);

    if (address == NULL) {
        add_null(b, 1);
    } else {
        add_text(b, 0xA1, address);
    }
    end_list(b, at.list, 1);
}

static void add_attach(struct bytes *b, const char *name, uint32_t handle, bool receiver,
                       const char *address)
{
    struct open_list at = begin_frame(b, 0x12, 0);

    add_text(b, 0xA1, name);
    add_uint(b, handle);
    add_byte(b, receiver ? 0x41 : 0x42);
    add_null(b, 2);
    add_terminus(b, 0x28, receiver ? address : NULL);
    add_terminus(b, 0x29, receiver ? NULL : address);
    add_null(b, 2);
    add_uint(b, 0);
    end_frame(b, at, 10);
}

static void add_flow(struct bytes *b, uint32_t next_incoming, uint32_t delivery_count,
                     uint32_t credit)
{
    struct open_list at = begin_frame(b, 0x13, 0);

    add_uint(b, next_incoming);
    add_uint(b, 0x7FFFFFFF);
    add_uint(b, 0);
    add_uint(b, 0x7FFFFFFF);
    add_uint(b, 0);
    add_uint(b, delivery_count);
    add_uint(b, credit);
    end_frame(b, at, 7);
}

static void add_disposition(struct bytes *b, uint32_t first, uint32_t last)
{
    struct open_list at = begin_frame(b, 0x15, 0);

    add_byte(b, 0x41);
    add_uint(b, first);
    add_uint(b, last);
    add_byte(b, 0x41);
    add(b, "\0\x53\x24\x45", 4);
    end_frame(b, at, 5);
}

static const char *reply_address(void)
{
    static char text[256];
    bool tenant = strcmp(options.kind, "tenant") == 0;

    if (tenant) {
        return "tenant/load";
    }
    (void)snprintf(text, sizeof(text), "%s/%s/load",
                   strcmp(options.kind, "assert") == 0 ? "registration" : "credentials",
                   options.tenant);
    return text;
}

static const char *request_address(void)
{
    static char text[256];

    (void)snprintf(text, sizeof(text), "%s", reply_address());
    *strrchr(text, '/') = '\0';
    return text;
}

static void add_request(struct connection *c, uint64_t n)
{
    struct bytes *b = &c->out;
    struct open_list frame = begin_frame(b, 0x14, 0);
    struct open_list at;
    bool assert_device = strcmp(options.kind, "assert") == 0;
    unsigned device = (unsigned)((n * 7919U) % options.devices);
    static char body[64 << 10];
    char text[32];

    add_uint(b, 1);
    add_uint(b, c->sent);
    add_byte(b, 0xA0);
    add_byte(b, 4);
    add_u32(b, c->sent);
    end_list(b, frame.list, 3);
    at = begin_list(b, 0x73);
    (void)snprintf(text, sizeof(text), "m-%0*llu", ID_DIGITS, (unsigned long long)n);
    add_text(b, 0xA1, text);
    add_null(b, 1);
    add_text(b, 0xA1, request_address());
    add_text(b, 0xA1, assert_device ? "assert" : "get");
    add_text(b, 0xA1, reply_address());
    end_list(b, at.list, 5);
    (void)snprintf(text, sizeof(text), "dev-%07u", device);
    if (assert_device) {
        size_t map;

        add(b, "\0\x53\x74\xD1", 4);
        map = b->len;
        add(b, "\0\0\0\0\0\0\0\2", 8);
        add_text(b, 0xA1, "device_id");
        add_text(b, 0xA1, text);
        set_u32(b, map, b->len - map - 4);
    } else {
        if (cert_count > 0) {
            const char *line = cert_lines[n % cert_count];
            const char *tab = strchr(line, '\t');

            (void)snprintf(
                body, sizeof(body),
                "{\"type\":\"x509-cert\",\"auth-id\":\"%.*s\",\"client-certificate\":\"%s\"}",
                (int)(tab - line), line, tab + 1);
        } else if (strcmp(options.kind, "tenant") == 0) {
            (void)snprintf(body, sizeof(body), "{\"tenant-id\":\"%s\"}", options.tenant);
        } else {
            (void)snprintf(body, sizeof(body), "{\"type\":\"hashed-password\",\"auth-id\":\"%s\"}",
                           text);
        }
        add(b, "\0\x53\x75", 3);
        add_text(b, 0xA0, body);
    }
    set_u32(b, frame.frame, b->len - frame.frame);
    c->sent++;
    c->in_flight++;
    started[n % (IN_FLIGHT_MAX * 16)] = now_ns();
}

/* ---- reading frames ---- */

static uint32_t get_u32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The index-th field of a list of numbers, nulls and booleans; 0 if absent. */
static uint32_t field(const unsigned char *list, unsigned index)
{
    const unsigned char *p = list;
    uint32_t count;

    if (*p == 0x45) {
        return 0;
    }
    count = *p == 0xC0 ? p[2] : get_u32(p + 5);
    p += *p == 0xC0 ? 3 : 9;
    for (unsigned i = 0; i < count && i <= index; i++) {
        uint32_t value = 0;

        switch (*p++) {
        case 0x70:
            value = get_u32(p);
            p += 4;
            break;
        case 0x50:
        case 0x52:
        case 0x56:
            value = *p++;
            break;
        case 0xA0:
            p += 1 + *p;
            break;
        default: /* null, true, false, 0 */
            break;
        }
        if (i == index) {
            return value;
        }
    }
    return 0;
}

static void take_answer(struct connection *c, const unsigned char *frame, size_t size)
{
    const unsigned char *id = memmem(frame, size, "m-", 2);
    const unsigned char *status = memmem(frame, size, "status\x71", 7);
    uint64_t n = 0;

    while (id != NULL) { /* ids of ours have ten digits behind m- */
        bool is = (size_t)(frame + size - id) >= 2 + ID_DIGITS;

        n = 0;
        for (unsigned i = 0; is && i < ID_DIGITS; i++) {
            is = id[2 + i] >= '0' && id[2 + i] <= '9';
            n = n * 10 + (uint64_t)(id[2 + i] - '0');
        }
        if (is) {
            break;
        }
        id = memmem(id + 1, (size_t)(frame + size - id - 1), "m-", 2);
    }
    if (id == NULL || status == NULL || get_u32(status + 7) / 100 != 2) {
        errors++;
    }
    c->received++;
    c->in_flight--;
    if (id != NULL && measuring && latencies < latency_room) {
        latency[latencies++] = now_ns() - started[n % (IN_FLIGHT_MAX * 16)];
    }
}

static void take_frame(struct connection *c, const unsigned char *frame, size_t size)
{
    size_t body = 4U * frame[4];
    const unsigned char *list = frame + body + 3;

    if (size <= body || frame[5] != 0) {
        return;
    }
    switch (frame[body + 2]) {
    case 0x13:
        if (field(list, 4) == 1 && field(list, 6) > 0) {
            c->credit_until = field(list, 5) + field(list, 6);
        }
        break;
    case 0x14:
        take_answer(c, frame, size);
        break;
    case 0x16:
    case 0x17:
    case 0x18:
        (void)fprintf(stderr, "load: the server detached, ended or closed: %.*s\n",
                      (int)(size - body), (const char *)frame + body);
        exit(1);
    default:
        break;
    }
}

static void take_input(struct connection *c)
{
    size_t done = 0;

    while (c->in.len - done >= 8) {
        size_t size = get_u32(c->in.at + done);

        if (c->in.len - done < size) {
            break;
        }
        take_frame(c, c->in.at + done, size);
        done += size;
    }
    memmove(c->in.at, c->in.at + done, c->in.len - done);
    c->in.len -= done;
    if (c->received > c->disposed) {
        add_disposition(&c->out, c->disposed, c->received - 1);
        c->disposed = c->received;
    }
    if (c->granted - c->received < CREDIT / 2) {
        add_flow(&c->out, c->received, c->received, CREDIT);
        c->granted = c->received + CREDIT;
    }
}

/* ---- connections ---- */

/* As send and recv, whatever is below: -1 with EAGAIN when it would wait. */
static ssize_t tls_result(const SSL *tls, int n)
{
    int error = SSL_get_error(tls, n);

    if (n > 0) {
        return n;
    }
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return -1;
}

static ssize_t put(struct connection *c, const void *from, size_t len)
{
    return c->tls == NULL ? send(c->fd, from, len, MSG_NOSIGNAL)
                          : tls_result(c->tls, SSL_write(c->tls, from, (int)len));
}

static ssize_t get(struct connection *c, void *to, size_t len)
{
    return c->tls == NULL ? recv(c->fd, to, len, 0)
                          : tls_result(c->tls, SSL_read(c->tls, to, (int)len));
}

static void write_out(struct connection *c)
{
    while (c->out_done < c->out.len) {
        ssize_t n = put(c, c->out.at + c->out_done, c->out.len - c->out_done);

        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n < 0) {
            die("send");
        }
        c->out_done += (size_t)n;
    }
    c->out.len = 0;
    c->out_done = 0;
}

static void read_in(struct connection *c)
{
    static unsigned char buffer[BUFFER];
    ssize_t n = get(c, buffer, sizeof(buffer));

    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        errno = n == 0 ? ECONNRESET : errno;
        die("the server ended the connection");
    }
    add(&c->in, buffer, (size_t)n);
}

static void log_in(struct connection *c)
{
    struct bytes *b = &c->out;
    struct open_list at;
    char response[256];
    int len =
        snprintf(response, sizeof(response), "%c%s%c%s", 0, options.user, 0, options.password);

    add(b, "AMQP\3\1\0\0", 8);
    at = begin_frame(b, 0x41, 1);
    add_text(b, 0xA3, "PLAIN");
    add_byte(b, 0xA0);
    add_byte(b, (unsigned)len);
    add(b, response, (size_t)len);
    end_frame(b, at, 2);
    add(b, "AMQP\0\1\0\0", 8);
    at = begin_frame(b, 0x10, 0);
    add_text(b, 0xA1, "load");
    end_frame(b, at, 1);
    at = begin_frame(b, 0x11, 0);
    add_null(b, 1);
    add_uint(b, 0);
    add_uint(b, 0x7FFFFFFF);
    add_uint(b, 0x7FFFFFFF);
    end_frame(b, at, 4);
    add_attach(b, "r", 0, true, reply_address());
    add_flow(b, 0, 0, CREDIT);
    c->granted = CREDIT;
    add_attach(b, "s", 1, false, request_address());
}

/* Behind the two protocol headers and the SASL frames only frames are left. */
static bool skip_headers(struct connection *c)
{
    const unsigned char *amqp = memmem(c->in.at, c->in.len, "AMQP\0\1\0\0", 8);

    if (amqp == NULL) {
        return false;
    }
    c->in.len -= (size_t)(amqp + 8 - c->in.at);
    memmove(c->in.at, amqp + 8, c->in.len);
    return true;
}

static void start_tls(struct connection *c)
{
    static SSL_CTX *context;

    if (context == NULL) {
        context = SSL_CTX_new(TLS_client_method());
        if (context == NULL || SSL_CTX_load_verify_file(context, options.ca) != 1) {
            die(options.ca);
        }
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        (void)SSL_CTX_set_mode(context,
                               SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    c->tls = SSL_new(context);
    if (c->tls == NULL || SSL_set_fd(c->tls, c->fd) != 1 || SSL_connect(c->tls) != 1) {
        die("TLS handshake");
    }
}

static void dial(struct connection *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    int on = 1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        die("connect");
    }
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (options.ca != NULL) {
        start_tls(c);
    }
    log_in(c);
    write_out(c);
}

static void finish_login(struct connection *c)
{
    while (!skip_headers(c)) {
        read_in(c);
    }
    take_input(c);
    while (c->credit_until == 0) {
        read_in(c);
        take_input(c);
    }
    write_out(c);
    (void)fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

/* ---- measuring ---- */

static bool may_ask(const struct connection *c)
{
    return c->in_flight < options.outstanding && c->credit_until - c->sent > 0 &&
           (int32_t)(c->credit_until - c->sent) > 0 &&
           (cert_count == 0 || strcmp(options.kind, "provision") != 0 || next_message < cert_count);
}

static void ask(struct connection *c)
{
    while (may_ask(c)) {
        add_request(c, next_message++);
    }
    write_out(c);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static double percentile(double share)
{
    return latencies == 0 ? 0 : (double)latency[(size_t)(share * (double)(latencies - 1))] / 1000;
}

/* On a busy machine a short time may pass without an answer: each place is to have had one. */
static bool is_done(uint64_t until)
{
    if (strcmp(options.kind, "provision") == 0) {
        return latencies >= cert_count;
    }
    return now_ns() >= until && latencies >= (size_t)options.connections * options.outstanding;
}

static void take_care(const struct connection *all)
{
    static uint64_t seen;
    static uint64_t since;
    uint64_t received = 0;

    for (unsigned i = 0; i < options.connections; i++) {
        received += all[i].received;
    }
    if (received != seen || since == 0) {
        seen = received;
        since = now_ns();
    } else if (now_ns() - since > (uint64_t)PATIENCE_S * 1000000000U) {
        errno = ETIMEDOUT;
        die("no answers");
    }
}

static void turn(int epoll, struct connection *all)
{
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, 100);

    if (n == 0) {
        take_care(all);
    }
    for (int i = 0; i < n; i++) {
        struct connection *c = &all[events[i].data.u32];

        if ((events[i].events & EPOLLIN) != 0) {
            do {
                read_in(c);
                take_input(c);
            } while (c->tls != NULL && SSL_pending(c->tls) > 0);
        }
        ask(c);
        if ((c->out.len > 0) != c->wants_write) {
            struct epoll_event e = {.events = EPOLLIN | (c->out.len > 0 ? EPOLLOUT : 0),
                                    .data.u32 = events[i].data.u32};

            c->wants_write = c->out.len > 0;
            (void)epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
        }
    }
}

static void measure(struct connection *all)
{
    int epoll = epoll_create1(0);
    bool warm = strcmp(options.kind, "provision") != 0;
    uint64_t begin = now_ns();
    uint64_t cpu;

    for (uint32_t i = 0; i < options.connections; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};

        (void)epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &e);
    }
    measuring = !warm;
    for (uint32_t i = 0; i < options.connections; i++) {
        ask(&all[i]);
    }
    while (warm && now_ns() - begin < 300000000U) {
        turn(epoll, all);
    }
    measuring = true;
    begin = warm ? now_ns() : begin;
    cpu = cpu_ns();
    while (!is_done(begin + (uint64_t)(options.seconds * 1e9))) {
        turn(epoll, all);
    }
    cpu = cpu_ns() - cpu;
    begin = now_ns() - begin;
    qsort(latency, latencies, sizeof(latency[0]), by_size);
    (void)printf("{\"case\":\"%s\",\"connections\":%u,\"outstanding\":%u,\"requests\":%zu,"
                 "\"errors\":%llu,\"rate\":%.0f,\"cpu_us\":%.3f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
                 "\"p999_us\":%.1f}\n",
                 options.kind, options.connections, options.outstanding, latencies,
                 (unsigned long long)errors, (double)latencies * 1e9 / (double)begin,
                 (double)cpu / 1000 / (double)(latencies > 0 ? latencies : 1), percentile(0.5),
                 percentile(0.99), percentile(0.999));
}

static void read_certs(void)
{
    FILE *file = fopen(options.certs, "r");
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    if (file == NULL) {
        die(options.certs);
    }
    while ((len = getline(&line, &cap, file)) > 0) {
        line[len - 1] = '\0';
        cert_lines = realloc(cert_lines, (cert_count + 1) * sizeof(char *));
        if (cert_lines == NULL) {
            die("memory");
        }
        cert_lines[cert_count++] = strdup(line);
    }
    free(line);
    (void)fclose(file);
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
        } else if (strcmp(name, "--case") == 0) {
            options.kind = value;
        } else if (strcmp(name, "--connections") == 0) {
            options.connections = (unsigned)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--outstanding") == 0) {
            options.outstanding = (unsigned)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--seconds") == 0) {
            options.seconds = strtod(value, NULL);
        } else if (strcmp(name, "--devices") == 0) {
            options.devices = (unsigned)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--tenant") == 0) {
            options.tenant = value;
        } else if (strcmp(name, "--user") == 0) {
            options.user = value;
        } else if (strcmp(name, "--password") == 0) {
            options.password = value;
        } else if (strcmp(name, "--ca") == 0) {
            options.ca = value;
        } else if (strcmp(name, "--certs") == 0) {
            options.certs = value;
        } else {
            (void)fprintf(stderr, "load: unknown option %s\n", name);
            exit(64);
        }
    }
    if (options.port == 0 || options.connections == 0 || options.outstanding > IN_FLIGHT_MAX) {
        (void)fprintf(stderr, "load: needs --port, and at most %d --outstanding\n", IN_FLIGHT_MAX);
        exit(64);
    }
}

int main(int argc, char **argv)
{
    struct connection *all;
    uint64_t begin;
    uint64_t cpu;

    read_options(argc, argv);
    if (options.certs != NULL) {
        read_certs();
    }
    latency_room = 20000000;
    latency = calloc(latency_room, sizeof(latency[0]));
    started = calloc((size_t)IN_FLIGHT_MAX * 16, sizeof(started[0]));
    all = calloc(options.connections, sizeof(*all));
    if (latency == NULL || started == NULL || all == NULL) {
        die("memory");
    }
    begin = now_ns();
    cpu = cpu_ns();
    for (unsigned i = 0; i < options.connections; i += 128) { /* at most so many in the backlog */
        unsigned end = i + 128 < options.connections ? i + 128 : options.connections;

        for (unsigned k = i; k < end; k++) {
            dial(&all[k]);
        }
        for (unsigned k = i; k < end; k++) {
            finish_login(&all[k]);
        }
    }
    if (strcmp(options.kind, "idle") != 0) {
        measure(all);
        return errors == 0 ? 0 : 1;
    }
    /* Connected, one line, and silent until standard input ends. */
    (void)printf("{\"case\":\"idle\",\"connections\":%u,\"seconds\":%.3f,\"cpu_us\":%.3f}\n",
                 options.connections, (double)(now_ns() - begin) / 1e9,
                 (double)(cpu_ns() - cpu) / 1000 / options.connections);
    (void)fflush(stdout);
    (void)getchar();
    return 0;
}
