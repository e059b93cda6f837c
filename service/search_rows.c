#include "service/search_rows.h"

#include <stdlib.h>
#include <string.h>

void search_rows_init(struct search_rows *rows, size_t max_rows, size_t max_bytes)
{
    *rows = (struct search_rows){.max_rows = max_rows, .max_bytes = max_bytes};
}

static void clear(struct search_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        free(rows->row[i]);
    }
    rows->count = 0;
    rows->bytes = 0;
}

void search_rows_done(struct search_rows *rows)
{
    clear(rows);
    free(rows->row);
    free(rows->floor);
    free(rows->ceiling);
    *rows = (struct search_rows){.max_rows = 0};
}

static int compare(const struct search_row *a, const struct search_row *b)
{
    return span_cmp(search_row_span(a), search_row_span(b));
}

static size_t size_of(const struct search_row *row)
{
    return sizeof(*row) + sizeof(struct search_row *) + row->len;
}

/* ---- a heap whose root is the last row ---- */

static void swap(struct search_rows *rows, size_t a, size_t b)
{
    struct search_row *row = rows->row[a];

    rows->row[a] = rows->row[b];
    rows->row[b] = row;
}

static void sift_up(struct search_rows *rows, size_t at)
{
    while (at > 0 && compare(rows->row[at], rows->row[(at - 1) / 2]) > 0) {
        swap(rows, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void sift_down(struct search_rows *rows)
{
    size_t at = 0;

    for (;;) {
        size_t last = at;

        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < rows->count; child++) {
            if (compare(rows->row[child], rows->row[last]) > 0) {
                last = child;
            }
        }
        if (last == at) {
            return;
        }
        swap(rows, at, last);
        at = last;
    }
}

static void push(struct search_rows *rows, struct search_row *row)
{
    if (rows->count == rows->cap) {
        rows->cap = rows->cap == 0 ? 64 : 2 * rows->cap;
        rows->row = realloc(rows->row, rows->cap * sizeof(struct search_row *));
        if (rows->row == NULL) {
            abort();
        }
    }
    rows->row[rows->count++] = row;
    rows->bytes += size_of(row);
    sift_up(rows, rows->count - 1);
}

/* The last row makes room; it and what follows it are for another pass. */
static void pop(struct search_rows *rows)
{
    free(rows->ceiling);
    rows->ceiling = rows->row[0];
    rows->bytes -= size_of(rows->ceiling);
    rows->row[0] = rows->row[--rows->count];
    sift_down(rows);
}

/* ---- passes ---- */

static bool is_of_this_pass(const struct search_rows *rows, struct span row)
{
    return (rows->floor == NULL || span_cmp(row, search_row_span(rows->floor)) > 0) &&
           (rows->ceiling == NULL || span_cmp(row, search_row_span(rows->ceiling)) < 0);
}

void search_rows_offer(struct search_rows *rows, struct span row, size_t id_len)
{
    struct search_row *kept;

    if (!is_of_this_pass(rows, row)) {
        return;
    }
    kept = malloc(sizeof(*kept) + row.len);
    if (kept == NULL) {
        abort();
    }
    kept->len = row.len;
    kept->id_len = id_len;
    memcpy(kept->bytes, row.ptr, row.len);
    push(rows, kept);
    while (rows->count > rows->max_rows || (rows->bytes > rows->max_bytes && rows->count > 1)) {
        pop(rows);
    }
}

static int by_order(const void *a, const void *b)
{
    return compare(*(const struct search_row *const *)a, *(const struct search_row *const *)b);
}

void search_rows_end_pass(struct search_rows *rows)
{
    if (rows->count > 0) {
        qsort(rows->row, rows->count, sizeof(struct search_row *), by_order);
    }
}

bool search_rows_next_pass(struct search_rows *rows, size_t max_rows)
{
    if (rows->ceiling == NULL || rows->count == 0) {
        return false;
    }
    free(rows->floor);
    rows->floor = rows->row[--rows->count];
    free(rows->ceiling);
    rows->ceiling = NULL;
    rows->max_rows = max_rows;
    clear(rows);
    return true;
}
