/*
 * search_query: what a search asks for, read from the query of its URL.
 *
 *   pageSize=1…200, pageOffset=0… (in pages), filterJson={"field":…,"value":…,"op":…} (all must
 *   match), sortJson={"field":…,"direction":…} (the first counts most), isGateway (of devices)
 *
 * Names of parameters in any letter case, `;` parts them like `&`, `+` is a blank, a `#` ends all.
 * Of pageSize, pageOffset and isGateway the first counts, of several filters on one field the last.
 * What is not named here is ignored.
 *
 * Threads:   any; pure.
 * Ownership: what is read lives in the arena.
 * Errors:    KS_INVALID "bad-request" or "bad-json" that names the parameter.
 * Source:    Hono's Device Registry Management API (MongoDB flavour), RFC 3986, RFC 6901.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/json_scan.h"
#include "base/span.h"
#include "base/status.h"
#include "service/search_value.h"

enum {
    SEARCH_PAGE_DEFAULT = 30,
    SEARCH_PAGE_MAX = 200,
    SEARCH_FILTERS_MAX = 32,
    SEARCH_ORDERS_MAX = 8,
    SEARCH_VALUES_MAX = 256, /* of `in` and `not_in`, in all */
    SEARCH_POINTER_MAX = 64, /* tokens: documents are nested no deeper */
    SEARCH_PIECES_MAX = 256, /* bytes of what stands between two `*` and has a `?`, in all: each
                                costs as often as the text is long */
};

/* A JSON pointer: which member. */
struct search_pointer {
    struct span text;   /* as it was given */
    struct span *token; /* unescaped */
    size_t count;       /* 0: the whole document */
};

/* One value of a filter. */
struct search_operand {
    enum json_kind kind;
    struct span text; /* of a string: unescaped; else its JSON text */
    bool wild;        /* a string with wildcards */
    struct search_number number;
};

enum search_op { SEARCH_EQ, SEARCH_IN, SEARCH_NOT_IN };

struct search_filter {
    struct search_pointer field;
    enum search_op op;
    struct search_operand *operand; /* one of them must match; with SEARCH_NOT_IN: none */
    size_t count;
};

struct search_order {
    struct search_pointer field;
    bool descending;
};

enum search_gateways { SEARCH_ALL, SEARCH_GATEWAYS, SEARCH_OTHERS };

struct search_query {
    uint32_t page_size;
    uint64_t skip; /* rows before the page */
    struct search_filter filter[SEARCH_FILTERS_MAX];
    size_t filters;
    struct search_order order[SEARCH_ORDERS_MAX];
    size_t orders;
    enum search_gateways gateways;
};

/* `raw` is what follows the `?`, as it came. */
KS_MUST_CHECK enum ks_status search_query_read(struct span raw, bool of_devices,
                                               struct arena *arena, struct search_query *out,
                                               struct ks_failure *why);

/* Whether the field is the one member `name` of the document's top. */
bool search_pointer_is(const struct search_pointer *pointer, struct span name);
