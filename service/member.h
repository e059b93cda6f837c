/*
 * member: JSON objects of the management API read by tables: each document has one table that says
 * for every member its name, kind and rule, and reading an object by it yields the normal form that
 * is stored and shown: canonical values, nothing unknown, nothing that means "absent".
 *
 * The tables stand in *.def files: one row makes a member known to the reader, to the code that
 * renders it (service/member_names.h), to the OpenAPI document (service/member_schema.h) and to the
 * test that tries wrong values.
 *
 * Scalars are taken as leniently as Hono takes them: booleans from 0, 1, "true"; integers from "12"
 * and 12.7; texts from numbers and booleans; words in any letter case; a blank text for null where
 * a flag, number or timestamp is wanted; null for absence, unless a rule says otherwise.
 *
 * Threads:   pure.
 * Ownership: what is read is a new tree, the caller's to json_decref; free-form parts are shared
 *            with the given one.
 * Errors:    KS_INVALID "bad-request", naming the member by its path: `trusted-ca[1].cert: …`.
 * Source:    Hono's JSON mapping, tried on a running 2.7.0.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"

/* Where in a document we are. `up` is NULL at its top, `name` NULL for an element of a list. */
struct member_path {
    const struct member_path *up;
    const char *name;
    size_t index;
};

/* KS_INVALID, the text behind the path. */
enum ks_status member_refuse(const struct member_path *at, struct ks_failure *why,
                             const char *format, ...) KS_PRINTF(3, 4);

/* The same for a member of the object at `up`. */
enum ks_status member_refuse_member(const struct member_path *up, const char *name,
                                    struct ks_failure *why, const char *text);

enum member_kind {
    MEMBER_FLAG,    /* boolean */
    MEMBER_NUMBER,  /* integer of min to max */
    MEMBER_TEXT,    /* min to max bytes (0: any), of the form `accepts` */
    MEMBER_WORD,    /* one of `words` */
    MEMBER_TIME,    /* timestamp, kept in UTC without fraction */
    MEMBER_BINARY,  /* Base64 of at least min bytes, kept with padding */
    MEMBER_FREE,    /* an object of any content */
    MEMBER_OBJECT,  /* an object by `table` */
    MEMBER_LIST,    /* an array of min to max `element`s */
    MEMBER_STRINGS, /* the same, or one scalar instead of the array */
    MEMBER_MAP,     /* an object of any names, values by `element` */
    MEMBER_IGNORED, /* read-only: any value, dropped; shown by `table` */
    MEMBER_UNSUPPORTED,
    MEMBER_KINDS
};

enum member_flags {
    MEMBER_REQUIRED = 1,
    MEMBER_NOT_NULL = 2,       /* null is refused */
    MEMBER_NULL_IS_ZERO = 4,   /* null is 0 or false */
    MEMBER_FILLED = 8,         /* absent: `fallback` is stored */
    MEMBER_HIDES_DEFAULT = 16, /* `fallback` is not stored */
    MEMBER_TOLD = 32,          /* adapters get it */
    MEMBER_TOLD_ALWAYS = 64,   /* adapters get it, `fallback` if it is not stored */
    MEMBER_NEVER_SHOWN = 128,  /* a secret, or taken apart: not in what the management API shows */
};

struct member_table;

struct member_rule {
    const char *name;
    const char *example;   /* JSON */
    const char *text;      /* for readers of the OpenAPI document */
    const char *stored_as; /* NULL: by its name */
    enum member_kind kind;
    unsigned flags; /* enum member_flags */
    int64_t min;
    int64_t max;
    const char *fallback;     /* JSON: what absence means; NULL: absence */
    const char *const *words; /* in lower case, NULL at the end */
    bool (*accepts)(struct span text);
    const char *wants;   /* what `accepts` does, for the refusal */
    const char *pattern; /* the same as a regular expression; NULL: no such */
    const struct member_rule *element;
    const struct member_table *table;
};

/* What concerns several members; may change *object. `given` is the object as it came. */
typedef enum ks_status member_finish(const struct member_path *at, json_t *given, json_t *object,
                                     struct ks_failure *why);

/* What is said of the objects of a table as a whole. */
struct member_about {
    const char *name; /* in the OpenAPI document */
    const char *text;
    const char *also; /* JSON Schema of what concerns several members; NULL: nothing */
    /* Its members come first; a row here takes the place of one of that name. Has no base itself.
     */
    const struct member_table *base;
    bool open;             /* keeps members it does not know, as they are */
    member_finish *finish; /* NULL: nothing; that of `base` is not called */
};

struct member_table {
    const struct member_about *about;
    const struct member_rule *rules;
    size_t count;
};

#define MEMBER_COUNT(rules) (sizeof(rules) / sizeof((rules)[0]))

/* The rule for a member of that name, of the table or its base; NULL: there is none. */
const struct member_rule *member_find(const struct member_table *table, const char *name);
/* The rules of a table one by one, those of its base first. *at begins as 0; NULL: no more. */
const struct member_rule *member_next(const struct member_table *table, size_t *at);

/* `at` is NULL for a document's top. */
KS_MUST_CHECK enum ks_status member_read_object(const struct member_path *at,
                                                const struct member_table *table, json_t *given,
                                                json_t **out, struct ks_failure *why);
/* A request's body by the table of its top; an empty body is an empty object. */
KS_MUST_CHECK enum ks_status member_read_body(const struct member_table *table, struct span body,
                                              json_t **out, struct ks_failure *why);
/* One value by its rule. *out is NULL when it counts as absent. */
KS_MUST_CHECK enum ks_status member_read_value(const struct member_path *at,
                                               const struct member_rule *rule, json_t *given,
                                               json_t **out, struct ks_failure *why);

/* No two elements of the list `name` may have the same value of `member`; none has it: fine. */
KS_MUST_CHECK enum ks_status member_check_distinct(const struct member_path *up,
                                                   const json_t *object, const char *name,
                                                   const char *member, struct ks_failure *why);

/* The moment of a timestamp as it was given, blanks around it allowed. */
bool member_parse_time(const json_t *text, int64_t *ms);
/* The text that is stored for a moment; NULL if timestamps cannot express it. */
json_t *member_time_new(int64_t ms);
/* The bytes of a stored MEMBER_BINARY, in the arena. */
struct span member_binary_bytes(struct arena *arena, const json_t *text);
