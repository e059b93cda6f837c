#include "service/group_members.h"

#include "base/json_scan.h"
#include "store/store.h"

/* The list that grows: JSON strings with commas between. */
struct members {
    struct store_txn *txn;
    uint32_t space;
    const struct store_device *device;
    struct buf text;
    size_t count;
};

/* Whether the record's `via`, or a group before `group`, names the device. */
static enum ks_status is_told(const struct members *members, struct span group, struct span id,
                              bool *told, struct ks_failure *why)
{
    struct span entry;
    size_t at = 0;
    enum ks_status st = KS_OK;

    *told = false;
    while (store_strings_next(members->device->via, &at, &entry)) {
        *told = *told || span_eq(entry, id);
    }
    at = 0;
    while (st == KS_OK && !*told && store_strings_next(members->device->via_groups, &at, &entry) &&
           !span_eq(entry, group)) {
        st = store_group_has(members->txn, members->space, entry, id, told, why);
    }
    return st;
}

static enum ks_status add_group(struct members *members, struct span group, struct ks_failure *why)
{
    struct span id = span_of("", 0);
    bool told = false;
    enum ks_status st = store_group_next(members->txn, members->space, group, id, &id, why);

    while (st == KS_OK && members->count < GROUP_MEMBERS_MAX) {
        st = is_told(members, group, id, &told, why);
        if (st == KS_OK && !told) {
            buf_add_cstr(&members->text, members->text.len > 0 ? "," : "");
            buf_add_json(&members->text, id);
            members->count++;
        }
        if (st == KS_OK) {
            st = store_group_next(members->txn, members->space, group, id, &id, why);
        }
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
    struct members members = {.txn = txn, .space = space, .device = device};
    struct json_members parts;
    struct span group;
    size_t at = 0;
    enum ks_status st = json_scan_object(device->answer, &parts, why);

    if (st != KS_OK || json_members_find(&parts, SPAN("device-id")) == NULL) {
        return ks_fail(why, KS_CORRUPT, NULL, "the answer of a device record cannot be read");
    }
    buf_init(&members.text, 0);
    while (st == KS_OK && members.count < GROUP_MEMBERS_MAX &&
           store_strings_next(device->via_groups, &at, &group)) {
        st = add_group(&members, group, why);
    }
    if (st == KS_OK) {
        put_together(&parts, &members, out);
    }
    buf_done(&members.text);
    return st;
}
