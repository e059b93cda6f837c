/* The search thread: turns, bounds, and that it is in nobody's way. Its clock is the test's: it
 * moves when it is looked at, and can be stopped, which holds the thread within a slice. */
#include "support/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/counters.h"
#include "service/json_text.h"
#include "service/search_worker.h"
#include "support/registry.h"

enum { DEVICES = 400, SEARCHES = 4, TEXT_MAX = 1024 };

static struct registry registry;
static struct search_worker *worker;
static uint32_t space;

/* ---- the clock: a millisecond for each look ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int64_t now;
static int64_t stops_at; /* looks wait from here on */
static bool waits;       /* the search thread, at a look */

static bool is_test_thread(void);

static int64_t look(void)
{
    int64_t seen;

    pthread_mutex_lock(&mutex);
    while (now >= stops_at && !is_test_thread()) {
        waits = true;
        pthread_cond_broadcast(&changed);
        pthread_cond_wait(&changed, &mutex);
    }
    waits = false;
    seen = is_test_thread() ? now : now++;
    pthread_mutex_unlock(&mutex);
    return seen;
}

/* Lets the search thread go on for so many looks, and waits until it has them. */
static void let_go(int64_t looks)
{
    pthread_mutex_lock(&mutex);
    stops_at += looks;
    pthread_cond_broadcast(&changed);
    while (!waits || now < stops_at) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}

