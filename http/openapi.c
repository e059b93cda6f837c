#include "http/openapi.h"

#include <stdbool.h>
#include <string.h>

#include "http/route.h"
#include "service/management.h"
#include "service/management_schema.h"
#include "store/store.h"

/* ---- texts ---- */

struct operation {
    const char *id;
    const char *tag;
    const char *summary;
    const char *text;
    const char *body;          /* schema; NULL: none */
    const char *answer;        /* schema of a 200 */
    bool not_found;            /* may be answered 404 */
    bool conflicts;            /* 409 */
    const char *parameters[2]; /* JSON, comma-separated; NULL: no more */
};

#define FRAGMENT(name, ...)   static const char name[] = #__VA_ARGS__;
#define OPERATION(value, ...) /* below */
#include "http/openapi.def"

/* The compiler tells of an operation that has no row. */
static const struct operation *operation_of(enum management_op op)
{
    switch (op) {
#define FRAGMENT(name, ...) /* above */
#define OPERATION(value, ...)                                                                      \
    case value: {                                                                                  \
        static const struct operation row = {__VA_ARGS__};                                         \
        return &row;                                                                               \
    }
#include "http/openapi.def"
    }
    return NULL;
}

static const char introduction[] =
    "Koseki is a device registry for Eclipse Hono. This is the API of Hono's registries for those "
    "who manage tenants, devices and their credentials.\n\n"
    "**Versions.** Each tenant, each device and each device's set of credentials has a version: "
    "its ETag, a bare UUID. With If-Match a change is made only if that version still stands.\n\n"
    "**Documents.** A PUT replaces a document as a whole. Shown here is the normal form, which is "
    "stored and answered. A request may also have null for a member that is not there, unless that "
    "is refused; texts and integers for booleans, texts for integers, numbers and booleans for "
    "texts; words in any letter case; one scalar for a list of ids; timestamps with any offset and "
    "fraction; Base64 without padding. Members that are not named here, names that occur twice in "
    "an object, and nesting beyond 64 levels are refused.\n\n"
    "**Errors** say in `error` what is wrong and where, and in `reason` the same as a code.";

/* Answers that are the same for all operations. */
static const struct error {
    int status;
    const char *name;
    const char *text;
} errors[] = {
    {400, "BadRequest", "Malformed: error names the member or the parameter."},
    {401, "Unauthorized", "No login, or a wrong one."},
    {403, "Forbidden", "Not authorized, or a limit is reached: reason says which."},
    {404, "NotFound", "No such tenant or device, or nothing matches."},
    {409, "Conflict", "The id, alias, auth-id or CA is taken."},
    {412, "PreconditionFailed", "The version is not the one of If-Match."},
    {413, "PayloadTooLarge", "The body has more bytes than http.max-payload."},
    {503, "Unavailable", "Too much at once, or writes are refused for now: reason says why."},
};

static bool may_answer(const struct operation *operation, const struct management_traits *traits,
                       int status)
{
    switch (status) {
    case 404:
        return operation->not_found;
    case 409:
        return operation->conflicts;
    case 412:
        return traits->heeds_version;
    case 413:
        return operation->body != NULL;
    default:
        return true;
    }
}

/* ---- operations ---- */

static void add_text(struct buf *out, const char *keyword, const char *text)
{
    buf_printf(out, "\"%s\":", keyword);
    buf_add_json(out, span_cstr(text));
}

static void add_content(struct buf *out, const char *schema)
{
    buf_printf(out,
               "\"content\":{\"application/json\":{\"schema\":{\"$ref\":"
               "\"#/components/schemas/%s\"}}}",
               schema);
}

static void add_success(struct buf *out, const struct operation *operation,
                        const struct management_traits *traits)
{
    const char *schema = traits->status == 201 ? "Created" : operation->answer;

    buf_printf(out, "\"%d\":{\"description\":\"%s\"", traits->status,
               traits->status == 200   ? "As asked."
               : traits->status == 201 ? "Created."
                                       : "Done.");
    if (traits->has_etag) {
        buf_printf(out, ",\"headers\":{%s%s%s}", etag_header, traits->status == 201 ? "," : "",
                   traits->status == 201 ? location_header : "");
    }
    if (schema != NULL) {
        buf_add_char(out, ',');
        add_content(out, schema);
    }
    buf_add_char(out, '}');
}

static void add_responses(struct buf *out, const struct operation *operation,
                          const struct management_traits *traits)
{
    buf_add_cstr(out, "\"responses\":{");
    add_success(out, operation, traits);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (may_answer(operation, traits, errors[i].status)) {
            buf_printf(out, ",\"%d\":{\"$ref\":\"#/components/responses/%s\"}", errors[i].status,
                       errors[i].name);
        }
    }
    buf_add_char(out, '}');
}

static const char *method_key(enum http_method method)
{
    static const char *const keys[] = {
        [HTTP_GET] = "get", [HTTP_POST] = "post", [HTTP_PUT] = "put", [HTTP_DELETE] = "delete"};

    return keys[method];
}

