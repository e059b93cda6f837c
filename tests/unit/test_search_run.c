/* Searches on a real store: whatever the plan and however it is cut into steps, a search finds what
 * a look at each record finds. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/device_document.h"
#include "service/json_text.h"
#include "service/search_match.h"
#include "service/search_run.h"
#include "support/registry.h"

enum { DEVICES = 90 };

static struct registry registry;
static struct arena arena;
static uint32_t space;
static bool is_gateway[DEVICES]; /* of put_many, in the order of their ids */

static int set_up(void **state)
{
    (void)state;
    json_text_setup();
    registry_open(&registry);
    arena_init(&arena);
    space = registry_put_tenant(&registry, &(struct registry_tenant){.id = "T"});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&arena);
    registry_close(&registry);
    return 0;
}

/* ---- records ---- */

static struct store_txn *begin(void)
{
    struct store_txn *txn;

    assert_ok(store_write_begin(registry.store, &txn, why));
    return txn;
}

static void insert(struct store_txn *txn, uint32_t in, const char *id, const char *json)
{
    struct store_device device = {.created_ms = REGISTRY_NOW};
    json_t *document = NULL;

    assert_ok(device_document_read(span_cstr(json), &document, why));
    assert_ok(device_document_render(&arena, document, span_cstr(id), &device, why));
    json_decref(document);
    assert_ok(store_device_insert(txn, in, &device, why));
}

static void put(const char *id, const char *json)
{
    struct store_txn *txn = begin();

    insert(txn, space, id, json);
    assert_ok(store_write_commit(txn, why));
}

static void delete (const char *id)
{
    struct store_txn *txn = begin();

    assert_ok(store_device_delete(txn, space, span_cstr(id), why));
    assert_ok(store_write_commit(txn, why));
}

static bool is_gateway_of_any(struct store_txn *txn, const struct store_device *device)
{
    struct store_device other;
    struct span after = span_of(NULL, 0);
    bool is = device->member_of.len > 0;

    while (!is && store_device_next(txn, space, after, &other, NULL) == KS_OK) {
        struct span via;
        size_t at = 0;

        while (store_strings_next(other.via, &at, &via)) {
            is = is || span_eq(via, device->id);
        }
        after = other.id;
    }
    return is;
}

static void find_gateways(void)
{
    struct store_txn *txn = registry.reader.txn;
    struct store_device device;
    struct span after = span_of(NULL, 0);

    registry_renew(&registry);
    for (size_t i = 0; store_device_next(txn, space, after, &device, NULL) == KS_OK; i++) {
        is_gateway[i] = is_gateway_of_any(txn, &device);
        after = device.id;
    }
}

/* Of three kinds of ids and many shapes; each seventh is a gateway by `via`, each eleventh by its
 * groups, some are both, one name in `via` is nobody's. */
static void put_many(void)
{
    struct store_txn *txn = begin();
    char id[32];
    char json[256];

    for (unsigned i = 0; i < DEVICES; i++) {
        const char *kind = i % 3 == 0 ? "meter" : i % 3 == 1 ? "pump" : "pump-x";

        (void)snprintf(id, sizeof(id), "%s-%03u", kind, i);
        if (i % 11 == 0) {
            (void)snprintf(json, sizeof(json),
                           "{\"memberOf\":[\"g%u\",\"a\",\"g9\"],\"ext\":{\"n\":%u}}", i % 5,
                           i % 10);
        } else {
            (void)snprintf(json, sizeof(json),
                           "{\"via\":[\"%s-%03u\",\"nobody\"],\"enabled\":%s,\"ext\":{\"n\":%u,"
                           "\"s\":\"v%u\"}}",
                           i / 7 % 3 == 0   ? "meter"
                           : i / 7 % 3 == 1 ? "pump"
                                            : "pump-x",
                           i / 7, i % 2 == 0 ? "true" : "false", i % 10, i * 7 % 30);
        }
        insert(txn, space, id, json);
    }
    assert_ok(store_write_commit(txn, why));
    find_gateways();
}

