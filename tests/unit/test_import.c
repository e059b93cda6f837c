/* Lines into a store and out again, and every way in which a line can be wrong. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "service/export.h"
#include "service/import.h"
#include "store/load_kv.h"
#include "store/store.h"
#include "support/array_kv.h"
#include "support/documents.h"
#include "support/office.h"

static struct test_dir dir;
static struct office office;

static int set_up(void **state)
{
    (void)state;
    test_dir_make(&dir);
    office_open(&office);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    office_close(&office);
    test_dir_remove(&dir);
    return 0;
}

/* ---- an import ---- */

struct target {
    struct kv *load;
    struct store *store;
    struct import *import;
};

static void target_open(struct target *target)
{
    const struct load_kv_options options = {.dir = dir.path, .memory = 4096};
    struct import_options into = {.max_bcrypt_cost = OFFICE_COST};

    target->load = load_kv_open(array_kv_open(NULL), &options);
    assert_ok(store_open(&target->store, target->load, why));
    into.store = target->store;
    into.load = target->load;
    assert_ok(import_open(&target->import, &into, why));
}

static void target_close(struct target *target)
{
    import_close(target->import);
    store_close(target->store);
}

/* Takes a text's lines; the first error, or that of the end. */
static enum ks_status take(struct target *target, struct span text, struct ks_failure *why)
{
    const char *at = text.ptr;
    enum ks_status st = KS_OK;

    while (st == KS_OK && at < span_end(text)) {
        const char *newline = memchr(at, '\n', (size_t)(span_end(text) - at));
        const char *end = newline != NULL ? newline : span_end(text);

        st = import_line(target->import, span_of(at, (size_t)(end - at)), why);
        at = end + 1;
    }
    return st == KS_OK ? import_finish(target->import, why) : st;
}

static enum ks_status add_line(struct span line, void *arg, struct ks_failure *why)
{
    (void)why;
    buf_add_span(arg, line);
    buf_add_char(arg, '\n');
    return KS_OK;
}

static void fail_on(const char *found, void *arg)
{
    (void)arg;
    fail_msg("inconsistent: %s", found);
}

static void export_of(struct store *store, struct buf *out)
{
    struct store_txn *txn = NULL;

    buf_init(out, 0);
    assert_ok(store_reader_open(store, &txn, why));
    assert_ok(store_reader_renew(txn, why));
    assert_ok(store_verify(txn, fail_on, NULL, why));
    assert_ok(export_lines(txn, add_line, out, why));
    store_reader_close(txn);
}

/* ---- what comes out is what went in ---- */

