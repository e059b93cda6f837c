/*
 * The connection to a broker as it runs: a real socket, SASL, the guard, Debian's engine and the
 * links over it; only the reactor's loop turns in here, and time moves when told. Whatever the
 * broker sends: `ended` is heard once, in words that can be shown, once the broker has gone or is
 * silent; an outcome is heard once; nothing is heard after the close; what we send are frames, and
 * the password only for who offered PLAIN; what is held is bounded.
 *
 * The input is a program: three bytes say how the connection is made, then each byte picks a frame
 * to build from the bytes behind it, so that deep states are reached. An input that begins with the
 * SASL header is what a broker sent: its frames as they are.
 *
 * Covers: amqp/broker.c amqp/broker_input.c amqp/sasl_client.c amqp/sender_links.c
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <proton/connection.h>
#include <proton/delivery.h>
#include <proton/link.h>
#include <proton/session.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "amqp/broker.h"
#include "amqp/codec.h"
#include "amqp/guard.h"
#include "amqp/guard_schema.h"
#include "amqp/sender_links.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "net/dialer.h"
#include "net/reactor.h"
#include "net/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* The sanitizer's, if there is one. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

enum {
    INPUT_MAX = 128 << 10,
    STEPS_MAX = 300,
    PIECES_MAX = 32,    /* of what is sent in one go */
    SENT_MAX = 4 << 20, /* bytes, by the broker */
    SEEN_MAX = 8 << 20,
    FIRST_WORDS = 16 << 10, /* of the broker: more than SASL can be */
    HELD_MAX = 16 << 20,    /* bytes that a connection may hold */
    SLOTS = 256,            /* deliveries on their way */
    BODY_MAX = 4000,
    ADDRESSES = SENDER_LINKS + 6,
    PATIENCE_MS = 60000, /* real ones */
};

static const char password[] = "not-for-everyone";
static const char sasl_header[8] = {'A', 'M', 'Q', 'P', 3, 1, 0, 0};
static const char amqp_header[8] = {'A', 'M', 'Q', 'P', 0, 1, 0, 0};

static struct reactor *reactor;
static struct dialer *dialer;
static struct tls_context *tls;
static int64_t passed_ms; /* that time has been moved on by */

/* Where the broker is. */
enum place { PLAIN_PLACE, TIGHT_PLACE, TLS_PLACE, EMPTY_PLACE, PLACES };
static struct broker_url place[PLACES];
static int listener[PLACES];

struct slot {
    pn_delivery_t *delivery; /* NULL: free */
    struct sender_link *link;
};

struct talk {
    const uint8_t *at;
    const uint8_t *end;

    struct broker *broker; /* NULL: closed */
    bool closed_by_us;     /* without waiting for the end */
    bool opened;
    unsigned ended;
    struct sender_links links;
    unsigned addresses;
    size_t body;
    struct slot slot[SLOTS];
    uint64_t tag;
    bool idle;   /* there is nothing to send */
    bool enough; /* at the next turn it gives up */

    int fd; /* the broker's end; -1: gone */
    enum place place;
    bool reading;
    size_t piece;
    size_t sent;
    struct buf out;    /* of the broker, for one go */
    struct buf last;   /* its last frame */
    struct buf first;  /* its first words */
    struct buf seen;   /* what it is sent */
    size_t base_bytes; /* allocated before */
    int64_t until;
};

static void must(bool fine, const char *what)
{
    if (!fine) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

/* In the place of the C library's, for libevent too. */
int clock_gettime(clockid_t id, struct timespec *now)
{
    long rc = syscall(SYS_clock_gettime, id, now);

    if (rc == 0 && (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE)) {
        now->tv_sec += passed_ms / 1000;
        now->tv_nsec += passed_ms % 1000 * 1000000;
        if (now->tv_nsec >= 1000000000) {
            now->tv_nsec -= 1000000000;
            now->tv_sec++;
        }
    }
    return (int)rc;
}

static int64_t real_ms(void)
{
    return clock_monotonic_ms() - passed_ms;
}

static size_t allocated(void)
{
    return __sanitizer_get_current_allocated_bytes != NULL
               ? __sanitizer_get_current_allocated_bytes()
               : 0;
}

/* ---- what it runs on ---- */

/* A tight one takes little at a time. */
static void open_place(enum place at, bool tight, bool listens)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int small = 4096;
    const int segment = 512;

    if (tight) {
        must(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) == 0 &&
                 setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment)) == 0,
             "no small buffer");
    }
    must(bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
             getsockname(fd, (struct sockaddr *)&address, &len) == 0 &&
             (!listens || listen(fd, 16) == 0),
         "no listener");
    listener[at] = fd;
    place[at].tls = at == TLS_PLACE;
    (void)snprintf(place[at].host_port, sizeof(place[at].host_port), "127.0.0.1:%u",
                   ntohs(address.sin_port));
}

