#include "service/answer.h"

#include <assert.h>
#include <string.h>

#include "service/reasons.h"

enum { ANSWER_BODY_MAX = 1 << 20 };

struct meaning {
    int code;
    const char *reason; /* when the failure brings none */
};

static const struct meaning meanings[] = {
    [KS_OK] = {200, NULL},
    [KS_NOT_FOUND] = {404, REASON_NOT_FOUND},
    [KS_EXISTS] = {409, REASON_CONFLICT},
    [KS_STALE] = {412, REASON_VERSION},
    [KS_INVALID] = {400, REASON_BAD_REQUEST},
    [KS_UNAUTHORIZED] = {401, REASON_NOT_AUTHORIZED},
    [KS_FORBIDDEN] = {403, REASON_NOT_AUTHORIZED},
    [KS_LIMIT] = {403, REASON_LIMIT},
    [KS_TOO_LARGE] = {413, REASON_TOO_LARGE},
    [KS_NEEDS_WRITE] = {500, REASON_INTERNAL},
    [KS_BUSY] = {503, REASON_BUSY},
    [KS_FULL] = {503, REASON_STORE_FULL},
    [KS_DISK_FULL] = {503, REASON_DISK_FULL},
    [KS_IO] = {503, REASON_INTERNAL},
    [KS_CORRUPT] = {500, REASON_INTERNAL},
    [KS_UNAVAILABLE] = {503, REASON_UNAVAILABLE},
};

static const struct meaning *meaning_of(enum ks_status status)
{
    assert((size_t)status < sizeof(meanings) / sizeof(meanings[0]));
    return &meanings[status];
}

void answer_init(struct answer *answer)
{
    *answer = (struct answer){.max_age_s = ANSWER_NO_DIRECTIVE};
    buf_init(&answer->body, ANSWER_BODY_MAX);
    buf_init(&answer->tenant_id, 0);
}

void answer_done(struct answer *answer)
{
    if (answer == NULL) {
        return;
    }
    buf_done(&answer->body);
    buf_done(&answer->tenant_id);
}

void answer_clear(struct answer *answer)
{
    answer->status = 0;
    answer->max_age_s = ANSWER_NO_DIRECTIVE;
    answer->reason = NULL;
    answer->provisioning = ANSWER_ORDINARY;
    buf_clear(&answer->body);
    buf_clear(&answer->tenant_id);
}

int answer_status_code(enum ks_status status)
{
    return meaning_of(status)->code;
}

const char *answer_reason(enum ks_status status, const struct ks_failure *why)
{
    return why != NULL && why->reason != NULL ? why->reason : meaning_of(status)->reason;
}

/* Length of the UTF-8 sequence at the start of `text` (RFC 3629), 0 if there is none. */
static size_t utf8_len(const unsigned char *text, size_t len)
{
    static const struct {
        unsigned char lead_from;
        unsigned char lead_to;
        unsigned char second_from;
        unsigned char second_to;
        size_t len;
    } forms[] = {
        {0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    size_t form = 0;

    while (form < sizeof(forms) / sizeof(forms[0]) &&
           (text[0] < forms[form].lead_from || text[0] > forms[form].lead_to)) {
        form++;
    }
    if (form == sizeof(forms) / sizeof(forms[0]) || forms[form].len > len) {
        return 0;
    }
    for (size_t i = 1; i < forms[form].len; i++) {
        unsigned char from = i == 1 ? forms[form].second_from : 0x80;
        unsigned char to = i == 1 ? forms[form].second_to : 0xBF;

        if (text[i] < from || text[i] > to) {
            return 0;
        }
    }
    return forms[form].len;
}

void answer_add_text(struct buf *out, const char *text)
{
    char clean[sizeof(((struct ks_failure *)NULL)->text)];
    size_t len = strnlen(text, sizeof(clean));
    size_t at = 0;

    while (at < len) {
        size_t n = utf8_len((const unsigned char *)text + at, len - at);

        if (n == 0) {
            clean[at++] = '?';
        } else {
            memcpy(clean + at, text + at, n);
            at += n;
        }
    }
    buf_add_json(out, span_of(clean, len));
}

void answer_refuse(struct answer *answer, enum ks_status status, const struct ks_failure *why)
{
    assert(status != KS_OK);
    answer_clear(answer);
    answer->status = answer_status_code(status);
    answer->reason = answer_reason(status, why);
    buf_add_cstr(&answer->body, "{\"description\":");
    answer_add_text(&answer->body,
                    why != NULL && why->text[0] != '\0' ? why->text : ks_status_name(status));
    buf_add_cstr(&answer->body, ",\"reason\":");
    buf_add_json(&answer->body, span_cstr(answer->reason));
    buf_add_char(&answer->body, '}');
}