static void let_run(void)
{
    pthread_mutex_lock(&mutex);
    stops_at = INT64_MAX;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static pthread_t test_thread;

static bool is_test_thread(void)
{
    return pthread_equal(pthread_self(), test_thread) != 0;
}

/* ---- searches ---- */

struct asked {
    const char *tenant;
    const char *query;
    _Atomic bool dropped;
    int status;    /* 0: not answered yet */
    unsigned turn; /* its place among the answers */
    char text[TEXT_MAX];
};

static unsigned answers;

static void take_answer(void *arg, struct management_response *response)
{
    struct asked *asked = arg;

    pthread_mutex_lock(&mutex);
    asked->status = response->status;
    asked->turn = ++answers;
    (void)snprintf(asked->text, sizeof(asked->text), "%.*s", SPAN_ARG(buf_span(&response->body)));
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void ask(struct asked *asked)
{
    const struct management_request request = {
        .op = asked->tenant != NULL ? MANAGEMENT_DEVICE_SEARCH : MANAGEMENT_TENANT_SEARCH,
        .tenant_id = span_cstr(asked->tenant),
        .query = span_cstr(asked->query)};

    search_begin(worker, &request, &asked->dropped, take_answer, asked);
}

static void wait_for(struct asked *asked)
{
    pthread_mutex_lock(&mutex);
    while (asked->status == 0) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}

static bool is_answered(struct asked *asked)
{
    bool answered;

    pthread_mutex_lock(&mutex);
    answered = asked->status != 0;
    pthread_mutex_unlock(&mutex);
    return answered;
}

#define ALL_RECORDS "filterJson={\"field\":\"/ext/none\",\"value\":1}"

/* ---- the registry ---- */

static void put_devices(void)
{
    struct store_txn *txn;
    char id[16];

    assert_ok(store_write_begin(registry.store, &txn, why));
    for (unsigned i = 0; i < DEVICES; i++) {
        struct store_device device = {.document = SPAN("{}"), .answer = SPAN("{}")};

        (void)snprintf(id, sizeof(id), "d%03u", i);
        device.id = span_cstr(id);
        assert_ok(store_device_insert(txn, space, &device, why));
    }
    assert_ok(store_write_commit(txn, why));
}

static int set_up(void **state)
{
    const struct search_limits limits = {.searches = SEARCHES,
                                         .slice_ms = 4,
                                         .work_ms = 60,
                                         .answer_ms = 150,
                                         .answer_bytes = 1 << 20,
                                         .bounds = {.rows = 100, .row_bytes = 1 << 20},
                                         .now_ms = look};

    (void)state;
    json_text_setup();
    test_thread = pthread_self();
    now = 0;
    stops_at = INT64_MAX;
    answers = 0;
    registry_open(&registry);
    space = registry_put_tenant(&registry, &(struct registry_tenant){.id = "T"});
    put_devices();
    assert_ok(search_worker_open(&worker, registry.store, &limits, why));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    let_run();
    search_worker_close(worker);
    registry_close(&registry);
    return 0;
}

/* The clock stands: the search thread stops at its first look. */
static void stop_clock(void)
{
    pthread_mutex_lock(&mutex);
    stops_at = now;
    pthread_mutex_unlock(&mutex);
}

/* ---- tests ---- */

static void a_search_is_answered(void **state)
{
    struct asked asked[] = {
        {.tenant = "T", .query = "pageSize=1"},
        {.tenant = NULL, .query = ""},
        {.tenant = "T", .query = ALL_RECORDS},
        {.tenant = "U", .query = ""},
        {.tenant = "", .query = ""},
        {.tenant = "T", .query = "pageSize=0"},
    };
    static const struct {
        int status;
        const char *text;
    } expected[] = {
        {200, "{\"total\":400,\"result\":[{\"id\":\"d000\",\"status\":"
              "{\"created\":\"1970-01-01T00:00:00Z\"}}]}"},
        {200, "{\"total\":1,\"result\":[{\"id\":\"T\"}]}"},
        {404, "{\"error\":\"no device matches\",\"reason\":\"not-found\"}"},
        {404, "{\"error\":\"no such tenant\",\"reason\":\"unknown-tenant\"}"},
        {404, "{\"error\":\"no such tenant\",\"reason\":\"unknown-tenant\"}"},
        {400, "{\"error\":\"pageSize: must be 1 to 200\",\"reason\":\"bad-request\"}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        ask(&asked[i]);
        wait_for(&asked[i]);
        assert_int_equal(asked[i].status, expected[i].status);
        assert_string_equal(asked[i].text, expected[i].text);
    }
}

/* One that began long ago is overtaken by those that need few turns. */
static void searches_take_turns(void **state)
{
    struct asked heavy = {.tenant = "T", .query = ALL_RECORDS};
    struct asked light = {.tenant = "T", .query = "pageSize=1"};
    struct asked heavy_too = {.tenant = "T", .query = ALL_RECORDS};
    struct asked last = {.tenant = "T",
                         .query = "filterJson={\"field\":\"/id\",\"value\":\"d1*\"}"};

    (void)state;
    stop_clock();
    ask(&heavy);
    let_go(1); /* it has its turn */
    ask(&heavy_too);
    ask(&light);
    ask(&last);
    let_run();
    wait_for(&heavy);
    wait_for(&heavy_too);
    wait_for(&light);
    wait_for(&last);
    assert_int_equal(light.turn, 1);
    assert_int_equal(last.turn, 2);
    assert_int_equal(heavy.turn, 3);
    assert_int_equal(heavy_too.turn, 4);
    assert_int_equal(last.status, 200);
    assert_int_equal(heavy.status, 404);
}

static void their_number_is_bounded(void **state)
{
    struct asked asked[SEARCHES] = {{.tenant = NULL}};
    struct asked refused = {.tenant = "T", .query = ""};
    uint64_t before = counters_sum(COUNTER_SEARCHES_REFUSED);

    (void)state;
    stop_clock();
    for (size_t i = 0; i < SEARCHES; i++) {
        asked[i] = (struct asked){.tenant = "T", .query = ALL_RECORDS};
        ask(&asked[i]);
    }
    ask(&refused);
    assert_int_equal(refused.status, 503);
    assert_string_equal(refused.text,
                        "{\"error\":\"4 searches are under way; try again\",\"reason\":\"busy\"}");
    let_run();
    for (size_t i = 0; i < SEARCHES; i++) {
        wait_for(&asked[i]);
        assert_int_equal(asked[i].status, 404);
    }
    refused.status = 0;
    ask(&refused); /* there is room again as soon as an answer is out */
    wait_for(&refused);
    assert_int_equal(refused.status, 200);
    assert_true(counters_sum(COUNTER_SEARCHES_REFUSED) > before);
}

static void the_work_of_one_is_bounded(void **state)
{
    struct asked asked = {.tenant = "T", /* four passes over all */
                          .query = "sortJson={\"field\":\"/ext/a\"}&pageOffset=12"};

    (void)state;
    ask(&asked);
    wait_for(&asked);
    assert_int_equal(asked.status, 503);
    assert_non_null(strstr(asked.text, "narrow it: a filter on /id"));
    assert_non_null(strstr(asked.text, "\"reason\":\"search-limit\""));
}

static void waiting_for_others_is_bounded_too(void **state)
{
    struct asked asked[SEARCHES] = {{.tenant = NULL}};
    size_t busy = 0;

    (void)state;
    stop_clock();
    for (size_t i = 0; i < SEARCHES; i++) {
        asked[i] =
            (struct asked){.tenant = "T", .query = "sortJson={\"field\":\"/ext/a\"}&pageOffset=7"};
        ask(&asked[i]);
    }
    let_run();
    for (size_t i = 0; i < SEARCHES; i++) {
        wait_for(&asked[i]);
        assert_int_equal(asked[i].status, 503);
        busy += strstr(asked[i].text, "\"reason\":\"busy\"") != NULL;
    }
    assert_true(busy > 0);
}

static void one_that_nobody_waits_for_ends_at_its_next_turn(void **state)
{
    struct asked asked = {.tenant = "T", .query = ALL_RECORDS};
    struct asked next = {.tenant = "T", .query = "pageSize=1"};
    uint64_t before = counters_sum(COUNTER_SEARCHES_DROPPED);

    (void)state;
    stop_clock();
    ask(&asked);
    let_go(2);
    atomic_store(&asked.dropped, true);
    ask(&next);
    let_run();
    wait_for(&asked);
    wait_for(&next);
    assert_int_equal(asked.status, 503);
    assert_int_equal(next.status, 200);
    assert_true(counters_sum(COUNTER_SEARCHES_DROPPED) == before + 1);
}

struct written {
    struct writer_job job; /* first */
    unsigned number;
    bool done;
};

static enum ks_status insert_one(struct writer_job *job, struct store_txn *txn,
                                 struct ks_failure *why)
{
    struct written *written = (struct written *)job;
    struct store_device device = {.document = SPAN("{}"), .answer = SPAN("{}")};
    char id[16];

    (void)snprintf(id, sizeof(id), "w%03u", written->number);
    device.id = span_cstr(id);
    return store_device_insert(txn, space, &device, why);
}

static void insert_done(struct writer_job *job, enum ks_status status, const struct ks_failure *why)
{
    struct written *written = (struct written *)job;

    (void)why;
    assert_int_equal(status, KS_OK);
    pthread_mutex_lock(&mutex);
    written->done = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void write_and_wait(unsigned number)
{
    struct written written = {.job = {.run = insert_one, .done = insert_done}, .number = number};

    assert_ok(writer_submit(registry.writer, WRITER_MANAGEMENT, &written.job, why));
    pthread_mutex_lock(&mutex);
    while (!written.done) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}

static uint64_t bytes_used(void)
{
    struct store_stat stat;

    registry_renew(&registry);
    assert_ok(store_stat(registry.reader.txn, &stat, why));
    service_reader_rest(&registry.reader);
    return stat.bytes_used;
}

/* A search that stands still in the midst of its scan holds up no writer and no reader. Once it
 * goes on from slice to slice, the pages of what was replaced meanwhile are used again. */
static void a_search_holds_up_neither_writes_nor_reads(void **state)
{
    struct asked asked = {.tenant = "T", .query = ALL_RECORDS};
    struct store_device device;
    char id[16];
    uint64_t used;
    uint64_t taken;

    (void)state;
    stop_clock();
    ask(&asked);
    let_go(1);
    used = bytes_used();
    for (unsigned i = 0; i < 20; i++) {
        write_and_wait(i);
        registry_renew(&registry);
        (void)snprintf(id, sizeof(id), "w%03u", i);
        assert_ok(store_device_get(registry.reader.txn, space, span_cstr(id), &device, why));
        service_reader_rest(&registry.reader);
    }
    taken = bytes_used() - used;
    assert_false(is_answered(&asked));
    let_go(8); /* into another slice */
    used = bytes_used();
    for (unsigned i = 20; i < 40; i++) {
        let_go(i % 2);
        write_and_wait(i);
    }
    assert_false(is_answered(&asked));
    assert_true(bytes_used() - used < taken / 2);
    let_run();
    wait_for(&asked);
    assert_int_equal(asked.status, 404);
}

static void *stop_worker(void *arg)
{
    (void)arg;
    search_worker_stop(worker);
    return NULL;
}

static void what_is_under_way_at_the_end_is_answered(void **state)
{
    struct asked asked[SEARCHES] = {{.tenant = NULL}};
    struct asked late = {.tenant = "T", .query = ""};
    pthread_t stopper;

    (void)state;
    stop_clock();
    for (size_t i = 0; i < SEARCHES; i++) {
        asked[i] = (struct asked){.tenant = "T", .query = ALL_RECORDS};
        ask(&asked[i]);
    }
    let_go(1);
    assert_int_equal(pthread_create(&stopper, NULL, stop_worker, NULL), 0);
    while (late.status != 503 || strstr(late.text, "shutting down") == NULL) { /* it has begun */
        late.status = 0;
        ask(&late);
    }
    let_run();
    pthread_join(stopper, NULL);
    for (size_t i = 0; i < SEARCHES; i++) {
        wait_for(&asked[i]);
        assert_int_equal(asked[i].status, 503);
        assert_string_equal(
            asked[i].text,
            "{\"error\":\"the registry is shutting down\",\"reason\":\"unavailable\"}");
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_search_is_answered),
        TEST(searches_take_turns),
        TEST(their_number_is_bounded),
        TEST(the_work_of_one_is_bounded),
        TEST(waiting_for_others_is_bounded_too),
        TEST(one_that_nobody_waits_for_ends_at_its_next_turn),
        TEST(a_search_holds_up_neither_writes_nor_reads),
        TEST(what_is_under_way_at_the_end_is_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
