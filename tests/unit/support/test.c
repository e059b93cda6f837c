#include "support/test.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

enum { LINES_MAX = 256, LINE_MAX_LEN = 512, EXPECTED_MAX = 8 };

static pthread_mutex_t lines_mutex = PTHREAD_MUTEX_INITIALIZER;
static char lines[LINES_MAX][LINE_MAX_LEN];
static size_t line_count;
static const char *expected[EXPECTED_MAX];
static size_t expected_count;

void test_dir_make(struct test_dir *dir)
{
    const char *base = getenv("TMPDIR");

    (void)snprintf(dir->path, sizeof(dir->path), "%s/koseki-test-XXXXXX",
                   base != NULL && *base != '\0' ? base : "/tmp");
    assert_non_null(mkdtemp(dir->path));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void test_dir_remove(struct test_dir *dir)
{
    if (dir->path[0] != '\0') {
        assert_int_equal(nftw(dir->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
        dir->path[0] = '\0';
    }
}

static void keep_line(const char *line, size_t len, void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lines_mutex);
    if (line_count < LINES_MAX) {
        (void)snprintf(lines[line_count++], LINE_MAX_LEN, "%.*s", (int)len, line);
    }
    pthread_mutex_unlock(&lines_mutex);
}

void test_log_begin(void)
{
    line_count = 0;
    expected_count = 0;
    log_capture(keep_line, NULL);
}

void test_log_expect(const char *event)
{
    assert_true(expected_count < EXPECTED_MAX);
    expected[expected_count++] = event;
}

static int line_is(const char *line, const char *event)
{
    const char *at = strstr(line, " event=");
    size_t len = strlen(event);

    return at != NULL && strncmp(at + 7, event, len) == 0 &&
           (at[7 + len] == ' ' || at[7 + len] == '\n');
}

unsigned test_log_count(const char *event)
{
    unsigned count = 0;

    pthread_mutex_lock(&lines_mutex);
    for (size_t i = 0; i < line_count; i++) {
        count += line_is(lines[i], event) ? 1U : 0U;
    }
    pthread_mutex_unlock(&lines_mutex);
    return count;
}

void test_log_done(void)
{
    log_capture(NULL, NULL);
    for (size_t i = 0; i < line_count; i++) {
        int wanted = 0;

        if (strstr(lines[i], " level=warn ") == NULL && strstr(lines[i], " level=error ") == NULL) {
            continue;
        }
        for (size_t k = 0; k < expected_count; k++) {
            wanted |= line_is(lines[i], expected[k]);
        }
        if (!wanted) {
            fail_msg("unexpected log line: %s", lines[i]);
        }
    }
}
