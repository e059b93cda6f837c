#include "service/import.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "service/ca_sharing.h"
#include "service/credential_document.h"
#include "service/credential_merge.h"
#include "service/credential_read.h"
#include "service/device_document.h"
#include "service/ids.h"
#include "service/import_line.h"
#include "service/json_text.h"
#include "service/tenant_document.h"
#include "store/load_kv.h"
#include "store/store.h"

_Static_assert(STORE_ID_MAX == 200, "the refusals say so");

#define MS_MAX UINT64_C(253402300799999) /* the end of the year 9999 */

struct import {
    struct import_options options;
    struct store_txn *txn; /* NULL: it is over */
    struct arena arena;    /* of the line at hand */
    struct import_counts counts;
    struct import_counts announced; /* by the header */
    struct {
        char id[STORE_ID_MAX]; /* of the tenant line that came last */
        size_t id_len;
        uint32_t space;
    } tenant;
    uint64_t *tenant_lines; /* by key space, which are drawn from 1 on */
    size_t tenant_cap;
};

/* ---- what a line says of its record ---- */

static enum ks_status read_id(struct import *import, const struct import_line *line,
                              enum import_member member, struct span *out, struct ks_failure *why)
{
    enum ks_status st = import_line_text(line, member, &import->arena, out, why);

    if (st == KS_OK && member == IMPORT_TENANT_ID && !ids_is_tenant(*out)) {
        return import_line_refuse(member, why,
                                  "must have 1 to 200 of " IDS_OF_TENANTS IDS_NO_STEPS);
    }
    if (st == KS_OK && member == IMPORT_DEVICE_ID && !ids_is_device(*out)) {
        return import_line_refuse(member, why,
                                  "must have 1 to 200 of " IDS_OF_DEVICES IDS_NO_STEPS);
    }
    return st;
}

static enum ks_status read_time(const struct import_line *line, enum import_member member,
                                int64_t *out, struct ks_failure *why)
{
    uint64_t ms = 0;
    enum ks_status st = import_line_number(line, member, MS_MAX, &ms, why);

    *out = (int64_t)ms;
    return st;
}

/* The reader's refusal behind the member's name. */
static enum ks_status under(enum import_member member, enum ks_status st,
                            const struct ks_failure *cause, struct ks_failure *why)
{
    if (st == KS_OK) {
        return KS_OK;
    }
    (void)import_line_refuse(member, why, cause->text);
    return st;
}

/* A document in normal form already, but for the order of its members, is stored as it came. */
static json_t *to_store(json_t *given, json_t *normal)
{
    return json_equal(given, normal) ? given : normal;
}

/* ---- tenants ---- */

static void note_tenant(struct import *import, struct span id, uint32_t space)
{
    memcpy(import->tenant.id, id.ptr, id.len);
    import->tenant.id_len = id.len;
    import->tenant.space = space;
    if (space >= import->tenant_cap) {
        import->tenant_cap = 2 * (size_t)space + 64;
        import->tenant_lines =
            realloc(import->tenant_lines, import->tenant_cap * sizeof(import->tenant_lines[0]));
        if (import->tenant_lines == NULL) {
            abort();
        }
    }
    import->tenant_lines[space] = import->counts.lines;
}

static enum ks_status render_tenant(struct import *import, struct span document, struct span id,
                                    struct store_tenant *out, struct ks_failure *why)
{
    struct ks_failure cause = {0};
    json_t *given = NULL;
    json_t *normal = NULL;
    enum ks_status st = json_text_parse(document, &given, &cause);

    if (st == KS_OK) {
        st = tenant_document_read(document, &normal, &cause);
    }
    if (st == KS_OK) {
        st = tenant_document_render(&import->arena, to_store(given, normal), id, out, &cause);
    }
    json_decref(given);
    json_decref(normal);
    return under(IMPORT_DOCUMENT, st, &cause, why);
}

static enum ks_status take_tenant(struct import *import, const struct import_line *line,
                                  struct ks_failure *why)
{
    struct store_tenant tenant = {.space = 0};
    struct span id = SPAN("");
    uint32_t space = 0;
    enum ks_status st = read_id(import, line, IMPORT_TENANT_ID, &id, why);

