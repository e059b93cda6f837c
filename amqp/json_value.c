#include "amqp/json_value.h"

#include <stdlib.h>
#include <string.h>

#include "amqp/codec.h"
#include "base/json_walk.h"

enum { NUMBER_MAX = 64, NESTED_MAX = 8 };

static bool write_value(struct buf *out, struct span value, enum json_kind kind, unsigned depth);

static bool write_number(struct buf *out, struct span value)
{
    char text[NUMBER_MAX];
    char *end = NULL;
    long long whole;

    if (value.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    if (strpbrk(text, ".eE") != NULL) {
        codec_write_double(out, strtod(text, &end));
        return true;
    }
    whole = strtoll(text, &end, 10);
    if (whole >= INT32_MIN && whole <= INT32_MAX) {
        codec_write_int(out, (int32_t)whole);
    } else {
        codec_write_long(out, whole);
    }
    return true;
}

static bool write_string(struct buf *out, struct span value)
{
    char *room = malloc(value.len + 1);
    struct span text;

    if (room == NULL) {
        abort();
    }
    json_scan_string(value, room, &text);
    codec_write_string(out, text);
    free(room);
    return true;
}

static bool write_map(struct buf *out, struct span value, unsigned depth)
{
    struct json_members *members = malloc(sizeof(*members));
    size_t map;
    bool ok;

    if (members == NULL) {
        abort();
    }
    ok = json_scan_object(value, members, NULL) == KS_OK;
    map = codec_begin_map(out);
    for (size_t i = 0; ok && i < members->count; i++) {
        const struct json_member *member = &members->item[i];

        /* the raw key stands between its quotes */
        ok = write_string(out, span_of(member->key.ptr - 1, member->key.len + 2)) &&
             write_value(out, member->value, member->kind, depth);
    }
    codec_end_compound(out, map, ok ? (uint32_t)(2 * members->count) : 0);
    free(members);
    return ok;
}

static bool write_list(struct buf *out, struct span value, unsigned depth)
{
    struct json_walk walk;
    struct span no_key;
    struct span element;
    size_t list = codec_begin_list(out);
    uint32_t count = 0;
    bool ok = json_walk_begin(&walk, value);

    while (ok && json_walk_next(&walk, &no_key, &element)) {
        ok = write_value(out, element, json_walk_kind(element), depth);
        count++;
    }
    codec_end_compound(out, list, count);
    return ok;
}

static bool write_value(struct buf *out, struct span value, enum json_kind kind, unsigned depth)
{
    switch (kind) {
    case JSON_KIND_OBJECT:
        return depth < NESTED_MAX && write_map(out, value, depth + 1);
    case JSON_KIND_ARRAY:
        return depth < NESTED_MAX && write_list(out, value, depth + 1);
    case JSON_KIND_STRING:
        return write_string(out, value);
    case JSON_KIND_NUMBER:
        return write_number(out, value);
    case JSON_KIND_TRUE:
    case JSON_KIND_FALSE:
        codec_write_bool(out, kind == JSON_KIND_TRUE);
        return true;
    case JSON_KIND_NULL:
        codec_write_null(out);
        return true;
    }
    return false;
}

bool json_value_write(struct buf *out, struct span value, enum json_kind kind)
{
    return write_value(out, value, kind, 0);
}
