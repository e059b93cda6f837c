#include "support/test.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/settings.h"

static char problems[8192];

static void on_problem(void *arg, const char *place, const char *text)
{
    size_t n = strlen(problems);

    (void)arg;
    (void)snprintf(problems + n, sizeof(problems) - n, "%s: %s\n", place, text);
}

static const struct settings_report report = {.problem = on_problem};

static struct test_dir dir;

static int set_up(void **state)
{
    (void)state;
    problems[0] = '\0';
    test_dir_make(&dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_dir_remove(&dir);
    return 0;
}

static enum ks_status read_file(struct settings *out, const char *yaml, const char *const *sets,
                                size_t count)
{
    char path[300];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/k.yaml", dir.path);
    file = fopen(path, "w");
    fputs(yaml, file);
    fclose(file);
    return settings_read(out, path, sets, count, &report);
}

static void the_later_source_wins(void **state)
{
    static const char *const sets[] = {"amqp.link-credit=7", "data-dir=/x"};
    struct settings s;
    char expected[300];

    (void)state;
    (void)setenv("KOSEKI_AMQP_LINK_CREDIT", "6", 1);
    (void)setenv("KOSEKI_AMQP_MAX_LINKS", "66", 1);
    assert_int_equal(read_file(&s,
                               "amqp:\n  link-credit: 5\n  max-links: 55\n  listen: '[::1]:0'\n"
                               "accounts: p.json\nstore: {map-size: 2GiB}\nlog.level: debug\n",
                               sets, 2),
                     KS_OK);
    (void)unsetenv("KOSEKI_AMQP_LINK_CREDIT");
    (void)unsetenv("KOSEKI_AMQP_MAX_LINKS");
    assert_int_equal(s.amqp_link_credit, 7);
    assert_int_equal(s.amqp_max_links, 66);
    assert_string_equal(s.amqp_listen, "[::1]:0");
    assert_null(s.http_listen);
    assert_int_equal(s.store_map_size, INT64_C(2) << 30);
    assert_int_equal(s.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(s.http_max_payload, 65536); /* a default */
    assert_string_equal(s.data_dir, "/x");
    (void)snprintf(expected, sizeof(expected), "%s/p.json", dir.path);
    assert_string_equal(s.accounts, expected); /* relative to the file's folder */
    settings_done(&s);
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
    static const struct {
        const char *yaml;
        const char *says;
    } cases[] = {
        {"amqp:\n  lisen: x:1\n", "k.yaml:2: there is no setting 'amqp.lisen'"},
        {"amqp:\n  listen: :5672\n", "k.yaml:2: amqp.listen: ':5672' names no host"},
        {"threads: many\n", "k.yaml:1: threads is 'many', not a whole number"},
        {"threads: -1\n", "threads is '-1'"},
        {"threads: 9999\n", "it must be between 0 and 256"},
        {"store:\n  map-size: 5XB\n", "not a size"},
        {"provisioning: {event-wait: 5}\n", "not a time"},
        {"provisioning: {verify: maybe}\n", "it is one of: enforce, report, off"},
        {"http: {authentication: yes}\n", "it is true or false"},
        {"http: {cors-allowed-origin: 'https://(a'}\n", "is * or a POSIX extended regular"},
        {"data-dir: a\ndata-dir: b\n", "k.yaml:2: the same key is there twice"},
        {"a: &x 1\n", "anchors"},
        {"amqp: *x\n", "k.yaml:1"},
        {"amqp: [\n", "not YAML"},
        {"- a\n", "expected settings"},
        {"threads: 1\n---\nthreads: 2\n", "second document"},
        {"data-dir:\n", "has no value"},
        {"data-dir: \"a\\0b\"\n", "k.yaml:1: a value holds a NUL"},
        {"messaging:\n  max-events: 0\n", "must be between"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings s;

        problems[0] = '\0';
        if (read_file(&s, cases[i].yaml, NULL, 0) == KS_OK ||
            strstr(problems, cases[i].says) == NULL) {
            fail_msg("%s said: %s", cases[i].yaml, problems);
        }
        settings_done(&s);
    }
}

static void no_file_is_too_large_for_a_clear_answer(void **state)
{
    enum { LINES = 300000 };
    char *yaml = malloc(LINES * 5 + 1);
    struct settings s;

    (void)state;
    for (size_t i = 0; i < LINES; i++) {
        memcpy(yaml + i * 5, "a: 1\n", 6);
    }
    assert_int_equal(read_file(&s, yaml, NULL, 0), KS_INVALID);
    assert_non_null(strstr(problems, "k.yaml: larger than 1 MiB"));
    settings_done(&s);
    yaml[500000] = '\0';
    problems[0] = '\0';
    assert_int_equal(read_file(&s, yaml, NULL, 0), KS_INVALID);
    assert_non_null(strstr(problems, "k.yaml:50: "));
    assert_null(strstr(problems, "k.yaml:51: "));
    assert_non_null(strstr(problems, "k.yaml: and perhaps more"));
    settings_done(&s);
    assert_int_equal(settings_read(&s, dir.path, NULL, 0, &report), KS_INVALID);
    assert_non_null(strstr(problems, "Is a directory"));
    settings_done(&s);
    free(yaml);
}

/* In the file to its folder, elsewhere to the working folder; a path that fits nowhere is refused.
 */
static void relative_paths_have_a_base(void **state)
{
    static const char *const sets[] = {"tls.key=set.key"};
    static char *set;
    char was[PATH_MAX];
    char expected[3][PATH_MAX + 16];
    struct settings s;

    (void)state;
    assert_non_null(getcwd(was, sizeof(was)));
    (void)snprintf(expected[0], sizeof(expected[0]), "%s/file.json", dir.path);
    (void)snprintf(expected[1], sizeof(expected[1]), "%s/variable.pem", was);
    (void)snprintf(expected[2], sizeof(expected[2]), "%s/set.key", was);
    (void)setenv("KOSEKI_TLS_CERT", "variable.pem", 1);
    assert_int_equal(read_file(&s, "accounts: file.json\ndata-dir: /absolute\n", sets, 1), KS_OK);
    (void)unsetenv("KOSEKI_TLS_CERT");
    assert_string_equal(s.accounts, expected[0]);
    assert_string_equal(s.tls_cert, expected[1]);
    assert_string_equal(s.tls_key, expected[2]);
    assert_string_equal(s.data_dir, "/absolute");
    settings_done(&s);

    set = malloc(PATH_MAX + 16);
    memcpy(set, "tls.key=", 8);
    memset(set + 8, 'x', PATH_MAX);
    set[8 + PATH_MAX] = '\0';
    assert_int_equal(settings_read(&s, NULL, (const char *const *)&set, 1, &report), KS_INVALID);
    assert_non_null(strstr(problems, "--set tls.key: tls.key: the path is too long"));
    settings_done(&s);
    free(set);
}

static void set_and_environment_are_checked_too(void **state)
{
    static const char *const sets[] = {"nothing=1", "threads", "log.level=loud"};
    struct settings s;

    (void)state;
    (void)setenv("KOSEKI_THREADS", "x", 1);
    assert_int_equal(settings_read(&s, NULL, sets, 3, &report), KS_INVALID);
    (void)unsetenv("KOSEKI_THREADS");
    assert_non_null(strstr(problems, "KOSEKI_THREADS: "));
    assert_non_null(strstr(problems, "--set nothing: there is no setting"));
    assert_non_null(strstr(problems, "--set threads: is not KEY=VALUE"));
    assert_non_null(strstr(problems, "--set log.level: "));
    settings_done(&s);
    assert_int_equal(settings_read(&s, "/nowhere/k.yaml", NULL, 0, &report), KS_INVALID);
    settings_done(&s);
}

static void a_service_needs_a_port_accounts_and_tls_files(void **state)
{
    static const char *const bare[] = {"threads=1"};
    static const char *const no_accounts[] = {"amqp.listen=127.0.0.1:0"};
    static const char *const open_http[] = {"http.listen=127.0.0.1:0", "http.authentication=false"};
    static const char *const no_tls[] = {"amqp.tls-listen=127.0.0.1:0", "accounts=p"};
    static const struct {
        const char *const *sets;
        size_t count;
        enum ks_status status;
        const char *says;
    } cases[] = {
        {bare, 1, KS_INVALID, "amqp.listen"},
        {no_accounts, 1, KS_INVALID, "accounts is not set"},
        {open_http, 2, KS_OK, ""},
        {no_tls, 2, KS_INVALID, "tls.cert"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings s;

        problems[0] = '\0';
        assert_int_equal(settings_read(&s, NULL, cases[i].sets, cases[i].count, &report), KS_OK);
        assert_int_equal(settings_check_service(&s, &report), cases[i].status);
        assert_non_null(strstr(problems, cases[i].says));
        settings_done(&s);
    }
}

int main(void)
{
#define SETTINGS(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        SETTINGS(the_later_source_wins),
        SETTINGS(what_is_wrong_is_told_with_its_place),
        SETTINGS(no_file_is_too_large_for_a_clear_answer),
        SETTINGS(relative_paths_have_a_base),
        SETTINGS(set_and_environment_are_checked_too),
        SETTINGS(a_service_needs_a_port_accounts_and_tls_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
