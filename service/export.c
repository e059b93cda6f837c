#include "service/export.h"

#include <string.h>

#include "base/buf.h"
#include "base/uuid.h"
#include "service/device_status.h"
#include "store/store.h"

struct exporter {
    struct store_txn *txn;
    enum ks_status (*line)(struct span text, void *arg, struct ks_failure *why);
    void *arg;
    struct ks_failure *why;
    struct buf text;
    char after[STORE_ID_MAX]; /* of the walk over devices: a found id dies with the next look */
    char tenant[STORE_ID_MAX];
};

/* ---- members ---- */

static void add_name(struct buf *out, const char *name)
{
    buf_add_cstr(out, out->len == 0 ? "{" : ",");
    buf_add_json(out, span_cstr(name));
    buf_add_char(out, ':');
}

static void add_text(struct buf *out, const char *name, struct span text)
{
    add_name(out, name);
    buf_add_json(out, text);
}

static void add_document(struct buf *out, const char *name, struct span json)
{
    add_name(out, name);
    buf_add_span(out, json.len == 0 ? SPAN("{}") : json);
}

static void add_uuid(struct buf *out, const char *name, const struct uuid *uuid)
{
    char text[UUID_TEXT_LEN + 1];

    uuid_format(uuid, text);
    add_text(out, name, span_cstr(text));
}

/* Milliseconds since 1970: a text would lose them. */
static void add_number(struct buf *out, const char *name, uint64_t value)
{
    add_name(out, name);
    buf_printf(out, "%llu", (unsigned long long)value);
}

static void add_flag(struct buf *out, const char *name, bool value)
{
    add_name(out, name);
    buf_add_cstr(out, value ? "true" : "false");
}

static enum ks_status emit(struct exporter *e)
{
    enum ks_status st;

    buf_add_char(&e->text, '}');
    if (e->text.overflow) { /* a record of ours never gets there */
        return ks_fail(e->why, KS_CORRUPT, NULL, "a line has more than %d MiB",
                       EXPORT_LINE_MAX >> 20);
    }
    st = e->line(buf_span(&e->text), e->arg, e->why);
    buf_clear(&e->text);
    return st;
}

/* ---- lines ---- */

static enum ks_status export_header(struct exporter *e)
{
    struct store_stat stat;
    enum ks_status st = store_stat(e->txn, &stat, e->why);

    if (st != KS_OK) {
        return st;
    }
    add_number(&e->text, "koseki-export", EXPORT_FORMAT);
    add_text(&e->text, "version", span_cstr(KS_VERSION));
    add_number(&e->text, "tenants", stat.tenants);
    add_number(&e->text, "devices", stat.devices);
    add_number(&e->text, "credentials", stat.credentials);
    return emit(e);
}

static enum ks_status export_credentials(struct exporter *e, uint32_t space,
                                         const struct store_device *device)
{
    struct store_credential_ref ref;
    struct store_credential found;
    size_t at = 0;
    bool first = true;
    enum ks_status st = KS_OK;

    add_name(&e->text, "credentials");
    buf_add_char(&e->text, '[');
    while (st == KS_OK && store_credential_refs_next(device->credentials, &at, &ref)) {
        st = store_credential_get(e->txn, space, ref.type, ref.auth_id, &found, e->why);
        if (st == KS_NOT_FOUND) {
            return ks_fail(e->why, KS_CORRUPT, NULL,
                           "a credential of device %.*s is missing; see koseki stat --verify",
                           SPAN_ARG(device->id));
        }
        if (st == KS_OK) {
            buf_add_cstr(&e->text, first ? "" : ",");
            buf_add_span(&e->text, found.document);
            first = false;
        }
    }
    buf_add_char(&e->text, ']');
    return st;
}

static enum ks_status export_device(struct exporter *e, struct span tenant, uint32_t space,
                                    const struct store_device *device)
{
    bool notified = false;
    enum ks_status st = device_status_notified(e->txn, space, device, &notified, e->why);

    if (st != KS_OK) {
        return st;
    }
    add_text(&e->text, "tenant", tenant);
    add_text(&e->text, "device", device->id);
    add_uuid(&e->text, "version", &device->version);
    add_uuid(&e->text, "credentials-version", &device->credentials_version);
    add_number(&e->text, "created", (uint64_t)device->created_ms);
    add_number(&e->text, "updated", (uint64_t)device->updated_ms);
    add_flag(&e->text, "auto-provisioned", (device->flags & STORE_DEVICE_AUTO_PROVISIONED) != 0);
    add_flag(&e->text, "auto-provisioning-notification-sent", notified);
    add_document(&e->text, "document", device->document);
    st = export_credentials(e, space, device);
    return st == KS_OK ? emit(e) : st;
}

static enum ks_status export_devices(struct exporter *e, struct span tenant, uint32_t space)
{
    struct store_device device;
    size_t after = 0;
    enum ks_status st = KS_OK;

    while ((st = store_device_next(e->txn, space, span_of(e->after, after), &device, e->why)) ==
           KS_OK) {
        memcpy(e->after, device.id.ptr, device.id.len);
        after = device.id.len;
        st = export_device(e, tenant, space, &device);
        if (st != KS_OK) {
            return st;
        }
    }
    return st == KS_NOT_FOUND ? KS_OK : st;
}

static enum ks_status export_tenant(struct exporter *e, const struct store_tenant *tenant)
{
    add_text(&e->text, "tenant", tenant->id);
    add_uuid(&e->text, "version", &tenant->version);
    add_number(&e->text, "created", (uint64_t)tenant->created_ms);
    add_number(&e->text, "updated", (uint64_t)tenant->updated_ms);
    add_document(&e->text, "document", tenant->document);
    return emit(e);
}

static enum ks_status export_tenants(struct exporter *e)
{
    struct store_tenant tenant;
    struct span id = span_of(e->tenant, 0);
    enum ks_status st = KS_OK;

    while ((st = store_tenant_next(e->txn, id, &tenant, e->why)) == KS_OK) {
        uint32_t space = tenant.space;

        memcpy(e->tenant, tenant.id.ptr, tenant.id.len);
        id = span_of(e->tenant, tenant.id.len);
        st = export_tenant(e, &tenant);
        if (st == KS_OK) {
            st = export_devices(e, id, space);
        }
        if (st != KS_OK) {
            return st;
        }
    }
    return st == KS_NOT_FOUND ? KS_OK : st;
}

enum ks_status export_lines(struct store_txn *txn,
                            enum ks_status (*line)(struct span text, void *arg,
                                                   struct ks_failure *why),
                            void *arg, struct ks_failure *why)
{
    struct exporter e = {.txn = txn, .line = line, .arg = arg, .why = why};
    enum ks_status st;

    buf_init(&e.text, EXPORT_LINE_MAX);
    st = export_header(&e);
    if (st == KS_OK) {
        st = export_tenants(&e);
    }
    buf_done_secret(&e.text);
    return st;
}
