#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/search_rows.h"

enum { ROWS = 500 };

/* Row n: a key of some length, then the id of four digits. In a scattered order. */
static struct span row(size_t n, size_t key_len)
{
    static char text[512];

    memset(text, 'k', key_len);
    (void)snprintf(text + key_len, 5, "%04zu", n);
    return span_of(text, key_len + 4);
}

static void offer_all(struct search_rows *rows, size_t key_len)
{
    for (size_t i = 0; i < ROWS; i++) {
        search_rows_offer(rows, row(i * 173 % ROWS, key_len), 4); /* 173 and 500 have no factor */
    }
}

/* All passes until there are no more rows: each must come once, in its order. */
static size_t passes(size_t max_rows, size_t max_bytes, size_t key_len)
{
    struct search_rows rows;
    size_t next = 0;
    size_t count = 0;

    search_rows_init(&rows, max_rows, max_bytes);
    do {
        offer_all(&rows, key_len);
        search_rows_end_pass(&rows);
        assert_true(rows.count <= max_rows);
        assert_true(rows.bytes <= max_bytes || rows.count == 1);
        for (size_t i = 0; i < rows.count; i++) {
            struct span expected = row(next++, key_len);

            assert_true(span_eq(search_row_span(rows.row[i]), expected));
            assert_true(span_eq(search_row_id(rows.row[i]), span_of(expected.ptr + key_len, 4)));
        }
        count++;
    } while (search_rows_next_pass(&rows, max_rows));
    assert_int_equal(next, ROWS);
    search_rows_done(&rows);
    return count;
}

static void all_rows_come_in_order_over_as_many_passes_as_it_takes(void **state)
{
    (void)state;
    assert_int_equal(passes(ROWS, 1 << 20, 0), 1);
    assert_int_equal(passes(ROWS - 1, 1 << 20, 0), 2);
    assert_int_equal(passes(100, 1 << 20, 8), 5);
    assert_int_equal(passes(7, 1 << 20, 0), (ROWS + 6) / 7);
    assert_int_equal(passes(1, 1 << 20, 0), ROWS);
}

static void bytes_bound_the_rows_too(void **state)
{
    (void)state;
    assert_true(passes(ROWS, 10000, 100) > 5);
    assert_int_equal(passes(ROWS, 1, 100), ROWS); /* one row is always kept */
}

static void a_pass_over_nothing_is_the_last(void **state)
{
    struct search_rows rows;

    (void)state;
    search_rows_init(&rows, 10, 1000);
    search_rows_end_pass(&rows);
    assert_int_equal(rows.count, 0);
    assert_false(search_rows_next_pass(&rows, 10));
    search_rows_offer(&rows, SPAN("a"), 1);
    search_rows_end_pass(&rows);
    assert_int_equal(rows.count, 1);
    assert_false(search_rows_next_pass(&rows, 10));
    search_rows_done(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_rows_come_in_order_over_as_many_passes_as_it_takes),
        cmocka_unit_test(bytes_bound_the_rows_too),
        cmocka_unit_test(a_pass_over_nothing_is_the_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
