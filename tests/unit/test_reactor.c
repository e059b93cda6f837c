/* Reactors: posts, timers, streams over a socket pair, discarded posts. */
#include "support/test.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/address.h"
#include "net/reactor.h"
#include "net/stream.h"

enum { POSTS = 1000, POSTERS = 4, BUSY_TURNS = 1000000 };

static struct reactor *reactor;
static sem_t done;
static unsigned runs; /* on the reactor's thread, or after it was joined */
static unsigned discards;

static int set_up(void **state)
{
    (void)state;
    runs = 0;
    discards = 0;
    assert_int_equal(sem_init(&done, 0, 0), 0);
    assert_ok(reactor_open(&reactor, "test", why));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    reactor_close(reactor);
    return 0;
}

static void count_post(struct reactor_post *post, bool discard)
{
    if (discard) {
        discards++;
    } else {
        assert_true(reactor_is_current(reactor));
        runs++;
        if (runs == POSTS * POSTERS) {
            sem_post(&done);
        }
    }
    free(post);
}

static void *post_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < POSTS; i++) {
        struct reactor_post *post = calloc(1, sizeof(*post));

        post->run = count_post;
        reactor_post(reactor, post);
    }
    return NULL;
}

static void posts_of_many_threads_all_run(void **state)
{
    pthread_t thread[POSTERS];

    (void)state;
    assert_false(reactor_is_current(reactor));
    assert_ok(reactor_start(reactor, why));
    for (int i = 0; i < POSTERS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, post_many, NULL), 0);
    }
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(thread[i], NULL);
    }
    sem_wait(&done);
    reactor_stop(reactor);
    assert_int_equal(runs, POSTS * POSTERS);
    assert_int_equal(discards, 0);
}

static void posts_to_a_stopped_reactor_are_discarded(void **state)
{
    (void)state;
    (void)post_many(NULL);
    reactor_stop(reactor); /* it never ran */
    assert_int_equal(runs, 0);
    assert_int_equal(discards, POSTS);
}

static void on_timer(void *arg)
{
    (void)arg;
    sem_post(&done);
}

static void a_timer_fires_once_on_its_thread(void **state)
{
    struct reactor_timer timer;

    (void)state;
    reactor_timer_init(&timer, reactor, on_timer, NULL);
    reactor_timer_set(&timer, 1);
    assert_ok(reactor_start(reactor, why));
    sem_wait(&done);
    reactor_stop(reactor);
    assert_int_equal(sem_trywait(&done), -1);
    reactor_timer_done(&timer);
}

/* Its socket is always readable, and at each turn it arms its timer for one and the same time. */
struct busy {
    struct reactor_timer timer;
    struct stream *stream;
    int64_t by;
    unsigned turns;
    bool fired;
};

static void busy_turn(void *arg)
{
    struct busy *busy = arg;

    if (!busy->fired && ++busy->turns < BUSY_TURNS) {
        reactor_timer_set(&busy->timer, busy->by - clock_monotonic_ms());
    } else {
        stream_want_read(busy->stream, false);
        sem_post(&done);
    }
}

static void busy_timer(void *arg)
{
    struct busy *busy = arg;

    busy->fired = true;
}

static void a_timer_that_is_armed_at_each_turn_fires(void **state)
{
    static const struct stream_handler handler = {.readable = busy_turn, .writable = busy_turn};
    struct busy busy = {.by = clock_monotonic_ms() + 30};
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    reactor_timer_init(&busy.timer, reactor, busy_timer, &busy);
    busy.stream = stream_open(reactor, ends[0], NULL, &handler, &busy);
    assert_ok(reactor_start(reactor, why));
    sem_wait(&done);
    reactor_stop(reactor);
    assert_true(busy.turns < BUSY_TURNS); /* it fired while there was always something to read */
    stream_close(busy.stream);
    reactor_timer_done(&busy.timer);
    close(ends[1]);
}

/* ---- streams ---- */

