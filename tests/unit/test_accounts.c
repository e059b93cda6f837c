#include "support/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/pool.h"
#include "service/accounts.h"
#include "service/authority.h"
#include "service/permissions.h"

/* "secret" and "other" */
#define HASH_2A    "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
#define HASH_2B    "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
#define HASH_2Y    "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
#define HASH_OTHER "$2b$04$bbcdefghijklmnopqrstuuupv.jj9tTJr.O4LVP1oPWgAPVtUQHqa"

enum { POOL_DEPTH = 4 };

static struct test_dir dir;
static struct pool *pool;
static struct accounts *accounts;
static char path[300];

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    (void)state;
    test_log_begin();
    test_dir_make(&dir);
    (void)snprintf(path, sizeof(path), "%s/permissions.json", dir.path);
    pool = pool_open(1, POOL_DEPTH);
    accounts = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (pool != NULL) {
        pool_close(pool);
    }
    accounts_close(accounts);
    test_dir_remove(&dir);
    test_log_done();
    return 0;
}

/* ---- waiting for a login ---- */

struct outcome {
    pthread_mutex_t mutex;
    pthread_cond_t came;
    unsigned count;
    unsigned ok;
    enum ks_status status;
    char name[64]; /* of the identity last handed out */
};

static void outcome_init(struct outcome *outcome)
{
    *outcome = (struct outcome){.count = 0};
    pthread_mutex_init(&outcome->mutex, NULL);
    pthread_cond_init(&outcome->came, NULL);
}

static void outcome_take(void *arg, enum ks_status status, struct identity *identity)
{
    struct outcome *outcome = arg;

    pthread_mutex_lock(&outcome->mutex);
    outcome->count++;
    outcome->status = status;
    if (status == KS_OK) {
        outcome->ok++;
        (void)snprintf(outcome->name, sizeof(outcome->name), "%s", identity_name(identity));
    }
    pthread_cond_signal(&outcome->came);
    pthread_mutex_unlock(&outcome->mutex);
    identity_unref(identity);
}

static void outcome_wait(struct outcome *outcome, unsigned count)
{
    pthread_mutex_lock(&outcome->mutex);
    while (outcome->count < count) {
        pthread_cond_wait(&outcome->came, &outcome->mutex);
    }
    pthread_mutex_unlock(&outcome->mutex);
}

static struct accounts_login login_of(const char *user, const char *password,
                                      const char *authorize_as)
{
    return (struct accounts_login){.user = span_cstr(user),
                                   .password = span_cstr(password),
                                   .authorize_as = span_cstr(authorize_as),
                                   .urgent = true};
}

/* Logs in, waiting if need be; the identity's name, "" if refused. */
static const char *log_in(const char *user, const char *password, const char *authorize_as,
                          bool *hashed)
{
    static struct outcome outcome;
    struct accounts_login login = login_of(user, password, authorize_as);
    struct identity *identity = NULL;
    enum ks_status status;
    enum accounts_progress progress;

    outcome_init(&outcome);
    progress = accounts_login(accounts, &login, outcome_take, &outcome, &status, &identity);
    if (progress == ACCOUNTS_ANSWERED) {
        outcome_take(&outcome, status, identity);
    }
    outcome_wait(&outcome, 1);
    if (hashed != NULL) {
        *hashed = progress == ACCOUNTS_PENDING;
    }
    assert_true(outcome.status == KS_OK || outcome.status == KS_UNAUTHORIZED);
    return outcome.name;
}

/* Keeps the pool's one worker busy until it is let go. */
struct blocker {
    struct pool_job job;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool running;
    bool let_go;
};

static void blocker_run(struct pool_job *job, bool discard)
{
    struct blocker *blocker = (struct blocker *)job;

    (void)discard;
    pthread_mutex_lock(&blocker->mutex);
    blocker->running = true;
    pthread_cond_signal(&blocker->changed);
    while (!blocker->let_go) {
        pthread_cond_wait(&blocker->changed, &blocker->mutex);
    }
    pthread_mutex_unlock(&blocker->mutex);
}

static void block_pool(struct blocker *blocker)
{
    *blocker = (struct blocker){.job = {.run = blocker_run}};
    pthread_mutex_init(&blocker->mutex, NULL);
    pthread_cond_init(&blocker->changed, NULL);
    assert_ok(pool_submit(pool, POOL_URGENT, &blocker->job, why));
    pthread_mutex_lock(&blocker->mutex);
    while (!blocker->running) {
        pthread_cond_wait(&blocker->changed, &blocker->mutex);
    }
    pthread_mutex_unlock(&blocker->mutex);
}

