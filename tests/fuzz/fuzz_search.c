/*
 * The query of a search and a document, a line each: what is read of the query is applied to the
 * document, which need not be JSON: a damaged record must do no more than not match.
 *
 * Covers: service/search_query.c service/search_match.c service/search_value.c
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"
#include "service/json_text.h"
#include "service/search_match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_TRIED = 8 << 10 };

static struct buf row_of(struct search_matcher *matcher, const struct search_record *record)
{
    struct buf row;

    buf_init(&row, 0);
    search_add_row(matcher, record, &row);
    return row;
}

/* The same each time, and by its id at the end. */
static void try_record(const struct search_query *query, struct span document)
{
    const struct search_record record = {
        .id = SPAN("dev-1"), .document = document, .status = SPAN("{\"created\":\"2026\"}")};
    struct search_record without = record;
    struct search_matcher matcher;
    struct buf row;
    struct buf again;
    bool matches;

    search_matcher_init(&matcher, query);
    matches = search_matches(&matcher, &record);
    /* what the query does not need makes no difference */
    if (!search_needs_document(query)) {
        without.document = span_of(NULL, 0);
    }
    if (!search_needs_status(query)) {
        without.status = span_of(NULL, 0);
    }
    assert(matches == search_matches(&matcher, &without));
    row = row_of(&matcher, &record);
    again = row_of(&matcher, &record);
    assert(matches == search_matches(&matcher, &record));
    assert(span_eq(buf_span(&row), buf_span(&again)));
    assert(row.len >= record.id.len &&
           memcmp(row.ptr + row.len - record.id.len, record.id.ptr, record.id.len) == 0);
    buf_done(&row);
    buf_done(&again);
    search_matcher_done(&matcher);
}

/* A document as the store has it equals itself, and only its equals have its key. */
static void try_values(struct arena *arena, struct span one, struct span two)
{
    json_t *parsed[2] = {NULL, NULL};
    struct span text[2];
    struct buf key[2];

    if (json_text_parse(one, &parsed[0], NULL) == KS_OK &&
        json_text_parse(two, &parsed[1], NULL) == KS_OK &&
        json_text_render(arena, parsed[0], &text[0], NULL) == KS_OK &&
        json_text_render(arena, parsed[1], &text[1], NULL) == KS_OK) {
        for (size_t i = 0; i < 2; i++) {
            assert(search_value_eq(text[i], text[i]));
            buf_init(&key[i], 0);
            search_value_key(text[i], &key[i]);
        }
        assert(!span_eq(buf_span(&key[0]), buf_span(&key[1])) || search_value_eq(text[0], text[1]));
        buf_done(&key[0]);
        buf_done(&key[1]);
    }
    json_decref(parsed[0]);
    json_decref(parsed[1]);
}

static void try_wildcards(struct span pattern, struct span text)
{
    if (utf8_valid(pattern) && utf8_valid(text)) {
        (void)search_glob(pattern, text);
        assert(!span_eq(pattern, text) || search_glob(pattern, text) ||
               memchr(pattern.ptr, '?', pattern.len) != NULL ||
               memchr(pattern.ptr, '*', pattern.len) != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = size == 0 ? NULL : memchr(data, '\n', size);
    size_t at = line == NULL ? size : (size_t)(line - data);
    size_t behind = line == NULL ? size : at + 1;
    struct span text = span_of(data, at);
    struct span document = span_of(data + behind, size - behind);
    struct search_query query;
    struct ks_failure why = {0};
    struct arena arena;
    enum ks_status st;

    if (size > SIZE_MAX_TRIED) {
        return 0;
    }
    arena_init(&arena);
    st = search_query_read(text, true, &arena, &query, &why);
    assert(st == KS_OK || (st == KS_INVALID && why.reason != NULL && why.text[0] != '\0'));
    if (st == KS_OK) {
        assert(query.page_size > 0 && query.page_size <= SEARCH_PAGE_MAX);
        assert(query.filters <= SEARCH_FILTERS_MAX && query.orders <= SEARCH_ORDERS_MAX);
        try_record(&query, document);
    }
    try_values(&arena, text, document);
    if (text.len > 0) {
        try_wildcards(text, document);
    }
    arena_done(&arena);
    return 0;
}
