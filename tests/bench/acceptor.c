/*
 * acceptor: a broker that accepts at once and keeps nothing: of AMQP 1.0 as much as Koseki's sender
 * needs, to one connection at a time. All that comes with one read is accepted with one
 * disposition.
 *
 *     acceptor
 *
 * Prints its port; then, for each line on standard input, one JSON line of what it has accepted;
 * ends with standard input. An event that comes twice is told by its id, and counted as `again`.
 * Times are those of the monotonic clock.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "amqp/codec.h"

enum {
    BUFFER = 1 << 20,
    HEADER = 8, /* of a protocol, and of a frame */
    FRAME_MAX = 64 << 10,
    WINDOW = 0x7FFFFFFF,
    CREDIT = 1 << 30, /* once, for all that will ever come */
    EVENTS_MAX = 1 << 26,
    HEARTBEAT_MS = 2000,
};

enum performative {
    OPEN = 0x10,
    BEGIN = 0x11,
    ATTACH = 0x12,
    FLOW = 0x13,
    TRANSFER = 0x14,
    DISPOSITION = 0x15,
    CLOSE = 0x18,
    ACCEPTED = 0x24,
    SASL_MECHANISMS = 0x40,
    SASL_INIT = 0x41,
    SASL_OUTCOME = 0x44,
    PROPERTIES = 0x73,
};

static struct {
    int fd; /* -1: nobody is connected */
    char in[BUFFER];
    size_t in_len;
    struct buf out;
    uint32_t first; /* deliveries that are to be accepted: up to, but not with, `next` */
    uint32_t next;
} peer = {.fd = -1};