static void let_pool_go(struct blocker *blocker)
{
    pthread_mutex_lock(&blocker->mutex);
    blocker->let_go = true;
    pthread_cond_signal(&blocker->changed);
    pthread_mutex_unlock(&blocker->mutex);
}

/* ---- the file ---- */

static void files_that_hono_would_fail_at_are_refused_by_name(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "line 1"},
        {"[]", "\"roles\" and \"users\""},
        {"{\"roles\":[]}", "\"roles\" and \"users\""},
        {"{\"users\":5}", "\"roles\" and \"users\""},
        {"{\n\"roles\":{},\n\"roles\":{}}", "line 3"},
        {"{\n\n\"users\":{]}", "line 3"},
        {"{} x", "line 1"},
        {"{\"roles\":{\"r\":[{}]}}", "role \"r\""},
        {"{\"roles\":{\"r\":[{\"resource\":5}]}}", "role \"r\""},
        {"{\"roles\":{\"r\":[{\"operation\":5}]}}", "role \"r\""},
        {"{\"roles\":{\"r\":[{\"resource\":\"a\",\"activities\":\"READ\"}]}}", "\"activities\""},
        {"{\"roles\":{\"r\":[{\"resource\":\"a\",\"activities\":[\"read\"]}]}}", "\"read\""},
        {"{\"users\":{\"u\":{\"mechanism\":\"PLAIN\"}}}", "user \"u\": needs \"authorities\""},
        {"{\"users\":{\"u\":{\"authorities\":\"r\"}}}", "user \"u\""},
        {"{\"users\":{\"u\":{\"authorities\":[1]}}}", "user \"u\""},
        {"{\"users\":{\"u\":{\"mechanism\":1,\"authorities\":[]}}}", "\"mechanism\""},
        {"{\"users\":{\"u\":{\"password\":1,\"authorities\":[]}}}", "password"},
        {"{\"users\":{\"u\":{\"password-hash\":\"x\",\"authorities\":[]}}}", "bcrypt"},
        {"{\"users\":{\"u\":{\"password-hash\":"
         "\"$2x$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\","
         "\"authorities\":[]}}}",
         "bcrypt"},
        {"{\"users\":{\"u\":{\"password-hash\":"
         "\"$2a$03$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\","
         "\"authorities\":[]}}}",
         "bcrypt"},
        {"{\"users\":{\"u\":{\"password-hash\":"
         "\"$2a$17$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\","
         "\"authorities\":[]}}}",
         "bcrypt"},
        {"{\"users\":{\"u\":{\"password-hash\":\"" HASH_2A
         "\",\"password\":\"x\",\"authorities\":[]}}}",
         "both"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct permissions *permissions = NULL;
        struct ks_failure why = {0};

        assert_int_equal(permissions_parse(span_cstr(cases[i].text), "p.json", &permissions, &why),
                         KS_INVALID);
        assert_null(permissions);
        if (strncmp(why.text, "p.json: ", 8) != 0 || strstr(why.text, cases[i].says) == NULL) {
            fail_msg("%s: %s", cases[i].text, why.text);
        }
    }
}

static void files_that_hono_reads_leniently_are_read(void **state)
{
    static const char *const cases[] = {
        "{}",
        "{\"roles\":{\"r\":5,\"s\":[1,null,\"x\"]},\"users\":{\"u\":7}}",
        "{\"roles\":{\"r\":[{\"operation\":\"no colon\"}]}}",
        "{\"roles\":{\"r\":[{\"operation\":\"a:b\",\"activities\":[\"nonsense\"]}]}}",
        "{\"roles\":{\"r\":[{\"resource\":\"a\",\"activities\":[1,\"READ\"]}]}}",
        "{\"roles\":{\"r\":[{\"resource\":\"a\"}]}}",
        "{\"users\":{\"u\":{\"authorities\":[\"unknown\"]}}}",
        "{\"users\":{\"u\":{\"mechanism\":\"SCRAM\",\"authorities\":[]}}}",
        "{\"more\":1}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct permissions *permissions = NULL;

        assert_ok(permissions_parse(span_cstr(cases[i]), "p.json", &permissions, why));
        permissions_unref(permissions);
    }
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    struct ks_failure why = {0};
    FILE *file;

    (void)state;
    assert_int_equal(accounts_open(&accounts, path, pool, &why), KS_IO);
    assert_non_null(strstr(why.text, path));
    file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i <= PERMISSIONS_FILE_MAX; i++) {
        assert_int_equal(fputc(' ', file), ' ');
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(accounts_open(&accounts, path, pool, &why), KS_INVALID);
    assert_non_null(strstr(why.text, "larger"));
}

