#include "amqp/guard.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/guard_schema.h"
#include "base/digest.h"

enum {
    HEADER_SIZE = 8,
    FRAME_MIN = 512,          /* max-frame-size that a peer may ask for, at least */
    IDLE_MIN_MS = 100,        /* idle-time-out: below it we would do little but send empty frames */
    HANDLE_MAX = 65535,       /* as Hono announces it */
    NAME_MAX_LEN = 1024,      /* of a link */
    TAG_MAX = 32,             /* section 2.8.7 */
    BUCKETS = 16,             /* of a session's links, by handle */
    ATTACHES_A_SECOND = 1000, /* sustained; a burst of one time max_links on top */
    UNFINISHED_MESSAGES =
        16, /* of the largest size, that a connection's deliveries under way fill */
};

struct guard_link {
    struct guard_link *next; /* of its bucket */
    uint32_t handle;
    struct sha256 name; /* of role and name: one live link each in a session */
    bool peer_sends;
    bool failed;      /* detached by us: what comes is not judged any more */
    bool in_delivery; /* a transfer with more=true came last */
    uint32_t delivery_id;
    uint64_t delivery_size;
    uint32_t delivery_count; /* of the peer's, as it counts: wraps (RFC 1982) */
    uint32_t credit;         /* granted and not used */
};

struct guard_session {
    struct guard_link *bucket[BUCKETS];
    struct guard_link *last; /* looked up last: most frames are for the link of the frame before */
};

/* ---- the picture ---- */

void guard_init(struct guard *guard, const struct guard_limits *limits)
{
    *guard = (struct guard){.limits = *limits, .attach_budget = limits->max_links};
}

/* The engine holds nothing of the delivery that is under way on the link. */
static void forget_unfinished(struct guard *guard, struct guard_link *link)
{
    if (link->in_delivery && !link->failed) {
        guard->unfinished -= link->delivery_size;
    }
}

static void session_free(struct guard *guard, struct guard_session *session)
{
    if (session == NULL) {
        return;
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        while (session->bucket[i] != NULL) {
            struct guard_link *link = session->bucket[i];

            session->bucket[i] = link->next;
            forget_unfinished(guard, link);
            free(link);
            guard->links--;
        }
    }
    free(session);
}

void guard_done(struct guard *guard)
{
    for (uint32_t i = 0; guard->session != NULL && i < guard->limits.max_sessions; i++) {
        session_free(guard, guard->session[i]);
    }
    free(guard->session);
    guard->session = NULL;
}

static struct guard_session *find_session(const struct guard *guard, uint16_t channel)
{
    return guard->session != NULL && channel < guard->limits.max_sessions ? guard->session[channel]
                                                                          : NULL;
}

static struct guard_link *find_link(struct guard_session *session, uint32_t handle)
{
    struct guard_link *link = session->last;

    if (link != NULL && link->handle == handle) {
        return link;
    }
    link = session->bucket[handle % BUCKETS];
    while (link != NULL && link->handle != handle) {
        link = link->next;
    }
    if (link != NULL) {
        session->last = link;
    }
    return link;
}

static void remove_link(struct guard *guard, struct guard_session *session, uint32_t handle)
{
    struct guard_link **at = &session->bucket[handle % BUCKETS];
    struct guard_link *link;

    while ((*at)->handle != handle) {
        at = &(*at)->next;
    }
    link = *at;
    forget_unfinished(guard, link);
    *at = link->next;
    if (session->last == link) {
        session->last = NULL;
    }
    free(link);
    guard->links--;
}

static struct guard_link *link_at(struct guard *guard, uint16_t channel, uint32_t handle)
{
    struct guard_session *session = find_session(guard, channel);

    return session == NULL ? NULL : find_link(session, handle);
}

void guard_grant(struct guard *guard, uint16_t channel, uint32_t handle, uint32_t credit)
{
    struct guard_link *link = link_at(guard, channel, handle);

    if (link != NULL) {
        link->credit += credit;
    }
}

void guard_link_closed(struct guard *guard, uint16_t channel, uint32_t handle)
{
    struct guard_link *link = link_at(guard, channel, handle);

    if (link != NULL) {
        forget_unfinished(guard, link);
        link->failed = true;
    }
}

