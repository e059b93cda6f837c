#include "http/call.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/counters.h"
#include "base/log.h"
#include "http/cors.h"
#include "http/head.h"
#include "http/path.h"
#include "http/reply.h"
#include "http/route.h"
#include "net/reactor.h"
#include "service/answer.h"
#include "service/authority.h"
#include "service/management.h"
#include "service/search_worker.h"

enum { ADDRESS_MAX = 512, WATCH_MS = 250 };

struct call {
    struct login login;       /* first */
    struct reactor_post post; /* brings back a write */
    struct call_context *context;
    struct evhttp_request *request;
    struct path path;
    enum path_verdict path_verdict;
    struct route route;
    enum route_verdict route_verdict;
    struct identity *who;                /* NULL: everyone may do everything */
    struct management_response response; /* of a write or search, from another thread */
    struct reactor_timer watch;          /* of a search: whether its client is still there */
    _Atomic bool dropped;                /* it is not; the search thread looks here */
};

/* ---- answers ---- */

static const char *header_of(const struct call *call, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(call->request), name);
}

static bool is_gone(const struct call *call)
{
    return evhttp_request_get_connection(call->request) == NULL;
}

static void call_free(struct call *call)
{
    atomic_fetch_sub(&call->context->in_flight, 1);
    reactor_timer_done(&call->watch);
    identity_unref(call->who);
    management_response_done(&call->response);
    free(call);
}

/* The server closes: it frees what still has a connection. */
static void drop(struct call *call)
{
    if (is_gone(call)) {
        evhttp_request_free(call->request);
    }
    call_free(call);
}

static void refuse(struct call *call, int status, const char *reason, const char *text)
{
    reply_error(call->request, status, reason, text);
    call_free(call);
}

static void answer_empty(struct call *call, int status)
{
    reply_json(call->request, status, span_of(NULL, 0));
    call_free(call);
}

static const char *method_name(const struct call *call)
{
    switch ((int)evhttp_request_get_command(call->request)) {
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    default:
        return "other";
    }
}

static const char *peer_address(const struct call *call)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(call->request);
    char *address = NULL;
    ev_uint16_t port = 0;

    if (connection != NULL) {
        evhttp_connection_get_peer(connection, &address, &port);
    }
    return address != NULL ? address : "gone";
}

/* Changes and failures are logged where they become an answer. */
static void log_answer(const struct call *call, const struct management_response *response)
{
    struct log_text target;
    struct log_text body;
    const char *uri = evhttp_request_get_uri(call->request);

    if (atomic_load(&call->dropped)) {
        log_debug("search-dropped", "target=%s", log_text(&target, span_cstr(uri)));
    } else if (response->status >= 500) {
        log_warn("request-failed", "status=%d target=%s answer=%s", response->status,
                 log_text(&target, span_cstr(uri)), log_text(&body, buf_span(&response->body)));
    } else if (response->status < 300 && call->route.writes) {
        struct log_text who;

        log_info("registry-changed", "method=%s status=%d target=%s user=%s peer=%s",
                 method_name(call), response->status, log_text(&target, span_cstr(uri)),
                 log_text(&who, span_cstr(call->who != NULL ? identity_name(call->who) : "")),
                 peer_address(call));
    }
}

static void finish(struct call *call, struct management_response *response)
{
    log_answer(call, response);
    reply_response(call->request, response);
    call_free(call);
}

/* ---- the operation ---- */

static void written_on_reactor(struct reactor_post *post, bool discard)
{
    void *start = (char *)post - offsetof(struct call, post);
    struct call *call = start;

    if (discard) {
        drop(call);
    } else {
        finish(call, &call->response);
    }
}

/* On a thread of the pool, the writer or the searches, or on the reactor from within
 * management_write or search_begin. */
static void written(void *arg, struct management_response *response)
{
    struct call *call = arg;

    buf_done(&call->response.body);
    call->response = *response;
    buf_init(&response->body, 0); /* swapped out */
    call->post.run = written_on_reactor;
    reactor_post(call->context->options->reactor, &call->post);
}

static struct span trimmed(struct span text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text = span_of(text.ptr + 1, text.len - 1);
    }
    return text;
}

/* evhttp does not read while a request is served, and so sees no end of the connection. A client
 * that has shut down only its own side is taken for gone too: few do, and only a long search ends
 * early by it. */
static void watch_client(void *arg)
{
    struct call *call = arg;
    struct evhttp_connection *connection = evhttp_request_get_connection(call->request);
    struct pollfd socket = {.events = POLLRDHUP};

    if (connection != NULL) {
        socket.fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
    }
    if (connection == NULL || poll(&socket, 1, 0) != 0) {
        atomic_store(&call->dropped, true); /* its answer comes all the same */
        return;
    }
    reactor_timer_set(&call->watch, WATCH_MS);
}

static void search(struct call *call, const struct management_request *request)
{
    const struct http_options *options = call->context->options;

    reactor_timer_init(&call->watch, options->reactor, watch_client, call);
    reactor_timer_set(&call->watch, WATCH_MS);
    search_begin(options->service->search, request, &call->dropped, written, call);
}

