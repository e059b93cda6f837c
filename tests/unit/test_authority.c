#include "support/test.h"

#include <stdio.h>

#include "service/authority.h"

static void addresses_split_as_honos_do(void **state)
{
    static const struct {
        const char *text;
        const char *printed; /* NULL: no address */
        const char *segments[ADDRESS_SEGMENTS];
        size_t count;
    } cases[] = {
        {"tenant", "tenant", {"tenant", "", ""}, 1},
        {"tenant/", "tenant", {"tenant", "", ""}, 1},
        {"tenant//", "tenant", {"tenant", "", ""}, 1},
        {"tenant//x", "tenant//x", {"tenant", "", "x"}, 3},
        {"registration/T/", "registration/T", {"registration", "T", ""}, 2},
        {"registration/T/a/b/c", "registration/T/a/b/c", {"registration", "T", "a"}, 5},
        {"a/b//d", "a/b//d", {"a", "b", ""}, 4},
        {"", NULL, {"", "", ""}, 0},
        {"/", NULL, {"", "", ""}, 0},
        {"/tenant", NULL, {"", "", ""}, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address address;

        assert_int_equal(address_parse(span_cstr(cases[i].text), &address),
                         cases[i].printed != NULL);
        if (cases[i].printed == NULL) {
            continue;
        }
        assert_span(address.text, cases[i].printed);
        assert_int_equal(address.count, cases[i].count);
        for (size_t k = 0; k < ADDRESS_SEGMENTS; k++) {
            assert_span(address.segment[k], cases[i].segments[k]);
        }
    }
}

static bool resource_opens(const char *resource, const char *text)
{
    struct identity *identity = identity_new(SPAN("someone"), 1);
    struct address address;
    bool read;

    identity_grant(identity, span_cstr(resource), span_of(NULL, 0), ACTIVITY_READ);
    assert_true(address_parse(span_cstr(text), &address));
    assert_false(identity_may_use(identity, &address, 'W'));
    assert_false(identity_may_call(identity, &address, SPAN("get")));
    read = identity_may_use(identity, &address, 'R');
    identity_unref(identity);
    return read;
}

static void resources_match_in_the_positions_that_hono_knows(void **state)
{
    static const struct {
        const char *resource;
        const char *address;
        bool opens;
    } cases[] = {
        {"registration", "registration/T1", true},
        {"registration", "registration", true},
        {"registration/*", "registration/T1", true},
        {"registration/*", "registration/T1/reply", true},
        {"registration/*", "registration", false},
        {"registration/*", "registration//x", false},
        {"registration//x", "registration//x", true},
        {"tenant/*", "tenant", false},
        {"tenant", "tenant/reply", true},
        {"*", "anything/at/all", true},
        {"*/T1", "registration/T1", false},
        {"registration/T1", "registration/T1", true},
        {"registration/T1", "registration/T1/reply", true},
        {"registration/T1", "registration/T2", false},
        {"registration/T1", "registration/T11", false},
        {"registration/T1/a", "registration/T1/a", true},
        {"registration/T1/a", "registration/T1/b", false},
        {"registration/T1/a", "registration/T1/a/b", false},
        {"registration/T1/a/b", "registration/T1/a/b", true},
        {"registration/T*", "registration/T1", false},
        {"Registration", "registration", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (resource_opens(cases[i].resource, cases[i].address) != cases[i].opens) {
            fail_msg("%s on %s", cases[i].resource, cases[i].address);
        }
    }
}

static void operations_match_in_the_positions_that_hono_knows(void **state)
{
    static const struct {
        const char *resource;
        const char *operation;
        const char *address;
        const char *call;
        bool opens;
    } cases[] = {
        {"registration/*", "assert", "registration/T", "assert", true},
        {"registration/*", "assert", "registration/T", "get", false},
        {"registration/*", "*", "registration/T", "get", true},
        {"registration/T", "*", "registration/T", "get", true},
        {"registration/T", "*", "registration/U", "get", false},
        {"registration", "assert", "registration/T", "assert", true},
        {"*", "assert", "registration/T", "assert", true},
        {"*", "*", "tenant", "get", true},
        {"tenant/*", "*", "tenant", "get", false},
        {"credentials/T/x", "get", "credentials/T/x", "get", true},
        {"credentials/T/x", "*", "credentials/T/x", "get", true},
        {"credentials/T/x", "get", "credentials/T", "get", false},
        /* the key is flat, as in Hono: a tenant id with a colon reads as written in the file */
        {"registration/a", "b:assert", "registration/a:b", "assert", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct identity *identity = identity_new(SPAN("someone"), 1);
        struct address address;

        identity_grant(identity, span_cstr(cases[i].resource), span_cstr(cases[i].operation),
                       ACTIVITY_EXECUTE);
        assert_true(address_parse(span_cstr(cases[i].address), &address));
        if (identity_may_call(identity, &address, span_cstr(cases[i].call)) != cases[i].opens) {
            fail_msg("%s:%s on %s:%s", cases[i].resource, cases[i].operation, cases[i].address,
                     cases[i].call);
        }
        assert_false(identity_may_use(identity, &address, 'R'));
        identity_unref(identity);
    }
}

static void equal_keys_are_united(void **state)
{
    struct identity *identity = identity_new(SPAN("someone"), 100);
    struct address address;
    char name[16];

    (void)state;
    for (int i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof(name), "management/t%d", i);
        identity_grant(identity, span_cstr(name), span_of(NULL, 0), ACTIVITY_READ);
        identity_grant(identity, span_cstr(name), span_of(NULL, 0), ACTIVITY_WRITE);
    }
    for (int i = 0; i < 51; i++) {
        (void)snprintf(name, sizeof(name), "management/t%d", i);
        assert_true(address_parse(span_cstr(name), &address));
        assert_int_equal(identity_may_use(identity, &address, 'R'), i < 50);
        assert_int_equal(identity_may_use(identity, &address, 'W'), i < 50);
    }
    assert_string_equal(identity_name(identity), "someone");
    assert_ptr_equal(identity_ref(identity), identity);
    identity_unref(identity);
    identity_unref(identity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_split_as_honos_do),
        cmocka_unit_test(resources_match_in_the_positions_that_hono_knows),
        cmocka_unit_test(operations_match_in_the_positions_that_hono_knows),
        cmocka_unit_test(equal_keys_are_united),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