/* ---- verdicts ---- */

static const char framing[] = "amqp:connection:framing-error";
static const char decode[] = "amqp:decode-error";
static const char invalid[] = "amqp:invalid-field";
static const char illegal[] = "amqp:illegal-state";
static const char limit[] = "amqp:resource-limit-exceeded";

static enum guard_verdict fail(struct ks_failure *why, const char *condition, const char *text)
{
    (void)ks_fail(why, KS_INVALID, condition, "%s", text);
    return GUARD_FAIL_CONNECTION;
}

static enum guard_verdict fail_link(struct guard *guard, struct guard_link *link,
                                    struct ks_failure *why, const char *condition, const char *text)
{
    forget_unfinished(guard, link);
    link->failed = true;
    (void)ks_fail(why, KS_INVALID, condition, "%s", text);
    return GUARD_FAIL_LINK;
}

/* Fields whose type the schema has checked. */
static uint32_t uint_of(const struct guard_fields *fields, size_t index)
{
    struct codec_reader at = fields->at[index];
    uint32_t value = 0;

    (void)codec_read_uint(&at, &value);
    return value;
}

static bool bool_of(const struct guard_fields *fields, size_t index)
{
    struct codec_reader at = fields->at[index];
    bool value = false;

    return fields->has[index] && codec_read_bool(&at, &value) && value;
}

/* Of type ushort: a constructor and two bytes. */
static bool is_zero(const struct guard_fields *fields, size_t index)
{
    const unsigned char *at = fields->at[index].at;

    return fields->has[index] && at[1] == 0 && at[2] == 0;
}

/* What a check has at hand. */
struct context {
    struct guard *guard;
    const struct guard_fields *fields;
    size_t payload; /* bytes behind the performative */
    int64_t now_ms;
    struct guard_session *session; /* of the channel; NULL if there is none */
    struct guard_event *event;
    struct ks_failure *why;
};

static enum guard_verdict check_open(struct context *c)
{
    if (c->guard->opened) {
        return fail(c->why, illegal, "a second OPEN");
    }
    if (c->event->channel != 0) {
        return fail(c->why, framing, "OPEN on a channel other than 0");
    }
    if (c->fields->has[2] && uint_of(c->fields, 2) < FRAME_MIN) {
        return fail(c->why, invalid, "max-frame-size is below 512");
    }
    if (c->fields->has[4] && uint_of(c->fields, 4) > 0 && uint_of(c->fields, 4) < IDLE_MIN_MS) {
        return fail(c->why, invalid, "idle-time-out is below 100 ms");
    }
    c->guard->opened = true;
    return GUARD_PASS;
}

static enum guard_verdict check_begin(struct context *c)
{
    struct guard *guard = c->guard;

    if (c->event->channel >= guard->limits.max_sessions) {
        return fail(c->why, limit, "a channel above the channel-max of our OPEN");
    }
    if (c->session != NULL) {
        return fail(c->why, illegal, "BEGIN on a channel that has a session");
    }
    if (guard->limits.answers ? !is_zero(c->fields, 0) : c->fields->has[0]) {
        return fail(c->why, invalid, "BEGIN answers a session that we did not begin");
    }
    if (guard->begins >= guard->limits.max_session_begins) {
        return fail(c->why, limit, "too many sessions begun on this connection");
    }
    if (guard->session == NULL) {
        guard->session = calloc(guard->limits.max_sessions, sizeof(struct guard_session *));
    }
    c->session = calloc(1, sizeof(*c->session));
    if (guard->session == NULL || c->session == NULL) {
        abort();
    }
    guard->session[c->event->channel] = c->session;
    guard->sessions++;
    guard->begins++;
    return GUARD_PASS;
}

/* A bucket of attaches that time refills: a flood is cut, months of normal life are not. */
static bool take_attach(struct guard *guard, int64_t now_ms)
{
    int64_t gained = (now_ms - guard->attach_refilled_ms) * ATTACHES_A_SECOND / 1000;

    if (gained > 0) {
        guard->attach_refilled_ms = now_ms;
        guard->attach_budget += gained;
        if (guard->attach_budget > guard->limits.max_links) {
            guard->attach_budget = guard->limits.max_links;
        }
    }
    if (guard->attach_budget <= 0) {
        return false;
    }
    guard->attach_budget--;
    return true;
}