static struct span one_of_all(void)
{
    return documents_fill(
        "{\"koseki-export\":1,\"version\":\"" KS_VERSION
        "\",\"tenants\":3,\"devices\":4,\"credentials\":7}\n"
        "{\"tenant\":\"A.1\",\"version\":\"01000000-0000-4000-8000-000000000001\",\"created\":1,"
        "\"updated\":2,\"document\":{\"ext\":{\"b\":1.5,\"a\":[1e+300,-0.0,\"\xC3\xBC\\u0001\"]},"
        "\"alias\":\"a-1\",\"trust-anchor-group\":\"g\",\"trusted-ca\":[{\"subject-dn\":\"CN=x\","
        "\"public-key\":\"@KEY@\",\"algorithm\":\"EC\",\"not-before\":\"2026-11-24T10:00:00Z\","
        "\"not-after\":\"2036-11-24T10:00:00Z\",\"auto-provisioning-enabled\":true,"
        "\"auto-provision-as-gateway\":false,\"id\":\"one\"}]}}\n"
        "{\"tenant\":\"A.1\",\"device\":\"d:1\",\"version\":"
        "\"01000000-0000-4000-8000-000000000002\",\"credentials-version\":"
        "\"01000000-0000-4000-8000-000000000003\",\"created\":3,\"updated\":0,"
        "\"auto-provisioned\":true,\"auto-provisioning-notification-sent\":true,"
        "\"document\":{\"ext\":{\"x\":0},\"enabled\":false}"
        ",\"credentials\":[]}\n"
        "{\"tenant\":\"A.1\",\"device\":\"d=2\",\"version\":"
        "\"01000000-0000-4000-8000-000000000004\",\"credentials-version\":"
        "\"01000000-0000-4000-8000-000000000005\",\"created\":253402300799999,\"updated\":4,"
        "\"auto-provisioned\":true,\"auto-provisioning-notification-sent\":false,"
        "\"document\":{\"viaGroups\":[\"red\"],\"via\":[\"d:1\",\"gone\"],\"enabled\":true},"
        "\"credentials\":["
        "{\"auth-id\":\"a "
        "\xC3\xBC\",\"type\":\"psk\",\"secrets\":[{\"key\":\"AQ==\",\"id\":\"i\"}]},"
        "{\"type\":\"x509-cert\",\"auth-id\":\"DC=m\xC3\xBCller\",\"secrets\":[{\"id\":\"i\"}]},"
        "{\"type\":\"x509-cert\",\"auth-id\":\"CN=a\",\"ext\":{\"x\":null},\"secrets\":["
        "{\"not-after\":\"2026-11-24T10:00:00Z\",\"id\":\"i\",\"enabled\":false}]},"
        "{\"type\":\"hashed-password\",\"auth-id\":\"p\",\"secrets\":[{\"id\":\"i\","
        "\"hash-function\":\"sha-256\",\"pwd-hash\":\"aGFzaA==\",\"salt\":\"c2FsdA==\"},"
        "{\"pwd-hash\":\"$2a$04$bT0UkqYwYXcTBlVJ1v8w1O2O5dYwD3WXk7o6Mh8gE5eYpV1h7cQ1K\","
        "\"hash-function\":\"bcrypt\",\"id\":\"j\"}]},"
        "{\"type\":\"rpk\",\"auth-id\":\"r\",\"secrets\":[{\"key\":\"@KEY@\",\"algorithm\":\"EC\","
        "\"id\":\"i\"}]},"
        "{\"type\":\"my-own\",\"auth-id\":\"o\",\"enabled\":false,\"secrets\":[{\"zeta\":1,\"id\":"
        "\"i\","
        "\"alpha\":{}}]}]}\n"
        "{\"tenant\":\"B\",\"version\":\"01000000-0000-4000-8000-000000000006\",\"created\":1,"
        "\"updated\":0,\"document\":{}}\n"
        "{\"tenant\":\"C\",\"version\":\"01000000-0000-4000-8000-000000000007\",\"created\":1,"
        "\"updated\":0,\"document\":{\"trust-anchor-group\":\"g\",\"trusted-ca\":["
        "{\"subject-dn\":\"CN=x\",\"public-key\":\"@KEY@\",\"algorithm\":\"EC\","
        "\"not-before\":\"2026-11-24T10:00:00Z\",\"not-after\":\"2036-11-24T10:00:00Z\","
        "\"auto-provisioning-enabled\":true,\"auto-provision-as-gateway\":false,\"id\":\"one\"}]}}"
        "\n"
        "{\"tenant\":\"C\",\"device\":\"d:1\",\"version\":"
        "\"01000000-0000-4000-8000-000000000008\",\"credentials-version\":"
        "\"01000000-0000-4000-8000-000000000009\",\"created\":3,\"updated\":0,"
        "\"auto-provisioned\":false,\"auto-provisioning-notification-sent\":false,"
        "\"document\":{},\"credentials\":[{\"type\":\"psk\",\"auth-id\":\"a \xC3\xBC\","
        "\"secrets\":[{\"key\":\"AQ==\",\"id\":\"i\"}]}]}\n"
        "{\"tenant\":\"C\",\"device\":\"e\",\"version\":"
        "\"01000000-0000-4000-8000-00000000000a\",\"credentials-version\":"
        "\"01000000-0000-4000-8000-00000000000b\",\"created\":3,\"updated\":0,"
        "\"auto-provisioned\":false,\"auto-provisioning-notification-sent\":false,"
        "\"document\":{\"memberOf\":[\"red\"]},\"credentials\":[]}\n");
}

