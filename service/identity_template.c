#include "service/identity_template.h"

#include <stdbool.h>
#include <string.h>

#include "certs/dn.h"
#include "service/ids.h"
#include "service/reasons.h"
#include "store/store.h"

struct placeholder {
    const char *name;
    const char *keyword; /* NULL: the whole name */
    const char *meaning;
    const char *sample; /* what a certificate may bring */
};

static const struct placeholder placeholders[] = {
    {"subject-dn", NULL, "a subject", "CN=x"},
    {"subject-cn", "CN", "a common name (CN)", "x"},
    {"subject-ou", "OU", "an organizational unit (OU)", "x"},
    {"subject-o", "O", "an organization (O)", "x"},
};

#define KNOWN "{{subject-dn}}, {{subject-cn}}, {{subject-ou}}, {{subject-o}}"

/* ---- a template as pieces ---- */

struct piece {
    bool is_text;
    struct span text;                 /* or what stands between the braces */
    const struct placeholder *stands; /* NULL: unknown */
};

/* Where `what`, two characters, begins; the end if it does not occur. */
static size_t find(struct span text, size_t from, const char *what)
{
    for (size_t i = from; i + 1 < text.len; i++) {
        if (text.ptr[i] == what[0] && text.ptr[i + 1] == what[1]) {
            return i;
        }
    }
    return text.len;
}

static const struct placeholder *placeholder_of(struct span name)
{
    for (size_t i = 0; i < sizeof(placeholders) / sizeof(placeholders[0]); i++) {
        if (span_eq(name, span_cstr(placeholders[i].name))) {
            return &placeholders[i];
        }
    }
    return NULL;
}

/* Takes the next piece off *rest; false at the end. */
static bool next_piece(struct span *rest, struct piece *out)
{
    size_t open = find(*rest, 0, "{{");
    size_t close = open == rest->len ? open : find(*rest, open + 2, "}}");
    size_t taken;

    if (rest->len == 0) {
        return false;
    }
    if (open == 0 && close < rest->len) {
        *out = (struct piece){.text = span_of(rest->ptr + 2, close - 2)};
        out->stands = placeholder_of(out->text);
        taken = close + 2;
    } else { /* up to the placeholder, or all of it */
        taken = close < rest->len ? open : rest->len;
        *out = (struct piece){.is_text = true, .text = span_of(rest->ptr, taken)};
    }
    *rest = span_of(rest->ptr + taken, rest->len - taken);
    return true;
}

/* ---- checks ---- */

static enum ks_status refuse(struct ks_failure *why, const char *text)
{
    return ks_fail(why, KS_INVALID, REASON_BAD_REQUEST, "%s", text);
}

static enum ks_status check_placeholders(struct span template, struct ks_failure *why)
{
    struct span rest = template;
    struct piece piece;
    size_t count = 0;

    while (next_piece(&rest, &piece)) {
        if (!piece.is_text && piece.stands == NULL) {
            return refuse(why, "has an unknown placeholder; there are " KNOWN);
        }
        count += piece.is_text ? 0 : 1;
    }
    return count > 0 ? KS_OK : refuse(why, "has no placeholder; there are " KNOWN);
}

enum ks_status identity_template_check_device_id(struct span template, struct ks_failure *why)
{
    struct span rest = template;
    struct piece piece;
    size_t least = 0;
    enum ks_status st = check_placeholders(template, why);

    while (st == KS_OK && next_piece(&rest, &piece)) {
        if (piece.is_text && !ids_fits_device(piece.text)) {
            return refuse(why, "holds text that no device id may have; these are " IDS_OF_DEVICES);
        }
        least += piece.is_text ? piece.text.len : 1;
    }
    return st == KS_OK && least > STORE_ID_MAX
               ? refuse(why, "holds more text than a device id may have")
               : st;
}

enum ks_status identity_template_check_auth_id(struct span template, struct ks_failure *why)
{
    struct span rest = template;
    struct piece piece;
    struct buf sample;
    struct buf normal;
    enum ks_status st = check_placeholders(template, why);

    buf_init(&sample, 0);
    buf_init(&normal, 0);
    while (st == KS_OK && next_piece(&rest, &piece)) {
        buf_add_span(&sample, piece.is_text ? piece.text : span_cstr(piece.stands->sample));
    }
    if (st == KS_OK && dn_normalize(buf_span(&sample), &normal, NULL) == KS_OK &&
        !span_eq(buf_span(&sample), buf_span(&normal))) {
        st = refuse(why, "gives distinguished names in another spelling than that of the look-up "
                         "(upper-case types, no blanks)");
    }
    buf_done(&sample);
    buf_done(&normal);
    return st;
}

/* ---- filling ---- */

/* False, nothing appended: the subject has no such thing. */
static bool add_value(struct buf *out, const struct placeholder *stands,
                      const struct identity_subject *subject)
{
    if (stands->keyword != NULL) {
        return dn_find_attribute(subject->der, stands->keyword, out);
    }
    buf_add_span(out, subject->dn);
    return subject->dn.len > 0;
}

enum ks_status identity_template_fill(struct span template, const struct identity_subject *subject,
                                      struct buf *out, struct ks_failure *why)
{
    struct span rest = template;
    struct piece piece;

    while (next_piece(&rest, &piece)) {
        if (piece.is_text) {
            buf_add_span(out, piece.text);
        } else if (piece.stands == NULL) { /* no tenant has such a template */
            return ks_fail(why, KS_CORRUPT, NULL, "a stored id template cannot be read");
        } else if (!add_value(out, piece.stands, subject)) {
            return ks_fail(why, KS_INVALID, REASON_TEMPLATE_UNFILLED,
                           "the CA's template asks for %s, which the certificate's subject does "
                           "not have: \"%.*s\"",
                           piece.stands->meaning, SPAN_ARG(subject->dn));
        }
    }
    return KS_OK;
}

enum ks_status identity_template_device_id(struct span template,
                                           const struct identity_subject *subject,
                                           struct arena *arena, struct span *id,
                                           struct ks_failure *why)
{
    struct buf text;
    enum ks_status st;

    buf_init(&text, STORE_NAME_MAX);
    st = identity_template_fill(template, subject, &text, why);
    if (st == KS_OK && (text.overflow || !ids_is_device(buf_span(&text)))) {
        st = ks_fail(why, KS_INVALID, REASON_BAD_DEVICE_ID,
                     "the CA's template gives no device id (1 to %d of the characters "
                     "" IDS_OF_DEVICES IDS_NO_STEPS "): \"%.*s\"",
                     STORE_ID_MAX, SPAN_ARG(buf_span(&text)));
    }
    if (st == KS_OK) {
        *id = arena_span(arena, buf_span(&text));
    }
    buf_done(&text);
    return st;
}
