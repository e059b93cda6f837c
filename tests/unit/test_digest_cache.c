#include "support/test.h"

#include "service/digest_cache.h"

static struct sha256 value_of(int n)
{
    return sha256_of(span_of(&n, sizeof(n)));
}

static void what_was_added_is_there_until_it_is_cleared(void **state)
{
    struct digest_cache *cache = digest_cache_open(16);
    struct sha256 one = value_of(1);
    struct sha256 two = value_of(2);

    (void)state;
    assert_false(digest_cache_has(cache, &one));
    digest_cache_add(cache, &one);
    digest_cache_add(cache, &one);
    assert_true(digest_cache_has(cache, &one));
    assert_false(digest_cache_has(cache, &two));
    digest_cache_clear(cache);
    assert_false(digest_cache_has(cache, &one));
    digest_cache_close(cache);
}

static void what_is_asked_for_stays_and_the_rest_makes_room(void **state)
{
    struct digest_cache *cache = digest_cache_open(64);
    struct sha256 wanted = value_of(-1);
    int kept = 0;

    (void)state;
    digest_cache_add(cache, &wanted);
    for (int i = 0; i < 10000; i++) {
        struct sha256 value = value_of(i);

        digest_cache_add(cache, &value);
        assert_true(digest_cache_has(cache, &value));
        assert_true(digest_cache_has(cache, &wanted));
    }
    for (int i = 0; i < 10000; i++) {
        struct sha256 value = value_of(i);

        kept += digest_cache_has(cache, &value) ? 1 : 0;
    }
    assert_int_equal(kept, 63);
    digest_cache_close(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_there_until_it_is_cleared),
        cmocka_unit_test(what_is_asked_for_stays_and_the_rest_makes_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
