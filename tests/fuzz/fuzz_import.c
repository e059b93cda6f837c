/*
 * Lines of an export, taken apart. A line whose members are all well-formed JSON is well-formed as
 * a whole, and one that is a JSON object is never refused for not being one: jansson is the judge.
 *
 * Covers: service/import_line.c
 */
#include <assert.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "service/import_line.h"
#include "service/json_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_TRIED = 64 << 10, DEPTH_MAX_TRIED = 1000 /* jansson's own bound is 2048 */ };

static const char no_object[] = "not a JSON object";

static bool is_json(struct span text, size_t flags)
{
    json_t *parsed = json_loadb(text.len > 0 ? text.ptr : "", text.len,
                                flags | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

    json_decref(parsed);
    return parsed != NULL;
}

static bool is_object(struct span text)
{
    json_t *parsed = json_loadb(text.len > 0 ? text.ptr : "", text.len,
                                JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    bool is = json_is_object(parsed) && json_object_size(parsed) > 0;

    json_decref(parsed);
    return is;
}

static bool are_json(const struct import_line *line)
{
    for (size_t i = 0; i < IMPORT_MEMBERS; i++) {
        if (line->value[i].ptr != NULL && !is_json(line->value[i], JSON_DECODE_ANY)) {
            return false;
        }
    }
    return true;
}

static void read_values(const struct import_line *line)
{
    struct arena arena;

    arena_init(&arena);
    for (size_t i = 0; i < IMPORT_MEMBERS; i++) {
        enum import_member member = (enum import_member)i;
        struct span text = SPAN("");
        struct uuid uuid;
        uint64_t number = 0;
        bool flag = false;

        if (line->value[i].ptr == NULL) {
            continue;
        }
        if (import_line_text(line, member, &arena, &text, NULL) == KS_OK) {
            assert(!span_has_nul(text));
        }
        if (import_line_number(line, member, INT64_MAX, &number, NULL) == KS_OK) {
            assert(number <= INT64_MAX);
        }
        (void)!import_line_uuid(line, member, &uuid, NULL);
        (void)!import_line_flag(line, member, &flag, NULL);
    }
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    struct import_line line;
    struct ks_failure why = {0};
    size_t depth = 0;

    for (size_t i = 0; i < size; i++) {
        depth += data[i] == '[' || data[i] == '{';
    }
    /* jansson passes over a NUL behind a number */
    if (size > SIZE_MAX_TRIED || depth > DEPTH_MAX_TRIED || span_has_nul(text)) {
        return 0;
    }
    if (import_line_read(text, &line, &why) == KS_OK) {
        assert(!are_json(&line) || is_object(text));
        read_values(&line);
    } else {
        assert(why.text[0] != '\0');
        assert(strncmp(why.text, no_object, sizeof(no_object) - 1) != 0 || !is_object(text));
    }
    return 0;
}