static void open_places(void)
{
    must(reactor_open(&reactor, "fuzz", NULL) == KS_OK, "no reactor");
    must(tls_client_open(&tls, NULL, NULL, NULL, NULL) == KS_OK, "no TLS");
    dialer = dialer_open(reactor);
    open_place(PLAIN_PLACE, false, true);
    open_place(TIGHT_PLACE, true, true);
    open_place(TLS_PLACE, false, true);
    open_place(EMPTY_PLACE, false, false);
}

/* ---- who sends over the connection ---- */

static void forget(struct slot *slot)
{
    pn_delivery_set_context(slot->delivery, NULL);
    slot->delivery = NULL;
}

static void forget_link(struct talk *talk, const struct sender_link *link)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (talk->slot[i].delivery != NULL && talk->slot[i].link == link) {
            forget(&talk->slot[i]);
        }
    }
}

static struct slot *free_slot(struct talk *talk)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (talk->slot[i].delivery == NULL) {
            return &talk->slot[i];
        }
    }
    return NULL;
}

static void send_one(struct talk *talk, struct sender_link *link, struct slot *slot)
{
    static const char body[BODY_MAX];
    uint64_t tag = talk->tag++;

    slot->delivery = pn_delivery(link->engine, pn_dtag((const char *)&tag, sizeof(tag)));
    slot->link = link;
    must(slot->delivery != NULL && pn_link_current(link->engine) == slot->delivery,
         "a delivery behind another");
    pn_delivery_set_context(slot->delivery, slot);
    must(pn_link_send(link->engine, body, talk->body) == (ssize_t)talk->body, "not sent");
    (void)pn_link_advance(link->engine);
    link->in_flight++;
}

/* Something for each address, as far as there is credit. */
static void pump(struct talk *talk)
{
    struct slot *slot = talk->idle ? NULL : free_slot(talk);

    for (unsigned i = 0; i < talk->addresses && slot != NULL; i++) {
        char address[EVENT_ADDRESS_MAX];
        struct sender_link *link = NULL;

        (void)snprintf(address, sizeof(address), "event/%u", i);
        if (sender_links_find(&talk->links, address, &link) != SENDER_LINK_READY) {
            continue;
        }
        while (slot != NULL && sender_link_credit(link) > 0 &&
               talk->body <= sender_link_message_max(link)) {
            send_one(talk, link, slot);
            slot = free_slot(talk);
        }
    }
}

static struct talk *heard(void *arg)
{
    struct talk *talk = arg;

    must(talk->broker != NULL && talk->ended == 0, "something is heard after the end");
    return talk;
}

static void opened(void *arg)
{
    struct talk *talk = heard(arg);

    must(!talk->opened && broker_is_open(talk->broker), "opened twice");
    talk->opened = true;
    sender_links_init(&talk->links, talk->broker);
}

static void turned(void *arg)
{
    struct talk *talk = heard(arg);
    enum sender_link_end how;

    must(talk->opened && broker_is_open(talk->broker), "a turn before the opening");
    while (sender_links_overdue(&talk->links, 5000, &how) != NULL) {
    }
    pump(talk);
    if (talk->enough) {
        broker_give_up(talk->broker, "enough of it"); /* heard when the turn is over */
        must(talk->ended == 0 && !broker_is_open(talk->broker), "an end within a turn");
    }
}

static void link_changed(void *arg, struct pn_link_t *engine, bool gone)
{
    struct talk *talk = heard(arg);
    enum sender_link_end how;
    struct sender_link *link;

    must(talk->opened, "a link before the opening");
    link = sender_links_changed(&talk->links, engine, gone, &how);
    if (link != NULL) {
        forget_link(talk, link);
        link->in_flight = 0;
    }
}

static void outcome(void *arg, struct pn_delivery_t *delivery)
{
    struct talk *talk = heard(arg);
    struct slot *slot = pn_delivery_get_context(delivery);

    must(talk->opened, "an outcome before the opening");
    must(pn_delivery_remote_state(delivery) != 0 || pn_delivery_settled(delivery),
         "an outcome that is none");
    if (slot != NULL) {
        must(slot->delivery == delivery && slot->link->in_flight > 0, "an outcome twice");
        slot->link->in_flight--;
        forget(slot);
    }
}

static void close_broker(struct talk *talk)
{
    broker_close(talk->broker);
    talk->broker = NULL;
}

