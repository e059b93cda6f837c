/* Connecting to names, of which some answer and some do not. The resolver is ours: its answers are
 * what the cases say. */
#include "support/test.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "net/address.h"
#include "net/dialer.h"
#include "net/reactor.h"

enum { MUTE_CONNECTIONS = 8 };

/* ---- a resolver in place of the C library's ---- */

static int ports[4]; /* of 127.0.0.1: what every name is; 0: no more */
static _Atomic int lookups;
static _Atomic bool answers; /* else a look-up lasts until it is */

static struct addrinfo *address_of(int port)
{
    struct addrinfo *at = calloc(1, sizeof(*at));
    struct sockaddr_in *in = calloc(1, sizeof(*in));

    assert_non_null(at);
    assert_non_null(in);
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)port);
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at->ai_family = AF_INET;
    at->ai_socktype = SOCK_STREAM;
    at->ai_addrlen = sizeof(*in);
    at->ai_addr = (struct sockaddr *)in;
    return at;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    struct addrinfo **at = out;

    (void)service;
    *out = NULL;
    if ((hints->ai_flags & AI_NUMERICHOST) != 0 && node[0] != '1') {
        return EAI_NONAME;
    }
    if ((hints->ai_flags & AI_NUMERICHOST) == 0) {
        atomic_fetch_add(&lookups, 1);
        while (!atomic_load(&answers)) {
            (void)usleep(1000);
        }
    }
    for (size_t i = 0; ports[i] != 0; i++) {
        *at = address_of(ports[i]);
        at = &(*at)->ai_next;
    }
    return *out == NULL ? EAI_NONAME : 0;
}

void freeaddrinfo(struct addrinfo *at)
{
    while (at != NULL) {
        struct addrinfo *next = at->ai_next;

        free(at->ai_addr);
        free(at);
        at = next;
    }
}

/* ---- addresses ---- */

static int listener(int backlog, int *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static int good;
static int good_port;
static int refusing_port;
static int mute; /* its queue is full: connects are not answered */
static int mute_port;
static int filling[MUTE_CONNECTIONS];

static int open_all(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    (void)state;
    good = listener(64, &good_port);
    close(listener(1, &refusing_port));
    mute = listener(0, &mute_port);
    in.sin_port = htons((uint16_t)mute_port);
    for (size_t i = 0; i < MUTE_CONNECTIONS; i++) {
        filling[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(filling[i], (struct sockaddr *)&in, sizeof(in));
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    close(good);
    close(mute);
    for (size_t i = 0; i < MUTE_CONNECTIONS; i++) {
        close(filling[i]);
    }
    return 0;
}

/* ---- the dialer, on a reactor of its own ---- */

static struct reactor *reactor;
static struct dialer *dialer;

struct attempt {
    struct reactor_post post; /* first */
    const char *name;
    int64_t timeout_ms;
    int fd;
    struct ks_failure why;
    _Atomic bool done;
};

static void attempt_done(void *arg, int fd, const struct ks_failure *why)
{
    struct attempt *attempt = arg;

    attempt->fd = fd;
    attempt->why = *why;
    atomic_store(&attempt->done, true);
}

static void begin_attempt(struct reactor_post *post, bool discard)
{
    struct attempt *attempt = (struct attempt *)post;

    assert_false(discard);
    dialer_connect(dialer, attempt->name, attempt->timeout_ms, attempt_done, attempt);
}

static void wait_until(const _Atomic bool *what)
{
    int64_t until = clock_monotonic_ms() + 60000;

    while (!atomic_load(what)) {
        assert_true(clock_monotonic_ms() < until);
        (void)usleep(1000);
    }
}

/* The port it is connected to; 0: it is not. */
static int dial(const char *name, int64_t timeout_ms, struct ks_failure *why)
{
    struct attempt attempt = {.post.run = begin_attempt, .name = name, .timeout_ms = timeout_ms};
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);

    reactor_post(reactor, &attempt.post);
    wait_until(&attempt.done);
    *why = attempt.why;
    if (attempt.fd < 0) {
        return 0;
    }
    assert_int_equal(getpeername(attempt.fd, (struct sockaddr *)&in, &len), 0);
    close(attempt.fd);
    return ntohs(in.sin_port);
}

static int set_up(void **state)
{
    struct ks_failure why;

    (void)state;
    memset(ports, 0, sizeof(ports));
    atomic_store(&lookups, 0);
    atomic_store(&answers, true);
    assert_int_equal(reactor_open(&reactor, "dialer", &why), KS_OK);
    dialer = dialer_open(reactor);
    assert_int_equal(reactor_start(reactor, &why), KS_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    reactor_stop(reactor);
    dialer_close(dialer);
    reactor_close(reactor);
    atomic_store(&answers, true); /* for a look-up that is still under way */
    return 0;
}

static void addresses_are_tried_in_turn(void **state)
{
    struct ks_failure why;

    (void)state;
    ports[0] = refusing_port;
    ports[1] = good_port;
    assert_int_equal(dial("name:1", 60000, &why), good_port);
    ports[1] = 0;
    assert_int_equal(dial("name:1", 60000, &why), 0);
    assert_string_equal(why.text, "Connection refused");
    assert_int_equal(atomic_load(&lookups), 2);
}

/* One that says nothing leaves time for the others. */
static void a_mute_address_takes_its_share_only(void **state)
{
    struct ks_failure why;

    (void)state;
    ports[0] = mute_port;
    ports[1] = good_port;
    assert_int_equal(dial("name:1", 2000, &why), good_port);
    ports[1] = mute_port;
    assert_int_equal(dial("name:1", 100, &why), 0);
    assert_string_equal(why.text, "Connection timed out");
}

static void a_number_is_not_looked_up(void **state)
{
    struct ks_failure why;

    (void)state;
    ports[0] = good_port;
    assert_int_equal(dial("127.0.0.1:1", 60000, &why), good_port);
    assert_int_equal(atomic_load(&lookups), 0);
}

/* While a look-up hangs no other is begun, and numbers are connected to all the same. */
static void a_look_up_that_does_not_end_is_the_only_one(void **state)
{
    struct ks_failure why = {0};
    int64_t until = clock_monotonic_ms() + 60000;

    (void)state;
    ports[0] = good_port;
    atomic_store(&answers, false);
    assert_int_equal(dial("name:1", 50, &why), 0);
    assert_string_equal(why.text, "the look-up of the name timed out");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(dial("name:1", 60000, &why), 0);
        assert_string_equal(why.text, "an earlier look-up of a name has not ended");
    }
    assert_int_equal(dial("127.0.0.1:1", 60000, &why), good_port);
    while (atomic_load(&lookups) == 0) { /* its thread may begin late */
        assert_true(clock_monotonic_ms() < until);
        (void)usleep(1000);
    }
    assert_int_equal(atomic_load(&lookups), 1);
    atomic_store(&answers, true);
    while (dial("name:1", 60000, &why) != good_port) {
        assert_true(clock_monotonic_ms() < until);
    }
    assert_int_equal(atomic_load(&lookups), 2);
}

static void it_ends_while_a_look_up_hangs(void **state)
{
    struct ks_failure why;

    (void)state;
    atomic_store(&answers, false);
    assert_int_equal(dial("name:1", 20, &why), 0);
    /* tear_down */
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(addresses_are_tried_in_turn),   CASE(a_mute_address_takes_its_share_only),
        CASE(a_number_is_not_looked_up),     CASE(a_look_up_that_does_not_end_is_the_only_one),
        CASE(it_ends_while_a_look_up_hangs),
    };

    return cmocka_run_group_tests(tests, open_all, close_all);
}