/* ---- logins ---- */

#define USERS                                                                                      \
    "{\"roles\":{"                                                                                 \
    "\"r\":[{\"resource\":\"a\",\"activities\":[\"READ\"]}],"                                      \
    "\"w\":[{\"resource\":\"a\",\"activities\":[\"WRITE\"]},{\"operation\":\"a/*:get\"}]},"        \
    "\"users\":{"                                                                                  \
    "\"clear\":{\"mechanism\":\"PLAIN\",\"password\":\"pw\",\"authorities\":[\"r\",\"w\"]},"       \
    "\"chief\":{\"mechanism\":\"PLAIN\",\"password\":\"pw\","                                      \
    "\"authorities\":[\"hono-component\"]},"                                                       \
    "\"nobody\":{\"authorities\":[\"r\"]},"                                                        \
    "\"cert\":{\"mechanism\":\"EXTERNAL\",\"password\":\"pw\",\"authorities\":[]},"                \
    "\"a,UID=b\":{\"mechanism\":\"EXTERNAL\",\"authorities\":[\"hono-component\"]}"

static void open_users(const char *more)
{
    char text[4096];

    (void)snprintf(text, sizeof(text), "%s%s}}", USERS, more);
    write_file(text);
    assert_ok(accounts_open(&accounts, path, pool, why));
}

#define WITH_HASHES                                                                                \
    ",\"x\":{\"mechanism\":\"PLAIN\",\"password-hash\":\"" HASH_2A "\",\"authorities\":[]},"       \
    "\"y\":{\"mechanism\":\"PLAIN\",\"password-hash\":\"" HASH_2Y "\",\"authorities\":[]},"        \
    "\"z\":{\"mechanism\":\"PLAIN\",\"password-hash\":\"" HASH_2B                                  \
    "\",\"authorities\":[\"hono-component\"]}"

static void clear_passwords_are_answered_without_the_pool(void **state)
{
    static const struct {
        const char *user;
        const char *password;
        const char *authorize_as;
        const char *identity;
    } cases[] = {
        {"clear", "pw", "", "clear"},
        {"clear", "pw", "nobody", "clear"},
        {"chief", "pw", "nobody", "nobody"},
        {"chief", "pw", "cert", "cert"},
        {"chief", "pw", "unknown", "chief"},
        {"clear", "pW", "", ""},
        {"clear", "pw2", "", ""},
        {"clear", "p", "", ""},
        {"clear", "", "", ""},
        {"", "pw", "", ""},
        {"nobody", "pw", "", ""},
        {"cert", "pw", "", ""},
        {"stranger", "pw", "", ""},
        {"Clear", "pw", "", ""},
    };

    (void)state;
    open_users("");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool hashed = true;

        assert_string_equal(
            log_in(cases[i].user, cases[i].password, cases[i].authorize_as, &hashed),
            cases[i].identity);
        assert_false(hashed);
    }
}

static void an_identity_holds_what_its_roles_add_up_to(void **state)
{
    struct accounts_login login = login_of("clear", "pw", "");
    struct identity *identity = NULL;
    struct address address;
    enum ks_status status;

    (void)state;
    open_users("");
    assert_int_equal(accounts_login(accounts, &login, outcome_take, NULL, &status, &identity),
                     ACCOUNTS_ANSWERED);
    assert_int_equal(status, KS_OK);
    assert_true(address_parse(SPAN("a/t"), &address));
    assert_true(identity_may_use(identity, &address, 'R'));
    assert_true(identity_may_use(identity, &address, 'W'));
    assert_true(identity_may_call(identity, &address, SPAN("get")));
    assert_false(identity_may_call(identity, &address, SPAN("put")));
    identity_unref(identity);
}

static void hashes_of_each_kind_are_checked_once_and_remembered(void **state)
{
    static const char *const users[] = {"x", "y", "z"};

    (void)state;
    open_users(WITH_HASHES);
    for (size_t i = 0; i < 3; i++) {
        bool hashed = false;

        assert_string_equal(log_in(users[i], "secret", "", &hashed), users[i]);
        assert_true(hashed);
        assert_string_equal(log_in(users[i], "secret", "", &hashed), users[i]);
        assert_false(hashed);
        assert_string_equal(log_in(users[i], "Secret", "", &hashed), "");
        assert_true(hashed);
        assert_string_equal(log_in(users[i], "Secret", "", &hashed), "");
        assert_true(hashed);
    }
    assert_string_equal(log_in("z", "secret", "nobody", NULL), "nobody");
}

