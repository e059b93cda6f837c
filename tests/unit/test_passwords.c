#include "support/test.h"

#include <crypt.h>
#include <string.h>

#include "service/passwords.h"

#define TAIL "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

static void a_hash_verifies_and_has_its_own_salt(void **state)
{
    char hash[PASSWORDS_HASH_LEN + 1];
    char other[PASSWORDS_HASH_LEN + 1];
    struct crypt_data data = {.initialized = 0};
    const char *made;

    (void)state;
    assert_ok(passwords_hash(SPAN("secret"), 4, hash, why));
    assert_ok(passwords_hash(SPAN("secret"), 4, other, why));
    assert_int_equal(strlen(hash), PASSWORDS_HASH_LEN);
    assert_memory_equal(hash, "$2a$04$", 7);
    assert_string_not_equal(hash, other);
    made = crypt_rn("secret", hash, &data, (int)sizeof(data));
    assert_non_null(made);
    assert_string_equal(made, hash);
    made = crypt_rn("Secret", hash, &data, (int)sizeof(data));
    assert_non_null(made);
    assert_string_not_equal(made, hash);
    assert_ok(passwords_check_hash(span_cstr(hash), 4, why));
}

static void every_byte_that_bcrypt_takes_counts(void **state)
{
    char plain[PASSWORDS_PLAIN_MAX + 1];
    char hash[PASSWORDS_HASH_LEN + 1];
    struct crypt_data data = {.initialized = 0};

    (void)state;
    memset(plain, 'x', PASSWORDS_PLAIN_MAX);
    plain[PASSWORDS_PLAIN_MAX] = '\0';
    assert_ok(passwords_hash(span_cstr(plain), 4, hash, why));
    assert_string_equal(crypt_rn(plain, hash, &data, (int)sizeof(data)), hash);
    plain[PASSWORDS_PLAIN_MAX - 1] = 'y';
    assert_string_not_equal(crypt_rn(plain, hash, &data, (int)sizeof(data)), hash);
}

static void passwords_that_would_be_cut_are_refused(void **state)
{
    char hash[PASSWORDS_HASH_LEN + 1];
    char plain[PASSWORDS_PLAIN_MAX + 1];

    (void)state;
    memset(plain, 'x', sizeof(plain));
    assert_status(KS_INVALID, passwords_hash(span_of(plain, sizeof(plain)), 4, hash, why));
    assert_status(KS_INVALID, passwords_hash(SPAN("a\0b"), 4, hash, why));
    assert_status(KS_INVALID, passwords_hash(SPAN(""), 4, hash, why));
    assert_ok(passwords_check_plain(span_of(plain, PASSWORDS_PLAIN_MAX), why));
}

static void supplied_hashes_are_checked_to_the_letter(void **state)
{
    static const struct {
        const char *hash;
        enum ks_status status;
    } cases[] = {
        {"$2a$05$" TAIL, KS_OK},
        {"$2a$04$" TAIL, KS_OK},
        {"$2a$10$" TAIL, KS_OK},
        {"$2a$11$" TAIL, KS_INVALID}, /* too dear */
        {"$2a$31$" TAIL, KS_INVALID},
        {"$2a$03$" TAIL, KS_INVALID},
        {"$2a$00$" TAIL, KS_INVALID},
        {"$2b$05$" TAIL, KS_INVALID},
        {"$2y$05$" TAIL, KS_INVALID},
        {"$2x$05$" TAIL, KS_INVALID},
        {"$2$05$" TAIL, KS_INVALID},
        {"$2a$5$" TAIL "x", KS_INVALID},
        {"$2a$0x$" TAIL, KS_INVALID},
        {"$2a$05," TAIL, KS_INVALID},
        {"$2a$05$" TAIL "x", KS_INVALID},
        {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe", KS_INVALID},
        {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe!", KS_INVALID},
        {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe\xc3", KS_INVALID},
        {"", KS_INVALID},
        {"*0", KS_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ks_failure cause = {0};

        if (passwords_check_hash(span_cstr(cases[i].hash), 10, &cause) != cases[i].status) {
            fail_msg("%s: %s", cases[i].hash, cause.text);
        }
    }
}

static void a_refused_hash_says_what_would_do(void **state)
{
    struct ks_failure why = {0};

    (void)state;
    assert_int_equal(passwords_check_hash(SPAN("$2a$12$" TAIL), 10, &why), KS_INVALID);
    assert_string_equal(why.text, "a bcrypt hash must cost 4 to 10; this one costs 12");
    assert_int_equal(passwords_check_hash(SPAN("secret"), 10, &why), KS_INVALID);
    assert_null(strstr(why.text, "secret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_verifies_and_has_its_own_salt),
        cmocka_unit_test(every_byte_that_bcrypt_takes_counts),
        cmocka_unit_test(passwords_that_would_be_cut_are_refused),
        cmocka_unit_test(supplied_hashes_are_checked_to_the_letter),
        cmocka_unit_test(a_refused_hash_says_what_would_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