static struct {
    unsigned char seen[EVENTS_MAX / 8]; /* a bit for each number that an event's id ends with */
    uint64_t events;
    uint64_t again;
    uint64_t notifications;
    double first_s; /* of the events */
    double last_s;
} taken;

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "acceptor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static _Noreturn void refuse(const char *what)
{
    (void)fprintf(stderr, "acceptor: %s\n", what);
    exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- frames to the peer ---- */

struct frame {
    size_t at;
    size_t list;
};

static struct frame begin_frame(enum performative performative)
{
    const char head[HEADER] = {0, 0, 0, 0, 2, performative >= SASL_MECHANISMS ? 1 : 0, 0, 0};
    struct frame frame = {.at = peer.out.len};

    buf_add(&peer.out, head, sizeof(head));
    codec_write_descriptor(&peer.out, (uint8_t)performative);
    frame.list = codec_begin_list(&peer.out);
    return frame;
}

static void end_frame(struct frame frame, uint32_t count)
{
    size_t size;

    codec_end_compound(&peer.out, frame.list, count);
    size = peer.out.len - frame.at;
    for (size_t i = 0; i < 4; i++) {
        peer.out.ptr[frame.at + i] = (char)(size >> (8 * (3 - i)));
    }
}

static void add_nulls(unsigned count)
{
    while (count-- > 0) {
        codec_write_null(&peer.out);
    }
}

static void add_mechanisms(void)
{
    struct frame frame = begin_frame(SASL_MECHANISMS);

    codec_write_symbol(&peer.out, SPAN("ANONYMOUS"));
    end_frame(frame, 1);
}

static void add_outcome(void)
{
    struct frame frame = begin_frame(SASL_OUTCOME);

    codec_write_ubyte(&peer.out, 0);
    end_frame(frame, 1);
}

static void add_open(void)
{
    struct frame frame = begin_frame(OPEN);

    codec_write_string(&peer.out, SPAN("acceptor"));
    add_nulls(1);
    codec_write_uint(&peer.out, FRAME_MAX);
    add_nulls(4);
    codec_write_symbol(&peer.out, SPAN("ANONYMOUS-RELAY"));
    end_frame(frame, 8);
}

static void add_begin(void)
{
    struct frame frame = begin_frame(BEGIN);

    buf_add(&peer.out, "\x60\0\0", 3); /* an answer to channel 0 */
    codec_write_uint(&peer.out, 0);
    codec_write_uint(&peer.out, WINDOW);
    codec_write_uint(&peer.out, WINDOW);
    end_frame(frame, 4);
}

static void add_flow(uint32_t handle)
{
    struct frame frame = begin_frame(FLOW);

    codec_write_uint(&peer.out, 0);
    codec_write_uint(&peer.out, WINDOW);
    codec_write_uint(&peer.out, 0);
    codec_write_uint(&peer.out, WINDOW);
    codec_write_uint(&peer.out, handle);
    codec_write_uint(&peer.out, 0);
    codec_write_uint(&peer.out, CREDIT);
    end_frame(frame, 7);
}

/* With its name, handle and termini. */
static void answer_attach(struct codec_reader fields)
{
    struct frame frame = begin_frame(ATTACH);
    struct span name;
    uint32_t handle;
    bool receives;

    if (!codec_read_string(&fields, &name) || !codec_read_uint(&fields, &handle) ||
        !codec_read_bool(&fields, &receives) || receives) {
        refuse("an attach that is no sender's");
    }
    codec_write_string(&peer.out, name);
    codec_write_uint(&peer.out, handle);
    codec_write_bool(&peer.out, true);
    for (unsigned i = 0; i < 4; i++) { /* settle modes, source, target */
        struct span value;

        if (!codec_skip(&fields, &value)) {
            refuse("an attach without a target");
        }
        buf_add_span(&peer.out, value);
    }
    end_frame(frame, 7);
    add_flow(handle);
}

static void accept_all(void)
{
    struct frame frame;

    if (peer.first == peer.next) {
        return;
    }
    frame = begin_frame(DISPOSITION);
    codec_write_bool(&peer.out, true);
    codec_write_uint(&peer.out, peer.first);
    codec_write_uint(&peer.out, peer.next - 1);
    codec_write_bool(&peer.out, true);
    codec_write_descriptor(&peer.out, ACCEPTED);
    codec_end_compound(&peer.out, codec_begin_list(&peer.out), 0);
    end_frame(frame, 5);
    peer.first = peer.next;
}

static void write_out(void)
{
    size_t done = 0;

    while (done < peer.out.len) {
        ssize_t n = send(peer.fd, peer.out.ptr + done, peer.out.len - done, MSG_NOSIGNAL);

        if (n < 0) {
            die("send");
        }
        done += (size_t)n;
    }
    buf_clear(&peer.out);
}

/* ---- frames from the peer ---- */

static void count_event(struct span id)
{
    const char *dash = memrchr(id.ptr, '-', id.len);
    uint64_t number = 0;

    for (const char *p = dash + 1; dash != NULL && p < span_end(id); p++) {
        number = number * 10 + (uint64_t)(*p - '0');
    }
    if (number == 0 || number >= EVENTS_MAX) {
        refuse("an event whose id ends with no number, or a large one");
    }
    if ((taken.seen[number / 8] & 1U << number % 8) != 0) {
        taken.again++;
        return;
    }
    taken.seen[number / 8] |= (unsigned char)(1U << number % 8);
    taken.events++;
    taken.last_s = seconds(CLOCK_MONOTONIC);
    if (taken.events == 1) {
        taken.first_s = taken.last_s;
    }
}

static void count_message(struct codec_reader message)
{
    struct codec_reader fields;
    struct span id;
    struct span to;
    uint64_t section = 0;
    uint32_t count;

    while (codec_read_descriptor(&message, &section) && section != PROPERTIES) {
        (void)codec_skip(&message, NULL);
    }
    if (section != PROPERTIES || !codec_read_list(&message, &fields, &count) ||
        !codec_read_string(&fields, &id) || !codec_take_null(&fields) ||
        !codec_read_string(&fields, &to)) {
        refuse("a message without id and address");
    }
    if (to.len > 6 && memcmp(to.ptr, "event/", 6) == 0) {
        count_event(id);
    } else {
        taken.notifications++;
    }
}

static void take_transfer(struct codec_reader fields, struct codec_reader message)
{
    struct span tag;
    uint32_t handle;
    uint32_t delivery;
    bool settled = false;
    bool more = false;

    if (!codec_read_uint(&fields, &handle) || !codec_read_uint(&fields, &delivery) ||
        !codec_read_binary(&fields, &tag) || !codec_skip(&fields, NULL)) {
        refuse("a malformed transfer");
    }
    if (codec_left(&fields) > 0 && !codec_take_null(&fields)) {
        (void)codec_read_bool(&fields, &settled);
    }
    if (codec_left(&fields) > 0 && !codec_take_null(&fields)) {
        (void)codec_read_bool(&fields, &more);
    }
    if (delivery != peer.next || settled || more) {
        refuse("a transfer out of order, settled, or in several frames");
    }
    peer.next++;
    count_message(message);
}

static void take_frame(struct span bytes)
{
    struct codec_reader reader = codec_reader_of(bytes);
    struct codec_reader fields;
    uint64_t performative = 0;
    uint32_t count;

    if (bytes.len == 0) {
        return; /* a heartbeat */
    }
    if (!codec_read_descriptor(&reader, &performative) ||
        !codec_read_list(&reader, &fields, &count)) {
        refuse("a malformed frame");
    }
    switch (performative) {
    case SASL_INIT:
        add_outcome();
        break;
    case OPEN:
        add_open();
        break;
    case BEGIN:
        add_begin();
        break;
    case ATTACH:
        answer_attach(fields);
        break;
    case TRANSFER:
        take_transfer(fields, reader);
        break;
    case CLOSE:
        end_frame(begin_frame(CLOSE), 0);
        break;
    default: /* flows, dispositions */
        break;
    }
}

static void take_header(const char *header)
{
    buf_add(&peer.out, header, HEADER);
    if (header[4] == 3) {
        add_mechanisms();
    }
}

static void take_input(void)
{
    size_t done = 0;

    while (peer.in_len - done >= HEADER) {
        const char *at = peer.in + done;
        uint32_t size;

        if (memcmp(at, "AMQP", 4) == 0) {
            take_header(at);
            done += HEADER;
            continue;
        }
        memcpy(&size, at, sizeof(size));
        size = ntohl(size);
        if (size < HEADER || size > FRAME_MAX) {
            refuse("a frame that is too long");
        }
        if (peer.in_len - done < size) {
            break;
        }
        take_frame(span_of(at + HEADER, size - HEADER));
        done += size;
    }
    memmove(peer.in, peer.in + done, peer.in_len - done);
    peer.in_len -= done;
    accept_all();
    write_out();
}

static void read_in(void)
{
    ssize_t n = recv(peer.fd, peer.in + peer.in_len, sizeof(peer.in) - peer.in_len, 0);

    if (n <= 0) {
        (void)close(peer.fd);
        peer.fd = -1;
        return;
    }
    peer.in_len += (size_t)n;
    take_input();
}

/* ---- the rest ---- */

static int listen_somewhere(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
        die("listen");
    }
    (void)printf("%d\n", ntohs(at.sin_port));
    (void)fflush(stdout);
    return fd;
}

