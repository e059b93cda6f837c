/*
 * search_value: JSON values as text, compared: equal, ordered, matched by wildcards.
 *
 * Texts are values of stored documents, or were rendered as those are: checked once, never again.
 * Text that is no JSON compares in some way, and is never read beyond its end.
 *
 * Threads:   any; pure.
 * Ownership: nothing is kept; scratch buffers are overwritten.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

/* Any number of a document, comparable without loss: the nearest double and what an integer has
 * beyond it. Equal numbers have equal parts: 1, 1.0 and 1e0. */
struct search_number {
    double nearest;
    int64_t beyond;
};

/* False: no number. */
bool search_number_read(struct span text, struct search_number *out);
static inline bool search_number_eq(const struct search_number *a, const struct search_number *b)
{
    return a->nearest == b->nearest && a->beyond == b->beyond;
}

/* Deep equality: numbers by value, members in any order. */
bool search_value_eq(struct span a, struct span b);

/*
 * Appends bytes that order by memcmp as the values do: null < numbers < strings < objects < arrays
 * < false < true; strings by their bytes, arrays element by element, objects member by member
 * (kind, name, value) as they stand. No key is the beginning of another. An empty value stands for
 * a missing one, which is as null.
 */
void search_value_key(struct span value, struct buf *out);

/* The whole text: `*` stands for any characters or none, `?` for one character, neither for a line
 * feed. Both are UTF-8; case counts. */
bool search_glob(struct span pattern, struct span text);
