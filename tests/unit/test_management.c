#include "support/test.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/documents.h"
#include "support/office.h"

static struct office office;

static int open_office(void **state)
{
    (void)state;
    office_open(&office);
    return 0;
}

static int close_office(void **state)
{
    (void)state;
    office_close(&office);
    return 0;
}

static void ids_have_a_form_and_a_length(void **state)
{
    static const struct {
        const char *tenant;
        const char *device;
        bool tenant_ok;
        bool device_ok;
    } cases[] = {
        {"...", "a:b=", true, true},    {"a b", "a", false, true},      {"a/b", "a", false, true},
        {"a:b", "a", false, true},      {"a", "a%b", true, false},      {"a", "a/b", true, false},
        {"a", "\xc3\xa4", true, false}, {"\xc3\xa4", "a", false, true}, {"a'", "a*", false, false},
    };
    char longest[STORE_ID_MAX + 2];

    (void)state;
    for (size_t i = 0; i < DOCUMENTS_COUNT(cases); i++) {
        ask(&office, TENANT(CREATE) = cases[i].tenant);
        assert_int_equal(office.response.status, cases[i].tenant_ok ? 201 : 400);
        ask(&office, DEVICE(READ, cases[i].tenant) = cases[i].device);
        assert_int_equal(office.response.status,
                         cases[i].tenant_ok && cases[i].device_ok ? 404 : 400);
        ask(&office, TENANT(DELETE) = cases[i].tenant);
    }
    memset(longest, 'x', sizeof(longest));
    longest[STORE_ID_MAX] = '\0';
    ask(&office, TENANT(CREATE) = longest);
    assert_int_equal(office.response.status, 201);
    ask(&office, DEVICE(CREATE, longest) = longest);
    assert_int_equal(office.response.status, 201);
    assert_int_equal(strlen(office.response.location), 12 + 200 + 1 + 200);
    longest[STORE_ID_MAX] = 'x';
    longest[STORE_ID_MAX + 1] = '\0';
    ask(&office, TENANT(CREATE) = longest);
    assert_error(&office, 400, "bad-request");
    ask(&office, DEVICE(CREATE, "T") = longest);
    assert_error(&office, 400, "bad-request");
    ask(&office, TENANT(READ) = "");
    assert_error(&office, 400, "bad-request");
    ask(&office, DEVICE(READ, "T") = "");
    assert_error(&office, 400, "bad-request");
    ask(&office, DEVICE(CREATE, "") = "d");
    assert_error(&office, 400, "bad-request");
}

/* Counters and versions before and after: nothing was written. */
struct footprint {
    struct store_stat stat;
    struct uuid tenant;
    struct uuid device;
    struct uuid credentials;
};

static struct footprint footprint_of_all(void)
{
    struct footprint footprint;

    registry_renew(&office.registry);
    assert_ok(store_stat(office.registry.reader.txn, &footprint.stat, why));
    ask(&office, TENANT(READ) = "T1");
    footprint.tenant = office.response.etag;
    ask(&office, DEVICE(READ, "T1") = "d");
    footprint.device = office.response.etag;
    ask(&office, CREDENTIALS(READ, "T1") = "d");
    footprint.credentials = office.response.etag;
    return footprint;
}

static void assert_untouched(const struct footprint *before)
{
    struct footprint after = footprint_of_all();

    assert_int_equal(after.stat.tenants, before->stat.tenants);
    assert_int_equal(after.stat.devices, before->stat.devices);
    assert_int_equal(after.stat.credentials, before->stat.credentials);
    assert_true(uuid_eq(&after.tenant, &before->tenant));
    assert_true(uuid_eq(&after.device, &before->device));
    assert_true(uuid_eq(&after.credentials, &before->credentials));
}

#define PSK(auth_id)                                                                               \
    "[{\"type\":\"psk\",\"auth-id\":\"" auth_id "\",\"secrets\":[{\"key\":\"AA\"}]}]"