static bool name_taken(const struct guard_session *session, const struct sha256 *name)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (const struct guard_link *link = session->bucket[i]; link != NULL; link = link->next) {
            if (sha256_eq(&link->name, name)) {
                return true;
            }
        }
    }
    return false;
}

static enum guard_verdict check_attach(struct context *c)
{
    struct guard *guard = c->guard;
    struct codec_reader at = c->fields->at[0];
    bool peer_receives = bool_of(c->fields, 2);
    struct guard_link *link;
    struct sha256 key;
    struct span name;

    (void)codec_read_string(&at, &name);
    if (c->event->handle > HANDLE_MAX) {
        return fail(c->why, limit, "a handle above 65535");
    }
    if (find_link(c->session, c->event->handle) != NULL) {
        return fail(c->why, "amqp:session:handle-in-use", "ATTACH on a handle that is in use");
    }
    if (name.len == 0 || name.len > NAME_MAX_LEN) {
        return fail(c->why, invalid, "a link name is empty or longer than 1024 bytes");
    }
    if (guard->links >= guard->limits.max_links) {
        return fail(c->why, limit, "too many links on this connection");
    }
    if (guard->limits.answers && !peer_receives) {
        return fail(c->why, illegal, "ATTACH of a link on which the peer sends");
    }
    if (!guard->limits.answers && !take_attach(guard, c->now_ms)) {
        return fail(c->why, limit, "links are attached too fast on this connection");
    }
    key = sha256_of_pair(peer_receives ? SPAN("r") : SPAN("s"), name);
    if (name_taken(c->session, &key)) {
        return fail(c->why, illegal, "a link of this name and role is attached");
    }
    link = calloc(1, sizeof(*link));
    if (link == NULL) {
        abort();
    }
    link->handle = c->event->handle;
    link->name = key;
    link->peer_sends = !peer_receives;
    link->delivery_count = c->fields->has[9] ? uint_of(c->fields, 9) : 0;
    link->next = c->session->bucket[link->handle % BUCKETS];
    c->session->bucket[link->handle % BUCKETS] = link;
    guard->links++;
    return GUARD_PASS;
}

static enum guard_verdict check_flow(struct context *c)
{
    struct guard_link *link;

    if (!c->fields->has[4]) {
        return GUARD_PASS;
    }
    link = find_link(c->session, c->event->handle);
    if (link == NULL) {
        return fail(c->why, "amqp:session:unattached-handle", "FLOW for a handle without a link");
    }
    if (link->peer_sends && c->fields->has[5]) {
        /* A sender may skip ahead, giving credit back, but not behind its deliveries or beyond
         * its credit: the engine would count itself into nonsense. */
        uint32_t ahead = uint_of(c->fields, 5) - link->delivery_count;

        if (ahead > link->credit && !link->failed) {
            return fail(c->why, invalid, "FLOW with a delivery-count beyond the credit");
        }
        link->credit -= ahead <= link->credit ? ahead : link->credit;
        link->delivery_count += ahead;
    }
    return GUARD_PASS;
}

/* The first transfer of a delivery. */
static enum guard_verdict check_new_delivery(struct context *c, struct guard_link *link)
{
    struct codec_reader at = c->fields->at[2];
    struct span tag = {0};

    if (!c->fields->has[1] || !c->fields->has[2]) {
        return fail(c->why, invalid,
                    "the first transfer of a delivery has no delivery-id or no delivery-tag");
    }
    (void)codec_read_binary(&at, &tag);
    if (tag.len > TAG_MAX) {
        return fail(c->why, invalid, "a delivery-tag is longer than 32 bytes");
    }
    link->delivery_id = uint_of(c->fields, 1);
    link->delivery_size = 0;
    link->delivery_count++;
    return GUARD_PASS;
}

