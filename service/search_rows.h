/*
 * search_rows: the first rows of an order, out of any number that are offered, in bounded memory.
 *
 * A pass over all rows keeps as many of the first as there is room for. When that was not enough,
 * another pass keeps those that follow, and so on:
 *
 *     do {
 *         offer every row; rows_end_pass; take rows->row[0 …]
 *     } while (wanting more && search_rows_next_pass(rows));
 *
 * Rows are bytes and order by memcmp; no two are equal. Each ends with its id.
 *
 * Threads:   one owner at a time.
 * Ownership: offered bytes are copied.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

struct search_row {
    size_t len;
    size_t id_len; /* the last bytes of it */
    char bytes[];
};

struct search_rows {
    size_t max_rows;
    size_t max_bytes; /* one row is kept, however large */
    struct search_row **row;
    size_t count;
    size_t cap;
    size_t bytes;
    struct search_row *floor;   /* the last of the pass before: this pass is about what follows */
    struct search_row *ceiling; /* found no room: what follows it is for another pass */
};

void search_rows_init(struct search_rows *rows, size_t max_rows, size_t max_bytes);
void search_rows_done(struct search_rows *rows);
void search_rows_offer(struct search_rows *rows, struct span row, size_t id_len);
/* Brings the kept rows into their order. */
void search_rows_end_pass(struct search_rows *rows);
/* Behind search_rows_end_pass, for at most max_rows more; false: there are no further rows. */
bool search_rows_next_pass(struct search_rows *rows, size_t max_rows);

static inline struct span search_row_span(const struct search_row *row)
{
    return span_of(row->bytes, row->len);
}

static inline struct span search_row_id(const struct search_row *row)
{
    return span_of(row->bytes + row->len - row->id_len, row->id_len);
}