static void operate(struct call *call, struct span body)
{
    const struct management_request request = {
        .op = call->route.op,
        .tenant_id = call->route.tenant,
        .device_id = call->route.device,
        .query = path_query(span_cstr(evhttp_request_get_uri(call->request))),
        .body = body,
        .if_match = trimmed(span_cstr(header_of(call, "If-Match"))),
    };
    struct service_reader *reader = call->context->reader;
    struct ks_failure why = {0};
    enum ks_status st;

    if (call->route.searches) {
        search(call, &request);
        return;
    }
    if (call->route.writes) {
        management_write(call->context->options->service, &request, written, call);
        return;
    }
    st = service_reader_renew(reader, &why);
    if (st != KS_OK) {
        management_refuse(&call->response, answer_status_code(st), why.reason, why.text);
    } else {
        management_read(reader, &request, &call->response);
    }
    service_reader_rest(reader);
    finish(call, &call->response);
}

/* ---- the body ---- */

/* application/json, any parameters behind ';', but no blank before it (as Hono). */
static bool is_json(const char *type)
{
    static const char json[] = "application/json";
    size_t n = sizeof(json) - 1;

    return type != NULL && strncasecmp(type, json, n) == 0 && (type[n] == '\0' || type[n] == ';');
}

/* A mark that tells the encoding is no part of the text. */
static struct span without_mark(struct span text)
{
    static const char mark[] = "\xEF\xBB\xBF";
    size_t n = sizeof(mark) - 1;

    return text.len > n && memcmp(text.ptr, mark, n) == 0 ? span_of(text.ptr + n, text.len - n)
                                                          : text;
}

static void take_body(struct call *call)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(call->request);
    size_t max = call->context->options->max_payload;
    size_t len = evbuffer_get_length(in);

    if (!call->route.takes_body) {
        operate(call, span_of(NULL, 0)); /* a body means nothing here */
        return;
    }
    if (len > max || header_of(call, HEAD_TOO_LARGE) != NULL) {
        char text[96];

        (void)snprintf(text, sizeof(text),
                       "the body has more than the %zu bytes of http.max-payload", max);
        refuse(call, 413, "payload-too-large", text);
        return;
    }
    if (header_of(call, HEAD_EXPECTS) != NULL) {
        refuse(call, 417, "expectation-failed", "only 100-continue can be expected");
        return;
    }
    if (call->route.needs_body || len > 0) {
        if (!is_json(header_of(call, "Content-Type"))) {
            refuse(call, 400, "bad-request", "the Content-Type must be application/json");
            return;
        }
        if (len == 0) {
            refuse(call, 400, "bad-request", "Empty body");
            return;
        }
    }
    operate(call,
            len == 0 ? span_of(NULL, 0) : without_mark(span_of(evbuffer_pullup(in, -1), len)));
}

/* ---- who may ---- */

/* `/v1/tenants` itself belongs to who may manage all tenants, everything below a tenant to who may
 * manage that one. Asked before anything is looked up: 403 comes before existence. */
static bool may(const struct call *call)
{
    char text[ADDRESS_MAX];
    struct address address;
    struct span tenant = call->route.tenant;
    int n;

    if (call->who == NULL) {
        return true;
    }
    if (tenant.len > 0 && memchr(tenant.ptr, '/', tenant.len) != NULL) {
        tenant = span_of("*", 1); /* no tenant has such an id */
    }
    n = snprintf(text, sizeof(text), "management/%.*s", tenant.len > 0 ? (int)tenant.len : 1,
                 tenant.len > 0 ? tenant.ptr : "*");
    return n > 0 && (size_t)n < sizeof(text) && address_parse(span_cstr(text), &address) &&
           identity_may_use(call->who, &address, call->route.writes ? 'W' : 'R');
}

/* ---- browsers of other origins ---- */

static const char *origin_of(const struct call *call)
{
    return header_of(call, "Origin");
}

/* False: answered. */
static bool check_origin(struct call *call)
{
    const struct cors *cors = call->context->cors;
    const char *origin = origin_of(call);
    bool all = cors_allows_all(cors);

    if (!all) {
        reply_header(call->request, "vary", "origin");
    }
    if (origin == NULL) {
        return true;
    }
    if (!cors_allows(cors, origin)) {
        refuse(call, 403, "invalid-origin", "CORS Rejected - Invalid origin");
        return false;
    }
    reply_header(call->request, "access-control-allow-origin", all ? "*" : origin);
    return true;
}

/* A browser asks whether it may ask. */
static bool is_preflight(const struct call *call)
{
    return evhttp_request_get_command(call->request) == EVHTTP_REQ_OPTIONS &&
           origin_of(call) != NULL && header_of(call, "Access-Control-Request-Method") != NULL;
}

/* ---- path and method ---- */

static enum http_method method_of(const struct evhttp_request *request)
{
    switch ((int)evhttp_request_get_command(request)) {
    case EVHTTP_REQ_GET:
        return HTTP_GET;
    case EVHTTP_REQ_POST:
        return HTTP_POST;
    case EVHTTP_REQ_PUT:
        return HTTP_PUT;
    case EVHTTP_REQ_DELETE:
        return HTTP_DELETE;
    default:
        return HTTP_OTHER;
    }
}

