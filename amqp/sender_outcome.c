/* What the broker says of entries on their way and of links, and what it never says. */
#include <proton/condition.h>
#include <proton/delivery.h>
#include <proton/disposition.h>
#include <proton/link.h>
#include <stdio.h>
#include <string.h>

#include "amqp/sender_state.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"

enum {
    WATCH_MS = 1000, /* between two looks for what is never answered */
    ATTACH_WITHIN_MS = 10000,
    OUTCOME_WITHIN_MS = 60000,
    UNANSWERED_MAX = 512, /* attaches of a connection */
};

/* ---- slots that are given back ---- */

static void free_lost(struct sender *sender)
{
    struct slot *slot = sender_lanes_pop_lost(sender->lanes);

    while (slot != NULL) {
        if (slot->waiter != NULL) {
            sender_release(sender, slot->waiter, false);
        }
        counters_add(sender->counters, COUNTER_OUTBOX_RESENT, 1);
        sender_lanes_free(sender->lanes, slot);
        slot = sender_lanes_pop_lost(sender->lanes);
    }
}

/* What the refusal that is being handled is called, for the log. */
static void say(struct sender *sender, const char *what, struct pn_condition_t *condition)
{
    const char *name = condition != NULL ? pn_condition_get_name(condition) : NULL;
    const char *text = condition != NULL ? pn_condition_get_description(condition) : NULL;

    (void)snprintf(sender->refusal, sizeof(sender->refusal), "%s%s%.100s%s%.200s", what,
                   name != NULL ? ": " : "", name != NULL ? name : "", text != NULL ? ", " : "",
                   text != NULL ? text : "");
}

static void pause_lane(struct sender *sender, struct lane *lane)
{
    struct log_text text;

    lane->paused_until = clock_monotonic_ms() + sender_pause_ms(lane->failures - 1);
    if (lane->failures == SENDER_TRIES) {
        log_warn("broker-rejects",
                 "address=%s why=%s action=\"does the broker know it, and may Koseki send to it?\"",
                 lane->address, log_text(&text, span_cstr(sender->refusal)));
    }
    sender_pump_soon(sender);
}

static void end_delivery(struct slot *slot)
{
    pn_delivery_set_context(slot->delivery, NULL);
    slot->delivery = NULL;
    slot->link->in_flight--;
    slot->link = NULL;
}

static void refuse(struct sender *sender, struct slot *slot, bool counts)
{
    struct lane *lane = slot->lane;

    if (sender_lanes_refused(sender->lanes, slot, counts)) {
        pause_lane(sender, lane);
    } else if (slot->state == SLOT_LEAVING) {
        sender_note_parked(sender, lane, NULL);
    }
    free_lost(sender);
}

/* ---- what the broker says ---- */

void sender_outcome(struct sender *sender, pn_delivery_t *delivery)
{
    struct slot *slot = pn_delivery_get_context(delivery);
    uint64_t state = pn_delivery_remote_state(delivery);
    struct lane *lane;

    if (slot == NULL) {
        return;
    }
    lane = slot->lane;
    if (state == PN_ACCEPTED) {
        sender->fruitful = true;
        slot->link->failures = 0;
        end_delivery(slot);
        sender_lanes_accepted(sender->lanes, slot);
        free_lost(sender);
    } else {
        bool counts = state == PN_REJECTED || state == PN_MODIFIED;

        counters_add(sender->counters, COUNTER_OUTBOX_REJECTED, counts);
        say(sender,
            state == PN_REJECTED   ? "rejected"
            : state == PN_MODIFIED ? "modified"
                                   : "released",
            pn_disposition_condition(pn_delivery_remote(delivery)));
        end_delivery(slot);
        refuse(sender, slot, counts);
    }
    sender_lanes_rest(sender->lanes, lane);
}

struct ended {
    struct sender *sender;
    const struct sender_link *link;
    enum sender_link_end how;
};

/* A link that is refused again and again: the lane's events are parked. */
static void count_refusal(struct sender *sender, struct lane *lane)
{
    lane->failures++;
    lane->link_refusals++;
    lane->hopeless = lane->kind == STORE_OUTBOX_EVENT && lane->link_refusals >= SENDER_TRIES;
    pause_lane(sender, lane);
}

/* The first slot of the lane that was sent over the link. */
static struct slot *sent_over(const struct lane *lane, const struct sender_link *link)
{
    struct slot *slot = lane->first;

    while (slot != NULL && slot->link != link) {
        slot = slot->next;
    }
    return slot;
}