static void ended(void *arg, const struct ks_failure *why)
{
    struct talk *talk = heard(arg);

    talk->ended++;
    must(why->text[0] != '\0' && strlen(why->text) < sizeof(why->text) &&
             utf8_valid(span_cstr(why->text)),
         "a reason that cannot be shown");
    close_broker(talk);
}

static const struct broker_handler handler = {.opened = opened,
                                              .link_changed = link_changed,
                                              .outcome = outcome,
                                              .turned = turned,
                                              .ended = ended};

/* ---- the broker's end ---- */

static void read_all(struct talk *talk)
{
    char bytes[4096];
    ssize_t n = 1;

    while (talk->fd >= 0 && talk->reading && n > 0) {
        n = recv(talk->fd, bytes, sizeof(bytes), 0);
        if (n > 0) {
            buf_add(&talk->seen, bytes, (size_t)n);
        }
    }
    must(!talk->seen.overflow, "too much is sent");
}

static void turn(struct talk *talk)
{
    size_t own = talk->seen.cap + talk->out.cap + talk->last.cap + talk->first.cap;

    must(real_ms() < talk->until, "the connection does not end");
    must(event_base_loop(reactor_base(reactor), EVLOOP_NONBLOCK) >= 0, "no loop");
    read_all(talk);
    must(allocated() <= talk->base_bytes + own + HELD_MAX, "too much is held");
}

static void turns(struct talk *talk)
{
    for (int i = 0; i < 3; i++) {
        turn(talk);
    }
}

static void pass_time(struct talk *talk, int64_t ms)
{
    passed_ms += ms;
    turns(talk);
}

static void send_piece(struct talk *talk, struct span piece)
{
    for (int tries = 0; piece.len > 0 && tries < 4 && talk->broker != NULL;) {
        ssize_t n = send(talk->fd, piece.ptr, piece.len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0) {
            piece = span_of(piece.ptr + n, piece.len - (size_t)n);
        } else if (errno == EAGAIN) {
            tries++; /* it may have stopped to read, as we have */
        } else {
            return;
        }
        turns(talk);
    }
}

/* What was built goes out. */
static void flush(struct talk *talk)
{
    struct span rest = buf_span(&talk->out);
    size_t piece = talk->piece == 0 ? rest.len : talk->piece;

    piece = piece < rest.len / PIECES_MAX ? rest.len / PIECES_MAX : piece;
    if (talk->first.len + rest.len <= FIRST_WORDS) {
        buf_add_span(&talk->first, rest);
    }
    talk->sent += rest.len;
    while (rest.len > 0) {
        size_t n = piece < rest.len ? piece : rest.len;

        send_piece(talk, span_of(rest.ptr, n));
        rest = span_of(rest.ptr + n, rest.len - n);
    }
    buf_clear(&talk->out);
}

/* ---- building frames ---- */

struct frame {
    struct buf bytes;
    size_t list;
    uint32_t fields;
};

static uint8_t next_byte(struct talk *talk)
{
    return talk->at < talk->end ? *talk->at++ : 0;
}

/* A small number, now and then one at an edge. */
static uint32_t number(struct talk *talk)
{
    static const uint32_t edges[] = {4095, 65535, 65536, 0x7fffffff, 0x80000000, 0xffffffff};
    uint8_t byte = next_byte(talk);

    return byte < 250 ? byte : edges[byte - 250];
}

static struct frame start(uint8_t descriptor, uint8_t kind, uint16_t channel)
{
    const unsigned char head[8] = {
        0, 0, 0, 0, 2, kind, (unsigned char)(channel >> 8), (unsigned char)channel};
    struct frame f = {0};

    buf_init(&f.bytes, 64 << 10);
    buf_add(&f.bytes, head, sizeof(head));
    codec_write_descriptor(&f.bytes, descriptor);
    f.list = codec_begin_list(&f.bytes);
    return f;
}

static void put_null(struct frame *f)
{
    codec_write_null(&f->bytes);
    f->fields++;
}

static void put_uint(struct frame *f, uint32_t value)
{
    codec_write_uint(&f->bytes, value);
    f->fields++;
}

static void put_ushort(struct frame *f, uint32_t value)
{
    const unsigned char bytes[3] = {0x60, (unsigned char)(value >> 8), (unsigned char)value};

    buf_add(&f->bytes, bytes, sizeof(bytes));
    f->fields++;
}

static void put_flag(struct frame *f, bool value)
{
    codec_write_bool(&f->bytes, value);
    f->fields++;
}

static void put_span(struct frame *f, struct span encoded)
{
    buf_add_span(&f->bytes, encoded);
    f->fields++;
}