static void take_connection(int listener)
{
    int on = 1;

    peer.fd = accept(listener, NULL, NULL);
    if (peer.fd < 0) {
        die("accept");
    }
    (void)setsockopt(peer.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    peer.in_len = 0;
    peer.first = 0;
    peer.next = 0;
}

static void tell(void)
{
    (void)printf("{\"events\":%llu,\"again\":%llu,\"notifications\":%llu,\"first_s\":%.6f,"
                 "\"last_s\":%.6f,\"now_s\":%.6f,\"cpu_s\":%.6f}\n",
                 (unsigned long long)taken.events, (unsigned long long)taken.again,
                 (unsigned long long)taken.notifications, taken.first_s, taken.last_s,
                 seconds(CLOCK_MONOTONIC), seconds(CLOCK_PROCESS_CPUTIME_ID));
    (void)fflush(stdout);
}

/* False at the end of standard input. */
static bool read_questions(void)
{
    char text[256];
    ssize_t n = read(STDIN_FILENO, text, sizeof(text));

    for (ssize_t i = 0; i < n; i++) {
        if (text[i] == '\n') {
            tell();
        }
    }
    return n > 0;
}

int main(void)
{
    static const char heartbeat[HEADER] = {0, 0, 0, HEADER, 2, 0, 0, 0};
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = listen_somewhere(), .events = POLLIN},
                           {.fd = -1, .events = POLLIN}};
    int listener = fds[1].fd;

    buf_init(&peer.out, BUFFER);
    for (;;) {
        fds[1].fd = peer.fd < 0 ? listener : -1;
        fds[2].fd = peer.fd;
        if (poll(fds, 3, HEARTBEAT_MS) == 0 && peer.next > 0) {
            buf_add(&peer.out, heartbeat, sizeof(heartbeat));
            write_out();
        }
        if (fds[2].revents != 0) {
            read_in();
        }
        if (fds[1].revents != 0) {
            take_connection(listener);
        }
        if (fds[0].revents != 0 && !read_questions()) {
            return 0;
        }
    }
}
