#include "service/search_source.h"

#include <string.h>

#include "service/device_status.h"

/* ---- the plan ---- */

/* What all ids that match the operand begin with. */
static struct span fixed_part(const struct search_operand *operand)
{
    size_t len = 0;

    while (len < operand->text.len &&
           (!operand->wild || (operand->text.ptr[len] != '*' && operand->text.ptr[len] != '?'))) {
        len++;
    }
    return span_of(operand->text.ptr, len);
}

static struct search_plan plan_of(const struct search_query *query)
{
    struct search_plan plan = {.status = search_needs_status(query),
                               .records =
                                   search_needs_document(query) || query->gateways != SEARCH_ALL};

    for (size_t i = 0; i < query->filters; i++) {
        const struct search_filter *filter = &query->filter[i];

        if (search_pointer_is(&filter->field, SPAN("id")) && filter->op == SEARCH_EQ &&
            filter->operand->kind == JSON_KIND_STRING) {
            plan.id = fixed_part(filter->operand);
            plan.one = !filter->operand->wild;
        }
    }
    plan.by_index = query->gateways == SEARCH_GATEWAYS && !plan.one;
    return plan;
}

void search_source_init(struct search_source *source, const struct search_query *query,
                        const struct span *tenant)
{
    *source = (struct search_source){.query = query, .tenant = tenant, .plan = plan_of(query)};
    buf_init(&source->status, 0);
}

void search_source_done(struct search_source *source)
{
    buf_done(&source->status);
}

/* ---- places ---- */

static struct span place_span(const struct search_place *place)
{
    return span_of(place->text, place->len);
}

static void place_set(struct search_place *place, struct span text)
{
    memcpy(place->text, text.ptr, text.len); /* the store's ids fit */
    place->len = text.len;
}

static bool begins_with(struct span text, struct span prefix)
{
    return prefix.len == 0 ||
           (text.len >= prefix.len && memcmp(text.ptr, prefix.ptr, prefix.len) == 0);
}

/* A walk goes on behind the place where it stands: so the prefix itself is looked at first. */
static void enter(struct search_source *source, enum search_stage stage)
{
    struct span prefix = source->plan.id;

    source->at.len = 0;
    source->group.len = 0;
    source->beginning = false;
    source->stage = prefix.len <= STORE_ID_MAX ? stage : SEARCH_NOTHING;
    if (prefix.len > 0 && (source->stage == SEARCH_WALK || source->stage == SEARCH_NAMED)) {
        place_set(&source->at, prefix);
        source->beginning = true;
    }
}

void search_source_begin(struct search_source *source, bool gateways)
{
    if (source->plan.one) {
        enter(source, SEARCH_ONE);
    } else {
        enter(source, gateways || source->plan.by_index ? SEARCH_NAMED : SEARCH_WALK);
    }
}

/* ---- records ---- */

static enum ks_status fill(struct search_source *source, struct store_txn *txn,
                           struct search_entry *entry, struct ks_failure *why)
{
    bool notified = false;
    enum ks_status st = KS_OK;

    entry->record =
        (struct search_record){.id = entry->device.id, .document = entry->device.document};
    if (source->plan.status) {
        st = device_status_notified(txn, source->space, &entry->device, &notified, why);
        buf_clear(&source->status);
        device_status_add(&source->status, &entry->device, notified);
        entry->record.status = buf_span(&source->status);
    }
    return st;
}

static enum ks_status get_tenant(struct store_txn *txn, struct span id, struct search_entry *entry,
                                 struct ks_failure *why)
{
    struct store_tenant tenant;
    uint32_t space = 0;
    enum ks_status st = store_tenant_find(txn, id, &space, why);

    if (st == KS_OK) {
        st = store_tenant_get(txn, space, &tenant, why);
    }
    if (st == KS_OK) {
        entry->record = (struct search_record){.id = tenant.id, .document = tenant.document};
    }
    return st;
}

enum ks_status search_source_get(struct search_source *source, struct store_txn *txn,
                                 struct span id, struct search_entry *entry, struct ks_failure *why)
{
    enum ks_status st;

    if (source->tenant == NULL) {
        return get_tenant(txn, id, entry, why);
    }
    st = store_device_get(txn, source->space, id, &entry->device, why);
    return st == KS_OK ? fill(source, txn, entry, why) : st;
}

/* What follows by id; of it no more than the plan needs. */
static enum ks_status next_by_id(struct search_source *source, struct store_txn *txn,
                                 struct search_entry *entry, struct ks_failure *why)
{
    struct span after = place_span(&source->at);
    struct store_tenant tenant;
    enum ks_status st;

    entry->record = (struct search_record){.id = span_of(NULL, 0)};
    if (!source->plan.records) {
        return source->tenant != NULL
                   ? store_device_next_id(txn, source->space, after, &entry->record.id, why)
                   : store_tenant_next_id(txn, after, &entry->record.id, why);
    }
    if (source->tenant != NULL) {
        st = store_device_next(txn, source->space, after, &entry->device, why);
        return st == KS_OK ? fill(source, txn, entry, why) : st;
    }
    st = store_tenant_next(txn, after, &tenant, why);
    if (st == KS_OK) {
        entry->record = (struct search_record){.id = tenant.id, .document = tenant.document};
    }
    return st;
}

/* ---- stages: each brings the record at the next place, if there is one ---- */