/* What may stand where the broker's words are taken as they come. */
static struct span any(struct talk *talk)
{
    const struct span samples[] = {
        SPAN("\x40"),
        SPAN("\xa1\x04text"),
        SPAN("\xa3\x04name"),
        SPAN("\xa1\x04\xc3\x28\"\x80"), /* no characters */
        SPAN("\xa3\x03"
             "a\xff\n"),
        SPAN("\xa3\x0f"
             "ANONYMOUS-RELAY"),
        SPAN("\xe0\x12\x01\xa3\x0f"
             "ANONYMOUS-RELAY"),
        SPAN("\xc0\x12\x01\xa3\x0f"
             "ANONYMOUS-RELAY"),
        SPAN("\xc1\x01\x00"),
        SPAN("\xc1\x08\x02\xa3\x02k1\xa1\x01v"),
        SPAN("\xc1\x05\x02\x54\x07\xa0\x00"),
        SPAN("\x45"),
        SPAN("\xe0\x02\x00\xa3"),
        SPAN("\xf0\0\0\0\x0a\0\0\0\x01\xb3\0\0\0\x01x"),
        SPAN("\x00\xa3\x04kind\xa1\x01v"),
        SPAN("\x52\x07"),
        SPAN("\x80\xff\xff\xff\xff\xff\xff\xff\xff"),
        SPAN("\x98"
             "0123456789abcdef"),
        SPAN("\x83\0\0\0\0\0\0\0\1"),
        SPAN("\x41"),
    };

    return samples[next_byte(talk) % (sizeof(samples) / sizeof(samples[0]))];
}

/* é, over and over: it is cut somewhere. */
static void put_long_text(struct frame *f, uint32_t characters)
{
    const unsigned char head[5] = {0xb1, 0, (unsigned char)(characters * 2 >> 16),
                                   (unsigned char)(characters * 2 >> 8),
                                   (unsigned char)(characters * 2)};

    buf_add(&f->bytes, head, sizeof(head));
    for (uint32_t i = 0; i < characters; i++) {
        buf_add_cstr(&f->bytes, "\xc3\xa9");
    }
}

static void put_error(struct frame *f, struct talk *talk)
{
    uint8_t kind = next_byte(talk);
    size_t list;

    f->fields++;
    if (kind % 4 == 0) {
        codec_write_null(&f->bytes);
        return;
    }
    codec_write_descriptor(&f->bytes, 0x1d);
    list = codec_begin_list(&f->bytes);
    if (kind % 4 == 1) {
        codec_write_symbol(&f->bytes, SPAN("amqp:internal-error"));
    } else {
        buf_add_span(&f->bytes, any(talk));
    }
    if (kind % 8 < 6) {
        buf_add_span(&f->bytes, any(talk));
    } else {
        put_long_text(f, kind < 128 ? kind : 14000);
    }
    buf_add_span(&f->bytes, kind % 3 == 0 ? any(talk) : SPAN("\x40"));
    codec_end_compound(&f->bytes, list, 3);
}

static void put_state(struct frame *f, struct talk *talk, uint8_t kind)
{
    static const uint8_t states[] = {0x24, 0x24, 0x25, 0x26, 0x27, 0x23, 0x33, 0x34};
    uint8_t state = states[kind % 8];
    uint32_t outer = f->fields;
    size_t list;

    if (kind >= 240) {
        put_span(f, any(talk));
        return;
    }
    codec_write_descriptor(&f->bytes, state);
    list = codec_begin_list(&f->bytes);
    f->fields = 0;
    if (state == 0x25) {
        put_error(f, talk);
    } else if (state == 0x27) {
        put_flag(f, kind % 3 == 0);
        put_flag(f, kind % 5 == 0);
        put_span(f, any(talk));
    } else if (state == 0x23) {
        put_uint(f, 0);
        put_span(f, SPAN("\x80\0\0\0\0\0\0\0\1"));
    }
    codec_end_compound(&f->bytes, list, f->fields);
    f->fields = outer + 1;
}

static void put_terminus(struct frame *f, struct talk *talk, uint8_t descriptor)
{
    uint8_t kind = next_byte(talk);
    size_t list;

    f->fields++;
    if (kind % 16 == 15) {
        codec_write_null(&f->bytes);
        return;
    }
    codec_write_descriptor(&f->bytes, kind % 16 == 14 ? 0x30 : descriptor);
    list = codec_begin_list(&f->bytes);
    buf_add_span(&f->bytes, kind % 16 == 13 ? any(talk) : SPAN("\x40"));
    codec_end_compound(&f->bytes, list, 1);
}