static void every_refusal_costs_a_hash_once_there_are_hashes(void **state)
{
    static const char *const users[] = {"stranger", "clear", "cert", "nobody", "x"};
    bool hashed;

    (void)state;
    open_users(WITH_HASHES);
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        assert_string_equal(log_in(users[i], "wrong", "", &hashed), "");
        assert_true(hashed);
    }
    assert_string_equal(log_in("clear", "pw", "", &hashed), "clear");
    assert_false(hashed);
}

static void a_password_is_not_cut_at_a_nul(void **state)
{
    struct outcome outcome;
    struct identity *identity;
    enum ks_status status;
    struct accounts_login login = login_of("x", "", "");
    char longest[600];

    (void)state;
    open_users(WITH_HASHES);
    outcome_init(&outcome);
    login.password = span_of("secret\0more", 11);
    assert_int_equal(accounts_login(accounts, &login, outcome_take, &outcome, &status, &identity),
                     ACCOUNTS_ANSWERED);
    assert_int_equal(status, KS_UNAUTHORIZED);
    memset(longest, 'x', sizeof(longest));
    login.password = span_of(longest, sizeof(longest));
    assert_int_equal(accounts_login(accounts, &login, outcome_take, &outcome, &status, &identity),
                     ACCOUNTS_ANSWERED);
    assert_int_equal(status, KS_UNAUTHORIZED);
}

static void equal_logins_share_a_hash_and_others_find_the_queue_full(void **state)
{
    struct blocker blocker;
    struct outcome outcome;
    struct identity *identity;
    enum ks_status status;
    char password[16];
    unsigned taken = 0;

    (void)state;
    open_users(WITH_HASHES);
    outcome_init(&outcome);
    block_pool(&blocker);
    for (unsigned i = 0; i < 100; i++) {
        struct accounts_login login = login_of("z", "secret", i % 2 == 0 ? "nobody" : "");

        assert_int_equal(
            accounts_login(accounts, &login, outcome_take, &outcome, &status, &identity),
            ACCOUNTS_PENDING);
    }
    for (unsigned i = 0; i < 100; i++) {
        struct accounts_login login;

        (void)snprintf(password, sizeof(password), "wrong%u", i);
        login = login_of("z", password, "");
        login.peer = i + 1; /* one peer has a quarter of the queue */
        if (accounts_login(accounts, &login, outcome_take, &outcome, &status, &identity) ==
            ACCOUNTS_PENDING) {
            taken++;
        } else {
            assert_int_equal(status, KS_BUSY);
            assert_null(identity);
        }
    }
    assert_int_equal(taken, POOL_DEPTH - 1);
    let_pool_go(&blocker);
    outcome_wait(&outcome, 100 + taken);
    assert_int_equal(outcome.ok, 100);
}

static void a_pool_that_closes_answers_what_it_did_not_begin(void **state)
{
    struct blocker blocker;
    struct outcome outcome;
    struct identity *identity;
    enum ks_status status;
    struct accounts_login login = login_of("x", "secret", "");

    (void)state;
    open_users(WITH_HASHES);
    outcome_init(&outcome);
    block_pool(&blocker);
    assert_int_equal(accounts_login(accounts, &login, outcome_take, &outcome, &status, &identity),
                     ACCOUNTS_PENDING);
    let_pool_go(&blocker);
    pool_close(pool);
    pool = NULL;
    assert_int_equal(outcome.count, 1);
    assert_true(outcome.status == KS_BUSY || outcome.status == KS_OK);
}

static void a_reload_forgets_logins_and_keeps_the_old_file_if_the_new_is_bad(void **state)
{
    bool hashed;

    (void)state;
    open_users(WITH_HASHES);
    assert_string_equal(log_in("x", "secret", "", NULL), "x");
    write_file("{\"users\":");
    assert_status(KS_INVALID, accounts_reload(accounts, why));
    assert_string_equal(log_in("x", "secret", "", &hashed), "x");
    assert_false(hashed);
    write_file("{\"users\":{\"x\":{\"mechanism\":\"PLAIN\",\"password-hash\":\"" HASH_OTHER
               "\",\"authorities\":[]}}}");
    assert_ok(accounts_reload(accounts, why));
    assert_string_equal(log_in("x", "secret", "", &hashed), "");
    assert_true(hashed);
    assert_string_equal(log_in("x", "other", "", &hashed), "x");
    assert_string_equal(log_in("clear", "pw", "", &hashed), "");
}