/* ---- searches ---- */

static struct search_query query;
static struct buf body;

static void read_query(const char *parameters)
{
    struct ks_failure why = {0};

    arena_reset(&arena);
    if (search_query_read(span_cstr(parameters), true, &arena, &query, &why) != KS_OK) {
        fail_msg("%s: %s", parameters, why.text);
    }
}

/* Time is up after so many looks at the clock. */
struct steps {
    unsigned looks_a_step; /* 0: never */
    unsigned looks;
    unsigned all_looks;
};

static bool is_time_up(void *arg)
{
    struct steps *steps = arg;

    steps->all_looks++;
    return steps->looks_a_step > 0 && ++steps->looks % steps->looks_a_step == 0;
}

static const struct search_bounds ample = {.rows = 10000, .row_bytes = 1 << 20};

/* One step, on a snapshot of its own. */
static enum ks_status step(struct search_run *run, struct steps *steps, bool *ended,
                           struct ks_failure *why)
{
    enum ks_status st;

    registry_renew(&registry);
    st = search_run_step(run, registry.reader.txn, is_time_up, steps, ended, &body, why);
    service_reader_rest(&registry.reader);
    return st;
}

static enum ks_status search(const struct span *tenant, const struct search_bounds *bounds,
                             struct steps *steps, struct ks_failure *why)
{
    struct search_run *run = search_run_open(&query, tenant, bounds);
    bool ended = false;
    enum ks_status st = KS_OK;

    buf_clear(&body);
    while (st == KS_OK && !ended) {
        st = step(run, steps, &ended, why);
    }
    search_run_close(run);
    return st;
}

/* The ids of the answer, each behind a blank, and its total. */
static const char *ids_of_answer(uint64_t *total)
{
    static char ids[DEVICES * 20];
    size_t len = 0;
    json_t *answer = NULL;
    json_t *item;
    size_t i;

    assert_ok(json_text_parse(buf_span(&body), &answer, why));
    *total = (uint64_t)json_integer_value(json_object_get(answer, "total"));
    ids[0] = '\0';
    json_array_foreach (json_object_get(answer, "result"), i, item) {
        len += (size_t)snprintf(ids + len, sizeof(ids) - len, " %s",
                                json_string_value(json_object_get(item, "id")));
    }
    json_decref(answer);
    return ids;
}

/* ---- by looking at each record ---- */

struct candidate {
    struct buf row;
    char id[32];
};

static int by_row(const void *a, const void *b)
{
    return span_cmp(buf_span(&((const struct candidate *)a)->row),
                    buf_span(&((const struct candidate *)b)->row));
}

static size_t look_at_each(struct candidate *found)
{
    struct search_matcher matcher;
    struct store_device device;
    struct span after = span_of(NULL, 0);
    size_t count = 0;

    registry_renew(&registry);
    search_matcher_init(&matcher, &query);
    for (size_t i = 0; store_device_next(registry.reader.txn, space, after, &device, NULL) == KS_OK;
         i++) {
        const struct search_record record = {.id = device.id, .document = device.document};

        if ((query.gateways == SEARCH_ALL ||
             is_gateway[i] == (query.gateways == SEARCH_GATEWAYS)) &&
            search_matches(&matcher, &record)) {
            buf_init(&found[count].row, 0);
            search_add_row(&matcher, &record, &found[count].row);
            (void)snprintf(found[count].id, sizeof(found[count].id), "%.*s", SPAN_ARG(device.id));
            count++;
        }
        after = device.id;
    }
    search_matcher_done(&matcher);
    qsort(found, count, sizeof(*found), by_row);
    return count;
}

static const char *ids_of_page(const struct candidate *found, size_t count)
{
    static char ids[DEVICES * 20];
    size_t len = 0;

    ids[0] = '\0';
    for (size_t i = (size_t)query.skip; i < count && i < query.skip + query.page_size; i++) {
        len += (size_t)snprintf(ids + len, sizeof(ids) - len, " %s", found[i].id);
    }
    return ids;
}