static void assert_text(const struct buf *found, struct span expected)
{
    struct span text = buf_span(found);
    size_t same = 0;

    while (same < text.len && same < expected.len && text.ptr[same] == expected.ptr[same]) {
        same++;
    }
    if (!span_eq(text, expected)) {
        fail_msg("differs at byte %zu: \"%.60s\", not \"%.60s\"", same, text.ptr + same,
                 expected.ptr + same);
    }
}

static void an_export_of_an_import_is_what_was_imported(void **state)
{
    struct target target;
    struct span text = one_of_all();
    struct import_counts counts;
    struct buf out;

    (void)state;
    target_open(&target);
    assert_ok(take(&target, text, why));
    counts = import_counts(target.import);
    assert_int_equal(counts.lines, 8);
    assert_int_equal(counts.tenants, 3);
    assert_int_equal(counts.devices, 4);
    assert_int_equal(counts.credentials, 7);
    export_of(target.store, &out);
    assert_text(&out, text);
    buf_done(&out);
    target_close(&target);
}

/* What the management API makes of its requests, members in every order. */
static void what_the_api_has_stored_goes_through_too(void **state)
{
    static const struct office_request requests[] = {
        {TENANT(CREATE) = "T",
         .body = "{\"trusted-ca\":[{\"auto-provisioning-enabled\":true,\"cert\":\"@CERT@\"}],"
                 "\"adapters\":[{\"type\":\"x\"}],\"enabled\":\"true\",\"tracing\":{}}"},
        {DEVICE(CREATE, "T") = "d",
         .body = "{\"ext\":{\"z\":0.1,\"a\":null},\"via\":\"g\",\"authorities\":[\"b\",\"a\"]}"},
        {CREDENTIALS(UPDATE, "T") = "d",
         .body = "[{\"secrets\":[{\"key\":\"AA\",\"comment\":\"c\"}],\"auth-id\":\"a\",\"type\":"
                 "\"psk\"},{\"type\":\"hashed-password\",\"auth-id\":\"h\",\"secrets\":["
                 "{\"pwd-plain\":\"x\"}]},{\"type\":\"x509-cert\",\"cert\":\"@CERT@\"},"
                 "{\"type\":\"rpk\",\"auth-id\":\"r\",\"secrets\":[{\"cert\":\"@CERT@\"}]}]"},
    };
    struct target target;
    struct buf before;
    struct buf after;

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        office_ask(&office, &requests[i]);
        if (office.response.status != 201 && office.response.status != 204) {
            fail_msg("%.*s", SPAN_ARG(buf_span(&office.response.body)));
        }
    }
    export_of(office.registry.store, &before);
    target_open(&target);
    assert_ok(take(&target, buf_span(&before), why));
    export_of(target.store, &after);
    assert_text(&after, buf_span(&before));
    buf_done(&before);
    buf_done(&after);
    target_close(&target);
}

/* ---- what is made by hand ---- */

#define HEADER(tenants, devices, credentials)                                                      \
    "{\"koseki-export\":1,\"version\":\"x\",\"tenants\":" tenants ",\"devices\":" devices          \
    ",\"credentials\":" credentials "}\n"
#define ID          "\"0f1e2d3c-4b5a-4678-8796-a5b4c3d2e1f0\""
#define TENANT_     "\"tenant\":\"T\",\"version\":" ID ",\"created\":1,\"updated\":0"
#define TENANT_LINE "{" TENANT_ ",\"document\":{}}\n"
#define DEVICE_                                                                                    \
    "\"tenant\":\"T\",\"version\":" ID ",\"credentials-version\":" ID                              \
    ",\"created\":1,\"updated\":0,\"auto-provisioned\":false,"                                     \
    "\"auto-provisioning-notification-sent\":false"
#define DEVICE_LINE(id, credentials)                                                               \
    "{\"device\":\"" id "\"," DEVICE_ ",\"document\":{},\"credentials\":[" credentials "]}\n"
#define PSK(id, secret) "{\"type\":\"psk\",\"auth-id\":\"" id "\",\"secrets\":[" secret "]}"
#define KEY             "{\"key\":\"AA==\"}"

