/*
 * The JSON scanner against jansson: both accept or both refuse (but for the scanner's own bounds
 * and jansson's number ranges), string members come out alike, arrays have as many elements, and
 * values are equal for both or for neither (but for numbers, which the scanner compares by text).
 *
 * Covers: base/json_scan.c
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_scan.h"

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

static bool has_number(const json_t *value)
{
    const char *key;
    json_t *part;
    size_t i;

    json_array_foreach (value, i, part) {
        if (has_number(part)) {
            return true;
        }
    }
    json_object_foreach ((json_t *)(uintptr_t)value, key, part) {
        if (has_number(part)) {
            return true;
        }
    }
    return json_is_number(value);
}

static void compare_values(struct span a, const json_t *tree_a, struct span b, const json_t *tree_b)
{
    bool equal = json_value_eq(a, b);

    expect(equal == json_value_eq(b, a));
    if (equal || !has_number(tree_a)) {
        expect(equal == (bool)json_equal(tree_a, tree_b));
    }
}

static void compare_arrays(struct span array, const json_t *tree)
{
    struct span element;
    size_t offset = 0;
    size_t count = 0;
    struct span before = {0};

    while (json_array_next(array, &offset, &element)) {
        if (count > 0) {
            compare_values(before, json_array_get(tree, count - 1), element,
                           json_array_get(tree, count));
        }
        before = element;
        count++;
    }
    expect(count == json_array_size(tree));
}

/* What both have of a member, beside what both have of another. */
static void compare_member(const struct json_member *member, const json_t *tree,
                           const struct json_member *other, const json_t *other_tree)
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
    expect(json_value_eq(member->value, member->value));
    if (other_tree != NULL) {
        compare_values(member->value, tree, other->value, other_tree);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    struct ks_failure why = {.text = ""};
    struct json_members members;
    json_error_t error;
    json_t *tree;
    json_t *before = NULL; /* the member before */
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
            compare_member(member, found, i > 0 ? member - 1 : NULL, before);
        }
        before = found;
    }
    json_decref(tree);
    return 0;
}