static enum guard_verdict check_transfer(struct context *c)
{
    struct guard *guard = c->guard;
    struct guard_link *link = find_link(c->session, c->event->handle);
    bool first;

    if (link == NULL) {
        return fail(c->why, "amqp:session:unattached-handle",
                    "TRANSFER on a handle without a link");
    }
    if (!link->peer_sends) {
        return fail(c->why, illegal, "TRANSFER on a link where the peer receives");
    }
    if (bool_of(c->fields, 8)) {
        return fail(c->why, "amqp:not-implemented", "deliveries cannot be resumed");
    }
    first = !link->in_delivery;
    if (first) {
        enum guard_verdict verdict = check_new_delivery(c, link);

        if (verdict != GUARD_PASS) {
            return verdict;
        }
    } else if (c->fields->has[1] && uint_of(c->fields, 1) != link->delivery_id) {
        return fail(c->why, invalid, "a transfer does not continue the delivery under way");
    }
    forget_unfinished(guard, link);
    link->in_delivery = bool_of(c->fields, 5) && !bool_of(c->fields, 9);
    link->delivery_size += c->payload;
    if (link->failed) {
        return GUARD_PASS;
    }
    guard->unfinished += link->in_delivery ? link->delivery_size : 0;
    if (first) {
        if (link->credit == 0) {
            return fail_link(guard, link, c->why, "amqp:link:transfer-limit-exceeded",
                             "more deliveries than the link has credit for");
        }
        link->credit--;
    }
    if (link->delivery_size > guard->limits.max_message) {
        return fail_link(guard, link, c->why, "amqp:link:message-size-exceeded",
                         "a message is larger than the link's max-message-size");
    }
    if (guard->unfinished > (uint64_t)UNFINISHED_MESSAGES * guard->limits.max_message) {
        return fail_link(guard, link, c->why, limit,
                         "too many messages are under way on this connection");
    }
    return GUARD_PASS;
}

static enum guard_verdict check_disposition(struct context *c)
{
    uint32_t first = uint_of(c->fields, 1);
    uint32_t last = c->fields->has[2] ? uint_of(c->fields, 2) : first;

    if (last - first > INT32_MAX) { /* serial number arithmetic: last is before first */
        return fail(c->why, invalid, "DISPOSITION for a range that ends before it begins");
    }
    c->event->deliveries = last - first + 1;
    return GUARD_PASS;
}

static enum guard_verdict check_detach(struct context *c)
{
    if (find_link(c->session, c->event->handle) == NULL) {
        return fail(c->why, "amqp:session:unattached-handle", "DETACH of a handle without a link");
    }
    remove_link(c->guard, c->session, c->event->handle);
    return GUARD_PASS;
}

static enum guard_verdict check_end(struct context *c)
{
    struct guard *guard = c->guard;

    for (size_t i = 0; guard->link_ended != NULL && i < BUCKETS; i++) {
        for (const struct guard_link *l = c->session->bucket[i]; l != NULL; l = l->next) {
            guard->link_ended(guard->link_ended_arg, c->event->channel, l->handle);
        }
    }
    session_free(c->guard, c->session);
    c->guard->session[c->event->channel] = NULL;
    c->guard->sessions--;
    return GUARD_PASS;
}

static enum guard_verdict check_close(struct context *c)
{
    if (c->event->channel != 0) {
        return fail(c->why, framing, "CLOSE on a channel other than 0");
    }
    c->guard->closed = true;
    return GUARD_PASS;
}

/* ---- frames ---- */

struct rule {
    enum performative performative;
    enum guard_frame_kind kind;
    /* At most, the payload not counted: the engine keeps each value as a node of 150 bytes. */
    uint32_t bytes;
    uint32_t values;
    bool in_session;  /* the channel must have a session */
    int handle_field; /* -1: none */
    enum guard_verdict (*check)(struct context *c);
};