static void compare(const char *parameters, const struct search_bounds *bounds, unsigned looks)
{
    static const struct span tenant = {"T", 1};
    struct candidate found[DEVICES];
    struct steps steps = {.looks_a_step = looks};
    struct ks_failure why = {0};
    uint64_t total = 0;
    size_t count;
    enum ks_status st;

    read_query(parameters);
    count = look_at_each(found);
    st = search(&tenant, bounds, &steps, &why);
    if (st != (count > 0 ? KS_OK : KS_NOT_FOUND)) {
        fail_msg("%s: %s", parameters, ks_status_name(st));
    }
    if (st == KS_OK &&
        (strcmp(ids_of_answer(&total), ids_of_page(found, count)) != 0 || total != count)) {
        fail_msg("%s, rows %zu: %llu of %zu:\n%s\n%s", parameters, bounds->rows,
                 (unsigned long long)total, count, ids_of_answer(&total),
                 ids_of_page(found, count));
    }
    for (size_t i = 0; i < count; i++) {
        buf_done(&found[i].row);
    }
}

#define FILTER(field, value)   "filterJson={\"field\":\"" field "\",\"value\":" value "}&"
#define SORT(field, direction) "sortJson={\"field\":\"" field "\",\"direction\":\"" direction "\"}&"

static void every_search_finds_what_a_look_at_each_record_finds(void **state)
{
    static const char *const filters[] = {
        "",
        FILTER("/id", "\"meter-000\""),
        FILTER("/id", "\"pump-001\""),
        FILTER("/id", "\"pump-0*\""),
        FILTER("/id", "\"pump-??1\""),
        FILTER("/id", "\"*7*\""),
        FILTER("/id", "\"nobody\""),
        FILTER("/id", "\"z*\""),
        FILTER("/enabled", "true"),
        FILTER("/ext/n", "3") FILTER("/id", "\"meter*\""),
        FILTER("/ext/s", "\"v1*\""),
        FILTER("/via", "\"nobody\"") FILTER("/enabled", "false"),
        "filterJson={\"field\":\"/id\",\"op\":\"in\",\"value\":[\"meter-003\",\"pump-01*\"]}&",
        "filterJson={\"field\":\"/ext/s\",\"op\":\"not_in\",\"value\":[\"v1*\"]}&",
    };
    static const char *const orders[] = {
        "",
        SORT("/id", "asc"),
        SORT("/id", "desc"),
        SORT("/ext/n", "asc"),
        SORT("/ext/n", "desc") SORT("/ext/s", "asc"),
        SORT("/nothing", "asc"),
    };
    static const char *const gateways[] = {"", "isGateway=true&", "isGateway=false&"};
    static const char *const pages[] = {"pageSize=200", "pageSize=7&pageOffset=1",
                                        "pageSize=10&pageOffset=11", "pageOffset=100"};
    static const struct search_bounds tight = {.rows = 7, .row_bytes = 1 << 20};
    char parameters[512];

    (void)state;
    put_many();
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]) * 6 * 3 * 4; i++) {
        (void)snprintf(parameters, sizeof(parameters), "%s%s%s%s", filters[i / 72],
                       orders[i / 12 % 6], gateways[i / 4 % 3], pages[i % 4]);
        compare(parameters, i % 2 == 0 ? &ample : &tight, (unsigned)(i % 3));
    }
}

static void rows_are_bounded_in_bytes_too(void **state)
{
    static const struct search_bounds tight = {.rows = 10000, .row_bytes = 500};

    (void)state;
    put_many();
    compare(SORT("/ext/s", "desc") "pageSize=20&pageOffset=3", &tight, 1);
}

/* ---- common cases ---- */

static unsigned looks_for(const char *parameters)
{
    static const struct span tenant = {"T", 1};
    struct steps steps = {.looks_a_step = 0};
    struct ks_failure why = {0};

    read_query(parameters);
    (void)search(&tenant, &ample, &steps, &why);
    return steps.all_looks; /* one for 16 records or entries of an index */
}