    if (st == KS_OK) {
        st = import_line_uuid(line, IMPORT_VERSION, &tenant.version, why);
    }
    if (st == KS_OK) {
        st = read_time(line, IMPORT_CREATED, &tenant.created_ms, why);
    }
    if (st == KS_OK) {
        st = read_time(line, IMPORT_UPDATED, &tenant.updated_ms, why);
    }
    if (st == KS_OK) {
        st = render_tenant(import, line->value[IMPORT_DOCUMENT], id, &tenant, why);
    }
    if (st == KS_OK) {
        st = store_tenant_insert(import->txn, &tenant, &space, why);
    }
    if (st == KS_OK) {
        note_tenant(import, id, space);
        import->counts.tenants++;
    }
    return st;
}

/* ---- credentials ---- */

/* The text of a certificate's subject need not be one that can be read (docs/names.md): the auth-id
 * stays as it stands. */
static void keep_names(const json_t *given, const json_t *set)
{
    json_t *credential;
    size_t i;

    json_array_foreach (set, i, credential) {
        const json_t *as_given = json_array_get(given, i);
        json_t *auth_id = json_object_get(as_given, "auth-id");

        if (span_eq(json_text_of(json_object_get(credential, "type")), SPAN("x509-cert")) &&
            json_is_string(auth_id) && json_object_get(as_given, "cert") == NULL) {
            (void)json_object_set(credential, "auth-id", auth_id);
        }
    }
}

static enum ks_status read_set(const struct import *import, struct span text, json_t **given,
                               json_t **set, struct ks_failure *why)
{
    enum ks_status st = json_text_parse(text, given, why);

    if (st == KS_OK) {
        st = credential_read_set(text, import->options.max_bcrypt_cost, set, why);
    }
    if (st == KS_OK && credential_read_next_plain(*set) != NULL) {
        return ks_fail(why, KS_INVALID, NULL,
                       "a password in clear is not imported: give its pwd-hash");
    }
    if (st == KS_OK) {
        keep_names(*given, *set);
        st = credential_complete(*set, why);
    }
    return st;
}

static enum ks_status put_credentials(struct import *import, const json_t *given, const json_t *set,
                                      struct store_device *device, struct ks_failure *why)
{
    struct store_credential credentials[STORE_LIST_MAX];
    struct store_credential_ref refs[STORE_LIST_MAX];
    size_t count = json_array_size(set);
    enum ks_status st = KS_OK;

    for (size_t i = 0; i < count && st == KS_OK; i++) {
        json_t *credential = to_store(json_array_get(given, i), json_array_get(set, i));

        st = credential_document_render(&import->arena, credential, device->id, &credentials[i],
                                        why);
        refs[i] = (struct store_credential_ref){.type = credentials[i].type,
                                                .auth_id = credentials[i].auth_id};
    }
    if (st != KS_OK) {
        return st;
    }
    device->credentials = store_credential_refs_encode(&import->arena, refs, count);
    for (size_t i = 0; i < count && st == KS_OK; i++) {
        st = store_credential_put(import->txn, import->tenant.space, &credentials[i], why);
    }
    if (st == KS_OK) {
        import->counts.credentials += count;
    }
    return st;
}

static enum ks_status take_credentials(struct import *import, struct span text,
                                       struct store_device *device, struct ks_failure *why)
{
    struct ks_failure cause = {0};
    json_t *given = NULL;
    json_t *set = NULL;
    enum ks_status st = read_set(import, text, &given, &set, &cause);

    if (st == KS_OK) {
        st = put_credentials(import, given, set, device, &cause);
    }
    json_decref(given);
    json_decref(set);
    return under(IMPORT_CREDENTIALS, st, &cause, why);
}

/* ---- devices ---- */

static enum ks_status check_tenant(const struct import *import, struct span id,
                                   struct ks_failure *why)
{
    struct span last = span_of(import->tenant.id, import->tenant.id_len);

    if (last.len == 0) {
        return import_line_refuse(IMPORT_TENANT_ID, why,
                                  "no tenant's line came before; devices follow that of theirs");
    }
    if (!span_eq(id, last)) {
        return import_line_refuse(IMPORT_TENANT_ID, why,
                                  "is not that of the tenant's line above; devices follow that of "
                                  "theirs");
    }
    return KS_OK;
}

static enum ks_status read_flags(const struct import_line *line, struct store_device *out,
                                 struct ks_failure *why)
{
    bool provisioned = false;
    bool notified = false;
    enum ks_status st = import_line_flag(line, IMPORT_PROVISIONED, &provisioned, why);