/* What was on its way over the link is lost. That of the relay is not the fault of any of them. */
static void end_lane(void *arg, struct lane *lane)
{
    const struct ended *ended = arg;
    struct sender *sender = ended->sender;
    struct slot *slot = sent_over(lane, ended->link);

    while (slot != NULL) {
        end_delivery(slot);
        refuse(sender, slot, ended->how == SENDER_LINK_BROKEN);
        slot = sent_over(lane, ended->link);
    }
    if (strcmp(lane->address, ended->link->address) == 0) {
        if (ended->how == SENDER_LINK_REFUSED) {
            count_refusal(sender, lane);
        } else if (ended->how == SENDER_LINK_UNANSWERED) {
            lane->failures++;
            pause_lane(sender, lane);
        }
    }
    sender_lanes_rest(sender->lanes, lane);
}

static void link_ended(struct sender *sender, const struct sender_link *link,
                       enum sender_link_end how)
{
    struct ended ended = {.sender = sender, .link = link, .how = how};

    counters_add(sender->counters, COUNTER_OUTBOX_REJECTED, 1);
    sender_lanes_each(sender->lanes, end_lane, &ended);
    sender_pump_soon(sender);
}

void sender_link_changed(struct sender *sender, struct pn_link_t *engine, bool gone)
{
    enum sender_link_end how = SENDER_LINK_REFUSED;
    struct sender_link *link = sender_links_changed(&sender->links, engine, gone, &how);

    if (link != NULL) {
        say(sender, "the broker ended the link", pn_link_remote_condition(engine));
        link_ended(sender, link, how);
    }
}

/* ---- what the broker never says ---- */

/* It may come late: then it is not heard any more, and the entry is sent once more. */
static void forget_overdue(void *arg, struct lane *lane)
{
    struct sender *sender = arg;
    int64_t before = clock_monotonic_ms() - OUTCOME_WITHIN_MS;

    while (lane->first != NULL && lane->first->state == SLOT_SENT &&
           lane->first->sent_ms < before) {
        struct slot *slot = lane->first;
        pn_delivery_t *delivery = slot->delivery;

        end_delivery(slot);
        pn_delivery_settle(delivery);
        refuse(sender, slot, false);
    }
    sender_lanes_rest(sender->lanes, lane);
}

static void watch(void *arg)
{
    struct sender *sender = arg;
    enum sender_link_end how = SENDER_LINK_REFUSED;
    struct sender_link *link;

    say(sender, "the broker does not answer", NULL);
    while ((link = sender_links_overdue(&sender->links, ATTACH_WITHIN_MS, &how)) != NULL) {
        link_ended(sender, link, how);
        sender->unanswered++;
    }
    if (sender->unanswered > UNANSWERED_MAX) { /* the engine keeps each */
        broker_give_up(sender->broker, "the broker answers no attach");
        return;
    }
    sender_lanes_each(sender->lanes, forget_overdue, sender);
    reactor_timer_set(&sender->watch, WATCH_MS);
    sender_turn(sender);
}

/* ---- connections ---- */

void sender_note_parked(struct sender *sender, const struct lane *lane, const char *why)
{
    memcpy(sender->parked_address, lane->address, sizeof(sender->parked_address));
    sender->parked_why = why != NULL ? why : sender->refusal;
}

void sender_outcome_init(struct sender *sender)
{
    reactor_timer_init(&sender->watch, sender->options.reactor, watch, sender);
}

/* What a careful connection ended by waits until others have had their turn. */
static void pause_anew(void *arg, struct lane *lane)
{
    (void)arg;
    if (lane->paused_until != 0) {
        lane->paused_until = clock_monotonic_ms() + sender_pause_ms(lane->failures - 1);
    }
}

void sender_outcome_begin(struct sender *sender)
{
    sender_links_init(&sender->links, sender->broker);
    sender->unanswered = 0;
    sender_lanes_each(sender->lanes, pause_anew, NULL);
    reactor_timer_set(&sender->watch, WATCH_MS);
}

/* The queues are walked from the beginning again. A lane stays that remembers rejections; to them
 * counts what was alone on its way when a careful connection ended. */
static void forget_lane(void *arg, struct lane *lane)
{
    struct sender *sender = arg;

    if (sender->careful && lane->first != NULL && lane->first->state == SLOT_SENT) {
        struct slot *slot = lane->first;

        slot->delivery = NULL; /* gone with the connection */
        slot->link = NULL;
        counters_add(sender->counters, COUNTER_OUTBOX_REJECTED, 1);
        refuse(sender, slot, true);
    }
    sender_lanes_lose(sender->lanes, lane);
    lane->behind = lane_has_tried(lane);
    sender_lanes_rest(sender->lanes, lane);
}

/* What is leaving stays: the walk passes it over by its slot. */
void sender_outcome_reset(struct sender *sender)
{
    say(sender, "the connection ends when it is sent", NULL);
    sender_lanes_each(sender->lanes, forget_lane, sender);
    free_lost(sender);
    reactor_timer_clear(&sender->watch);
}

void sender_outcome_done(struct sender *sender)
{
    reactor_timer_done(&sender->watch);
}
