/*
 * The guard without an engine behind it: frames as they come off a socket, beside a plain picture
 * of what was let through. Nothing is let through that this picture does not allow, the guard's
 * counts are those of the picture, and a performative that is cut anywhere is never read.
 *
 * An empty frame is the service's turn: time goes on, and the high bits of its channel grant
 * credit, or detach a link. Bytes that begin with the SASL header are what a client sent; those
 * behind a byte FF are what a broker answers.
 *
 * Covers: amqp/guard.c amqp/guard_schema.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/guard.h"
#include "amqp/guard_schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 2048, LINKS_MAX = 12, UNFINISHED_MAX = 16 * MESSAGE_MAX };

static const struct guard_limits limits = {.max_frame = 4096,
                                           .max_message = MESSAGE_MAX,
                                           .max_sessions = 4,
                                           .max_session_begins = 10,
                                           .max_links = LINKS_MAX};

struct link {
    uint16_t channel;
    uint32_t handle;
    bool peer_sends;
    bool detached; /* by us */
    bool in_delivery;
    uint32_t credit; /* what was granted, less the deliveries; the guard may know of less */
    uint64_t size;   /* of the delivery under way */
};

struct picture {
    struct guard guard;
    bool answers;
    int64_t now_ms;
    bool session[4];
    unsigned sessions;
    unsigned begins;
    struct link link[LINKS_MAX];
    unsigned links;
    unsigned ended; /* links that the guard told of, at an END */
};

static void expect(bool condition)
{
    if (!condition) {
        abort();
    }
}

static struct link *find(struct picture *picture, uint16_t channel, uint32_t handle)
{
    for (unsigned i = 0; i < picture->links; i++) {
        if (picture->link[i].channel == channel && picture->link[i].handle == handle) {
            return &picture->link[i];
        }
    }
    return NULL;
}

static void drop(struct picture *picture, struct link *link)
{
    *link = picture->link[--picture->links];
}

static void link_ended(void *arg, uint16_t channel, uint32_t handle)
{
    struct picture *picture = arg;

    expect(find(picture, channel, handle) != NULL);
    picture->ended++;
}

static bool read_fields(const struct picture *picture, struct codec_reader *at,
                        struct guard_fields *fields)
{
    return picture->answers ? guard_schema_read_answer(at, fields) : guard_schema_read(at, fields);
}

/* What a broker answers is a session of ours, the first; others answer none. */
static bool answers_ours(const struct picture *picture, const struct guard_fields *fields)
{
    static const unsigned char first[3] = {0x60, 0, 0};

    return picture->answers ? fields->has[0] && memcmp(fields->at[0].at, first, sizeof(first)) == 0
                            : !fields->has[0];
}

static void on_begin(struct picture *picture, uint16_t channel)
{
    expect(channel < limits.max_sessions && !picture->session[channel]);
    picture->session[channel] = true;
    picture->sessions++;
    picture->begins++;
    expect(picture->begins <= limits.max_session_begins);
}

static void on_end(struct picture *picture, uint16_t channel)
{
    unsigned gone = 0;

    expect(picture->session[channel]);
    for (unsigned i = picture->links; i-- > 0;) {
        if (picture->link[i].channel == channel) {
            drop(picture, &picture->link[i]);
            gone++;
        }
    }
    expect(picture->ended == gone);
    picture->ended = 0;
    picture->session[channel] = false;
    picture->sessions--;
}

static bool flag(const struct guard_fields *fields, size_t index)
{
    struct codec_reader at = fields->at[index];
    bool value = false;

    return fields->has[index] && codec_read_bool(&at, &value) && value;
}

static void on_attach(struct picture *picture, const struct guard_event *event,
                      const struct guard_fields *fields)
{
    expect(picture->session[event->channel] && picture->links < LINKS_MAX &&
           find(picture, event->channel, event->handle) == NULL);
    picture->link[picture->links++] = (struct link){
        .channel = event->channel, .handle = event->handle, .peer_sends = !flag(fields, 2)};
}

static void on_transfer(struct link *link, const struct guard_fields *fields, size_t payload,
                        enum guard_verdict verdict)
{
    bool first = !link->in_delivery;

    expect(link->peer_sends);
    link->in_delivery = flag(fields, 5) && !flag(fields, 9);
    link->size = (first ? 0 : link->size) + payload;
    if (verdict == GUARD_FAIL_LINK) {
        expect(!link->detached); /* once is enough */
        link->detached = true;
    }
    if (link->detached) {
        return;
    }
    expect(link->size <= MESSAGE_MAX);
    if (first) {
        expect(link->credit > 0);
        link->credit--;
    }
}

/* Whatever is let through is one value, nested ones included, read to its last byte: without that
 * byte it cannot be read. */
static void expect_whole(const struct picture *picture, struct span performative)
{
    struct codec_reader value = codec_reader_of(performative);

    expect(codec_skip(&value, NULL) && codec_left(&value) == 0);
    for (size_t len = performative.len; len > 0; len = len * 7 / 8) {
        struct codec_reader cut = codec_reader_of(span_of(performative.ptr, len - 1));
        struct guard_fields fields;

        expect(!read_fields(picture, &cut, &fields));
    }
}

