/*
 * The JSON scanner against jansson: both accept or both refuse (but for the scanner's own bounds
 * and jansson's number ranges), string members come out alike, arrays have as many elements when
 * they are walked.
 *
 * Covers: base/json_scan.c
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int condition)
{
    if (!condition) {
        abort();
    }
}

/* Refusals that are ours alone, or jansson's alone. */
static int is_bound(const char *scanner, const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);

    return strstr(scanner, "nested too deeply") != NULL ||
           strstr(scanner, "too many members") != NULL || code == json_error_numeric_overflow ||
           code == json_error_stack_overflow || code == json_error_null_character ||
           code == json_error_null_byte_in_key;
}

static json_t *object_get(json_t *tree, struct span key)
{
    char name[4100];

    if (key.len > 0) {
        memcpy(name, key.ptr, key.len);
    }
    name[key.len] = '\0';
    return json_object_get(tree, name);
}

static void compare_arrays(struct span array, const json_t *tree)
{
    struct json_walk walk;
    struct span no_key;
    struct span element;
    size_t count = 0;

    expect(json_walk_begin(&walk, array));
    while (json_walk_next(&walk, &no_key, &element)) {
        count++;
    }
    expect(count == json_array_size(tree));
}

/* What both have of a member. */
static void compare_member(const struct json_member *member, const json_t *tree)
{
    char room[4096];
    struct span value;

    if (member->kind == JSON_KIND_STRING) {
        json_scan_string(member->value, room, &value);
        expect(json_is_string(tree) && json_string_length(tree) == value.len &&
               memcmp(json_string_value(tree), value.ptr, value.len) == 0);
    }
    if (member->kind == JSON_KIND_ARRAY) {
        expect(json_is_array(tree));
        compare_arrays(member->value, tree);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    struct ks_failure why = {.text = ""};
    struct json_members members;
    json_error_t error;
    json_t *tree;
    enum ks_status st;

    if (size > 4096 || span_has_nul(text)) { /* jansson ends some tokens at a NUL */
        return 0;
    }
    st = json_scan_object(text, &members, &why);
    memset(&error, 0, sizeof(error));
    tree = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!is_bound(why.text, &error)) {
        expect((st == KS_OK) == (tree != NULL && json_is_object(tree)));
    }
    for (size_t i = 0; st == KS_OK && tree != NULL && i < members.count; i++) {
        const struct json_member *member = &members.item[i];
        char room[4096];
        char quoted[4100];
        struct span key;
        json_t *found;

        quoted[0] = '"';
        memcpy(quoted + 1, member->key.ptr, member->key.len);
        quoted[member->key.len + 1] = '"';
        json_scan_string(span_of(quoted, member->key.len + 2), room, &key);
        expect(json_members_find(&members, key) == member);
        found = span_has_nul(key) ? NULL : object_get(tree, key);
        if (found != NULL) {
            compare_member(member, found);
        }
    }
    json_decref(tree);
    return 0;
}