static void common_cases_look_at_few_records(void **state)
{
    struct store_txn *txn = begin();
    char id[32];
    unsigned all;

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        (void)snprintf(id, sizeof(id), "dev-%04u", i);
        insert(txn, space, id, i == 7 ? "{\"memberOf\":[\"g\"]}" : "{\"via\":[\"dev-0003\"]}");
    }
    assert_ok(store_write_commit(txn, why));
    all = looks_for(FILTER("/enabled", "true"));
    assert_true(all >= 3000 / 16);
    assert_true(looks_for("") <= 2);
    assert_true(looks_for("pageOffset=1000") <= 1); /* behind the last one */
    assert_true(looks_for(FILTER("/id", "\"dev-2345\"")) <= 1);
    assert_true(looks_for(FILTER("/id", "\"dev-234*\"")) <= 1);
    assert_true(looks_for("isGateway=true") <= 1);
    assert_true(looks_for(FILTER("/id", "\"dev-234*\"") "isGateway=true") <= 1);
    assert_true(looks_for("isGateway=false") <= 3);
    assert_true(looks_for(FILTER("/id", "\"none\"")) <= 1);
    /* ten passes over all */
    all = looks_for(SORT("/nothing", "asc") "pageSize=200&pageOffset=10");
    assert_true(all >= 3000 / 16 && all < 2 * 3000 / 16);
}

/* ---- answers ---- */

static void items_are_documents_with_id_and_status(void **state)
{
    static const struct span tenant = {"T", 1};
    struct steps steps = {.looks_a_step = 0};

    (void)state;
    put("b", "{\"ext\":{\"a\":1.50,\"s\":\"\\u00e4\\n\"},\"enabled\":false}");
    put("a", "");
    read_query("");
    assert_ok(search(&tenant, &ample, &steps, why));
    assert_span(buf_span(&body),
                "{\"total\":2,\"result\":["
                "{\"id\":\"a\",\"status\":{\"created\":\"2026-11-24T10:00:00Z\"}},"
                "{\"id\":\"b\",\"enabled\":false,\"ext\":{\"a\":1.5,\"s\":\"\xc3\xa4\\u000A\"},"
                "\"status\":{\"created\":\"2026-11-24T10:00:00Z\"}}]}");
    read_query("pageOffset=1");
    assert_ok(search(&tenant, &ample, &steps, why));
    assert_span(buf_span(&body), "{\"total\":2,\"result\":[]}");
    read_query("pageOffset=2147483647&pageSize=200&" SORT("/ext/a", "asc"));
    assert_ok(search(&tenant, &ample, &steps, why));
    assert_span(buf_span(&body), "{\"total\":2,\"result\":[]}");
}

static void the_status_is_looked_at_where_it_is_asked_for(void **state)
{
    static const struct span tenant = {"T", 1};
    struct steps steps = {.looks_a_step = 0};
    struct store_device device = {.id = SPAN("auto"),
                                  .flags = STORE_DEVICE_AUTO_PROVISIONED,
                                  .created_ms = REGISTRY_NOW + REGISTRY_DAY,
                                  .updated_ms = REGISTRY_NOW + 2 * REGISTRY_DAY,
                                  .document = SPAN("{}"),
                                  .answer = SPAN("{}")};
    const struct store_outbox_entry event = {
        .kind = STORE_OUTBOX_EVENT, .space = space, .tenant_id = SPAN("T"), .device_id = device.id};
    struct store_txn *txn = begin();
    uint64_t total = 0;

    (void)state;
    assert_ok(store_outbox_append(txn, &event, &device.event_seq, why));
    assert_ok(store_device_insert(txn, space, &device, why));
    assert_ok(store_write_commit(txn, why));
    put("b", "");
    put("a", "");
    read_query(FILTER("/status/auto-provisioned", "true"));
    assert_ok(search(&tenant, &ample, &steps, why));
    assert_string_equal(ids_of_answer(&total), " auto");
    read_query(SORT("/status/created", "desc"));
    assert_ok(search(&tenant, &ample, &steps, why));
    assert_string_equal(ids_of_answer(&total), " auto a b");
    read_query(FILTER("/status/updated", "\"2026-11-26*\""));
    assert_ok(search(&tenant, &ample, &steps, why));
    assert_string_equal(ids_of_answer(&total), " auto");
    read_query(FILTER("/status/auto-provisioning-notification-sent", "true"));
    assert_int_equal(search(&tenant, &ample, &steps, NULL), KS_NOT_FOUND);
    txn = begin();
    assert_ok(store_outbox_delete(txn, STORE_EVENTS, device.event_seq, why));
    assert_ok(store_write_commit(txn, why));
    assert_ok(search(&tenant, &ample, &steps, why));
    assert_string_equal(ids_of_answer(&total), " auto");
}