/* The name of one of the links that we opened. */
static const char *link_name(const struct talk *talk, unsigned which)
{
    pn_link_t *link = NULL;
    pn_link_t *found = NULL;

    if (talk->broker != NULL && talk->opened) {
        link = pn_link_head(pn_session_connection(broker_session(talk->broker)), 0);
    }
    for (unsigned i = 0; link != NULL && i <= which; i++) {
        found = link;
        link = pn_link_next(link, 0);
    }
    return found != NULL ? pn_link_name(found) : "koseki-2-*";
}

static void open_frame(struct frame *f, struct talk *talk, uint8_t kind)
{
    codec_write_string(&f->bytes, SPAN("broker"));
    f->fields++;
    put_span(f, kind % 4 == 3 ? any(talk) : SPAN("\x40"));
    put_uint(f, kind % 8 == 7 ? number(talk) : 512U << kind % 8);
    put_ushort(f, kind % 8 == 6 ? number(talk) : 65535);
    put_uint(f, kind % 8 == 5 ? number(talk) * 100 : 30000);
    put_null(f);
    put_null(f);
    put_span(f, kind >= 128 ? any(talk) : SPAN("\x40"));
    put_null(f);
    put_span(f, kind % 4 == 2 ? any(talk) : SPAN("\x40"));
}

static void begin_frame(struct frame *f, struct talk *talk, uint8_t kind)
{
    put_ushort(f, kind % 8 == 7 ? number(talk) : 0);
    put_uint(f, kind % 4 == 3 ? number(talk) : 0);
    put_uint(f, kind % 4 == 2 ? number(talk) : 10000);
    put_uint(f, kind % 4 == 1 ? number(talk) : 10000);
    put_uint(f, kind % 8 == 6 ? number(talk) : 65535);
}

static void attach_frame(struct frame *f, struct talk *talk, uint8_t kind)
{
    codec_write_string(&f->bytes,
                       span_cstr(kind % 16 == 15 ? "another" : link_name(talk, kind / 16)));
    f->fields++;
    put_uint(f, number(talk));
    put_flag(f, kind % 16 != 14);
    put_span(f, kind % 16 == 13 ? any(talk) : SPAN("\x40"));
    put_null(f);
    put_terminus(f, talk, 0x28);
    put_terminus(f, talk, 0x29);
    if (kind % 16 >= 11) {
        put_span(f, any(talk)); /* unsettled */
        put_null(f);
        put_uint(f, number(talk));
        put_span(f, SPAN("\x80\0\0\0\0\0\0\x0f\xff"));
        put_span(f, any(talk));
    }
}

static void flow_frame(struct frame *f, struct talk *talk, uint8_t kind)
{
    if (kind % 8 == 7) {
        put_null(f);
    } else {
        put_uint(f, kind % 4 == 3 ? number(talk) : 0);
    }
    put_uint(f, kind % 4 == 2 ? number(talk) : 10000);
    put_uint(f, 0);
    put_uint(f, kind % 4 == 1 ? number(talk) : 10000);
    if (kind % 16 != 15) {
        put_uint(f, number(talk));
        if (kind % 16 == 14) {
            put_null(f);
        } else {
            put_uint(f, kind % 16 >= 12 ? number(talk) : 0);
        }
        put_uint(f, number(talk));
        put_null(f);
        put_flag(f, kind % 16 >= 10); /* drain */
        put_flag(f, kind % 3 == 0);   /* echo */
    }
}

static void transfer_frame(struct frame *f, struct talk *talk, uint8_t kind)
{
    put_uint(f, number(talk));
    put_uint(f, kind);
    codec_write_binary(&f->bytes, SPAN("tag!"));
    f->fields++;
}

static void disposition_frame(struct frame *f, struct talk *talk, uint8_t kind)
{
    uint32_t first = number(talk);

    put_flag(f, kind % 16 != 15);
    put_uint(f, first);
    if (kind % 4 == 3) {
        put_null(f);
    } else {
        put_uint(f, first + number(talk));
    }
    put_flag(f, kind % 2 == 0);
    if (kind % 16 == 14) {
        put_null(f);
    } else {
        put_state(f, talk, next_byte(talk));
    }
}

static void detach_frame(struct frame *f, struct talk *talk, uint8_t kind)
{
    put_uint(f, number(talk));
    put_flag(f, kind % 4 != 3);
    put_error(f, talk);
}

static void error_frame(struct frame *f, struct talk *talk, uint8_t kind)
{
    (void)kind;
    put_error(f, talk);
}

