/*
 * json_text: JSON documents between their text and jansson's trees.
 *
 * Bounded before anything is built: nesting by a scan of the text, the size of what is rendered by
 * JSON_TEXT_MAX. Duplicate names, comments, \u0000 and integers beyond 64 bits are refused.
 *
 * Threads:   any; a tree has one owner at a time. json_text_setup before threads start.
 * Ownership: a parsed tree is the caller's to json_decref; rendered text lives in the arena.
 * Errors:    KS_INVALID "bad-json" with line and column, never with a piece of the text, which may
 *            be a password; KS_TOO_LARGE. Source: RFC 8259.
 */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

enum {
    JSON_TEXT_DEPTH = 64,
    JSON_TEXT_MAX = 1 << 20, /* bytes of a rendered document or answer */
};

/* Seeds jansson's hashes and makes it wipe what it frees: request documents hold passwords. */
void json_text_setup(void);

KS_MUST_CHECK enum ks_status json_text_parse(struct span text, json_t **out,
                                             struct ks_failure *why);
/* Appends compact text, members in their order. A real number becomes the shortest text that reads
 * back equal, and stays a real number. */
void json_text_add(struct buf *out, json_t *value);
/* The same as a text in the arena. */
KS_MUST_CHECK enum ks_status json_text_render(struct arena *arena, json_t *value, struct span *out,
                                              struct ks_failure *why);
/* Moves what was put together in `text` into the arena; KS_TOO_LARGE if it did not fit. */
KS_MUST_CHECK enum ks_status json_text_keep(struct arena *arena, const struct buf *text,
                                            struct span *out, struct ks_failure *why);

/* What jansson made; it makes nothing only when memory is gone, which aborts. */
json_t *json_text_must(json_t *made);
/* The text of a JSON string; empty (ptr not NULL) if it is none. Borrows. */
struct span json_text_of(const json_t *string);
/* A new JSON string. The text is valid UTF-8: it came from JSON or was made by us. */
json_t *json_text_new(struct span text);
/* The same for a text from elsewhere: NULL if it is no UTF-8. */
json_t *json_text_try(struct span text);