static void blanks_orders_and_lenient_values_are_taken(void **state)
{
    struct span text = documents_fill(
        " { \"credentials\" : 2 , \"devices\":2,\t\"tenants\":1,\"version\":\"1\\u002e0\","
        "\"koseki-export\":1 } \r\n"
        "{\"document\":{\"enabled\":\"TRUE\", \"ext\" : {}}," TENANT_ "}\n"
        "{\"credentials\":[{\"type\":\"psk\",\"auth-id\":7,\"secrets\":[{\"key\":\"AA\"}]}],"
        "\"document\":{ \"via\": \"g\" },\"device\":\"\\u0062\"," DEVICE_ "}\n"
        "{\"device\":\"a\",\"document\":{}," DEVICE_ ",\"credentials\":[" PSK("8", KEY) "]}");
    struct target target;
    struct buf out;

    (void)state;
    target_open(&target);
    assert_ok(take(&target, text, why));
    export_of(target.store, &out);
    buf_add_char(&out, '\0');
    assert_non_null(strstr(out.ptr, "\"document\":{\"enabled\":true}}\n"));
    assert_non_null(strstr(out.ptr, "\"document\":{\"via\":[\"g\"]},\"credentials\":[{\"type\":"
                                    "\"psk\",\"auth-id\":\"7\",\"secrets\":[{\"key\":\"AA==\","
                                    "\"id\":\""));
    assert_true(strstr(out.ptr, "\"device\":\"a\"") < strstr(out.ptr, "\"device\":\"b\""));
    buf_done(&out);
    target_close(&target);
}

/* ---- what is refused ---- */

struct wrong {
    const char *lines; /* behind a fitting header and a tenant's line; or all, if it has a header */
    const char *text;  /* of the refusal */
};

static void assert_refused(const struct wrong *wrong)
{
    struct buf lines;
    struct target target;
    struct ks_failure failure = {0};
    enum ks_status st;

    buf_init(&lines, 0);
    if (strstr(wrong->lines, "koseki-export") == NULL) {
        buf_add_cstr(&lines, HEADER("1", "1", "0") TENANT_LINE);
    }
    buf_add_cstr(&lines, wrong->lines);
    buf_add_char(&lines, '\0');
    target_open(&target);
    st = take(&target, documents_fill(lines.ptr), &failure);
    if (st == KS_OK || strstr(failure.text, wrong->text) == NULL) {
        fail_msg("%s: %s: \"%s\", not \"%s\"", wrong->lines, ks_status_name(st), failure.text,
                 wrong->text);
    }
    target_close(&target);
    buf_done(&lines);
}

#define assert_all_refused(cases)                                                                  \
    for (size_t i = 0; i < sizeof(cases) / sizeof((cases)[0]); i++) {                              \
        assert_refused(&(cases)[i]);                                                               \
    }

static void lines_that_are_no_objects_are_refused(void **state)
{
    static const struct wrong cases[] = {
        {"\n", "line 3: not a JSON object, at byte 1"},
        {"null\n", "line 3: not a JSON object, at byte 1"},
        {"[]\n", "line 3: not a JSON object, at byte 1"},
        {"{}\n", "line 3: not a JSON object, at byte 2"},
        {"{" TENANT_ "}\n", "line 3: document: is missing"},
        {"{" TENANT_ ",\"document\":{}\n", "line 3: not a JSON object"},
        {"{" TENANT_ ",\"document\":{}}}\n", "line 3: not a JSON object"},
        {"{" TENANT_ ",\"document\":{}} {}\n", "line 3: not a JSON object"},
        {"{" TENANT_ ",\"document\":{},}\n", "line 3: not a JSON object"},
        {"{" TENANT_ ",\"document\" {}}\n", "line 3: not a JSON object"},
        {"{" TENANT_ ",\"document\":}\n", "line 3: not a JSON object"},
        {"{" TENANT_ ",\"document\":{\"ext\":{]}\n", "line 3: not a JSON object"},
        {"{" TENANT_ ",\"document\":\"{}\n", "line 3: not a JSON object"},
        {"{" TENANT_ ",\"document\":\"\\", "line 3: not a JSON object"},
        {"{" TENANT_ ",\"document\":{}, 5:1}\n", "line 3: not a JSON object"},
        {"{" TENANT_ ",\"document\":{},\"x\":1}\n", "line 3: there is no member \"x\""},
        {"{" TENANT_ ",\"document\":{},\"document\":{}}\n", "line 3: document: is there twice"},
        {"{" TENANT_ ",\"document\":{},\"credentials\":[]}\n",
         "line 3: credentials: does not belong in this line"},
        {"{\"device\":\"d\"," TENANT_ ",\"document\":{}}\n", "line 3: credentials: is missing"},
    };

    (void)state;
    assert_all_refused(cases);
}