static void mechanisms_frame(struct frame *f, struct talk *talk, uint8_t kind)
{
    const struct span samples[] = {
        SPAN("\xe0\x12\x02\xa3\x05PLAIN\x09"
             "ANONYMOUS"),
        SPAN("\xf0\0\0\0\x1f\0\0\0\x02\xb3\0\0\0\x05PLAIN\0\0\0\x09"
             "ANONYMOUS"),
        SPAN("\xa3\x05PLAIN"),
        SPAN("\xa3\x09"
             "ANONYMOUS"),
        SPAN("\xe0\x0c\x01\xa3\x09"
             "ANONYMOUS"),
        SPAN("\xe0\x0b\x01\xa3\x08"
             "EXTERNAL"),
    };

    put_span(f, kind < 250 ? samples[kind % 6] : any(talk));
}

static void outcome_frame(struct frame *f, struct talk *talk, uint8_t kind)
{
    if (kind >= 250) {
        put_span(f, any(talk));
    } else {
        codec_write_ubyte(&f->bytes, kind % 8 < 5 ? 0 : kind % 8 - 4);
        f->fields++;
    }
}

struct builder {
    uint8_t descriptor;
    uint8_t kind; /* of the frame */
    void (*build)(struct frame *f, struct talk *talk, uint8_t kind);
};

enum { OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE, MECHANISMS, OUTCOME };

static const struct builder builders[] = {
    [OPEN] = {0x10, 0, open_frame},         [BEGIN] = {0x11, 0, begin_frame},
    [ATTACH] = {0x12, 0, attach_frame},     [FLOW] = {0x13, 0, flow_frame},
    [TRANSFER] = {0x14, 0, transfer_frame}, [DISPOSITION] = {0x15, 0, disposition_frame},
    [DETACH] = {0x16, 0, detach_frame},     [END] = {0x17, 0, error_frame},
    [CLOSE] = {0x18, 0, error_frame},       [MECHANISMS] = {0x40, 1, mechanisms_frame},
    [OUTCOME] = {0x44, 1, outcome_frame},
};

static void say(struct talk *talk, struct span bytes)
{
    buf_clear(&talk->last);
    buf_add_span(&talk->last, bytes);
    buf_add_span(&talk->out, bytes);
}

static void finish(struct frame *f)
{
    codec_end_compound(&f->bytes, f->list, f->fields);
    for (int i = 0; i < 4; i++) {
        f->bytes.ptr[i] = (char)(f->bytes.len >> (8 * (3 - i)));
    }
}

/* One byte of it is another, if told so. */
static void say_frame(struct talk *talk, unsigned which, uint16_t channel, uint8_t kind, bool bend)
{
    const struct builder *builder = &builders[which];
    struct frame f = start(builder->descriptor, builder->kind, channel);

    builder->build(&f, talk, kind);
    finish(&f);
    if (bend) {
        size_t at = next_byte(talk) % f.bytes.len;

        f.bytes.ptr[at] = (char)next_byte(talk);
    }
    say(talk, buf_span(&f.bytes));
    buf_done(&f.bytes);
}

/* ---- steps ---- */

/* What a broker does that means well: answers one link after the other, and gives credit. */
static void answer_links(struct talk *talk, uint8_t links)
{
    for (unsigned i = 0; i < links; i++) {
        struct frame attach = start(0x12, 0, 0);
        struct frame flow = start(0x13, 0, 0);

        codec_write_string(&attach.bytes, span_cstr(link_name(talk, i)));
        attach.fields++;
        put_uint(&attach, i);
        put_flag(&attach, true);
        put_null(&attach);
        put_null(&attach);
        put_span(&attach, SPAN("\0\x53\x28\x45"));
        put_span(&attach, SPAN("\0\x53\x29\x45"));
        finish(&attach);
        put_uint(&flow, 0);
        put_uint(&flow, 10000);
        put_uint(&flow, 0);
        put_uint(&flow, 10000);
        put_uint(&flow, i);
        put_uint(&flow, 0);
        put_uint(&flow, 30);
        finish(&flow);
        say(talk, buf_span(&attach.bytes));
        say(talk, buf_span(&flow.bytes));
        buf_done(&attach.bytes);
        buf_done(&flow.bytes);
    }
}

static void service_step(struct talk *talk, uint8_t what)
{
    if (talk->broker == NULL) {
        return;
    }
    switch (what % 8) {
    case 0:
        broker_shut_down(talk->broker);
        break;
    case 1:
        broker_give_up(talk->broker, "enough of it");
        break;
    case 2:
        close_broker(talk);
        talk->closed_by_us = true;
        break;
    case 3:
        for (size_t i = 0; i < SLOTS; i++) { /* their outcome was awaited for too long */
            if (talk->slot[i].delivery != NULL) {
                pn_delivery_t *delivery = talk->slot[i].delivery;

                talk->slot[i].link->in_flight--;
                forget(&talk->slot[i]);
                pn_delivery_settle(delivery);
            }
        }
        broker_turn(talk->broker);
        break;
    case 4:
        talk->idle = !talk->idle;
        broker_turn(talk->broker);
        break;
    case 5:
        talk->enough = true;
        break;
    default:
        talk->addresses = what / 8 < 24 ? 1U + what / 8 : ADDRESSES;
        broker_turn(talk->broker);
        break;
    }
}