static void a_login_that_waits_over_a_reload_is_judged_by_the_new_file(void **state)
{
    struct blocker blocker;
    struct outcome outcome;
    struct identity *identity;
    enum ks_status status;
    struct accounts_login login = login_of("x", "secret", "");

    (void)state;
    open_users(WITH_HASHES);
    outcome_init(&outcome);
    block_pool(&blocker);
    assert_int_equal(accounts_login(accounts, &login, outcome_take, &outcome, &status, &identity),
                     ACCOUNTS_PENDING);
    write_file("{\"users\":{\"x\":{\"mechanism\":\"PLAIN\",\"password-hash\":\"" HASH_OTHER
               "\",\"authorities\":[]}}}");
    assert_ok(accounts_reload(accounts, why));
    let_pool_go(&blocker);
    outcome_wait(&outcome, 1);
    assert_int_equal(outcome.status, KS_UNAUTHORIZED);
}

static void certificates_name_users_by_the_cn_that_comes_first(void **state)
{
    static const struct {
        const char *subject;
        const char *authorize_as;
        const char *identity; /* NULL: refused */
    } cases[] = {
        {"CN=cert", "", "cert"},
        {"CN=cert,OU=y", "", "cert"},
        {"CN=cert,O=y", "chief", "cert"},
        {"CN=cert,  O=y", "", "cert"},
        {"CN=a,UID=b,O=c", "", "a,UID=b"},
        {"CN=a,UID=b", "clear", "clear"},
        {"O=y,CN=cert", "", NULL},
        {"cn=cert", "", NULL},
        {"CN=", "", NULL},
        {"CN=certs", "", NULL},
        {"CN=clear", "", NULL},
        {"", "", NULL},
    };

    (void)state;
    open_users("");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct identity *identity = NULL;
        enum ks_status st =
            accounts_login_external(accounts, span_cstr(cases[i].subject),
                                    span_cstr(cases[i].authorize_as), &identity, NULL);

        assert_int_equal(st, cases[i].identity == NULL ? KS_UNAUTHORIZED : KS_OK);
        if (st == KS_OK) {
            assert_string_equal(identity_name(identity), cases[i].identity);
        } else {
            assert_null(identity);
        }
        identity_unref(identity);
    }
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 200 };

struct crowd {
    struct outcome outcome;
    atomic_uint pending;
    atomic_uint answered;
};

static void *crowd_run(void *arg)
{
    struct crowd *crowd = arg;
    static const char *const passwords[] = {"secret", "wrong", "other", "secret"};

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct accounts_login login = login_of(i % 3 == 0 ? "x" : "z", passwords[i % 4], "nobody");
        struct identity *identity = NULL;
        enum ks_status status;

        if (accounts_login(accounts, &login, outcome_take, &crowd->outcome, &status, &identity) ==
            ACCOUNTS_PENDING) {
            atomic_fetch_add(&crowd->pending, 1);
        } else {
            atomic_fetch_add(&crowd->answered, 1);
            identity_unref(identity);
        }
    }
    return NULL;
}

static void logins_and_reloads_run_side_by_side(void **state)
{
    pthread_t threads[THREADS];
    struct crowd crowd = {.pending = 0};

    (void)state;
    open_users(WITH_HASHES);
    outcome_init(&crowd.outcome);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_run, &crowd), 0);
    }
    for (int i = 0; i < 20; i++) {
        assert_ok(accounts_reload(accounts, why));
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    outcome_wait(&crowd.outcome, atomic_load(&crowd.pending));
    assert_int_equal(atomic_load(&crowd.pending) + atomic_load(&crowd.answered), THREADS * ROUNDS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_that_hono_would_fail_at_are_refused_by_name),
        TEST(files_that_hono_reads_leniently_are_read),
        TEST(a_file_that_cannot_be_read_is_named),
        TEST(clear_passwords_are_answered_without_the_pool),
        TEST(an_identity_holds_what_its_roles_add_up_to),
        TEST(hashes_of_each_kind_are_checked_once_and_remembered),
        TEST(every_refusal_costs_a_hash_once_there_are_hashes),
        TEST(a_password_is_not_cut_at_a_nul),
        TEST(equal_logins_share_a_hash_and_others_find_the_queue_full),
        TEST(a_pool_that_closes_answers_what_it_did_not_begin),
        TEST(a_reload_forgets_logins_and_keeps_the_old_file_if_the_new_is_bad),
        TEST(a_login_that_waits_over_a_reload_is_judged_by_the_new_file),
        TEST(certificates_name_users_by_the_cn_that_comes_first),
        TEST(logins_and_reloads_run_side_by_side),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
