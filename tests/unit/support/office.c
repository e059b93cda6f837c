#include "support/office.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "service/search_worker.h"
#include "support/documents.h"

void office_open(struct office *office)
{
    *office = (struct office){.asked = 0};
    registry_open(&office->registry);
    documents_begin();
    office->pool = pool_open(2, 256);
    office->registry.service.pool = office->pool;
    office->registry.service.max_bcrypt_cost = OFFICE_COST;
    assert_ok(
        search_worker_open(&office->search, office->registry.store, &search_default_limits, why));
    management_response_init(&office->response);
    assert_int_equal(pthread_mutex_init(&office->mutex, NULL), 0);
    assert_int_equal(pthread_cond_init(&office->answered, NULL), 0);
}

void office_close(struct office *office)
{
    office_wait(office);
    search_worker_close(office->search);
    pool_close(office->pool);
    registry_close(&office->registry);
    documents_end();
    management_response_done(&office->response);
    pthread_cond_destroy(&office->answered);
    pthread_mutex_destroy(&office->mutex);
}

static void take_answer(void *arg, struct management_response *response)
{
    struct office *office = arg;

    pthread_mutex_lock(&office->mutex);
    management_response_done(&office->response);
    office->response = *response;
    buf_init(&response->body, 0);
    assert(office->response.status > 0 && office->response.status < OFFICE_STATUS_MAX);
    office->by_status[office->response.status]++;
    office->answers++;
    pthread_cond_broadcast(&office->answered);
    pthread_mutex_unlock(&office->mutex);
}

static struct management_request made_of(const struct office_request *request, struct span body)
{
    return (struct management_request){.op = request->op,
                                       .tenant_id = span_cstr(request->tenant),
                                       .device_id = span_cstr(request->device),
                                       .query = span_cstr(request->query),
                                       .body = body,
                                       .if_match = span_cstr(request->if_match)};
}

static void write_later(struct office *office, const struct office_request *request,
                        struct span body)
{
    const struct management_request made = made_of(request, body);

    pthread_mutex_lock(&office->mutex);
    office->asked++;
    pthread_mutex_unlock(&office->mutex);
    management_write(&office->registry.service, &made, take_answer, office);
}

void office_write_later(struct office *office, const struct office_request *request)
{
    write_later(office, request, span_cstr(request->body));
}

static void search_later(struct office *office, const struct office_request *request)
{
    const struct management_request made = made_of(request, span_cstr(NULL));

    pthread_mutex_lock(&office->mutex);
    office->asked++;
    pthread_mutex_unlock(&office->mutex);
    search_begin(office->search, &made, NULL, take_answer, office);
}

void office_wait(struct office *office)
{
    pthread_mutex_lock(&office->mutex);
    while (office->answers < office->asked) {
        pthread_cond_wait(&office->answered, &office->mutex);
    }
    pthread_mutex_unlock(&office->mutex);
}

static void read_now(struct office *office, const struct office_request *request)
{
    const struct management_request made = made_of(request, span_cstr(NULL));

    registry_renew(&office->registry);
    management_response_done(&office->response);
    management_response_init(&office->response);
    management_read(&office->registry.reader, &made, &office->response);
}

void office_ask(struct office *office, const struct office_request *request)
{
    switch (request->op) {
    case MANAGEMENT_TENANT_READ:
    case MANAGEMENT_DEVICE_READ:
    case MANAGEMENT_CREDENTIALS_READ:
        read_now(office, request);
        break;
    case MANAGEMENT_TENANT_SEARCH:
    case MANAGEMENT_DEVICE_SEARCH:
        search_later(office, request);
        office_wait(office);
        break;
    case MANAGEMENT_TENANT_CREATE:
    case MANAGEMENT_TENANT_UPDATE:
    case MANAGEMENT_TENANT_DELETE:
    case MANAGEMENT_DEVICE_CREATE:
    case MANAGEMENT_DEVICE_UPDATE:
    case MANAGEMENT_DEVICE_DELETE:
    case MANAGEMENT_DEVICE_DELETE_ALL:
    case MANAGEMENT_CREDENTIALS_UPDATE:
        write_later(office, request, documents_fill(request->body != NULL ? request->body : ""));
        office_wait(office);
        break;
    }
}

/* How long the id or timestamp at the start of the text is, and what stands for it. */
static size_t replaceable(struct span text, char *with)
{
    enum { TIME_LEN = 20 };
    struct uuid id;
    int64_t ms;

    if (text.len >= UUID_TEXT_LEN && uuid_parse(span_of(text.ptr, UUID_TEXT_LEN), &id)) {
        *with = '#';
        return UUID_TEXT_LEN;
    }
    if (text.len >= TIME_LEN && clock_parse(span_of(text.ptr, TIME_LEN), &ms)) {
        *with = '@';
        return TIME_LEN;
    }
    *with = text.ptr[0];
    return 1;
}

struct span office_body(struct office *office)
{
    static char text[1 << 16];
    struct span body = buf_span(&office->response.body);
    size_t len = 0;

    for (size_t i = 0; i < body.len && len < sizeof(text);) {
        i += replaceable(span_of(body.ptr + i, body.len - i), &text[len++]);
    }
    return span_of(text, len);
}

const char *office_etag(const struct office *office)
{
    static char text[UUID_TEXT_LEN + 1];

    assert_true(office->response.has_etag);
    uuid_format(&office->response.etag, text);
    return text;
}
