#include "support/test.h"

#include <stdio.h>

#include "service/login_pace.h"

enum { HERE = 1000, THERE = 2000 };

static struct login_pace *pace;
static int64_t now;

static int open_pace(void **state)
{
    (void)state;
    pace = login_pace_open();
    now = 1000000;
    return 0;
}

static int close_pace(void **state)
{
    (void)state;
    login_pace_close(pace);
    return 0;
}

static struct login_attempt attempt(uint64_t address, const char *user, const char *password)
{
    return login_pace_attempt(pace, address, span_cstr(user), span_cstr(password));
}

static int64_t ask(uint64_t address, const char *user, const char *password)
{
    struct login_attempt one = attempt(address, user, password);

    return login_pace_ask(pace, &one, now);
}

static int64_t failed(uint64_t address, const char *user, const char *password)
{
    struct login_attempt one = attempt(address, user, password);

    return login_pace_failed(pace, &one, now);
}

/* A guess from the question to the refusal, with a password of its own. */
static int64_t guess(uint64_t address, const char *user, int number)
{
    char password[32];
    int64_t wait;

    (void)snprintf(password, sizeof(password), "guess-%d", number);
    wait = ask(address, user, password);
    if (wait >= 0) {
        (void)failed(address, user, password);
    }
    return wait;
}

static void a_few_failures_cost_nothing(void **state)
{
    (void)state;
    assert_true(login_pace_is_quiet(pace));
    for (int i = 0; i < LOGIN_PACE_PAIR_FREE; i++) {
        assert_int_equal(ask(HERE, "u", "x"), 0);
        assert_int_equal(failed(HERE, "u", "x"), 0);
    }
    assert_false(login_pace_is_quiet(pace));
}

static void refusals_are_told_later_and_later(void **state)
{
    int64_t last = 0;

    (void)state;
    for (int i = 0; i < 20; i++) {
        int64_t told_in = failed(HERE, "u", "the same");

        assert_true(told_in >= last && told_in <= LOGIN_PACE_TOLD_MS);
        last = told_in;
    }
    assert_int_equal(last, LOGIN_PACE_TOLD_MS);
}

static void guesses_wait_for_each_other(void **state)
{
    int64_t waits[40];
    int64_t sum = 0;

    (void)state;
    for (int i = 0; i < 40; i++) {
        waits[i] = guess(HERE, "u", i);
    }
    for (int i = 0; i <= LOGIN_PACE_PAIR_FREE; i++) {
        assert_int_equal(waits[i], 0);
    }
    for (int i = LOGIN_PACE_PAIR_FREE + 1; i < 40; i++) {
        if (waits[i] < 0) {
            assert_true(sum + LOGIN_PACE_TURN_MS > LOGIN_PACE_QUEUE_MS); /* too many wait */
            continue;
        }
        assert_true(waits[i] > sum);
        sum = waits[i];
    }
    assert_true(waits[39] < 0);
    now += LOGIN_PACE_QUEUE_MS;
    assert_true(guess(HERE, "u", 40) >= 0); /* turns have passed */
}

static void guesses_at_once_wait_as_well(void **state)
{
    struct login_attempt right = attempt(HERE, "u", "right");
    char password[32];

    (void)state;
    for (int i = 0; i < 100; i++) { /* however many log in with the right one at once */
        assert_int_equal(login_pace_ask(pace, &right, now), 0);
        login_pace_trying(pace, &right, now);
    }
    login_pace_succeeded(pace, &right, now);
    for (int i = 0; i < 20; i++) {
        struct login_attempt one;
        int64_t wait;

        (void)snprintf(password, sizeof(password), "guess-%d", i);
        one = attempt(HERE, "u", password);
        wait = login_pace_ask(pace, &one, now);
        assert_true(i <= LOGIN_PACE_PAIR_FREE ? wait == 0 : wait != 0);
        login_pace_trying(pace, &one, now); /* none has an outcome yet */
    }
    assert_int_equal(ask(HERE, "v", "right"), 0);
}

