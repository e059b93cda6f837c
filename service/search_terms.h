/*
 * search_terms: the JSON objects of a search's parameters: {"field","value","op"} of filterJson,
 * {"field","direction"} of sortJson.
 *
 * Threads:   any; pure.
 * Ownership: what is read lives in the arena.
 * Errors:    KS_INVALID "bad-request", naming the member by its path.
 * Source:    Hono's Device Registry Management API, RFC 6901.
 */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "base/status.h"
#include "service/member.h"
#include "service/search_query.h"

/* Of one query: what its terms have in all. Zeroed but for the arena. */
struct search_terms {
    struct arena *arena;
    size_t values; /* see SEARCH_VALUES_MAX */
    size_t pieces; /* see SEARCH_PIECES_MAX */
};

/* `up` is where the object stands. */
KS_MUST_CHECK enum ks_status search_terms_filter(struct search_terms *terms,
                                                 const struct member_path *up, json_t *given,
                                                 struct search_filter *out, struct ks_failure *why);
KS_MUST_CHECK enum ks_status search_terms_order(struct search_terms *terms,
                                                const struct member_path *up, json_t *given,
                                                struct search_order *out, struct ks_failure *why);
