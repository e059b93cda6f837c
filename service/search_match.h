/*
 * search_match: whether a record is what a search asks for, and where it stands in its order.
 *
 * A field is looked for in the record as it is shown: in the stored document (nothing that is
 * default there), in `id` and in `status`. On its way a pointer goes into the elements of arrays
 * that are objects, and by number into an array; a value that is an array stands for itself and for
 * each of its elements.
 *
 * Threads:   one owner at a time.
 * Ownership: borrows query and record; buffers are the matcher's own.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"
#include "service/search_query.h"

struct search_record {
    struct span id;
    struct span document; /* JSON */
    struct span status;   /* JSON; empty: there is none, or nobody asks */
};

struct search_matcher {
    const struct search_query *query;
    struct buf id;   /* the record's, as JSON */
    struct buf text; /* unescaped */
    struct buf best; /* keys of an order */
    struct buf key;
};

void search_matcher_init(struct search_matcher *matcher, const struct search_query *query);
void search_matcher_done(struct search_matcher *matcher);

/* Whether any filter or order looks at `status`; at anything but `id`. */
bool search_needs_status(const struct search_query *query);
bool search_needs_document(const struct search_query *query);

bool search_matches(struct search_matcher *matcher, const struct search_record *record);
/* Appends what orders the record among others by memcmp: a key for each order, then the id. */
void search_add_row(struct search_matcher *matcher, const struct search_record *record,
                    struct buf *out);