static void headers_that_do_not_fit_are_refused(void **state)
{
    static const struct wrong cases[] = {
        {HEADER("0", "0", "0") HEADER("0", "0", "0"), "line 2: a second header"},
        {"{\"koseki-export\":2,\"new\":1}\n", "line 1: koseki-export: the format is 2; this"},
        {"{\"koseki-export\":\"1\"}\n", "line 1: koseki-export: must be an integer of 0 to"},
        {"{\"koseki-export\":1,\"version\":\"x\"}\n", "line 1: tenants: is missing"},
        {"{\"koseki-export\":1,\"version\":1,\"tenants\":0,\"devices\":0,\"credentials\":0}\n",
         "line 1: version: must be a string"},
        {HEADER("01", "0", "0"), "line 1: tenants: must be an integer"},
        {HEADER("-1", "0", "0"), "line 1: tenants: must be an integer"},
        {HEADER("1.0", "0", "0"), "line 1: tenants: must be an integer"},
        {HEADER("9223372036854775808", "0", "0"), "line 1: tenants: must be an integer"},
        {HEADER("99999999999999999999999", "0", "0"), "line 1: tenants: must be an integer"},
        {HEADER("1", "0", "0"), "line 1: the end is here, but the header tells of 1 tenants, 0"},
        {HEADER("0", "0", "0") TENANT_LINE, "line 2: the end is here, but the header tells of 0"},
        {HEADER("1", "1", "0") TENANT_LINE, "and there are 1, 0, 0: the export is cut"},
        {HEADER("1", "1", "0") TENANT_LINE DEVICE_LINE("d", PSK("a", KEY)), "1, 1, 1: the export"},
        {HEADER("1", "1", "2") TENANT_LINE DEVICE_LINE("d", PSK("a", KEY)), "1, 1, 1: the export"},
    };
    struct target target;
    struct ks_failure failure = {0};

    (void)state;
    assert_all_refused(cases);
    target_open(&target);
    assert_int_equal(take(&target, SPAN(TENANT_LINE), &failure), KS_INVALID);
    assert_non_null(strstr(failure.text, "line 1: an export begins with its header"));
    target_close(&target);
    target_open(&target);
    assert_int_equal(take(&target, SPAN(""), &failure), KS_INVALID);
    assert_non_null(strstr(failure.text, "the input is empty"));
    target_close(&target);
}

#define WITH(name, value)                                                                          \
    "{\"tenant\":\"U\",\"version\":" ID ",\"created\":1,\"updated\":0," #name ":" value "}\n"