static void raw(struct talk *talk)
{
    size_t n = next_byte(talk);
    size_t left = (size_t)(talk->end - talk->at);

    n = n == 255 || n > left ? left : n;
    say(talk, span_of(talk->at, n));
    talk->at += n;
}

static void again(struct talk *talk, uint8_t times)
{
    for (unsigned i = 0; i < 8U * times && talk->out.len < 256 << 10; i++) {
        buf_add_span(&talk->out, buf_span(&talk->last));
    }
}

static void step(struct talk *talk)
{
    static const uint8_t frames[] = {ATTACH,      ATTACH, ATTACH,      FLOW,   FLOW,
                                     FLOW,        FLOW,   DISPOSITION, DETACH, DISPOSITION,
                                     DISPOSITION, END,    CLOSE,       OPEN,   BEGIN,
                                     TRANSFER,    DETACH, MECHANISMS,  OUTCOME};
    uint8_t op = next_byte(talk);
    uint8_t kind = next_byte(talk);
    bool hold = (op & 0x80) != 0; /* until more is there */
    unsigned what = op % 32;

    if (what < sizeof(frames)) {
        say_frame(talk, frames[what], (op & 0x20) != 0, kind, (op & 0x40) != 0);
    } else if (what < 20) {
        say(talk, span_of(kind % 2 == 0 ? amqp_header : sasl_header, 8));
    } else if (what < 21) {
        say(talk, SPAN("\0\0\0\x08\x02\0\0\0"));
    } else if (what < 22) {
        raw(talk);
    } else if (what < 24) {
        again(talk, kind);
    } else if (what < 26) {
        answer_links(talk, kind % 8);
    } else {
        flush(talk);
        if (what < 28) {
            pass_time(talk, kind * INT64_C(100));
        } else if (what < 30) {
            service_step(talk, kind);
        } else {
            talk->reading = !talk->reading;
        }
    }
    if (!hold) {
        flush(talk);
    }
}

/* The login, up to a session. */
static void greet(struct talk *talk, bool relays, bool user)
{
    struct frame open = start(0x10, 0, 0);
    struct frame begin = start(0x11, 0, 0);

    say(talk, span_of(sasl_header, 8));
    say_frame(talk, MECHANISMS, 0, user ? 0 : 3, false);
    flush(talk);
    say_frame(talk, OUTCOME, 0, 0, false);
    codec_write_string(&open.bytes, SPAN("broker"));
    open.fields = 1;
    for (int i = 0; i < 6; i++) {
        put_null(&open);
    }
    put_span(&open, relays ? SPAN("\xa3\x0f"
                                  "ANONYMOUS-RELAY")
                           : SPAN("\x40"));
    finish(&open);
    put_ushort(&begin, 0);
    put_uint(&begin, 0);
    put_uint(&begin, 10000);
    put_uint(&begin, 10000);
    finish(&begin);
    say(talk, span_of(amqp_header, 8));
    say(talk, buf_span(&open.bytes));
    say(talk, buf_span(&begin.bytes));
    flush(talk);
    buf_done(&open.bytes);
    buf_done(&begin.bytes);
}

/* ---- what a broker sent, from its first byte ---- */

static bool is_stream(struct span input)
{
    return input.len >= 8 && memcmp(input.ptr, sasl_header, 8) == 0;
}

/* Of the header or frame that comes first; 0: it is not whole. */
static size_t first_size(struct span bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.ptr;
    size_t size = 8;

    if (bytes.len >= 8 && memcmp(at, "AMQP", 4) != 0) {
        size = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
    }
    return size <= bytes.len ? size : 0;
}

static void replay(struct talk *talk)
{
    while (talk->at < talk->end && talk->broker != NULL) {
        struct span rest = span_of(talk->at, (size_t)(talk->end - talk->at));
        size_t size = first_size(rest);

        size = size < 8 ? rest.len : size;
        say(talk, span_of(rest.ptr, size));
        flush(talk);
        talk->at += size;
    }
}

/* ---- what must hold ---- */

