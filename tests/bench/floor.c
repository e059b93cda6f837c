/*
 * floor: the AMQP server as the service has it - reactors, SASL, guard, engine, links, codec -
 * where every request gets an answer of a given length without a look at the store. What the
 * service costs beyond this is its own.
 *
 *     floor DIR PERMISSIONS BODY-BYTES THREADS
 *
 * Prints the port on standard output and serves until standard input ends. DIR gets an empty store:
 * each request still renews the reactor's read transaction.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/api.h"
#include "amqp/server.h"
#include "base/log.h"
#include "base/pool.h"
#include "net/reactor.h"
#include "service/accounts.h"
#include "store/lmdb/lmdb_kv.h"
#include "store/store.h"

enum { THREADS_MAX = 64 };

static struct ks_failure why;
static char *body;
static size_t body_len;

static void need(enum ks_status st, const char *what)
{
    if (st != KS_OK) {
        (void)fprintf(stderr, "floor: %s: %s %s\n", what, ks_status_name(st), why.text);
        exit(1);
    }
}

static enum ks_status answer_at_once(const struct api_call *call, struct answer *answer,
                                     struct provisioning_plan *plan)
{
    (void)call;
    (void)plan;
    answer->status = 200;
    answer->max_age_s = 180;
    buf_add(&answer->body, body, body_len);
    return KS_OK;
}

static const struct api tenant = {
    .endpoint = "tenant", .reply_segments = 2, .handle = answer_at_once};
static const struct api credentials = {
    .endpoint = "credentials", .reply_segments = 3, .handle = answer_at_once};
static const struct api registration = {
    .endpoint = "registration", .reply_segments = 3, .handle = answer_at_once};
static const struct api *const apis[] = {&tenant, &credentials, &registration, NULL};

int main(int argc, char **argv)
{
    struct lmdb_kv_options kv_options = {.map_size = (uint64_t)1 << 30, .max_readers = 80};
    struct reactor *reactors[THREADS_MAX];
    struct service service = {0};
    struct amqp_options options = {.listen = "127.0.0.1:0",
                                   .service = &service,
                                   .reactors = reactors,
                                   .limits = amqp_default_limits,
                                   .apis = apis};
    struct amqp_server *server;
    struct kv *kv;

    if (argc != 5) {
        (void)fprintf(stderr, "usage: floor DIR PERMISSIONS BODY-BYTES THREADS\n");
        return 64;
    }
    log_setup(LOG_LEVEL_WARN, false);
    (void)signal(SIGPIPE, SIG_IGN);
    body_len = strtoul(argv[3], NULL, 10);
    body = malloc(body_len + 1);
    if (body == NULL) {
        return 1;
    }
    memset(body, 'x', body_len);
    kv_options.dir = argv[1];
    need(lmdb_kv_open(&kv, &kv_options, &why), argv[1]);
    need(store_open(&service.store, kv, &why), "open the store");
    need(accounts_open(&options.accounts, argv[2], pool_open(1, 256), &why), argv[2]);
    options.reactor_count = strtoul(argv[4], NULL, 10);
    for (size_t i = 0; i < options.reactor_count && i < THREADS_MAX; i++) {
        need(reactor_open(&reactors[i], "floor", &why), "reactor");
    }
    need(amqp_server_open(&server, &options, &why), "listen");
    for (size_t i = 0; i < options.reactor_count; i++) {
        need(reactor_start(reactors[i], &why), "start");
    }
    (void)printf("%s\n", amqp_server_bound(server)->text);
    (void)fflush(stdout);
    (void)getchar();
    _exit(0); /* nothing in it is worth a clean end */
}
