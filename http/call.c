#include "http/call.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/queue.h>

#include "base/base64.h"
#include "base/counters.h"
#include "base/log.h"
#include "http/framing.h"
#include "http/path.h"
#include "http/route.h"
#include "net/address.h"
#include "net/reactor.h"
#include "service/accounts.h"
#include "service/answer.h"
#include "service/authority.h"
#include "service/management.h"

enum { CREDENTIALS_MAX = 1024, ADDRESS_MAX = 512 };

struct call {
    struct reactor_post post; /* first */
    struct call_context context;
    struct evhttp_request *request;
    struct path path;
    struct route route;
    enum ks_status login;                /* of the login */
    struct identity *who;                /* NULL: everyone may do everything */
    struct management_response response; /* of a write, from another thread */
};

/* ---- answers ---- */

static const char *phrase_of(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Payload Too Large"},
        {414, "URI Too Long"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
    };

    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return "Unknown";
}

static void add_header(struct evhttp_request *request, const char *name, const char *value)
{
    (void)evhttp_add_header(evhttp_request_get_output_headers(request), name, value);
}

void call_reply(struct evhttp_request *request, int status, struct span body, bool close)
{
    struct evbuffer *out;

    if (evhttp_request_get_connection(request) == NULL) {
        evhttp_request_free(request); /* the peer has gone */
        return;
    }
    out = evbuffer_new();
    if (out == NULL || evbuffer_add(out, body.ptr, body.len) != 0) {
        abort();
    }
    if (body.len > 0) {
        add_header(request, "Content-Type", "application/json; charset=utf-8");
    }
    if (close) {
        add_header(request, "Connection", "close");
    }
    evhttp_send_reply(request, status, phrase_of(status), out);
    evbuffer_free(out);
}

static void reply_response(struct evhttp_request *request, struct management_response *response,
                           bool close)
{
    if (response->has_etag) {
        char etag[UUID_TEXT_LEN + 1];

        uuid_format(&response->etag, etag);
        add_header(request, "ETag", etag);
    }
    if (response->location[0] != '\0') {
        add_header(request, "Location", response->location);
    }
    call_reply(request, response->status,
               response->status == 204 ? span_of(NULL, 0) : buf_span(&response->body), close);
}

void call_reply_error(struct evhttp_request *request, int status, const char *reason,
                      const char *text, bool close)
{
    struct management_response response;

    management_response_init(&response);
    management_refuse(&response, status, reason, text);
    reply_response(request, &response, close);
    management_response_done(&response);
}

static void call_free(struct call *call)
{
    atomic_fetch_sub(call->context.in_flight, 1);
    identity_unref(call->who);
    management_response_done(&call->response);
    free(call);
}

static void refuse(struct call *call, int status, const char *reason, const char *text)
{
    call_reply_error(call->request, status, reason, text, false);
    call_free(call);
}

