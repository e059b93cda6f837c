/*
 * json_walk: looks into JSON text that was checked before it was stored, value by value, without a
 * tree, recursion or allocation: for looking at a few members of very many documents.
 *
 * It checks no more than it needs to find its way. Text that is no JSON ends a walk early or yields
 * values that are none, but nothing is ever read beyond its end.
 *
 * Threads:   any; pure.
 * Ownership: results borrow from the text, unescaped strings from the scratch.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/json_scan.h"
#include "base/span.h"

struct json_walk {
    const char *at;
    const char *end;
    bool object;
};

/* By its first byte. The value is not empty. */
enum json_kind json_walk_kind(struct span value);
/* False: neither an object nor an array. */
bool json_walk_begin(struct json_walk *walk, struct span value);
/* The next member, or element: then *key is left alone. The key is raw: without its quotes, escapes
 * as written. False: no more. */
bool json_walk_next(struct json_walk *walk, struct span *key, struct span *value);

/* The text of a string (with its quotes), or of a raw key. *text borrows from the scratch, which is
 * overwritten, if anything is escaped, else from the value. False: not such a string. */
bool json_walk_string(struct span value, struct buf *scratch, struct span *text);
bool json_walk_key(struct span key, struct buf *scratch, struct span *text);