/* Whether it is the form of a create that brings the id; there is one that does not, too. */
static bool names_itself(const struct route_row *row, const struct management_traits *traits)
{
    return traits->status == 201 && row->ids == (traits->of_device ? 2 : 1);
}

static void add_parameters(struct buf *out, const struct operation *operation,
                           const struct management_traits *traits)
{
    const char *separator = "";

    buf_add_cstr(out, "\"parameters\":[");
    for (size_t i = 0; i < 2 && operation->parameters[i] != NULL; i++) {
        buf_printf(out, "%s%s", separator, operation->parameters[i]);
        separator = ",";
    }
    if (traits->heeds_version) {
        buf_printf(out, "%s%s", separator, if_match_parameter);
    }
    buf_add_cstr(out, "],");
}

static void add_operation(struct buf *out, const struct route_row *row)
{
    const struct operation *operation = operation_of(row->op);
    const struct management_traits traits = management_traits_of(row->op);

    buf_printf(out, ",\"%s\":{\"tags\":[\"%s\"],\"operationId\":\"%s%s\",", method_key(row->method),
               operation->tag, operation->id, names_itself(row, &traits) ? "WithId" : "");
    add_text(out, "summary", operation->summary);
    buf_add_char(out, ',');
    add_text(out, "description", operation->text);
    buf_add_char(out, ',');
    add_parameters(out, operation, &traits);
    if (operation->body != NULL) {
        buf_printf(out, "\"requestBody\":{\"required\":%s,", traits.needs_body ? "true" : "false");
        add_content(out, operation->body);
        buf_add_cstr(out, "},");
    }
    add_responses(out, operation, &traits);
    buf_add_char(out, '}');
}

/* ---- paths ---- */

static const struct {
    const char *name;
    const char *text;
    const char *pattern;
    const char *example;
} ids[] = {
    {"tenantId", "The tenant's id; neither . nor .. is one.", "^[a-zA-Z0-9_.-]+$", "acme"},
    {"deviceId", "The device's id; neither . nor .. is one.", "^[a-zA-Z0-9_.:=-]+$", "sensor-1"},
};

static void add_id(struct buf *out, size_t i)
{
    buf_printf(out,
               "%s{\"name\":\"%s\",\"in\":\"path\",\"required\":true,\"description\":\"%s\","
               "\"schema\":{\"type\":\"string\",\"pattern\":\"%s\",\"maxLength\":%d},"
               "\"example\":\"%s\"}",
               i == 0 ? "" : ",", ids[i].name, ids[i].text, ids[i].pattern, STORE_ID_MAX,
               ids[i].example);
}

static bool is_same_path(const struct route_row *a, const struct route_row *b)
{
    return strcmp(a->collection, b->collection) == 0 && a->ids == b->ids;
}

/* All operations of the path that the row is the first of. */
static void add_path(struct buf *out, const struct route_row *first)
{
    struct route_row row;

    buf_printf(out, "\"/v1/%s", first->collection);
    for (size_t i = 0; i < first->ids; i++) {
        buf_printf(out, "/{%s}", ids[i].name);
    }
    buf_add_cstr(out, "\":{\"parameters\":[");
    for (size_t i = 0; i < first->ids; i++) {
        add_id(out, i);
    }
    buf_add_char(out, ']');
    for (size_t i = 0; route_at(i, &row); i++) {
        if (is_same_path(&row, first)) {
            add_operation(out, &row);
        }
    }
    buf_add_char(out, '}');
}

static void add_paths(struct buf *out)
{
    struct route_row previous = {.collection = ""};
    struct route_row row;

    for (size_t i = 0; route_at(i, &row); i++) {
        if (!row.describes && !is_same_path(&row, &previous)) {
            buf_add_cstr(out, i == 0 ? "" : ",");
            add_path(out, &row);
        }
        previous = row;
    }
}

/* ---- the document ---- */

static void add_error_responses(struct buf *out)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        buf_printf(out, "%s\"%s\":{\"description\":\"%s\",", i == 0 ? "" : ",", errors[i].name,
                   errors[i].text);
        add_content(out, "Error");
        buf_add_char(out, '}');
    }
}

void openapi_add(struct buf *out)
{
    buf_add_cstr(out, "{\"openapi\":\"3.0.3\",\"info\":{"
                      "\"title\":\"Koseki: Device Registry Management API\","
                      "\"version\":\"" KS_VERSION "\",");
    add_text(out, "description", introduction);
    buf_add_cstr(out, "},\"servers\":[{\"url\":\"/\"}],\"security\":[{\"basic\":[]}],\"tags\":["
                      "{\"name\":\"tenants\"},{\"name\":\"devices\"},{\"name\":\"credentials\"}],"
                      "\"paths\":{");
    add_paths(out);
    buf_add_cstr(out, "},\"components\":{\"schemas\":{");
    management_schemas_add(out);
    buf_printf(out, ",%s},\"responses\":{", common_schemas);
    add_error_responses(out);
    buf_printf(out, "},\"securitySchemes\":{%s}}}", security_schemes);
}