static const char *method_name(struct evhttp_request *request)
{
    switch ((int)evhttp_request_get_command(request)) {
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

static const char *peer_address(struct evhttp_request *request)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
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

    if (response->status >= 500) {
        log_warn("request-failed", "status=%d target=%s answer=%s", response->status,
                 log_text(&target, span_cstr(uri)), log_text(&body, buf_span(&response->body)));
    } else if (response->status < 300 && call->route.writes) {
        struct log_text who;

        log_info("registry-changed", "method=%s status=%d target=%s user=%s peer=%s",
                 method_name(call->request), response->status, log_text(&target, span_cstr(uri)),
                 log_text(&who, span_cstr(call->who != NULL ? identity_name(call->who) : "")),
                 peer_address(call->request));
    }
}

static void finish(struct call *call, struct management_response *response)
{
    log_answer(call, response);
    reply_response(call->request, response, false);
    call_free(call);
}

/* ---- the operation ---- */

static void written_on_reactor(struct reactor_post *post, bool discard)
{
    struct call *call = (struct call *)post;

    if (discard) { /* the server frees what still has a connection */
        if (evhttp_request_get_connection(call->request) == NULL) {
            evhttp_request_free(call->request);
        }
        call_free(call);
        return;
    }
    finish(call, &call->response);
}

/* On a thread of the pool or the writer, or on the reactor from within management_write. */
static void written(void *arg, struct management_response *response)
{
    struct call *call = arg;

    buf_done(&call->response.body);
    call->response = *response;
    buf_init(&response->body, 0); /* swapped out */
    call->post.run = written_on_reactor;
    reactor_post(call->context.options->reactor, &call->post);
}

static void operate(struct call *call, struct span body)
{
    const char *if_match =
        evhttp_find_header(evhttp_request_get_input_headers(call->request), "If-Match");
    const struct management_request request = {
        .op = call->route.op,
        .tenant_id = call->route.tenant,
        .device_id = call->route.device,
        .body = body,
        .if_match = span_cstr(if_match),
    };
    struct service_reader *reader = call->context.reader;
    struct ks_failure why = {0};
    enum ks_status st;

    if (call->route.writes) {
        management_write(call->context.options->service, &request, written, call);
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

static void take_body(struct call *call)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(call->request);
    struct evbuffer *in = evhttp_request_get_input_buffer(call->request);
    size_t len = evbuffer_get_length(in);
    const char *bytes = "";

    if (!call->route.writes || call->route.op == MANAGEMENT_TENANT_DELETE ||
        call->route.op == MANAGEMENT_DEVICE_DELETE ||
        call->route.op == MANAGEMENT_DEVICE_DELETE_ALL) {
        operate(call, span_of(NULL, 0)); /* a body means nothing here */
        return;
    }
    if (len > call->context.options->max_payload) {
        char text[96];

        (void)snprintf(text, sizeof(text), "the body has %zu bytes; http.max-payload is %zu", len,
                       call->context.options->max_payload);
        refuse(call, 413, "payload-too-large", text);
        return;
    }
    if (call->route.needs_body || len > 0) {
        if (!is_json(evhttp_find_header(headers, "Content-Type"))) {
            refuse(call, 400, "bad-request", "the Content-Type must be application/json");
            return;
        }
        if (len == 0) {
            refuse(call, 400, "bad-request", "Empty body");
            return;
        }
        bytes = (const char *)evbuffer_pullup(in, -1);
    }
    operate(call, span_of(bytes, len));
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

static enum http_method method_of(const struct evhttp_request *request)
{
    switch (evhttp_request_get_command(request)) {
    case EVHTTP_REQ_GET:
        return HTTP_GET;
    case EVHTTP_REQ_POST:
        return HTTP_POST;
    case EVHTTP_REQ_PUT:
        return HTTP_PUT;
    case EVHTTP_REQ_DELETE:
        return HTTP_DELETE;
    case EVHTTP_REQ_HEAD:
    case EVHTTP_REQ_OPTIONS:
    case EVHTTP_REQ_TRACE:
    case EVHTTP_REQ_CONNECT:
    case EVHTTP_REQ_PATCH:
        return HTTP_OTHER;
    }
    return HTTP_OTHER;
}

static void find_route(struct call *call)
{
    const char *uri = evhttp_request_get_uri(call->request);

    switch (path_parse(span_cstr(uri), &call->path)) {
    case PATH_OK:
        break;
    case PATH_MALFORMED:
        refuse(call, 400, "bad-request",
               "the path holds a malformed escape or a control character");
        return;
    case PATH_TOO_LONG:
        refuse(call, 414, "bad-request", "the request target is longer than 4096 bytes");
        return;
    case PATH_UNKNOWN:
        refuse(call, 404, "unknown-path", "there is nothing at this path");
        return;
    }
    switch (route_find(&call->path, method_of(call->request), &call->route)) {
    case ROUTE_OK:
        break;
    case ROUTE_UNKNOWN_PATH:
        refuse(call, 404, "unknown-path", "there is nothing at this path");
        return;
    case ROUTE_UNKNOWN_METHOD:
        add_header(call->request, "Allow", call->route.allow);
        call_reply(call->request, 405, span_of(NULL, 0), false);
        call_free(call);
        return;
    }
    if (!may(call)) {
        refuse(call, 403, "not-authorized", "not authorized");
        return;
    }
    take_body(call);
}

/* ---- login ---- */

static void logged_in(struct call *call)
{
    if (call->login == KS_OK) {
        find_route(call);
        return;
    }
    if (call->login == KS_BUSY || call->login == KS_UNAVAILABLE) {
        refuse(call, 503, "busy", "too many logins; try again");
        return;
    }
    if (evhttp_request_get_connection(call->request) != NULL) {
        add_header(call->request, "WWW-Authenticate", "Basic realm=\"Hono\"");
    }
    refuse(call, 401, "unauthorized", "Unauthorized");
}

static void logged_in_on_reactor(struct reactor_post *post, bool discard)
{
    struct call *call = (struct call *)post;

    if (discard || evhttp_request_get_connection(call->request) == NULL) {
        if (evhttp_request_get_connection(call->request) == NULL) {
            evhttp_request_free(call->request);
        }
        call_free(call);
        return;
    }
    logged_in(call);
}

/* On a thread of the pool. */
static void login_done(void *arg, enum ks_status status, struct identity *identity)
{
    struct call *call = arg;

    call->login = status;
    call->who = identity;
    call->post.run = logged_in_on_reactor;
    reactor_post(call->context.options->reactor, &call->post);
}

/* user:password of the Authorization header; false if there is none. */
static bool read_basic(const struct call *call, unsigned char *to, struct accounts_login *login)
{
    const char *header =
        evhttp_find_header(evhttp_request_get_input_headers(call->request), "Authorization");
    const unsigned char *colon;
    struct span token;
    size_t len = 0;

    if (header == NULL || strncasecmp(header, "Basic ", 6) != 0) {
        return false;
    }
    token = span_cstr(header + 6);
    if (BASE64_DECODED_MAX(token.len) > CREDENTIALS_MAX || !base64_decode(token, to, &len)) {
        return false;
    }
    colon = memchr(to, ':', len);
    if (colon == NULL) {
        return false;
    }
    login->user = span_of(to, (size_t)(colon - to));
    login->password = span_of(colon + 1, len - login->user.len - 1);
    return login->user.len > 0 && login->password.len > 0;
}

static uint64_t peer_of(struct evhttp_request *request)
{
    char *address = NULL;
    ev_uint16_t port = 0;

    evhttp_connection_get_peer(evhttp_request_get_connection(request), &address, &port);
    return net_host_key(span_cstr(address));
}

static void authenticate(struct call *call)
{
    unsigned char credentials[CREDENTIALS_MAX];
    struct accounts_login login = {.peer = peer_of(call->request)};

    if (!call->context.options->authentication) {
        call->login = KS_OK;
        find_route(call);
        return;
    }
    call->login = KS_UNAUTHORIZED;
    if (!read_basic(call, credentials, &login)) {
        logged_in(call);
        return;
    }
    switch (accounts_login(call->context.options->accounts, &login, login_done, call, &call->login,
                           &call->who)) {
    case ACCOUNTS_ANSWERED:
        explicit_bzero(credentials, sizeof(credentials));
        logged_in(call);
        break;
    case ACCOUNTS_PENDING:
        explicit_bzero(credentials, sizeof(credentials));
        break;
    }
}

/* ---- the beginning ---- */

/* What is wrong with the headers; NULL if nothing is. */
static const char *check_framing(struct evhttp_request *request)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    struct framing framing = {0};
    struct evkeyval *header;

    TAILQ_FOREACH(header, headers, next)
    {
        framing_take(&framing, span_cstr(header->key), span_cstr(header->value));
    }
    return framing_check(&framing, request->major == 1 && request->minor == 0);
}

void call_begin(const struct call_context *context, struct evhttp_request *request)
{
    const char *wrong = check_framing(request);
    struct call *call;

    counters_add(reactor_counters(context->options->reactor), COUNTER_HTTP_REQUESTS, 1);
    if (wrong != NULL) {
        call_reply_error(request, 400, "bad-request", wrong, true);
        return;
    }
    call = calloc(1, sizeof(*call));
    if (call == NULL) {
        abort();
    }
    atomic_fetch_add(context->in_flight, 1);
    call->context = *context;
    call->request = request;
    management_response_init(&call->response);
    authenticate(call);
}