/* Where gateways, or the others, are told by a look at each device. */
static enum ks_status check_gateway(struct search_source *source, struct store_txn *txn,
                                    const struct store_device *device, bool *wanted,
                                    struct ks_failure *why)
{
    bool gateway = false;
    enum ks_status st = KS_OK;

    *wanted = true;
    if (source->query->gateways == SEARCH_ALL) {
        return KS_OK;
    }
    gateway = device->member_of.len > 0;
    if (!gateway) {
        st = store_is_gateway(txn, source->space, device->id, &gateway, why);
    }
    *wanted = gateway == (source->query->gateways == SEARCH_GATEWAYS);
    return st;
}

/* An id that may be no record's: then there is nothing at this place. */
static enum ks_status get_if_there(struct search_source *source, struct store_txn *txn,
                                   struct span id, struct search_entry *entry, bool *there,
                                   struct ks_failure *why)
{
    enum ks_status st = search_source_get(source, txn, id, entry, why);

    *there = st == KS_OK;
    return st == KS_NOT_FOUND ? KS_OK : st;
}

static enum ks_status from_one(struct search_source *source, struct store_txn *txn,
                               struct search_entry *entry, bool *wanted, struct ks_failure *why)
{
    enum ks_status st = search_source_get(source, txn, source->plan.id, entry, why);

    source->stage = SEARCH_NOTHING;
    return st == KS_OK ? check_gateway(source, txn, &entry->device, wanted, why) : st;
}

static enum ks_status from_walk(struct search_source *source, struct store_txn *txn,
                                struct search_entry *entry, bool *wanted, struct ks_failure *why)
{
    enum ks_status st;

    if (source->beginning) {
        source->beginning = false;
        st = get_if_there(source, txn, source->plan.id, entry, wanted, why);
        return st == KS_OK && *wanted ? check_gateway(source, txn, &entry->device, wanted, why)
                                      : st;
    }
    st = next_by_id(source, txn, entry, why);
    if (st == KS_OK && !begins_with(entry->record.id, source->plan.id)) {
        return KS_NOT_FOUND;
    }
    if (st == KS_OK) {
        place_set(&source->at, entry->record.id);
        st = check_gateway(source, txn, &entry->device, wanted, why);
    }
    return st;
}

static enum ks_status from_named(struct search_source *source, struct store_txn *txn,
                                 struct search_entry *entry, bool *wanted, struct ks_failure *why)
{
    struct span id;
    bool named = false;
    enum ks_status st;

    if (source->beginning) {
        source->beginning = false;
        st = store_is_gateway(txn, source->space, source->plan.id, &named, why);
        return st == KS_OK && named ? get_if_there(source, txn, source->plan.id, entry, wanted, why)
                                    : st;
    }
    st = store_gateway_next(txn, source->space, place_span(&source->at), &id, why);
    if (st == KS_OK && !begins_with(id, source->plan.id)) {
        return KS_NOT_FOUND;
    }
    if (st == KS_OK) {
        place_set(&source->at, id);
        st = get_if_there(source, txn, id, entry, wanted, why);
    }
    return st;
}

/* A device of several groups is met once for each: the first counts. */
static bool is_first_group(const struct store_device *device, struct span group)
{
    struct span other;
    size_t at = 0;

    while (store_strings_next(device->member_of, &at, &other)) {
        if (span_cmp(other, group) < 0) {
            return false;
        }
    }
    return true;
}

static enum ks_status from_members(struct search_source *source, struct store_txn *txn,
                                   struct search_entry *entry, bool *wanted, struct ks_failure *why)
{
    struct span group;
    struct span device;
    bool named = false;
    enum ks_status st = store_member_next(txn, source->space, place_span(&source->group),
                                          place_span(&source->at), &group, &device, why);

    if (st != KS_OK) {
        return st;
    }
    place_set(&source->group, group);
    place_set(&source->at, device);
    if (!begins_with(device, source->plan.id)) {
        return KS_OK;
    }
    st = get_if_there(source, txn, device, entry, wanted, why);
    if (st == KS_OK && *wanted) {
        st = store_is_gateway(txn, source->space, entry->device.id, &named, why);
        *wanted = !named && is_first_group(&entry->device, group);
    }
    return st;
}

enum ks_status search_source_next(struct search_source *source, struct store_txn *txn,
                                  struct search_entry *entry, bool *wanted, struct ks_failure *why)
{
    static const struct {
        enum ks_status (*next)(struct search_source *source, struct store_txn *txn,
                               struct search_entry *entry, bool *wanted, struct ks_failure *why);
        enum search_stage behind;
    } stages[] = {
        [SEARCH_NOTHING] = {NULL, SEARCH_NOTHING},
        [SEARCH_ONE] = {from_one, SEARCH_NOTHING},
        [SEARCH_WALK] = {from_walk, SEARCH_NOTHING},
        [SEARCH_NAMED] = {from_named, SEARCH_MEMBERS},
        [SEARCH_MEMBERS] = {from_members, SEARCH_NOTHING},
    };
    enum search_stage stage = source->stage;
    enum ks_status st;

    *wanted = false;
    if (stage == SEARCH_NOTHING) {
        return KS_NOT_FOUND;
    }
    st = stages[stage].next(source, txn, entry, wanted, why);
    if (st == KS_NOT_FOUND && stages[stage].behind != SEARCH_NOTHING) {
        enter(source, stages[stage].behind);
        return KS_OK;
    }
    return st;
}
