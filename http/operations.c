#include "http/operations.h"

#include <event2/http.h>

#include "base/buf.h"
#include "http/path.h"
#include "http/reply.h"

static enum ks_status alive(void *arg, struct ks_failure *why)
{
    (void)arg;
    (void)why;
    return KS_OK; /* this thread answers: that is what is asked */
}

static void reply_health(struct evhttp_request *request, const struct http_health *health,
                         const char *name,
                         enum ks_status (*check)(void *arg, struct ks_failure *why), bool note)
{
    struct ks_failure why = {0};
    bool up = check(health->arg, &why) == KS_OK;
    const char *word = up ? "UP" : "DOWN";
    struct buf body;

    buf_init(&body, 0);
    buf_printf(&body, "{\"status\":\"%s\",\"checks\":[{\"name\":\"%s\",\"status\":\"%s\"", word,
               name, word);
    if (!up) {
        buf_add_cstr(&body, ",\"data\":{\"reason\":");
        buf_add_json(&body, span_cstr(why.reason != NULL ? why.reason : "unknown"));
        buf_add_cstr(&body, ",\"text\":");
        buf_add_json(&body, span_cstr(why.text));
        buf_add_char(&body, '}');
    }
    buf_add_char(&body, '}');
    if (note && health->note != NULL) {
        buf_printf(&body, ",{\"name\":\"%s\",\"status\":\"UP\",\"data\":{", health->note_name);
        health->note(health->arg, &body);
        buf_add_cstr(&body, "}}");
    }
    buf_add_cstr(&body, "]}");
    reply_json(request, up ? 200 : 503, buf_span(&body));
    buf_done(&body);
}

void operations_begin(const struct http_health *health, struct evhttp_request *request)
{
    const struct {
        const char *path;
        enum ks_status (*check)(void *arg, struct ks_failure *why);
    } checks[] = {{"liveness", alive}, {"readiness", health->ready}, {"started", health->started}};
    struct path path;

    if (path_parse(span_cstr(evhttp_request_get_uri(request)), &path) == PATH_OK &&
        path.count == 1) {
        for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
            if (!span_eq(path.segment[0], span_cstr(checks[i].path))) {
                continue;
            }
            if (evhttp_request_get_command(request) != EVHTTP_REQ_GET) {
                reply_json(request, 405, span_of(NULL, 0));
            } else {
                reply_health(request, health, checks[i].path, checks[i].check,
                             checks[i].check == health->ready);
            }
            return;
        }
    }
    reply_error(request, 404, "unknown-path", "there are /liveness, /readiness and /started");
}