static void refusals_write_nothing(void **state)
{
    static const struct {
        struct office_request request;
        int status;
    } cases[] = {
        {{TENANT(CREATE) = "T2", .body = "{\"x\":1}"}, 400},
        {{TENANT(CREATE) = "T2", .body = "[]"}, 400},
        {{TENANT(CREATE) = "T2", .body = "{"}, 400},
        {{TENANT(CREATE) = "T2", .body = "{\"trusted-ca\":[{\"cert\":\"AAAA\"}]}"}, 400},
        {{TENANT(CREATE) = "T2", .body = "{\"alias\":\"taken\"}"}, 409},
        {{TENANT(CREATE) = "T2", .body = "{\"trusted-ca\":[{\"cert\":\"@CERT@\"}]}"}, 409},
        {{TENANT(CREATE) = "T1"}, 409},
        {{TENANT(UPDATE) = "T1"}, 400},
        {{TENANT(UPDATE) = "T1", .body = " "}, 400},
        {{TENANT(UPDATE) = "T1", .body = "{\"enabled\":5.5}"}, 400},
        {{TENANT(UPDATE) = "T1", .body = "{}", .if_match = "x"}, 412},
        {{TENANT(UPDATE) = "T2", .body = "{}"}, 404},
        {{TENANT(DELETE) = "T1", .if_match = "x"}, 412},
        {{TENANT(DELETE) = "T2"}, 404},
        {{DEVICE(CREATE, "T1") = "e", .body = "{\"via\":[null]}"}, 400},
        {{DEVICE(CREATE, "T1") = "e"}, 403},
        {{DEVICE(CREATE, "T2") = "e"}, 404},
        {{DEVICE(DELETE, "T1") = "d", .if_match = "x"}, 412},
        {{DEVICE(DELETE, "T1") = "e"}, 404},
        {{CREDENTIALS(UPDATE, "T1") = "d"}, 400},
        {{CREDENTIALS(UPDATE, "T1") = "d", .body = "{}"}, 400},
        {{CREDENTIALS(UPDATE, "T1") = "d", .body = "[1]"}, 400},
        {{CREDENTIALS(UPDATE, "T1") = "d",
          .body = "[{\"type\":\"psk\",\"auth-id\":\"a\",\"secrets\":[{\"id\":\"x\"}]}]"},
         400},
        {{CREDENTIALS(UPDATE, "T1") = "d", .body = PSK("a"), .if_match = "x"}, 412},
        {{CREDENTIALS(UPDATE, "T1") = "d", .body = PSK("other")}, 409},
        {{CREDENTIALS(UPDATE, "T1") = "e", .body = PSK("a")}, 404},
        {{CREDENTIALS(UPDATE, "T2") = "d", .body = PSK("a")}, 404},
    };
    struct footprint before;

    (void)state;
    ask(&office, TENANT(CREATE) = "T0",
        .body = "{\"alias\":\"taken\",\"trusted-ca\":[{\"cert\":\"@CERT@\"}]}");
    ask(&office, TENANT(CREATE) = "T1", .body = "{\"registration-limits\":{\"max-devices\":2}}");
    ask(&office, DEVICE(CREATE, "T1") = "d");
    ask(&office, DEVICE(CREATE, "T1") = "o");
    ask(&office, CREDENTIALS(UPDATE, "T1") = "d", .body = PSK("mine"));
    ask(&office, CREDENTIALS(UPDATE, "T1") = "o", .body = PSK("other"));
    assert_int_equal(office.response.status, 204);
    before = footprint_of_all();
    for (size_t i = 0; i < DOCUMENTS_COUNT(cases); i++) {
        office_ask(&office, &cases[i].request);
        if (office.response.status != cases[i].status) {
            fail_msg("case %zu: %d %.*s", i, office.response.status,
                     SPAN_ARG(buf_span(&office.response.body)));
        }
        assert_false(office.response.has_etag);
    }
    assert_untouched(&before);
}

static void a_refusal_has_an_error_and_a_reason(void **state)
{
    struct management_response *response = &office.response;

    (void)state;
    ask(&office, TENANT(CREATE) = "T1",
        .body = "{\"trusted-ca\":[{\"id\":\"\\u00e4\",\"y\\\"\":1}]}");
    assert_response(&office, 400,
                    "{\"error\":\"trusted-ca[0]: there is no member \\\"y\\\"\\\"\","
                    "\"reason\":\"bad-request\"}");
    response->has_etag = true;
    (void)snprintf(response->location, sizeof(response->location), "/x");
    management_refuse(response, 413, "too-large", "broken \xff text");
    assert_response(&office, 413, "{\"error\":\"broken ? text\",\"reason\":\"too-large\"}");
    assert_false(response->has_etag);
    assert_string_equal(response->location, "");
}

/* ---- many at once ---- */

enum { THREADS = 4, EACH = 12, LIMIT = 7 };

static void *make_devices(void *arg)
{
    const char *prefix = arg;

    for (int i = 0; i < EACH; i++) {
        char id[32];

        (void)snprintf(id, sizeof(id), "%s-%d", prefix, i);
        office_write_later(&office, &(struct office_request){DEVICE(CREATE, "T1") = id});
    }
    return NULL;
}

static void *make_tenants(void *arg)
{
    const char *prefix = arg;

    for (int i = 0; i < EACH; i++) {
        char id[32];

        (void)snprintf(id, sizeof(id), "%s-%d", prefix, i);
        office_write_later(
            &office, &(struct office_request){TENANT(CREATE) = id, .body = "{\"alias\":\"one\"}"});
    }
    return NULL;
}