static void nothing_is_not_found_and_says_what(void **state)
{
    static const struct span tenant = {"T", 1};
    static const struct span unknown = {"U/%", 3};
    static const char *const queries[] = {"", "isGateway=true", "isGateway=false",
                                          FILTER("/id", "\"a\""), SORT("/id", "desc")};
    struct steps steps = {.looks_a_step = 0};
    char parameters[512];
    struct ks_failure why;
    char id[STORE_ID_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        read_query(queries[i]);
        assert_int_equal(search(&tenant, &ample, &steps, &why), KS_NOT_FOUND);
        assert_string_equal(why.reason, "not-found");
        assert_int_equal(search(&unknown, &ample, &steps, &why), KS_NOT_FOUND);
        assert_string_equal(why.reason, "unknown-tenant");
    }
    put("a", "{\"via\":[\"b\"]}");
    memset(id, 'a', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    (void)snprintf(parameters, sizeof(parameters), FILTER("/id", "\"%s\""), id);
    read_query(parameters);
    assert_int_equal(search(&tenant, &ample, &steps, &why), KS_NOT_FOUND);
    (void)snprintf(parameters, sizeof(parameters), FILTER("/id", "\"%s*\"") "isGateway=true", id);
    read_query(parameters);
    assert_int_equal(search(&tenant, &ample, &steps, &why), KS_NOT_FOUND);
    read_query("isGateway=true"); /* b is no device */
    assert_int_equal(search(&tenant, &ample, &steps, &why), KS_NOT_FOUND);
}

static void a_page_beyond_the_size_of_an_answer_is_refused(void **state)
{
    static const struct span tenant = {"T", 1};
    struct steps steps = {.looks_a_step = 0};
    struct ks_failure why = {0};

    (void)state;
    put("a", "");
    put("b", "");
    buf_done(&body);
    buf_init(&body, 110);
    read_query("pageSize=2");
    assert_int_equal(search(&tenant, &ample, &steps, &why), KS_INVALID);
    assert_string_equal(why.text,
                        "pageSize: a page of 2 takes more than 110 bytes; ask for a smaller one");
    read_query("pageSize=1");
    assert_int_equal(search(&tenant, &ample, &steps, &why), KS_OK);
    buf_done(&body);
    buf_init(&body, 0);
}

static void tenants_are_searched(void **state)
{
    static const char *const ids[] = {"z", "a.1", "a", "b-1"};
    struct steps steps = {.looks_a_step = 1};
    uint64_t total = 0;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        (void)registry_put_tenant(&registry, &(struct registry_tenant){.id = ids[i]});
    }
    read_query("");
    assert_ok(search(NULL, &ample, &steps, why));
    assert_string_equal(ids_of_answer(&total), " T a a.1 b-1 z");
    assert_int_equal(total, 5);
    read_query("pageSize=2&pageOffset=1");
    assert_ok(search(NULL, &ample, &steps, why));
    assert_string_equal(ids_of_answer(&total), " a.1 b-1");
    assert_int_equal(total, 5);
    read_query(FILTER("/id", "\"a*\""));
    assert_ok(search(NULL, &ample, &steps, why));
    assert_string_equal(ids_of_answer(&total), " a a.1");
    read_query(FILTER("/id", "\"b-1\""));
    assert_ok(search(NULL, &ample, &steps, why));
    assert_string_equal(ids_of_answer(&total), " b-1");
    read_query(SORT("/id", "desc") "pageSize=2");
    assert_ok(search(NULL, &ample, &steps, why));
    assert_string_equal(ids_of_answer(&total), " z b-1");
    read_query(FILTER("/ext/a", "1"));
    assert_int_equal(search(NULL, &ample, &steps, NULL), KS_NOT_FOUND);
}

