#include "amqp/sender_links.h"

#include <proton/link.h>
#include <proton/session.h>
#include <proton/terminus.h>
#include <stdio.h>
#include <string.h>

#include "amqp/broker.h"
#include "base/clock.h"
#include "base/uuid.h"

void sender_links_init(struct sender_links *links, struct broker *broker)
{
    *links = (struct sender_links){.broker = broker, .relays = broker_relays(broker)};
}

static void attach(struct sender_links *links, struct sender_link *link, const char *address)
{
    char name[EVENT_ADDRESS_MAX + 32];

    if (link->address != address) {
        (void)snprintf(link->address, sizeof(link->address), "%s", address);
    }
    /* a name of its own: that of a link whose detach is not answered yet must not come again */
    (void)snprintf(name, sizeof(name), "koseki-%llu-%s", (unsigned long long)++links->clock,
                   address);
    link->engine = pn_sender(broker_session(links->broker), name);
    link->attached = false;
    link->since_ms = clock_monotonic_ms();
    link->in_flight = 0;
    pn_link_set_context(link->engine, link);
    (void)pn_terminus_set_type(pn_link_source(link->engine), PN_SOURCE);
    (void)pn_terminus_set_type(pn_link_target(link->engine), PN_TARGET);
    (void)pn_terminus_set_address(pn_link_target(link->engine), links->relays ? NULL : address);
    pn_link_set_snd_settle_mode(link->engine, PN_SND_UNSETTLED);
    pn_link_set_rcv_settle_mode(link->engine, PN_RCV_FIRST);
    pn_link_open(link->engine);
}

static bool is_free(const struct sender_link *link)
{
    return link->engine == NULL && clock_monotonic_ms() >= link->paused_until;
}

static void let_go(struct sender_link *link)
{
    pn_link_set_context(link->engine, NULL);
    pn_link_close(link->engine); /* freed when the broker answers */
    link->engine = NULL;
}

/* A free place, or that of the link longest unused. */
static struct sender_link *make_room(struct sender_links *links)
{
    struct sender_link *oldest = NULL;

    for (size_t i = 0; i < SENDER_LINKS; i++) {
        struct sender_link *link = &links->link[i];

        if (is_free(link)) {
            return link;
        }
        if ((link->engine == NULL || (link->attached && link->in_flight == 0)) &&
            (oldest == NULL || link->used_at < oldest->used_at)) {
            oldest = link;
        }
    }
    if (oldest != NULL && oldest->engine != NULL) {
        let_go(oldest);
    }
    return oldest;
}

static struct sender_link *find(struct sender_links *links, const char *address)
{
    for (size_t i = 0; i < SENDER_LINKS; i++) {
        struct sender_link *link = &links->link[i];

        if (link->address[0] != '\0' && strcmp(link->address, address) == 0) {
            return link;
        }
    }
    return NULL;
}

enum sender_link_state sender_links_find(struct sender_links *links, const char *address,
                                         struct sender_link **out)
{
    const char *name = links->relays ? "*" : address;
    struct sender_link *link = find(links, name);

    if (link == NULL) {
        link = make_room(links);
        if (link == NULL) {
            return SENDER_LINK_NONE;
        }
        *link = (struct sender_link){.engine = NULL};
    }
    *out = link;
    link->used_at = ++links->clock;
    if (link->engine == NULL && clock_monotonic_ms() < link->paused_until) {
        return SENDER_LINK_PAUSED;
    }
    if (link->engine == NULL) {
        attach(links, link, name);
    }
    return link->attached ? SENDER_LINK_READY : SENDER_LINK_ATTACHING;
}

int64_t sender_pause_ms(unsigned failures)
{
    struct uuid dice = uuid_random();
    int64_t ms = SENDER_PAUSE_FIRST_MS;

    for (unsigned i = 0; i < failures && ms < SENDER_PAUSE_LONGEST_MS; i++) {
        ms *= 2;
    }
    ms = ms < SENDER_PAUSE_LONGEST_MS ? ms : SENDER_PAUSE_LONGEST_MS;
    return ms / 2 + ms / 2 * dice.bytes[0] / UINT8_MAX;
}

static enum sender_link_end end(struct sender_links *links, struct sender_link *link)
{
    enum sender_link_end how = links->relays    ? SENDER_LINK_RELAY
                               : link->attached ? SENDER_LINK_BROKEN
                                                : SENDER_LINK_REFUSED;

    links->relays = false;
    link->engine = NULL;
    link->attached = false;
    link->paused_until = clock_monotonic_ms() + sender_pause_ms(link->failures);
    link->failures++;
    return how;
}

struct sender_link *sender_links_changed(struct sender_links *links, struct pn_link_t *engine,
                                         bool gone, enum sender_link_end *how)
{
    struct sender_link *link = pn_link_get_context(engine);

    if (link == NULL) {
        return NULL; /* one that we let go of */
    }
    /* An attach without a target announces the detach that follows. */
    link->attached |= pn_terminus_get_type(pn_link_remote_target(engine)) != PN_UNSPECIFIED;
    if (!gone) {
        return NULL;
    }
    pn_link_set_context(engine, NULL);
    *how = end(links, link);
    return link;
}

struct sender_link *sender_links_overdue(struct sender_links *links, int64_t ms,
                                         enum sender_link_end *how)
{
    int64_t before = clock_monotonic_ms() - ms;

    for (size_t i = 0; i < SENDER_LINKS; i++) {
        struct sender_link *link = &links->link[i];

        if (link->engine != NULL && !link->attached && link->since_ms < before) {
            let_go(link);
            *how = end(links, link);
            *how = *how == SENDER_LINK_REFUSED ? SENDER_LINK_UNANSWERED : *how;
            return link;
        }
    }
    return NULL;
}

int sender_link_credit(const struct sender_link *link)
{
    return pn_link_credit(link->engine);
}

uint64_t sender_link_message_max(const struct sender_link *link)
{
    uint64_t max = pn_link_remote_max_message_size(link->engine);

    return max == 0 ? UINT64_MAX : max;
}
