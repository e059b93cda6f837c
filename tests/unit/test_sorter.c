/* Sorting with memory for a few entries, for many, and what fails. */
#include "support/test.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "store/kv.h"
#include "store/sorter.h"

enum { MANY = 5000 };

static struct test_dir dir;

static int set_up(void **state)
{
    (void)state;
    test_dir_make(&dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_dir_remove(&dir);
    return 0;
}

static void add(struct sorter *sorter, struct span key, uint64_t place, struct span value)
{
    char *room = NULL;

    assert_ok(sorter_add(sorter, key, place, value.len, &room, why));
    if (value.len > 0) {
        memcpy(room, value.ptr, value.len);
    }
}

/* Numbers that look shuffled, the same at every run. */
static uint32_t shuffled(uint32_t i)
{
    return (i * 2654435761U) >> 7;
}

/* Key, value and place of an entry follow from its number. Some values are larger than the buffers
 * that runs are read through, some are empty. */
static struct span value_of(uint32_t number, char *room, size_t size)
{
    size_t len = number % 97 == 0 ? 9000 + number % 500 : number % 40;

    assert_true(len <= size);
    memset(room, (int)(number % 251), len);
    return span_of(room, len);
}

static size_t key_text(uint32_t number, char key[16])
{
    return (size_t)snprintf(key, 16, "%u", number);
}

static void sorts_with(size_t memory)
{
    struct sorter *sorter = sorter_open(dir.path, memory);
    static char room[16384];
    char key[16];
    char last[16] = "";
    size_t last_len = 0;
    struct sorter_entry found;
    size_t count = 0;

    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t number = shuffled(i);

        add(sorter, span_of(key, key_text(number, key)), i, value_of(number, room, sizeof(room)));
    }
    assert_int_equal(sorter_count(sorter), MANY);
    assert_ok(sorter_sort(sorter, why));
    for (;; count++) {
        struct ks_failure failure = {0};
        enum ks_status st = sorter_next(sorter, &found, &failure);
        uint32_t number;
        struct span value;

        if (st == KS_NOT_FOUND) {
            break;
        }
        assert_int_equal(st, KS_OK);
        assert_true(span_cmp(span_of(last, last_len), found.key) < 0);
        memcpy(last, found.key.ptr, found.key.len);
        last_len = found.key.len;
        last[last_len] = '\0';
        number = (uint32_t)strtoul(last, NULL, 10);
        assert_int_equal(number, shuffled((uint32_t)found.place));
        value = value_of(number, room, sizeof(room));
        assert_true(span_eq(value, found.value));
    }
    assert_int_equal(count, MANY);
    sorter_close(sorter);
}

static void entries_come_in_order_whatever_the_memory(void **state)
{
    (void)state;
    sorts_with(1);        /* each a run of its own */
    sorts_with(20000);    /* hundreds of runs */
    sorts_with(64 << 20); /* one */
}

static void equal_keys_come_by_their_place(void **state)
{
    struct sorter *sorter = sorter_open(dir.path, 200);
    struct sorter_entry found = {.place = 0};

    (void)state;
    for (uint64_t i = 0; i < 50; i++) {
        add(sorter, SPAN("same"), 49 - i, SPAN("v"));
    }
    add(sorter, SPAN("sam"), 99, SPAN(""));
    add(sorter, SPAN("same\0"), 0, SPAN(""));
    assert_ok(sorter_sort(sorter, why));
    assert_ok(sorter_next(sorter, &found, why));
    assert_int_equal(found.place, 99);
    for (uint64_t i = 0; i < 50; i++) {
        assert_ok(sorter_next(sorter, &found, why));
        assert_span(found.key, "same");
        assert_span(found.value, "v");
        assert_int_equal(found.place, i);
    }
    assert_ok(sorter_next(sorter, &found, why));
    assert_int_equal(found.key.len, 5);
    assert_status(KS_NOT_FOUND, sorter_next(sorter, &found, why));
    assert_status(KS_NOT_FOUND, sorter_next(sorter, &found, why));
    sorter_close(sorter);
}

static void nothing_is_sorted_too(void **state)
{
    struct sorter *sorter = sorter_open(dir.path, 200);
    struct sorter_entry found;

    (void)state;
    assert_ok(sorter_sort(sorter, why));
    assert_status(KS_NOT_FOUND, sorter_next(sorter, &found, why));
    sorter_close(sorter);
    sorter_close(NULL);
}

static void the_largest_entries_fit(void **state)
{
    struct sorter *sorter = sorter_open(dir.path, 1 << 20);
    char *value = malloc(KV_VALUE_MAX);
    char key[KV_KEY_MAX + 1];
    struct sorter_entry found;

    (void)state;
    assert_non_null(value);
    memset(key, 'k', sizeof(key));
    for (int i = 0; i < 3; i++) {
        memset(value, 'a' + i, KV_VALUE_MAX);
        key[0] = (char)('c' - i);
        add(sorter, span_of(key, sizeof(key)), 0, span_of(value, KV_VALUE_MAX));
    }
    assert_ok(sorter_sort(sorter, why));
    for (int i = 2; i >= 0; i--) {
        memset(value, 'a' + i, KV_VALUE_MAX);
        assert_ok(sorter_next(sorter, &found, why));
        assert_true(span_eq(found.value, span_of(value, KV_VALUE_MAX)));
    }
    free(value);
    sorter_close(sorter);
}

static size_t files_in(const char *path)
{
    DIR *folder = opendir(path);
    size_t count = 0;

    assert_non_null(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        count += entry->d_name[0] != '.';
    }
    closedir(folder);
    return count;
}

static void its_file_has_no_name(void **state)
{
    struct sorter *sorter = sorter_open(dir.path, 1);

    (void)state;
    add(sorter, SPAN("a"), 0, SPAN("1"));
    add(sorter, SPAN("b"), 0, SPAN("2"));
    assert_int_equal(files_in(dir.path), 0);
    sorter_close(sorter);
}

static void a_file_that_cannot_be_made_or_written_is_told_of(void **state)
{
    struct rlimit before;
    struct ks_failure failure = {0};
    char nowhere[300];
    struct sorter *sorter;

    (void)state;
    (void)snprintf(nowhere, sizeof(nowhere), "%s/nowhere", dir.path);
    sorter = sorter_open(nowhere, 1);
    add(sorter, SPAN("a"), 0, SPAN("1"));
    assert_int_equal(sorter_sort(sorter, &failure), KS_IO);
    assert_non_null(strstr(failure.text, nowhere));
    sorter_close(sorter);

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = 10, .rlim_max = before.rlim_max}), 0);
    sorter = sorter_open(dir.path, 1);
    add(sorter, SPAN("a"), 0, SPAN("1"));
    assert_int_equal(sorter_sort(sorter, &failure), KS_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_non_null(strstr(failure.text, "cannot write"));
    sorter_close(sorter);
}

int main(void)
{
#define SORTER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        SORTER_TEST(entries_come_in_order_whatever_the_memory),
        SORTER_TEST(equal_keys_come_by_their_place),
        SORTER_TEST(nothing_is_sorted_too),
        SORTER_TEST(the_largest_entries_fit),
        SORTER_TEST(its_file_has_no_name),
        SORTER_TEST(a_file_that_cannot_be_made_or_written_is_told_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
