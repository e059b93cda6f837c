#include "service/group_members.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/json_scan.h"
#include "store/store.h"

enum { TOLD_MAX = STORE_LIST_MAX + GROUP_MEMBERS_MAX };

/* The list that grows: JSON strings with commas between. */
struct members {
    struct store_txn *txn;
    uint32_t space;
    struct buf text;
    size_t count;
    size_t looks;
    struct span told[TOLD_MAX]; /* in `via` already, ordered; the transaction's */
    size_t told_count;
};

/* Where the id stands among those told, or would; *found. */
static size_t place_of(const struct members *members, struct span id, bool *found)
{
    size_t from = 0;
    size_t to = members->told_count;

    *found = false;
    while (from < to && !*found) {
        size_t middle = from + (to - from) / 2;
        int order = span_cmp(members->told[middle], id);

        *found = order == 0;
        if (order < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return *found ? to : from;
}

/* False: it has been told. */
static bool note(struct members *members, struct span id)
{
    bool found;
    size_t at = place_of(members, id, &found);

    if (found) {
        return false;
    }
    assert(members->told_count < TOLD_MAX);
    memmove(&members->told[at + 1], &members->told[at],
            (members->told_count - at) * sizeof(members->told[0]));
    members->told[at] = id;
    members->told_count++;
    return true;
}

static void note_via(struct members *members, struct span via)
{
    struct span id;
    size_t at = 0;

    while (members->told_count < STORE_LIST_MAX && store_strings_next(via, &at, &id)) {
        (void)note(members, id);
    }
}

static bool is_full(const struct members *members)
{
    return members->count == GROUP_MEMBERS_MAX || members->looks == GROUP_LOOKS_MAX;
}

static enum ks_status add_group(struct members *members, struct span group, struct ks_failure *why)
{
    struct span id = span_of("", 0);
    enum ks_status st = store_group_next(members->txn, members->space, group, id, &id, why);

    while (st == KS_OK && !is_full(members)) {
        members->looks++;
        if (note(members, id)) {
            buf_add_cstr(&members->text, members->text.len > 0 ? "," : "");
            buf_add_json(&members->text, id);
            members->count++;
        }
        st = store_group_next(members->txn, members->space, group, id, &id, why);
    }
    return st == KS_NOT_FOUND ? KS_OK : st;
}

/* `{"device-id":…` of the record's answer, `via` with what was found, then its other members. */
static void put_together(const struct json_members *parts, const struct members *members,
                         struct buf *out)
{
    const struct json_member *via = json_members_find(parts, SPAN("via"));
    const struct json_member *id = json_members_find(parts, SPAN("device-id"));

    buf_add_cstr(out, "{\"device-id\":");
    buf_add_span(out, id->value);
    if (via != NULL || members->text.len > 0) {
        struct span told =
            via == NULL ? span_of("", 0) : span_of(via->value.ptr + 1, via->value.len - 2);

        buf_add_cstr(out, ",\"via\":[");
        buf_add_span(out, told);
        buf_add_cstr(out, told.len > 0 && members->text.len > 0 ? "," : "");
        buf_add_span(out, buf_span(&members->text));
        buf_add_char(out, ']');
    }
    for (size_t i = 0; i < parts->count; i++) {
        const struct json_member *part = &parts->item[i];

        if (part != id && part != via) {
            buf_add_cstr(out, ",\"");
            buf_add_span(out, part->key);
            buf_add_cstr(out, "\":");
            buf_add_span(out, part->value);
        }
    }
    buf_add_char(out, '}');
}

enum ks_status group_members_answer(struct store_txn *txn, uint32_t space,
                                    const struct store_device *device, struct buf *out,
                                    struct ks_failure *why)
{
    struct members members;
    struct json_members parts;
    struct span group;
    size_t at = 0;
    enum ks_status st = json_scan_object(device->answer, &parts, why);

    if (st != KS_OK || json_members_find(&parts, SPAN("device-id")) == NULL) {
        return ks_fail(why, KS_CORRUPT, NULL, "the answer of a device record cannot be read");
    }
    members = (struct members){.txn = txn, .space = space};
    buf_init(&members.text, 0);
    note_via(&members, device->via);
    while (st == KS_OK && !is_full(&members) &&
           store_strings_next(device->via_groups, &at, &group)) {
        st = add_group(&members, group, why);
    }
    if (st == KS_OK) {
        put_together(&parts, &members, out);
    }
    buf_done(&members.text);
    return st;
}
