/*
 * json_scan: a validating JSON reader (RFC 8259) that builds no tree and allocates nothing.
 *
 * json_scan_object checks a whole text once (an object, UTF-8 without overlong forms and
 * surrogates, depth <= JSON_SCAN_DEPTH, no duplicate keys on any level up to JSON_SCAN_KEYS members
 * an object, nothing behind it but blanks) and hands out the raw members of the outermost object.
 *
 * Threads:   any; pure.
 * Ownership: results borrow from the text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "base/status.h"

enum { JSON_SCAN_DEPTH = 32, JSON_SCAN_MEMBERS = 64 };

enum json_kind {
    JSON_KIND_OBJECT,
    JSON_KIND_ARRAY,
    JSON_KIND_STRING,
    JSON_KIND_NUMBER,
    JSON_KIND_TRUE,
    JSON_KIND_FALSE,
    JSON_KIND_NULL
};

struct json_member {
    struct span key;   /* raw text between the quotes, escapes as written */
    struct span value; /* raw text of the value; of a string, with its quotes */
    enum json_kind kind;
};

struct json_members {
    struct json_member item[JSON_SCAN_MEMBERS];
    size_t count;
};

/* KS_INVALID with a text that says what is wrong and at which byte; more than JSON_SCAN_MEMBERS
 * members in the outermost object are KS_INVALID too. */
KS_MUST_CHECK enum ks_status json_scan_object(struct span text, struct json_members *out,
                                              struct ks_failure *why);
/* The member whose (unescaped) key is `key`; NULL if absent. */
const struct json_member *json_members_find(const struct json_members *members, struct span key);
/* Unescapes a JSON string value (with its quotes) into `out`, which has room for value.len bytes
 * (the result is never longer). *result borrows `out`, or the text itself when nothing is escaped.
 * \u0000 yields a NUL byte. (Named so because jansson exports a json_string_value.) */
void json_scan_string(struct span value, char *out, struct span *result);
