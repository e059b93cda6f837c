#include "support/test.h"

#include <stdbool.h>
#include <stdio.h>

#include "service/connection_table.h"

enum { ENTRIES = 12, PER_TENANT = 5, TENANTS = 4, DEVICES = 8, TURNS = 20000, AGE = 100 };

/* The same by the simplest means: when each device was told (-1: it is not there). */
struct model {
    int64_t told[TENANTS][DEVICES];
    int64_t now;
};

struct place {
    int tenant;
    int device;
};

static bool too_old(const struct model *model, int64_t told)
{
    return model->now - told > AGE;
}

/* Of a tenant, or (-1) of all: how many are there, which was told longest ago. */
static size_t count(const struct model *model, int tenant, struct place *oldest)
{
    int64_t least = INT64_MAX;
    size_t found = 0;

    for (int t = 0; t < TENANTS; t++) {
        for (int d = 0; d < DEVICES && (tenant < 0 || tenant == t); d++) {
            found += model->told[t][d] >= 0;
            if (model->told[t][d] >= 0 && model->told[t][d] < least) {
                least = model->told[t][d];
                *oldest = (struct place){t, d};
            }
        }
    }
    return found;
}

static void forget(struct model *model, struct place at)
{
    model->told[at.tenant][at.device] = -1;
}

static bool tell(struct model *model, struct place at)
{
    struct place oldest = {0, 0};

    if (model->told[at.tenant][at.device] >= 0 &&
        too_old(model, model->told[at.tenant][at.device])) {
        forget(model, at);
    }
    if (model->told[at.tenant][at.device] < 0) {
        for (int i = 0; i < 2; i++) { /* as many as the table sweeps */
            if (count(model, -1, &oldest) > 0 &&
                too_old(model, model->told[oldest.tenant][oldest.device])) {
                forget(model, oldest);
            }
        }
        if (count(model, at.tenant, &oldest) >= PER_TENANT) {
            if (!too_old(model, model->told[oldest.tenant][oldest.device])) {
                return false;
            }
            forget(model, oldest);
        }
        if (count(model, -1, &oldest) >= ENTRIES) {
            forget(model, oldest);
        }
    }
    model->told[at.tenant][at.device] = model->now;
    return true;
}

static struct connection_key key_of(const struct connection_table *table, struct place at)
{
    static const char *const tenants[TENANTS] = {"a", "ab", "b", "tenant"};
    static const char *const devices[DEVICES] = {"a", "b", "ba", "d1", "d2", "d3", "d4", "d5"};

    return connection_table_key(table, span_cstr(tenants[at.tenant]),
                                span_cstr(devices[at.device]));
}

/* keys: of every place, since one costs as much as many look-ups. */
static void assert_equal(const struct connection_table *table, const struct model *model,
                         struct connection_key keys[TENANTS][DEVICES])
{
    for (int t = 0; t < TENANTS; t++) {
        for (int d = 0; d < DEVICES; d++) {
            const struct connection *found = connection_table_find(table, &keys[t][d], model->now);
            int64_t told = model->told[t][d];

            if (told < 0 || too_old(model, told)) {
                assert_null(found);
            } else {
                assert_non_null(found);
                assert_int_equal(found->told_ms, told);
                assert_int_equal(found->adapter_until_ms, told); /* nobody else's */
            }
        }
    }
}

static unsigned draw(uint64_t *state, unsigned below)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(*state >> 33) % below;
}

static void it_does_what_the_simplest_means_do(void **state)
{
    struct connection_table *table = connection_table_open(ENTRIES, PER_TENANT, AGE);
    struct connection_key keys[TENANTS][DEVICES];
    struct model model = {.now = 0};
    uint64_t seed = 1;
    size_t refused = 0;

    (void)state;
    for (int t = 0; t < TENANTS; t++) {
        for (int d = 0; d < DEVICES; d++) {
            keys[t][d] = key_of(table, (struct place){t, d});
        }
    }
    memset(model.told, -1, sizeof(model.told));
    for (int turn = 0; turn < TURNS; turn++) {
        const struct place at = {(int)draw(&seed, TENANTS), (int)draw(&seed, DEVICES)};
        const struct connection_key key = key_of(table, at);

        model.now += 1 + (draw(&seed, 50) == 0 ? draw(&seed, 2 * AGE) : 0); /* no two at once */
        if (draw(&seed, 8) == 0) {
            struct connection *found = connection_table_find(table, &key, model.now);

            if (found != NULL) {
                connection_table_forget(table, found);
                forget(&model, at);
            }
        } else {
            struct connection *told = connection_table_tell(table, &key, model.now);

            assert_int_equal(told != NULL, tell(&model, at));
            refused += told == NULL;
            if (told != NULL) {
                told->adapter_until_ms = model.now;
            }
        }
        assert_equal(table, &model, keys);
    }
    assert_true(refused > TURNS / 100); /* the bounds were met */
    connection_table_close(table);
}

static void a_tenant_that_is_full_of_old_ones_takes_new_ones(void **state)
{
    struct connection_table *table = connection_table_open(64, PER_TENANT, AGE);
    char text[8];

    (void)state;
    for (int i = 0; i < 20; i++) { /* older ones of others, so that no sweep reaches this tenant */
        (void)snprintf(text, sizeof(text), "t%d", i);
        struct connection_key key = connection_table_key(table, span_cstr(text), SPAN("d"));

        assert_non_null(connection_table_tell(table, &key, 0));
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < PER_TENANT; i++) {
            (void)snprintf(text, sizeof(text), "%d-%d", round, i);
            struct connection_key key = connection_table_key(table, SPAN("T"), span_cstr(text));

            assert_non_null(connection_table_tell(table, &key, 1 + round * (AGE + 1)));
        }
    }
    connection_table_close(table);
}

static void texts_are_replaced(void **state)
{
    struct connection_text text = {NULL, 0};

    (void)state;
    connection_text_set(&text, SPAN("one"));
    connection_text_set(&text, SPAN("two"));
    assert_span(connection_text_span(&text), "two");
    connection_text_set(&text, SPAN("three"));
    assert_span(connection_text_span(&text), "three");
    connection_text_set(&text, span_of(NULL, 0));
    assert_null(text.ptr);
    assert_int_equal(text.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_does_what_the_simplest_means_do),
        cmocka_unit_test(a_tenant_that_is_full_of_old_ones_takes_new_ones),
        cmocka_unit_test(texts_are_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