static void members_of_the_wrong_kind_are_refused(void **state)
{
    static const struct wrong cases[] = {
        {"{\"tenant\":5,\"version\":" ID ",\"created\":1,\"updated\":0,\"document\":{}}\n",
         "line 3: tenant: must be a string"},
        {"{\"tenant\":\"\",\"version\":" ID ",\"created\":1,\"updated\":0,\"document\":{}}\n",
         "line 3: tenant: must have 1 to 200"},
        {"{\"tenant\":\"a:b\",\"version\":" ID ",\"created\":1,\"updated\":0,\"document\":{}}\n",
         "line 3: tenant: must have 1 to 200"},
        {"{\"tenant\":\"\\ud800\",\"version\":" ID ",\"created\":1,\"updated\":0,\"document\":{}}",
         "line 3: tenant: must be a string"},
        {"{\"tenant\":\"\\u0000\",\"version\":" ID ",\"created\":1,\"updated\":0,\"document\":{}}",
         "line 3: tenant: must be a string"},
        {"{\"tenant\":\"U\",\"version\":\"1\",\"created\":1,\"updated\":0,\"document\":{}}\n",
         "line 3: version: must be a UUID"},
        {"{\"tenant\":\"U\",\"version\":null,\"created\":1,\"updated\":0,\"document\":{}}\n",
         "line 3: version: must be a UUID"},
        {"{\"tenant\":\"U\",\"version\":" ID ",\"created\":null,\"updated\":0,\"document\":{}}\n",
         "line 3: created: must be an integer of 0 to 253402300799999"},
        {"{\"tenant\":\"U\",\"version\":" ID ",\"created\":1,\"updated\":253402300800000,"
         "\"document\":{}}\n",
         "line 3: updated: must be an integer of 0 to 253402300799999"},
        {WITH("document", "null"), "line 3: document: JSON line 1"},
        {WITH("document", "[]"), "line 3: document: must be an object"},
        {WITH("document", "{\"x\":1}"), "line 3: document: there is no member \"x\""},
        {WITH("document", "{\"enabled\":1,\"enabled\":1}"), "line 3: document: "},
        {WITH("document", "{\"alias\":\"A\"}"), "line 3: document: alias: must be of a-z"},
        {WITH("document", "{\"ext\":{\"a\":\"\xC3\"}}"), "not UTF-8"},
        {WITH("document", "{\"trusted-ca\":[{\"cert\":\"AAAA\"}]}"),
         "line 3: document: trusted-ca[0].cert: "},
        {"{\"device\":\"d/e\"," DEVICE_ ",\"document\":{},\"credentials\":[]}\n",
         "line 3: device: must have 1 to 200"},
        {"{\"device\":\"d\",\"tenant\":\"T\",\"version\":" ID ",\"credentials-version\":1,"
         "\"created\":1,\"updated\":0,\"auto-provisioned\":false,"
         "\"auto-provisioning-notification-sent\":false,\"document\":{},\"credentials\":[]}\n",
         "line 3: credentials-version: must be a UUID"},
        {"{\"device\":\"d\",\"tenant\":\"T\",\"version\":" ID ",\"credentials-version\":" ID
         ",\"created\":1,\"updated\":0,\"auto-provisioned\":0,"
         "\"auto-provisioning-notification-sent\":false,\"document\":{},\"credentials\":[]}\n",
         "line 3: auto-provisioned: must be true or false"},
        {"{\"device\":\"d\",\"tenant\":\"T\",\"version\":" ID ",\"credentials-version\":" ID
         ",\"created\":1,\"updated\":0,\"auto-provisioned\":true,"
         "\"auto-provisioning-notification-sent\":\"true\",\"document\":{},\"credentials\":[]}\n",
         "line 3: auto-provisioning-notification-sent: must be true or false"},
        {"{\"device\":\"d\"," DEVICE_ ",\"document\":{\"via\":5},\"credentials\":{}}\n",
         "line 3: credentials: credentials must be an array"},
        {"{\"device\":\"d\"," DEVICE_ ",\"document\":{\"via\":[null]},\"credentials\":[]}\n",
         "line 3: document: via[0]: must not be null"},
        {DEVICE_LINE("d", "{\"type\":\"psk\",\"auth-id\":\"a\",\"secrets\":[{\"id\":\"i\"}]}"),
         "line 3: credentials: [0].secrets[0].key: is required"},
        {DEVICE_LINE("d", "{\"type\":\"hashed-password\",\"auth-id\":\"a\",\"secrets\":["
                          "{\"id\":\"i\"}]}"),
         "line 3: credentials: [0].secrets[0].pwd-hash: is required"},
        {DEVICE_LINE("d", "{\"type\":\"hashed-password\",\"auth-id\":\"a\",\"secrets\":["
                          "{\"pwd-plain\":\"x\"}]}"),
         "line 3: credentials: a password in clear is not imported: give its pwd-hash"},
        {DEVICE_LINE("d", "{\"type\":\"hashed-password\",\"auth-id\":\"a\",\"secrets\":["
                          "{\"hash-function\":\"bcrypt\",\"pwd-hash\":"
                          "\"$2a$05$bT0UkqYwYXcTBlVJ1v8w1O2O5dYwD3WXk7o6Mh8gE5eYpV1h7cQ1K\"}]}"),
         "line 3: credentials: [0].secrets[0].pwd-hash: a bcrypt hash must cost 4 to 4"},
        {DEVICE_LINE("d", PSK("a", KEY) "," PSK("a", KEY)),
         "line 3: credentials: [1]: has the type and auth-id of element 0"},
    };

    (void)state;
    assert_all_refused(cases);
}

