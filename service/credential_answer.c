#include "service/credential_answer.h"

#include <jansson.h>
#include <string.h>

#include "service/reasons.h"
#include "service/service.h"
#include "service/splice.h"
#include "store/store.h"

void credential_refuse(struct answer *answer, enum ks_status status, const struct ks_failure *why)
{
    answer_refuse(answer, status, why);
    answer->max_age_s = ANSWER_NO_CACHE;
}

static bool is_context(const char *name)
{
    return strcmp(name, "type") != 0 && strcmp(name, "auth-id") != 0 &&
           strcmp(name, "device-id") != 0;
}

/* Members that only one side has, or that are null on either, do not matter. */
static bool contradicts(json_t *context, const json_t *ext)
{
    const char *name;
    const json_t *value;

    json_object_foreach (context, name, value) {
        const json_t *stored = json_object_get(ext, name);

        if (is_context(name) && !json_is_null(value) && stored != NULL && !json_is_null(stored) &&
            !json_equal(value, stored)) {
            return true;
        }
    }
    return false;
}

/* A tree on both sides: `ext` may be larger and deeper than base/json_scan.h takes, and Hono
 * compares decimals as numbers (1e2 equals 100.0), not as text. */
static enum ks_status match_context(struct span context, struct span ext, struct ks_failure *why)
{
    json_t *asked = json_loadb(context.ptr, context.len, JSON_ALLOW_NUL, NULL);
    json_t *stored = json_loadb(ext.ptr, ext.len, JSON_ALLOW_NUL, NULL);
    enum ks_status st = KS_OK;

    if (asked == NULL) {
        st = ks_fail(why, KS_INVALID, REASON_BAD_JSON,
                     "the request holds a number beyond 64 bits or a NUL in a name");
    } else if (stored == NULL) {
        st = ks_fail(why, KS_CORRUPT, NULL, "a stored credential's ext is no JSON");
    } else if (contradicts(asked, stored)) {
        st = ks_fail(why, KS_NOT_FOUND, REASON_UNKNOWN_CREDENTIAL,
                     "the credentials' ext does not match the client context");
    }
    json_decref(asked);
    json_decref(stored);
    return st;
}

static enum ks_status refuse_hidden(const struct store_answer *answer, int64_t now_ms,
                                    struct ks_failure *why)
{
    const char *reason = REASON_DISABLED;

    for (size_t i = 0; i < store_segment_count(answer); i++) {
        struct store_segment segment = store_segment_at(answer, i);

        if (segment.enabled) {
            reason = now_ms < segment.from_ms ? REASON_NOT_YET_VALID : REASON_EXPIRED;
        }
    }
    return ks_fail(why, KS_NOT_FOUND, reason, "the credentials have no secret that is valid now");
}

/* Only what devices do not change themselves may be cached by adapters. */
static int max_age_of(const struct service *service, struct span type)
{
    return span_eq(type, SPAN("hashed-password")) || span_eq(type, SPAN("x509-cert"))
               ? service->credentials_max_age_s
               : 0;
}

static enum ks_status fill(const struct service *service, const struct store_credential *credential,
                           struct span context, int64_t now_ms, struct answer *answer,
                           struct ks_failure *why)
{
    size_t shown = 0;
    int64_t until_ms = 0;
    enum ks_status st = KS_OK;

    if ((credential->flags & STORE_CREDENTIAL_ENABLED) == 0) {
        return ks_fail(why, KS_NOT_FOUND, REASON_DISABLED, "the credentials are disabled");
    }
    if ((credential->flags & STORE_CREDENTIAL_HAS_EXT) != 0) {
        st = match_context(context, credential->ext, why);
    }
    if (st == KS_OK) {
        st = splice_answer(&answer->body, &credential->answer, now_ms, &shown, &until_ms, why);
    }
    if (st == KS_OK && shown == 0) {
        st = refuse_hidden(&credential->answer, now_ms, why);
    }
    if (st == KS_OK) {
        answer->status = answer_status_code(KS_OK);
        answer->max_age_s = splice_max_age(max_age_of(service, credential->type), now_ms, until_ms);
    }
    return st;
}

void credential_answer(const struct service *service, const struct store_credential *credential,
                       struct span context, int64_t now_ms, struct answer *answer)
{
    struct ks_failure why = {0};
    enum ks_status st;

    answer_clear(answer);
    st = fill(service, credential, context, now_ms, answer, &why);
    if (st != KS_OK) {
        credential_refuse(answer, st, &why);
    }
}