/* ---- changes between steps ---- */

static struct search_run *begun(const char *parameters, struct steps *steps)
{
    static const struct span tenant = {"T", 1};
    struct search_run *run;
    bool ended = false;

    read_query(parameters);
    buf_clear(&body);
    run = search_run_open(&query, &tenant, &ample);
    assert_ok(step(run, steps, &ended, why));
    assert_false(ended);
    return run;
}

static enum ks_status finish(struct search_run *run, struct steps *steps, struct ks_failure *why)
{
    bool ended = false;
    enum ks_status st = KS_OK;

    while (st == KS_OK && !ended) {
        st = step(run, steps, &ended, why);
    }
    search_run_close(run);
    return st;
}

static void changes_between_two_steps_are_taken_as_they_come(void **state)
{
    struct steps steps = {.looks_a_step = 1};
    struct search_run *run;
    uint64_t total = 0;

    (void)state;
    put_many();
    run = begun(FILTER("/id", "\"meter-*\"") FILTER("/ext/n", "0"), &steps);
    delete ("meter-000");                     /* found, and gone before the page is shown */
    delete ("meter-060");                     /* not yet looked at */
    put("meter-999", "{\"ext\":{\"n\":0}}");  /* behind where the search stands */
    put("meter-0000", "{\"ext\":{\"n\":0}}"); /* before it */
    assert_ok(finish(run, &steps, why));
    assert_string_equal(ids_of_answer(&total), " meter-030 meter-999");
    assert_int_equal(total, 3);
}

static void a_tenant_that_is_emptied_is_searched_anew(void **state)
{
    struct steps steps = {.looks_a_step = 1};
    struct search_run *run;
    struct store_txn *txn;
    uint64_t total = 0;

    (void)state;
    put_many();
    run = begun(SORT("/ext/n", "asc"), &steps);
    txn = begin();
    assert_ok(store_device_delete_all(txn, &space, why));
    insert(txn, space, "new", "");
    assert_ok(store_write_commit(txn, why));
    assert_ok(finish(run, &steps, why));
    assert_string_equal(ids_of_answer(&total), " new");
    assert_int_equal(total, 1);
}

static void a_tenant_that_goes_is_unknown(void **state)
{
    struct steps steps = {.looks_a_step = 1};
    struct ks_failure why = {0};
    struct search_run *run;

    (void)state;
    put_many();
    run = begun(FILTER("/enabled", "true"), &steps);
    registry_delete_tenant(&registry, "T");
    assert_int_equal(finish(run, &steps, &why), KS_NOT_FOUND);
    assert_string_equal(why.reason, "unknown-tenant");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_search_finds_what_a_look_at_each_record_finds),
        TEST(rows_are_bounded_in_bytes_too),
        TEST(common_cases_look_at_few_records),
        TEST(items_are_documents_with_id_and_status),
        TEST(the_status_is_looked_at_where_it_is_asked_for),
        TEST(nothing_is_not_found_and_says_what),
        TEST(a_page_beyond_the_size_of_an_answer_is_refused),
        TEST(tenants_are_searched),
        TEST(changes_between_two_steps_are_taken_as_they_come),
        TEST(a_tenant_that_is_emptied_is_searched_anew),
        TEST(a_tenant_that_goes_is_unknown),
    };
    int failed;

    buf_init(&body, 0);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&body);
    return failed;
}