static void on_passed(struct picture *picture, const struct guard_event *event, struct span body,
                      enum guard_verdict verdict)
{
    struct codec_reader at = codec_reader_of(body);
    struct link *link = find(picture, event->channel, event->handle);
    struct guard_fields fields;
    size_t payload;

    expect(read_fields(picture, &at, &fields));
    payload = codec_left(&at);
    expect(payload == 0 || event->kind == GUARD_FRAME_TRANSFER);
    expect_whole(picture, span_of(body.ptr, body.len - payload));
    expect(verdict == GUARD_PASS || event->kind == GUARD_FRAME_TRANSFER);
    switch (event->kind) {
    case GUARD_FRAME_BEGIN:
        expect(answers_ours(picture, &fields));
        on_begin(picture, event->channel);
        break;
    case GUARD_FRAME_ATTACH:
        expect(!picture->answers || flag(&fields, 2)); /* we send on all */
        on_attach(picture, event, &fields);
        break;
    case GUARD_FRAME_FLOW:
        expect(picture->session[event->channel] && (!fields.has[4] || link != NULL));
        break;
    case GUARD_FRAME_TRANSFER:
        expect(link != NULL);
        on_transfer(link, &fields, payload, verdict);
        break;
    case GUARD_FRAME_DISPOSITION:
        expect(picture->session[event->channel] && event->deliveries > 0);
        break;
    case GUARD_FRAME_DETACH:
        expect(link != NULL);
        drop(picture, link);
        break;
    case GUARD_FRAME_END:
        on_end(picture, event->channel);
        break;
    case GUARD_FRAME_EMPTY:
    case GUARD_FRAME_OPEN:
    case GUARD_FRAME_CLOSE:
        break;
    }
}

/* Channel bits 15 to 12: how much credit, or 15: detach. 11, 10: of which session. The rest: the
 * handle. */
static void service_turn(struct picture *picture, uint16_t word)
{
    uint16_t channel = (word >> 10) % 4;
    uint32_t handle = word & 0x3FF;
    uint32_t credit = word >> 12;
    struct link *link = find(picture, channel, handle);

    picture->now_ms += 2;
    if (credit == 15) {
        guard_link_closed(&picture->guard, channel, handle);
        if (link != NULL) {
            link->detached = true;
        }
    } else if (link == NULL || link->peer_sends) {
        guard_grant(&picture->guard, channel, handle, credit);
        if (link != NULL) {
            link->credit += credit;
        }
    }
}

/* False: the connection is over. */
static bool offer(struct picture *picture, struct span frame)
{
    size_t head = 4U * (unsigned char)frame.ptr[4];
    bool was_closed = picture->guard.closed;
    struct guard_event event;
    struct ks_failure why = {0};
    enum guard_verdict verdict = guard_check(&picture->guard, frame, picture->now_ms, &event, &why);

    if (verdict != GUARD_PASS) {
        expect(why.reason != NULL && strncmp(why.reason, "amqp:", 5) == 0 && why.text[0] != '\0');
    }
    if (verdict == GUARD_FAIL_CONNECTION) {
        return false;
    }
    expect(!was_closed && picture->guard.opened);
    if (event.kind == GUARD_FRAME_EMPTY) {
        service_turn(picture, event.channel);
    } else {
        on_passed(picture, &event, span_of(frame.ptr + head, frame.len - head), verdict);
    }
    expect(picture->guard.links == picture->links && picture->guard.sessions == picture->sessions &&
           picture->guard.unfinished <= UNFINISHED_MAX);
    return true;
}

/* Moves behind SASL and the AMQP header, if that is how it begins. */
static struct span without_headers(struct span input)
{
    const char *header = input.len < 8 || memcmp(input.ptr, "AMQP\3\1\0\0", 8) != 0
                             ? NULL
                             : memmem(input.ptr, input.len, "AMQP\0\1\0\0", 8);

    return header == NULL ? input
                          : span_of(header + 8, input.len - (size_t)(header + 8 - input.ptr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct picture picture = {.answers = size > 0 && data[0] == 0xFF};
    struct span rest =
        picture.answers ? span_of(data + 1, size - 1) : without_headers(span_of(data, size));
    struct guard_limits with = limits;
    bool more = true;

    with.answers = picture.answers;
    guard_init(&picture.guard, &with);
    picture.guard.link_ended = link_ended;
    picture.guard.link_ended_arg = &picture;
    while (more && rest.len >= 8) {
        struct ks_failure why = {0};
        size_t frame = 0;

        more = guard_frame_size(rest, limits.max_frame, &frame, &why) && frame <= rest.len &&
               offer(&picture, span_of(rest.ptr, frame));
        rest = span_of(rest.ptr + frame, more ? rest.len - frame : 0);
    }
    guard_done(&picture.guard);
    expect(picture.guard.links == 0 && picture.guard.unfinished == 0);
    return 0;
}
