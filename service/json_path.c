#include "service/json_path.h"

#include <stdbool.h>

#include "service/json_text.h"

enum { NAME_SHOWN_MAX = 64 };

/* An object or array that has begun. */
struct level {
    bool is_array;
    size_t index;     /* of an array: the element */
    struct span name; /* of an object: the member, as it is written; empty before the first */
};

struct walk {
    struct level level[JSON_TEXT_DEPTH + 1];
    size_t depth;
    bool name_comes; /* the next string is a name */
};

/* The byte behind the string that begins at `at`, or the end of the text. */
static size_t skip_string(struct span text, size_t at)
{
    for (at++; at < text.len; at++) {
        if (text.ptr[at] == '\\') {
            at++;
        } else if (text.ptr[at] == '"') {
            return at + 1;
        }
    }
    return text.len;
}

static void take_string(struct walk *walk, struct span text, size_t from, size_t to)
{
    if (walk->name_comes && walk->depth > 0 && to - from >= 2 && text.ptr[to - 1] == '"') {
        walk->level[walk->depth - 1].name = span_of(text.ptr + from + 1, to - from - 2);
        walk->name_comes = false;
    }
}

static void begin(struct walk *walk, bool is_array)
{
    if (walk->depth <= JSON_TEXT_DEPTH) {
        walk->level[walk->depth++] = (struct level){.is_array = is_array};
    }
    walk->name_comes = !is_array;
}

static void next(struct walk *walk)
{
    struct level *level = walk->depth > 0 ? &walk->level[walk->depth - 1] : NULL;

    if (level != NULL && level->is_array) {
        level->index++;
    }
    walk->name_comes = level != NULL && !level->is_array;
}

static void take(struct walk *walk, char c)
{
    switch (c) {
    case '{':
    case '[':
        begin(walk, c == '[');
        break;
    case '}':
    case ']':
        walk->depth -= walk->depth > 0;
        walk->name_comes = false;
        break;
    case ',':
        next(walk);
        break;
    default:
        break;
    }
}

static void add_level(struct buf *out, const struct level *level)
{
    if (level->is_array) {
        buf_printf(out, "[%zu]", level->index);
    } else if (level->name.len > 0) {
        size_t len = level->name.len < NAME_SHOWN_MAX ? level->name.len : NAME_SHOWN_MAX;

        buf_add_cstr(out, out->len > 0 ? "." : "");
        buf_add(out, level->name.ptr, len);
    }
}

void json_path_add(struct buf *out, struct span text, size_t at)
{
    struct walk walk = {.depth = 0};

    text.len = at < text.len ? at : text.len;
    for (size_t i = 0; i < text.len;) {
        if (text.ptr[i] == '"') {
            size_t end = skip_string(text, i);

            take_string(&walk, text, i, end);
            i = end;
        } else {
            take(&walk, text.ptr[i]);
            i++;
        }
    }
    for (size_t i = 0; i < walk.depth; i++) {
        add_level(out, &walk.level[i]);
    }
}