/* Headers, SASL and performatives, each of them whole but the last. */
static void check_seen(const struct talk *talk)
{
    struct span rest = buf_span(&talk->seen);
    size_t size;

    while ((size = first_size(rest)) > 0) {
        struct codec_reader body;
        struct guard_fields fields;

        must(size >= 8, "what is no frame");
        body = codec_reader_of(span_of(rest.ptr + 8, size - 8));
        if (memcmp(rest.ptr, "AMQP", 4) != 0) {
            must(rest.ptr[4] == 2 && (unsigned char)rest.ptr[5] <= 1, "a frame of another kind");
            must(rest.ptr[5] == 1 || size == 8 || guard_schema_read(&body, &fields),
                 "a frame that cannot be read");
        }
        rest = span_of(rest.ptr + size, rest.len - size);
    }
}

static bool holds(const struct buf *buf, struct span part)
{
    return buf->len > 0 && memmem(buf->ptr, buf->len, part.ptr, part.len) != NULL;
}

static void check(const struct talk *talk)
{
    must(talk->ended == (talk->closed_by_us ? 0 : 1), "the end is not heard once");
    must(holds(&talk->first, SPAN("PLAIN")) || !holds(&talk->seen, span_cstr(password)),
         "the password for one who did not ask for it");
    if (talk->place != TLS_PLACE) {
        check_seen(talk);
    }
}

/* ---- a connection ---- */

static void connect_broker(struct talk *talk, const struct broker_options *options)
{
    talk->broker = broker_open(options, &place[talk->place], &handler, talk);
    while (talk->place != EMPTY_PLACE && talk->fd < 0) {
        turn(talk);
        talk->fd = accept4(listener[talk->place], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    turns(talk);
}

/* The broker goes, in one of its ways. */
static void part(struct talk *talk, uint8_t how)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    bool silent = how % 8 == 7 && talk->fd >= 0;

    if (how % 8 == 6 && talk->fd >= 0) {
        close(talk->fd);
        talk->fd = -1;
    } else if (!silent && talk->fd >= 0) {
        (void)shutdown(talk->fd, SHUT_WR);
    }
    talk->reading = true;
    while (talk->broker != NULL) {
        if (silent) {
            pass_time(talk, 1000);
        } else {
            struct pollfd more = {.fd = talk->fd, .events = POLLIN};

            turn(talk);
            (void)poll(&more, 1, 1);
        }
    }
    turns(talk);
    if (talk->fd >= 0) { /* without leaving the port behind */
        (void)setsockopt(talk->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        close(talk->fd);
        talk->fd = -1;
    }
}

static void play(struct talk *talk, struct broker_options *options)
{
    static const enum place places[] = {PLAIN_PLACE, PLAIN_PLACE, PLAIN_PLACE, PLAIN_PLACE,
                                        PLAIN_PLACE, TIGHT_PLACE, TLS_PLACE,   EMPTY_PLACE};
    uint8_t where = next_byte(talk);
    uint8_t how = next_byte(talk);

    talk->piece = next_byte(talk);
    talk->place = places[where % 8];
    talk->addresses = 1 + (how >> 4) % 4;
    talk->body = (how & 8) != 0 ? BODY_MAX : 20;
    options->user = (how & 1) != 0 ? "koseki" : NULL;
    connect_broker(talk, options);
    if (talk->fd >= 0) {
        if ((how & 2) == 0) {
            greet(talk, (how & 4) != 0, (how & 1) != 0);
        }
        for (int i = 0;
             i < STEPS_MAX && talk->at < talk->end && talk->broker != NULL && talk->sent < SENT_MAX;
             i++) {
            step(talk);
        }
        flush(talk);
    }
    part(talk, where >> 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct broker_options options = {.password = password, .container = "koseki"};
    struct talk *talk;

    if (size < 4 || size > INPUT_MAX) {
        return 0;
    }
    if (reactor == NULL) {
        open_places();
    }
    options.reactor = reactor;
    options.dialer = dialer;
    options.tls = tls;
    talk = calloc(1, sizeof(*talk));
    must(talk != NULL, "no memory");
    talk->at = data;
    talk->end = data + size;
    talk->fd = -1;
    talk->reading = true;
    talk->until = real_ms() + PATIENCE_MS;
    talk->base_bytes = allocated();
    buf_init(&talk->out, SENT_MAX);
    buf_init(&talk->last, SENT_MAX);
    buf_init(&talk->first, FIRST_WORDS);
    buf_init(&talk->seen, SEEN_MAX);
    if (is_stream(span_of(data, size))) {
        talk->body = 100;
        talk->addresses = 1;
        options.user = memmem(data, size, "PLAIN", 5) != NULL ? "koseki" : NULL;
        connect_broker(talk, &options);
        replay(talk);
        part(talk, 0);
    } else {
        play(talk, &options);
    }
    check(talk);
    buf_done(&talk->out);
    buf_done(&talk->last);
    buf_done(&talk->first);
    buf_done(&talk->seen);
    free(talk);
    return 0;
}