struct echo {
    struct stream *stream;
    char bytes[4096];
    size_t len;
};

static void echo_readable(void *arg)
{
    struct echo *echo = arg;
    size_t n = 0;

    switch (stream_read(echo->stream, echo->bytes, sizeof(echo->bytes), &n)) {
    case STREAM_OK: {
        size_t written = 0;

        assert_int_equal(stream_write(echo->stream, echo->bytes, n, &written), STREAM_OK);
        assert_int_equal(written, n);
        break;
    }
    case STREAM_AGAIN:
        break;
    case STREAM_END:
    case STREAM_ERROR:
        stream_close(echo->stream);
        echo->stream = NULL;
        sem_post(&done);
        break;
    }
}

static void echo_writable(void *arg)
{
    (void)arg;
}

static void a_stream_moves_bytes_and_tells_of_the_end(void **state)
{
    static const struct stream_handler handler = {.readable = echo_readable,
                                                  .writable = echo_writable};
    struct echo echo = {0};
    char back[6] = "";
    int fd[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    echo.stream = stream_open(reactor, fd[0], NULL, &handler, &echo);
    assert_ok(reactor_start(reactor, why));
    assert_int_equal(write(fd[1], "hello", 5), 5);
    assert_int_equal(recv(fd[1], back, 5, MSG_WAITALL), 5);
    assert_string_equal(back, "hello");
    close(fd[1]);
    sem_wait(&done);
    reactor_stop(reactor);
    assert_null(echo.stream);
}

static void addresses_are_checked(void **state)
{
    static const char *const good[] = {"127.0.0.1:5672", "[::1]:0", "localhost:65535"};
    static const char *const bad[] = {
        ":5672",    "127.0.0.1",    "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
        "::1:5672", "127.0.0.1:1x", "",           "[]:1"};
    struct net_address_text bound;
    struct ks_failure why;
    int fd = -1;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(net_address_check(good[i], &why), KS_OK);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (net_address_check(bad[i], &why) != KS_INVALID) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    assert_int_equal(net_listen("127.0.0.1:0", &fd, &bound, &why), KS_OK);
    assert_int_equal(strncmp(bound.text, "127.0.0.1:", 10), 0);
    assert_int_not_equal(net_listen(bound.text, &fd, &bound, &why), KS_OK); /* in use */
    close(fd);
}

/* 4,096, or what the kernel allows: of a listening socket it tells the length of its queue here. */
static void a_fleet_fits_into_the_queue_of_a_listener(void **state)
{
    struct net_address_text bound;
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    unsigned most = 4096;
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
    int fd = -1;

    (void)state;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%u", &most), 1);
    (void)fclose(file);
    assert_ok(net_listen("127.0.0.1:0", &fd, &bound, why));
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    assert_int_equal(info.tcpi_sacked, most < 4096 ? most : 4096);
    close(fd);
}

static void a_socket_that_has_met_itself_is_known(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    struct net_address_text bound;
    int listening = -1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    assert_false(net_is_own_peer(fd)); /* not connected */
    assert_int_equal(connect(fd, (struct sockaddr *)&at, len), 0);
    assert_true(net_is_own_peer(fd));
    close(fd);

    assert_ok(net_listen("127.0.0.1:0", &listening, &bound, why));
    assert_ok(net_connect(bound.text, 30000, &fd, why));
    assert_false(net_is_own_peer(fd));
    close(fd);
    close(listening);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(posts_of_many_threads_all_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(posts_to_a_stopped_reactor_are_discarded, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_timer_fires_once_on_its_thread, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_timer_that_is_armed_at_each_turn_fires, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_stream_moves_bytes_and_tells_of_the_end, set_up,
                                        tear_down),
        cmocka_unit_test(addresses_are_checked),
        cmocka_unit_test(a_fleet_fits_into_the_queue_of_a_listener),
        cmocka_unit_test(a_socket_that_has_met_itself_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