#define CA(group)                                                                                  \
    "\"document\":{" group "\"trusted-ca\":[{\"subject-dn\":\"CN=x\",\"public-key\":\"@KEY@\","    \
    "\"algorithm\":\"EC\",\"not-before\":\"2026-11-24T10:00:00Z\","                                \
    "\"not-after\":\"2036-11-24T10:00:00Z\"}]}"
#define OTHER(id, document)                                                                        \
    "{\"tenant\":\"" id "\",\"version\":" ID ",\"created\":1,\"updated\":0," document "}\n"

static void what_may_be_there_once_is_refused_twice(void **state)
{
    static const struct wrong cases[] = {
        {HEADER("2", "0", "0") TENANT_LINE TENANT_LINE,
         "line 3: the id of the tenant is taken: see line 2"},
        {HEADER("3", "0", "0") OTHER("A", "\"document\":{\"alias\":\"x\"}")
             TENANT_LINE OTHER("B", "\"document\":{\"alias\":\"x\"}"),
         "line 4: the alias of the tenant is taken: see line 2"},
        {HEADER("1", "3", "0") TENANT_LINE DEVICE_LINE("b", "") DEVICE_LINE("a", "")
             DEVICE_LINE("b", ""),
         "line 5: the tenant has a device with this id: see line 3"},
        {HEADER("1", "2", "2") TENANT_LINE DEVICE_LINE("b", PSK("x", KEY))
             DEVICE_LINE("a", PSK("x", KEY)),
         "line 4: the tenant has credentials of this type with this auth-id: see line 3"},
        {HEADER("2", "0", "0") OTHER("A", CA("")) OTHER("B", CA("")),
         "another tenant that is not in the same trust-anchor-group trusts a CA"},
        {HEADER("3", "0", "0") OTHER("A", CA("\"trust-anchor-group\":\"g\","))
             OTHER("B", CA("\"trust-anchor-group\":\"g\","))
                 OTHER("C", CA("\"trust-anchor-group\":\"h\",")),
         "line 4: another tenant that is not in the same trust-anchor-group trusts a CA"},
    };

    (void)state;
    assert_all_refused(cases);
}

static void devices_stand_behind_their_tenant(void **state)
{
    static const struct wrong cases[] = {
        {HEADER("1", "1", "0") DEVICE_LINE("d", ""), "line 2: tenant: no tenant's line came"},
        {HEADER("2", "1", "0") TENANT_LINE OTHER("U", "\"document\":{}") DEVICE_LINE("d", ""),
         "line 4: tenant: is not that of the tenant's line above"},
    };

    (void)state;
    assert_all_refused(cases);
}

int main(void)
{
#define IMPORT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IMPORT_TEST(an_export_of_an_import_is_what_was_imported),
        IMPORT_TEST(what_the_api_has_stored_goes_through_too),
        IMPORT_TEST(blanks_orders_and_lenient_values_are_taken),
        IMPORT_TEST(lines_that_are_no_objects_are_refused),
        IMPORT_TEST(headers_that_do_not_fit_are_refused),
        IMPORT_TEST(members_of_the_wrong_kind_are_refused),
        IMPORT_TEST(what_may_be_there_once_is_refused_twice),
        IMPORT_TEST(devices_stand_behind_their_tenant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