    if (st == KS_OK) {
        st = import_line_flag(line, IMPORT_NOTIFIED, &notified, why);
    }
    out->flags |=
        (provisioned ? STORE_DEVICE_AUTO_PROVISIONED : 0) | (notified ? STORE_DEVICE_NOTIFIED : 0);
    return st;
}

static enum ks_status read_device(struct import *import, const struct import_line *line,
                                  struct store_device *device, struct ks_failure *why)
{
    enum ks_status st = read_id(import, line, IMPORT_DEVICE_ID, &device->id, why);

    if (st == KS_OK) {
        st = import_line_uuid(line, IMPORT_VERSION, &device->version, why);
    }
    if (st == KS_OK) {
        st = import_line_uuid(line, IMPORT_CREDENTIALS_VERSION, &device->credentials_version, why);
    }
    if (st == KS_OK) {
        st = read_time(line, IMPORT_CREATED, &device->created_ms, why);
    }
    if (st == KS_OK) {
        st = read_time(line, IMPORT_UPDATED, &device->updated_ms, why);
    }
    return st == KS_OK ? read_flags(line, device, why) : st;
}

static enum ks_status render_device(struct import *import, struct span document,
                                    struct store_device *out, struct ks_failure *why)
{
    struct ks_failure cause = {0};
    json_t *given = NULL;
    json_t *normal = NULL;
    enum ks_status st = json_text_parse(document, &given, &cause);

    if (st == KS_OK) {
        st = device_document_read(document, &normal, &cause);
    }
    if (st == KS_OK) {
        st = device_document_render(&import->arena, to_store(given, normal), out->id, out, &cause);
    }
    json_decref(given);
    json_decref(normal);
    return under(IMPORT_DOCUMENT, st, &cause, why);
}

static enum ks_status take_device(struct import *import, const struct import_line *line,
                                  struct ks_failure *why)
{
    struct store_device device = {.flags = 0};
    struct span tenant = SPAN("");
    enum ks_status st = read_id(import, line, IMPORT_TENANT_ID, &tenant, why);

    if (st == KS_OK) {
        st = check_tenant(import, tenant, why);
    }
    if (st == KS_OK) {
        st = read_device(import, line, &device, why);
    }
    if (st == KS_OK) {
        st = render_device(import, line->value[IMPORT_DOCUMENT], &device, why);
    }
    if (st == KS_OK) {
        st = take_credentials(import, line->value[IMPORT_CREDENTIALS], &device, why);
    }
    if (st == KS_OK) {
        st = store_device_insert(import->txn, import->tenant.space, &device, why);
    }
    if (st == KS_OK) {
        import->counts.devices++;
    }
    return st;
}

/* ---- the lines ---- */

static enum ks_status take_header(struct import *import, const struct import_line *line,
                                  struct ks_failure *why)
{
    struct span version;
    enum ks_status st = import_line_text(line, IMPORT_VERSION, &import->arena, &version, why);

    if (st == KS_OK) {
        st = import_line_number(line, IMPORT_TENANTS, INT64_MAX, &import->announced.tenants, why);
    }
    if (st == KS_OK) {
        st = import_line_number(line, IMPORT_DEVICES, INT64_MAX, &import->announced.devices, why);
    }
    return st == KS_OK ? import_line_number(line, IMPORT_CREDENTIALS, INT64_MAX,
                                            &import->announced.credentials, why)
                       : st;
}

static enum ks_status take(struct import *import, struct span text, struct ks_failure *why)
{
    struct import_line line;
    enum ks_status st = import_line_read(text, &line, why);

    if (st != KS_OK) {
        return st;
    }
    if (import->counts.lines == 1 && line.kind != IMPORT_HEADER) {
        return ks_fail(why, KS_INVALID, NULL,
                       "an export begins with its header, which has a member koseki-export");
    }
    switch (line.kind) {
    case IMPORT_HEADER:
        return import->counts.lines == 1
                   ? take_header(import, &line, why)
                   : ks_fail(why, KS_INVALID, NULL, "a second header: two exports are not one");
    case IMPORT_TENANT:
        return take_tenant(import, &line, why);
    case IMPORT_DEVICE:
        return take_device(import, &line, why);
    }
    return KS_INVALID;
}

