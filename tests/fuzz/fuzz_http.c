/*
 * The management API as it runs: real sockets, evhttp, service and store; only the reactor's loop
 * turns in here. Whatever is sent, in whatever pieces: what comes back is a row of whole answers of
 * ours (evhttp never answers by itself), the connection ends once the peer has ended its side, and
 * another connection is served.
 *
 * The first byte says how long the pieces are, the rest is sent.
 *
 * Covers: http/head.c http/inlet.c http/path.c http/route.c http/reply.c
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <ftw.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/pool.h"
#include "http/server.h"
#include "net/reactor.h"
#include "service/management.h"
#include "service/search_worker.h"
#include "service/service.h"
#include "store/kv.h"
#include "store/lmdb/lmdb_kv.h"
#include "store/store.h"
#include "store/writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 256 << 10, PIECES_MAX = 64, ANSWERS_MAX = 4 << 20, PATIENCE_MS = 60000 };

static char folder[64];
static struct store *store;
static struct service service;
static struct reactor *reactor;
static struct http_server *server;
static struct sockaddr_in address;

/* ---- what it runs on ---- */

static void must(bool fine, const char *what)
{
    if (!fine) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static int remove_one(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
    (void)stat;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void remove_folder(void)
{
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static enum ks_status always(void *arg, struct ks_failure *why)
{
    (void)arg;
    (void)why;
    return KS_OK;
}

static void open_store(void)
{
    struct lmdb_kv_options options = {.map_size = UINT64_C(256) << 20, .max_readers = 16};
    struct writer_options writer = {.lane_depth = 1024};
    struct kv *kv = NULL;

    (void)snprintf(folder, sizeof(folder), "%s/koseki-fuzz-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(folder) != NULL && atexit(remove_folder) == 0, "no folder");
    options.dir = folder;
    writer.dir = folder;
    must(lmdb_kv_open(&kv, &options, NULL) == KS_OK, "no engine");
    must(store_open(&store, kv, NULL) == KS_OK, "no store");
    service = (struct service){.store = store, .max_bcrypt_cost = 4};
    must(writer_open(&service.writer, store, &writer, NULL) == KS_OK, "no writer");
    service.pool = pool_open(1, 64);
    must(search_worker_open(&service.search, store, &search_default_limits, NULL) == KS_OK,
         "no search");
}

static void open_server(void)
{
    struct http_options options = {.listen = "127.0.0.1:0",
                                   .cors_allowed_origin = "http://[a-z]+",
                                   .service = &service,
                                   .max_payload = 4096,
                                   .max_connections = 64,
                                   .health = {.ready = always, .started = always}};
    const char *port;

    must(reactor_open(&reactor, "fuzz", NULL) == KS_OK, "no reactor");
    options.reactor = reactor;
    must(http_server_open(&server, &options, NULL) == KS_OK, "no server");
    port = strrchr(http_server_bound(server)->text, ':');
    address = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void answered(void *arg, struct management_response *response)
{
    (void)response;
    must(sem_post(arg) == 0, "semaphore");
}

static void write_now(const struct management_request *request)
{
    sem_t done;

    must(sem_init(&done, 0, 0) == 0, "semaphore");
    management_write(&service, request, answered, &done);
    while (sem_wait(&done) != 0) {
    }
    (void)sem_destroy(&done);
}

/* Every input finds the same: one tenant with one device. */
static void start_over(void)
{
    struct management_request make = {
        .op = MANAGEMENT_TENANT_CREATE, .tenant_id = SPAN("T"), .device_id = SPAN("D")};
    struct store_txn *txn = NULL;
    struct store_tenant tenant = {.space = 0};

    must(store_reader_open(store, &txn, NULL) == KS_OK, "no reader");
    for (;;) {
        must(store_reader_renew(txn, NULL) == KS_OK, "no snapshot");
        if (store_tenant_next(txn, span_of(NULL, 0), &tenant, NULL) != KS_OK) {
            break;
        }
        write_now(
            &(struct management_request){.op = MANAGEMENT_TENANT_DELETE, .tenant_id = tenant.id});
    }
    store_reader_close(txn);
    write_now(&make);
    make.op = MANAGEMENT_DEVICE_CREATE;
    write_now(&make);
}

/* ---- a client ---- */

struct client {
    int fd;
    bool ended; /* by the server */
    int64_t until;
    struct buf seen;
};

static void turn(struct client *client, int how)
{
    char bytes[4096];
    ssize_t n;

    must(clock_monotonic_ms() < client->until, "the connection does not end");
    must(event_base_loop(reactor_base(reactor), how) >= 0, "no loop");
    while (!client->ended && (n = recv(client->fd, bytes, sizeof(bytes), 0)) != -1) {
        client->ended = n == 0;
        buf_add(&client->seen, bytes, (size_t)n);
    }
    client->ended = client->ended || (errno != EAGAIN && errno != EINTR);
}

static void client_open(struct client *client)
{
    *client = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                              .until = clock_monotonic_ms() + PATIENCE_MS};
    buf_init(&client->seen, ANSWERS_MAX);
    must(client->fd >= 0 &&
             connect(client->fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
             fcntl(client->fd, F_SETFL, O_NONBLOCK) == 0,
         "no connection");
}

static void client_send(struct client *client, struct span text)
{
    while (text.len > 0 && !client->ended) {
        ssize_t n = send(client->fd, text.ptr, text.len, MSG_NOSIGNAL);

        if (n > 0) {
            text = span_of(text.ptr + n, text.len - (size_t)n);
        } else if (errno != EAGAIN && errno != EINTR) {
            return; /* it has had enough */
        }
        turn(client, n > 0 ? EVLOOP_NONBLOCK : EVLOOP_ONCE);
    }
}

static void client_finish(struct client *client)
{
    (void)shutdown(client->fd, SHUT_WR);
    while (!client->ended) {
        turn(client, EVLOOP_ONCE);
    }
    must(!client->seen.overflow, "too many answers");
}

static void client_close(struct client *client)
{
    close(client->fd);
    buf_done(&client->seen);
}

/* ---- what must hold ---- */

static const char *find(struct span text, const char *part)
{
    return text.len == 0 ? NULL : memmem(text.ptr, text.len, part, strlen(part));
}

static size_t length_of(struct span head)
{
    const char *at = find(head, "\r\ncontent-length: ");

    return at == NULL ? 0 : strtoul(at + strlen("\r\ncontent-length: "), NULL, 10);
}

static struct span check_answer(struct span rest)
{
    const char *end = find(rest, "\r\n\r\n");
    struct span head;
    struct span body;

    must(end != NULL && memcmp(rest.ptr, "HTTP/1.", 7) == 0 && rest.ptr[8] == ' ', "no answer");
    head = span_of(rest.ptr, (size_t)(end - rest.ptr) + 4);
    body = span_of(head.ptr + head.len, length_of(head));
    must(head.len + body.len <= rest.len, "half an answer");
    must(find(head, "text/html") == NULL, "evhttp answered by itself");
    /* the client ends its side: a search that is still under way after a while is given up */
    must(memcmp(head.ptr + 9, "50", 2) != 0 || find(body, "\"reason\":\"busy\"") != NULL ||
             find(body, "\"nobody waits for the answer\"") != NULL,
         "a 500");
    if (body.len > 0) {
        must(find(head, "\r\ncontent-type: application/json; charset=utf-8\r\n") != NULL &&
                 (body.ptr[0] == '{' || body.ptr[0] == '['),
             "no JSON");
    }
    return span_of(head.ptr + head.len + body.len, rest.len - head.len - body.len);
}

static void check_answers(const struct client *client)
{
    struct span rest = buf_span(&client->seen);

    while (rest.len > 0) {
        rest = check_answer(rest);
    }
}

static void check_served(void)
{
    struct client client;

    client_open(&client);
    client_send(&client, SPAN("GET /v1/tenants/none HTTP/1.1\r\nHost: h\r\n\r\n"));
    client_finish(&client);
    must(find(buf_span(&client.seen), "HTTP/1.1 404 Not Found\r\n") != NULL ||
             find(buf_span(&client.seen), "HTTP/1.1 200 OK\r\n") != NULL,
         "nobody is served");
    client_close(&client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct client client;
    size_t piece;

    if (size < 2 || size > INPUT_MAX) {
        return 0;
    }
    if (server == NULL) {
        log_setup(LOG_LEVEL_ERROR, false);
        open_store();
        open_server();
    }
    start_over();
    piece = data[0] == 0 ? size : data[0];
    piece = piece < size / PIECES_MAX ? size / PIECES_MAX : piece;
    client_open(&client);
    for (size_t at = 1; at < size; at += piece) {
        client_send(&client, span_of(data + at, piece < size - at ? piece : size - at));
    }
    client_finish(&client);
    check_answers(&client);
    client_close(&client);
    check_served();
    return 0;
}