static void run_threads(void *(*run)(void *))
{
    static char prefixes[THREADS][2] = {"a", "b", "c", "d"};
    pthread_t threads[THREADS];

    memset(office.by_status, 0, sizeof(office.by_status));
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, prefixes[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    office_wait(&office);
}

static void limits_are_exact_when_many_ask_at_once(void **state)
{
    uint32_t space = 0;

    (void)state;
    ask(&office, TENANT(CREATE) = "T1", .body = "{\"registration-limits\":{\"max-devices\":7}}");
    run_threads(make_devices);
    assert_int_equal(office.by_status[201], LIMIT);
    assert_int_equal(office.by_status[403], THREADS * EACH - LIMIT);
    registry_renew(&office.registry);
    assert_ok(store_tenant_find(office.registry.reader.txn, SPAN("T1"), &space, why));
    assert_int_equal(registry_count_devices(&office.registry, space), LIMIT);
}

static void a_name_goes_to_one_when_many_ask_at_once(void **state)
{
    (void)state;
    run_threads(make_tenants);
    assert_int_equal(office.by_status[201], 1);
    assert_int_equal(office.by_status[409], THREADS * EACH - 1);
}

/* ---- a batch that is run again ---- */

struct stop_sign {
    struct writer_job writer; /* first */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool reached;
    bool open;
    bool done;
};

static void signal_at(struct stop_sign *sign, bool *flag)
{
    pthread_mutex_lock(&sign->mutex);
    *flag = true;
    pthread_cond_broadcast(&sign->changed);
    pthread_mutex_unlock(&sign->mutex);
}

static void wait_at(struct stop_sign *sign, const bool *flag)
{
    pthread_mutex_lock(&sign->mutex);
    while (!*flag) {
        pthread_cond_wait(&sign->changed, &sign->mutex);
    }
    pthread_mutex_unlock(&sign->mutex);
}

static enum ks_status hold_writer(struct writer_job *job, struct store_txn *txn,
                                  struct ks_failure *why)
{
    struct stop_sign *sign = (struct stop_sign *)job;

    (void)txn;
    (void)why;
    signal_at(sign, &sign->reached);
    wait_at(sign, &sign->open);
    return KS_OK;
}

static enum ks_status fail_after_a_write(struct writer_job *job, struct store_txn *txn,
                                         struct ks_failure *why)
{
    struct store_tenant tenant = {.id = SPAN("T9"), .document = SPAN("{}")};
    uint32_t space;
    enum ks_status st = store_tenant_insert(txn, &tenant, &space, why);

    (void)job;
    return st == KS_OK ? ks_fail(why, KS_INVALID, NULL, "on purpose") : st;
}

static void let_go(struct writer_job *job, enum ks_status status, const struct ks_failure *why)
{
    struct stop_sign *sign = (struct stop_sign *)job;

    (void)status;
    (void)why;
    signal_at(sign, &sign->done);
}

static void init_sign(struct stop_sign *sign,
                      enum ks_status (*run)(struct writer_job *job, struct store_txn *txn,
                                            struct ks_failure *why))
{
    *sign = (struct stop_sign){.writer = {.run = run, .done = let_go}};
    assert_int_equal(pthread_mutex_init(&sign->mutex, NULL), 0);
    assert_int_equal(pthread_cond_init(&sign->changed, NULL), 0);
}

static void a_write_that_is_run_twice_gives_the_same(void **state)
{
    static struct stop_sign holder;
    static struct stop_sign offender;
    struct writer *writer = office.registry.writer;
    char etag[UUID_TEXT_LEN + 1];

    (void)state;
    init_sign(&holder, hold_writer);
    init_sign(&offender, fail_after_a_write);
    ask(&office, TENANT(CREATE) = "T1");
    ask(&office, DEVICE(CREATE, "T1") = "d");
    ask(&office, CREDENTIALS(UPDATE, "T1") = "d", .body = PSK("old"));
    assert_ok(writer_submit(writer, WRITER_MANAGEMENT, &holder.writer, why));
    wait_at(&holder, &holder.reached);
    /* these three wait together, and make the next batch */
    office_write_later(&office, &(struct office_request){DEVICE(CREATE, "T1") = "e"});
    office_write_later(
        &office, &(struct office_request){CREDENTIALS(UPDATE, "T1") = "d", .body = PSK("new")});
    assert_ok(writer_submit(writer, WRITER_MANAGEMENT, &offender.writer, why));
    signal_at(&holder, &holder.open);
    office_wait(&office);
    wait_at(&offender, &offender.done);
    assert_int_equal(office.response.status, 204);
    (void)snprintf(etag, sizeof(etag), "%s", office_etag(&office));
    ask(&office, CREDENTIALS(READ, "T1") = "d");
    assert_response(&office, 200,
                    "[{\"type\":\"psk\",\"auth-id\":\"new\",\"secrets\":[{\"id\":\"#\"}]}]");
    assert_string_equal(office_etag(&office), etag);
    ask(&office, DEVICE(READ, "T1") = "e");
    assert_int_equal(office.response.status, 200);
    ask(&office, TENANT(READ) = "T9");
    assert_int_equal(office.response.status, 404);
}

/* ---- when others cannot ---- */

#define PLAIN                                                                                      \
    "[{\"type\":\"hashed-password\",\"auth-id\":\"a\",\"secrets\":[{\"pwd-plain\":\"p\"}]}]"

static void writes_are_refused_when_the_writer_has_stopped(void **state)
{
    (void)state;
    ask(&office, TENANT(CREATE) = "T1");
    writer_stop(office.registry.writer);
    ask(&office, TENANT(CREATE) = "T2");
    assert_int_equal(office.response.status, 503);
    ask(&office, CREDENTIALS(UPDATE, "T1") = "d", .body = PLAIN);
    assert_int_equal(office.response.status, 503);
    ask(&office, TENANT(READ) = "T1");
    assert_int_equal(office.response.status, 200);
}

static void a_full_pool_is_told(void **state)
{
    (void)state;
    ask(&office, TENANT(CREATE) = "T1");
    ask(&office, DEVICE(CREATE, "T1") = "d");
    pool_close(office.pool);
    office.pool = pool_open(1, 0);
    office.registry.service.pool = office.pool;
    ask(&office, CREDENTIALS(UPDATE, "T1") = "d", .body = PLAIN);
    assert_error(&office, 503, "busy");
    ask(&office, CREDENTIALS(UPDATE, "T1") = "d", .body = PSK("a"));
    assert_int_equal(office.response.status, 204); /* needs no hash */
}

enum { ROOM = 10000 };

struct blocker {
    struct pool_job job; /* first */
    struct stop_sign sign;
};

static void block_worker(struct pool_job *job, bool discard)
{
    struct blocker *blocker = (struct blocker *)job;

    assert_false(discard);
    signal_at(&blocker->sign, &blocker->sign.reached);
    wait_at(&blocker->sign, &blocker->sign.open);
}

static void *close_pool(void *arg)
{
    pool_close(arg);
    return NULL;
}

static void do_nothing(struct pool_job *job, bool discard)
{
    (void)job;
    (void)discard;
}

/* A closing pool refuses what an open one has room for. */
static void wait_until_closing(struct pool *pool)
{
    static struct pool_job probes[ROOM];
    size_t sent = 0;

    do {
        const struct timespec pause = {.tv_nsec = 1000000};

        assert_true(sent < ROOM);
        (void)nanosleep(&pause, NULL);
        probes[sent] = (struct pool_job){.run = do_nothing, .peer = sent};
    } while (pool_submit(pool, POOL_URGENT, &probes[sent++], NULL) == KS_OK);
}

static void passwords_that_wait_when_the_pool_closes_are_answered(void **state)
{
    static struct blocker blocker = {.job = {.run = block_worker}};
    struct pool *pool = pool_open(1, ROOM);
    pthread_t closer;

    (void)state;
    init_sign(&blocker.sign, hold_writer);
    ask(&office, TENANT(CREATE) = "T1");
    ask(&office, DEVICE(CREATE, "T1") = "d");
    office.registry.service.pool = pool;
    assert_ok(pool_submit(pool, POOL_NORMAL, &blocker.job, why));
    wait_at(&blocker.sign, &blocker.sign.reached);
    office_write_later(&office,
                       &(struct office_request){CREDENTIALS(UPDATE, "T1") = "d", .body = PLAIN});
    assert_int_equal(pthread_create(&closer, NULL, close_pool, pool), 0);
    wait_until_closing(pool);
    signal_at(&blocker.sign, &blocker.sign.open);
    assert_int_equal(pthread_join(closer, NULL), 0);
    office_wait(&office);
    assert_error(&office, 503, "unavailable");
    office.registry.service.pool = office.pool;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ids_have_a_form_and_a_length, open_office, close_office),
        cmocka_unit_test_setup_teardown(refusals_write_nothing, open_office, close_office),
        cmocka_unit_test_setup_teardown(a_refusal_has_an_error_and_a_reason, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(limits_are_exact_when_many_ask_at_once, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(a_name_goes_to_one_when_many_ask_at_once, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(a_write_that_is_run_twice_gives_the_same, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(writes_are_refused_when_the_writer_has_stopped, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(a_full_pool_is_told, open_office, close_office),
        cmocka_unit_test_setup_teardown(passwords_that_wait_when_the_pool_closes_are_answered,
                                        open_office, close_office),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