static void an_old_password_is_in_nobodys_way(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(ask(HERE, "u", "old"), 0);
        (void)failed(HERE, "u", "old");
    }
    assert_int_equal(ask(HERE, "u", "right"), 0);
}

static void others_do_not_wait(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)guess(HERE, "u", i);
    }
    assert_true(ask(HERE, "u", "right") != 0);
    assert_int_equal(ask(HERE, "v", "right"), 0);  /* another account */
    assert_int_equal(ask(THERE, "u", "right"), 0); /* another address */
}

static void failures_of_an_account_count_from_wherever(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < LOGIN_PACE_ACCOUNT_FREE; i++) {
        assert_int_equal(failed(THERE + i, "u", "x"), 0);
    }
    assert_int_equal(failed(HERE, "u", "x"), LOGIN_PACE_FIRST_MS);
    assert_int_equal(failed(HERE, "v", "x"), 0);
}

static void failures_of_an_address_count_for_whatever_account(void **state)
{
    char user[32];

    (void)state;
    for (int i = 0; i < LOGIN_PACE_ADDRESS_FREE; i++) {
        (void)snprintf(user, sizeof(user), "u%d", i);
        assert_int_equal(failed(HERE, user, "x"), 0);
    }
    assert_int_equal(failed(HERE, "another", "x"), LOGIN_PACE_FIRST_MS);
    assert_int_equal(failed(THERE, "another", "x"), 0);
    assert_int_equal(ask(HERE, "yet another", "right"), 0);
}

static void a_success_ends_what_was_held_against_the_account(void **state)
{
    struct login_attempt elsewhere = attempt(THERE, "u", "right");
    struct login_attempt here = attempt(HERE, "u", "right");

    (void)state;
    for (uint64_t i = 0; i < 2 * LOGIN_PACE_ACCOUNT_FREE; i++) {
        (void)failed(HERE + i, "u", "x");
    }
    login_pace_succeeded(pace, &elsewhere, now);
    assert_int_equal(failed(THERE + 1, "u", "x"), 0);

    for (int i = 0; i < 50; i++) {
        (void)guess(HERE, "u", i);
    }
    login_pace_succeeded(pace, &elsewhere, now);
    assert_true(ask(HERE, "u", "y") != 0); /* who guesses is not let off by another's success */
    login_pace_succeeded(pace, &here, now);
    assert_int_equal(ask(HERE, "u", "y"), 0);
}

static void all_is_forgotten_after_a_while(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)guess(HERE, "u", i);
    }
    now += LOGIN_PACE_FORGET_MS + 1;
    assert_int_equal(ask(HERE, "u", "y"), 0);
    assert_int_equal(failed(HERE, "u", "y"), 0);
}

static void memory_is_bounded_and_the_oldest_makes_room(void **state)
{
    char user[32];

    (void)state;
    for (int i = 0; i < 40; i++) {
        (void)guess(HERE, "victim", i);
    }
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(user, sizeof(user), "u%d", i);
        now += i % 50 == 0;
        (void)failed(HERE, user, "x");
        if (i % 1000 == 0) {
            (void)failed(HERE, "victim", "old");
        }
    }
    assert_true(ask(HERE, "victim", "y") != 0);
    assert_int_equal(failed(HERE, "fresh", "x"), LOGIN_PACE_TOLD_MS); /* for the address */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pace, close_pace)
    const struct CMUnitTest tests[] = {
        TEST(a_few_failures_cost_nothing),
        TEST(refusals_are_told_later_and_later),
        TEST(guesses_wait_for_each_other),
        TEST(guesses_at_once_wait_as_well),
        TEST(an_old_password_is_in_nobodys_way),
        TEST(others_do_not_wait),
        TEST(failures_of_an_account_count_from_wherever),
        TEST(failures_of_an_address_count_for_whatever_account),
        TEST(a_success_ends_what_was_held_against_the_account),
        TEST(all_is_forgotten_after_a_while),
        TEST(memory_is_bounded_and_the_oldest_makes_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