/* What is the line's fault names it; what is the disk's does not. */
static enum ks_status at_line(uint64_t line, enum ks_status st, const struct ks_failure *cause,
                              struct ks_failure *why)
{
    if (st == KS_INVALID || st == KS_EXISTS || st == KS_TOO_LARGE) {
        return ks_fail(why, st, cause->reason, "line %" PRIu64 ": %s", line, cause->text);
    }
    return ks_fail(why, st, cause->reason, "%s", cause->text);
}

enum ks_status import_line(struct import *import, struct span line, struct ks_failure *why)
{
    struct ks_failure cause = {0};
    enum ks_status st;

    import->counts.lines++;
    load_kv_at(import->options.load, import->counts.lines);
    st = take(import, line, &cause);
    arena_reset(&import->arena);
    return st == KS_OK ? KS_OK : at_line(import->counts.lines, st, &cause, why);
}

/* ---- the end ---- */

static enum ks_status check_counts(const struct import *import, struct ks_failure *why)
{
    const struct import_counts *are = &import->counts;
    const struct import_counts *said = &import->announced;

    if (are->lines == 0) {
        return ks_fail(why, KS_INVALID, NULL, "there is not even a header: the input is empty");
    }
    if (are->tenants != said->tenants || are->devices != said->devices ||
        are->credentials != said->credentials) {
        return ks_fail(why, KS_INVALID, NULL,
                       "line %" PRIu64 ": the end is here, but the header tells of %" PRIu64
                       " tenants, %" PRIu64 " devices, %" PRIu64
                       " credentials and there are %" PRIu64 ", %" PRIu64 ", %" PRIu64
                       ": the export is cut, or was changed",
                       are->lines, said->tenants, said->devices, said->credentials, are->tenants,
                       are->devices, are->credentials);
    }
    return KS_OK;
}

static enum ks_status commit(struct import *import, struct ks_failure *why)
{
    struct store_txn *txn = import->txn;
    struct load_conflict conflict = {.first = 0};
    struct ks_failure cause = {0};
    enum ks_status st;

    import->txn = NULL;
    st = store_write_commit(txn, &cause);
    if (st == KS_EXISTS && load_kv_conflict(import->options.load, &conflict)) {
        return ks_fail(why, st, NULL, "line %" PRIu64 ": %s: see line %" PRIu64, conflict.second,
                       cause.text, conflict.first);
    }
    return st == KS_OK ? KS_OK : ks_fail(why, st, cause.reason, "%s", cause.text);
}

static enum ks_status check_cas_of_all(struct import *import, struct store_txn *txn,
                                       struct ks_failure *why)
{
    struct store_tenant tenant = {.space = 0};
    struct span after = SPAN("");
    enum ks_status st;

    while ((st = store_tenant_next(txn, after, &tenant, why)) == KS_OK) {
        struct ks_failure cause = {0};

        st = ca_sharing_check(txn, &tenant, tenant.space, &cause);
        if (st != KS_OK) {
            return at_line(import->tenant_lines[tenant.space], st, &cause, why);
        }
        after = tenant.id;
    }
    return st == KS_NOT_FOUND ? KS_OK : st;
}

/* Only where all tenants can be seen can it be told who shares what. */
static enum ks_status check_sharing(struct import *import, struct ks_failure *why)
{
    struct store_txn *txn = NULL;
    enum ks_status st = store_reader_open(import->options.store, &txn, why);

    if (st == KS_OK) {
        st = store_reader_renew(txn, why);
    }
    if (st == KS_OK) {
        st = check_cas_of_all(import, txn, why);
    }
    store_reader_close(txn);
    return st;
}

enum ks_status import_finish(struct import *import, struct ks_failure *why)
{
    enum ks_status st = check_counts(import, why);

    if (st == KS_OK) {
        st = commit(import, why);
    }
    return st == KS_OK ? check_sharing(import, why) : st;
}

struct import_counts import_counts(const struct import *import)
{
    return import->counts;
}

enum ks_status import_open(struct import **out, const struct import_options *options,
                           struct ks_failure *why)
{
    struct import *import = calloc(1, sizeof(*import));
    enum ks_status st;

    if (import == NULL) {
        abort();
    }
    import->options = *options;
    arena_init(&import->arena);
    st = store_write_begin(options->store, &import->txn, why);
    if (st != KS_OK) {
        import_close(import);
        return st;
    }
    *out = import;
    return KS_OK;
}

void import_close(struct import *import)
{
    if (import != NULL) {
        store_write_abort(import->txn);
        arena_done(&import->arena);
        free(import->tenant_lines);
        free(import);
    }
}