static const struct rule rules[] = {
    {PERFORMATIVE_OPEN, GUARD_FRAME_OPEN, 8192, 512, false, -1, check_open},
    {PERFORMATIVE_BEGIN, GUARD_FRAME_BEGIN, 2048, 64, false, -1, check_begin},
    {PERFORMATIVE_ATTACH, GUARD_FRAME_ATTACH, 8192, 256, true, 1, check_attach},
    {PERFORMATIVE_FLOW, GUARD_FRAME_FLOW, 1024, 64, true, 4, check_flow},
    {PERFORMATIVE_TRANSFER, GUARD_FRAME_TRANSFER, 1024, 64, true, 0, check_transfer},
    {PERFORMATIVE_DISPOSITION, GUARD_FRAME_DISPOSITION, 2048, 64, true, -1, check_disposition},
    {PERFORMATIVE_DETACH, GUARD_FRAME_DETACH, 8192, 64, true, 0, check_detach},
    {PERFORMATIVE_END, GUARD_FRAME_END, 8192, 64, true, -1, check_end},
    {PERFORMATIVE_CLOSE, GUARD_FRAME_CLOSE, 8192, 64, false, -1, check_close},
};

static uint32_t u32_at(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool guard_frame_size(struct span head, uint32_t max_frame, size_t *size, struct ks_failure *why)
{
    const unsigned char *p = (const unsigned char *)head.ptr;
    uint32_t total = u32_at(p);
    uint32_t doff = 4U * p[4];

    if (total < HEADER_SIZE || total > max_frame) {
        (void)ks_fail(why, KS_INVALID, framing, "a frame of %u bytes; the limit is %u", total,
                      max_frame);
        return false;
    }
    if (doff < HEADER_SIZE || doff > total || p[5] != 0) {
        (void)ks_fail(why, KS_INVALID, framing, "a malformed frame header");
        return false;
    }
    *size = total;
    return true;
}

static bool is_small(const struct guard *guard, const struct rule *rule, struct codec_reader whole,
                     size_t payload)
{
    size_t bytes = codec_left(&whole) - payload;
    uint32_t values = rule->values;

    /* A value has a byte at least: what is short needs no count. */
    return bytes <= values ||
           ((guard->limits.answers || bytes <= rule->bytes) && codec_skip_within(&whole, &values));
}

enum guard_verdict guard_check(struct guard *guard, struct span frame, int64_t now_ms,
                               struct guard_event *event, struct ks_failure *why)
{
    const unsigned char *p = (const unsigned char *)frame.ptr;
    size_t doff = 4UL * p[4];
    struct codec_reader body = codec_reader_of(span_of(frame.ptr + doff, frame.len - doff));
    const struct codec_reader whole = body;
    struct guard_fields fields;
    struct context c = {
        .guard = guard, .fields = &fields, .now_ms = now_ms, .event = event, .why = why};
    const struct rule *rule = rules;

    *event =
        (struct guard_event){.kind = GUARD_FRAME_EMPTY, .channel = (uint16_t)(p[6] << 8 | p[7])};
    if (guard->closed) {
        return fail(why, illegal, "a frame after CLOSE");
    }
    if (codec_left(&body) == 0) {
        return guard->opened ? GUARD_PASS : fail(why, illegal, "an empty frame before OPEN");
    }
    if (!(guard->limits.answers ? guard_schema_read_answer(&body, &fields)
                                : guard_schema_read(&body, &fields))) {
        return fail(why, decode, "a frame cannot be read");
    }
    while (rule->performative != fields.performative) {
        rule++;
    }
    event->kind = rule->kind;
    c.payload = codec_left(&body);
    if (!is_small(guard, rule, whole, c.payload)) {
        return fail(why, limit, "a performative with too many values or bytes");
    }
    if (c.payload > 0 && rule->kind != GUARD_FRAME_TRANSFER) {
        return fail(why, decode, "bytes behind a performative");
    }
    if (!guard->opened && rule->kind != GUARD_FRAME_OPEN) {
        return fail(why, illegal, "a frame before OPEN");
    }
    c.session = find_session(guard, event->channel);
    if (rule->in_session && c.session == NULL) {
        return fail(why, "amqp:not-found", "a frame on a channel without a session");
    }
    if (rule->handle_field >= 0 && fields.has[rule->handle_field]) {
        event->handle = uint_of(&fields, (size_t)rule->handle_field);
    }
    return rule->check(&c);
}
