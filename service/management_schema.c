#include "service/management_schema.h"

#include "service/credential_members.h"
#include "service/device_members.h"
#include "service/member_schema.h"
#include "service/tenant_members.h"
#include "store/store.h"

/* A kind's own type, or for custom ones any but theirs. */
static void add_type(struct buf *out, const struct credential_kind *kind)
{
    if (kind->type != NULL) {
        buf_printf(out, "{\"type\":\"string\",\"enum\":[\"%s\"]}", kind->type);
        return;
    }
    buf_printf(out, "{\"type\":\"string\",\"maxLength\":%d,\"pattern\":\"%s\",\"not\":{\"enum\":[",
               STORE_TYPE_MAX, credential_table.rules[CREDENTIAL_TYPE].pattern);
    for (size_t i = 0; credential_kinds[i].type != NULL; i++) {
        buf_printf(out, "%s\"%s\"", i == 0 ? "" : ",", credential_kinds[i].type);
    }
    buf_printf(out, "]},\"example\":%s}", credential_table.rules[CREDENTIAL_TYPE].example);
}

static void add_kind(struct member_schemas *schemas, const struct credential_kind *kind)
{
    struct member_schema_extra extra = {.name = credential_name(CREDENTIAL_TYPE)};
    struct buf type;

    buf_init(&type, 0);
    add_type(&type, kind);
    buf_add_char(&type, '\0');
    extra.schema = type.ptr;
    member_schemas_add_as(schemas, kind->credential->about->name, kind->credential, &extra);
    buf_done(&type);
}

static void add_credentials(struct member_schemas *schemas)
{
    struct buf text;

    buf_init(&text, 0);
    buf_printf(&text,
               "{\"type\":\"array\",\"maxItems\":%d,\"description\":\"The credentials of a device: "
               "no two of the same type and auth-id.\",\"items\":{\"oneOf\":[",
               STORE_LIST_MAX);
    for (size_t i = 0; i < CREDENTIAL_KINDS; i++) {
        add_kind(schemas, &credential_kinds[i]);
        buf_printf(&text, "%s{\"$ref\":\"#/components/schemas/%s\"}", i == 0 ? "" : ",",
                   credential_kinds[i].credential->about->name);
    }
    buf_add_cstr(&text, "]}}");
    buf_add_char(&text, '\0');
    member_schemas_add_text(schemas, "Credentials", text.ptr);
    buf_done(&text);
}

void management_schemas_add(struct buf *out)
{
    static const struct member_schema_extra id = {
        .name = "id", .schema = "{\"type\":\"string\",\"description\":\"Its id.\"}"};
    struct member_schemas schemas = {.out = out};

    member_schemas_add(&schemas, &tenant_table);
    member_schemas_add_as(&schemas, "TenantItem", &tenant_table, &id);
    member_schemas_add(&schemas, &device_table);
    member_schemas_add_as(&schemas, "DeviceItem", &device_table, &id);
    add_credentials(&schemas);
}