static void find_route(struct call *call)
{
    const char *uri = evhttp_request_get_uri(call->request);

    call->path_verdict = path_parse(span_cstr(uri), &call->path);
    call->route_verdict = ROUTE_UNKNOWN_PATH;
    if (call->path_verdict == PATH_OK) {
        call->route_verdict = route_find(&call->path, method_of(call->request), &call->route);
    }
}

/* False: answered. */
static bool check_path(struct call *call)
{
    switch (call->path_verdict) {
    case PATH_OK:
    case PATH_UNKNOWN:
        break;
    case PATH_MALFORMED:
        refuse(call, 400, "bad-request",
               "the path holds a malformed escape or a control character");
        return false;
    case PATH_TOO_LONG:
        refuse(call, 414, "bad-request", "the request target is longer than 4096 bytes");
        return false;
    }
    if (call->route_verdict == ROUTE_UNKNOWN_PATH) {
        refuse(call, 404, "unknown-path", "there is nothing at this path");
        return false;
    }
    return true;
}

static void answer_preflight(struct call *call)
{
    char methods[sizeof(call->route.allow)];
    size_t len = 0;

    if (!check_path(call) || !check_origin(call)) {
        return;
    }
    for (const char *at = call->route.allow; *at != '\0'; at++) {
        if (*at != ' ') {
            methods[len++] = *at;
        }
    }
    methods[len] = '\0';
    reply_header(call->request, "access-control-allow-methods", methods);
    reply_header(call->request, "access-control-allow-headers",
                 "content-type,authorization,if-match");
    answer_empty(call, 204);
}

/* The order of these checks is Hono's; authority comes before anything that tells what there is. */
static void proceed(struct call *call)
{
    if (!check_path(call) || !check_origin(call)) {
        return;
    }
    if (origin_of(call) != NULL) {
        reply_header(call->request, "access-control-expose-headers", "etag");
    }
    if (call->route_verdict == ROUTE_UNKNOWN_METHOD) {
        if (evhttp_request_get_command(call->request) != EVHTTP_REQ_HEAD) {
            reply_header(call->request, "allow", call->route.allow);
        }
        answer_empty(call, 405);
        return;
    }
    if (!may(call)) {
        refuse(call, 403, "not-authorized", "not authorized");
        return;
    }
    take_body(call);
}

/* Consoles read it before anybody has logged in; it says nothing of what is registered. */
static void answer_description(struct call *call)
{
    if (check_origin(call)) {
        reply_json(call->request, 200, call->context->description);
        call_free(call);
    }
}

/* ---- login ---- */

/* A script in a browser asks itself; the browser's own dialog would get in its way. */
static void challenge(struct call *call)
{
    const char *by = is_gone(call) ? NULL : header_of(call, "X-Requested-With");

    if (by == NULL || strcmp(by, "XMLHttpRequest") != 0) {
        reply_header(call->request, "www-authenticate", "Basic realm=\"Hono\"");
    }
    refuse(call, 401, "unauthorized", "Unauthorized");
}

static void logged_in(struct login *login, enum login_outcome outcome, struct identity *who)
{
    struct call *call = (struct call *)login;

    call->who = who;
    switch (outcome) {
    case LOGIN_OK:
        if (is_gone(call)) {
            drop(call);
        } else {
            proceed(call);
        }
        break;
    case LOGIN_MISSING:
    case LOGIN_REFUSED:
        challenge(call);
        break;
    case LOGIN_MALFORMED:
        refuse(call, 400, "bad-request", "the Authorization header cannot be read");
        break;
    case LOGIN_BUSY:
        refuse(call, 503, "busy", "too many logins; try again");
        break;
    case LOGIN_DROPPED:
        drop(call);
        break;
    }
}

static void authenticate(struct call *call)
{
    const struct login_request request = {.authorization = header_of(call, "Authorization"),
                                          .peer = peer_address(call)};

    if (!call->context->options->authentication) {
        proceed(call);
        return;
    }
    login_begin(&call->login, &call->context->logins, &request, logged_in);
}

/* ---- the beginning ---- */

void call_begin(struct call_context *context, struct evhttp_request *request)
{
    struct call *call = calloc(1, sizeof(*call));

    if (call == NULL) {
        abort();
    }
    counters_add(reactor_counters(context->options->reactor), COUNTER_HTTP_REQUESTS, 1);
    atomic_fetch_add(&context->in_flight, 1);
    call->context = context;
    call->request = request;
    management_response_init(&call->response);
    if (request->minor > 0 && header_of(call, "Host") == NULL) {
        refuse(call, 400, "bad-request", "a request of HTTP/1.1 has a Host header");
        return;
    }
    find_route(call);
    if (is_preflight(call)) {
        answer_preflight(call);
    } else if (call->route_verdict == ROUTE_OK && call->route.describes) {
        answer_description(call);
    } else {
        authenticate(call);
    }
}
