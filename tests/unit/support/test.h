/*
 * test: what every unit test includes: cmocka with its prerequisites, a temporary folder, a
 * captured log. A warning or error line that no test expected fails the test that caused it.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/span.h"
#include "base/status.h"

/* A fresh folder below $TMPDIR or /tmp; removed with all its content by test_dir_remove. */
struct test_dir {
    char path[256];
};
void test_dir_make(struct test_dir *dir);
void test_dir_remove(struct test_dir *dir);

/* Captures log lines from here on; test_log_done fails if an unexpected warn or error line came. */
void test_log_begin(void);
void test_log_done(void);
/* The next lines with this event are expected. */
void test_log_expect(const char *event);
/* How often `event` was logged since test_log_begin. */
unsigned test_log_count(const char *event);

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        struct ks_failure test_why = {0};                                                          \
        struct ks_failure *why = &test_why;                                                        \
        enum ks_status test_status = (call);                                                       \
        (void)why;                                                                                 \
        if (test_status != KS_OK) {                                                                \
            fail_msg("%s: %s: %s", #call, ks_status_name(test_status), test_why.text);             \
        }                                                                                          \
    } while (0)
#define assert_status(expected, call)                                                              \
    do {                                                                                           \
        struct ks_failure test_why = {0};                                                          \
        struct ks_failure *why = &test_why;                                                        \
        enum ks_status test_status = (call);                                                       \
        (void)why;                                                                                 \
        if (test_status != (expected)) {                                                           \
            fail_msg("%s: %s: %s", #call, ks_status_name(test_status), test_why.text);             \
        }                                                                                          \
    } while (0)
#define assert_span(s, text)                                                                       \
    do {                                                                                           \
        struct span test_span = (s);                                                               \
        assert_int_equal(test_span.len, strlen(text));                                             \
        assert_memory_equal(test_span.ptr, text, test_span.len);                                   \
    } while (0)
