#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "service/tenant_document.h"
#include "support/documents.h"

/* A CA of the certificate as it is shown, and of its parts. */
#define FROM        "\"not-before\":\"2026-11-24T10:00:00Z\""
#define UNTIL       "\"not-after\":\"2026-11-25T10:00:00Z\""
#define SUBJECT     "\"subject-dn\":\"CN=Leaf,O=Test\""
#define PARTS       SUBJECT ",\"public-key\":\"@KEY@\",\"algorithm\":\"EC\"," FROM "," UNTIL
#define CA(members) "{\"trusted-ca\":[{" members "}]}"
#define FLAGS       "\"auto-provisioning-enabled\":false,\"auto-provision-as-gateway\":false"
#define AUTH_ID     "\"auth-id-template\":\"{{subject-cn}}\""
#define LATER                                                                                      \
    SUBJECT ",\"public-key\":\"@KEY@\",\"algorithm\":\"EC\",\"not-before\":\"2026-11-25T10:00:"    \
            "01Z\",\"not-after\":\"2027-11-25T10:00:00Z\""
#define OTHER                                                                                      \
    "\"subject-dn\":\"CN=x\",\"public-key\":\"@KEY@\",\"algorithm\":\"EC\"," FROM "," UNTIL
#define RESOURCES(m)    "{\"resource-limits\":{" m "}}"
#define VOLUME(m)       RESOURCES("\"data-volume\":{" m "}")
#define SINCE           "\"effective-since\":\"2026-01-01T00:00:00Z\""
#define ADAPTERS(m)     "{\"adapters\":[" m "]}"
#define REGISTRATION(m) "{\"registration-limits\":{" m "}}"

static void every_member_is_taken_and_put_in_normal_form(void **state)
{
    static const struct documents_case cases[] = {
        {"", "{}"},
        {"{\"enabled\":\"TRUE\",\"alias\":\"a-1\"}", "{\"enabled\":true,\"alias\":\"a-1\"}"},
        {"{\"alias\":17}", "{\"alias\":\"17\"}"},
        {"{\"ext\":{\"invalidate-cache-on-update\":5},\"defaults\":null}",
         "{\"ext\":{\"invalidate-cache-on-update\":5}}"},
        {"{\"minimum-message-size\":0}", "{}"},
        {"{\"minimum-message-size\":\" +12 \"}", "{\"minimum-message-size\":12}"},
        {"{\"minimum-message-size\":12.7}", "{\"minimum-message-size\":12}"},
        {"{\"minimum-message-size\":5e2}", "{\"minimum-message-size\":500}"},
        {"{\"minimum-message-size\":-0.5}", "{}"},
        {"{\"trust-anchor-group\":\"\"}", "{\"trust-anchor-group\":\"\"}"},
        {"{\"trusted-ca\":[]}", "{}"},
        {"{\"adapters\":null,\"tracing\":null,\"resource-limits\":null,"
         "\"registration-limits\":null,\"trusted-ca\":null}",
         "{}"},
        {ADAPTERS("{\"type\":\"hono-http\"}"),
         ADAPTERS("{\"type\":\"hono-http\",\"enabled\":false,"
                  "\"device-authentication-required\":true}")},
        {ADAPTERS("{\"type\":\"\",\"enabled\":true,\"device-authentication-required\":null,"
                  "\"ext\":{\"a\":1}}"),
         ADAPTERS("{\"type\":\"\",\"enabled\":true,\"device-authentication-required\":false,"
                  "\"ext\":{\"a\":1}}")},
        {ADAPTERS("{\"type\":\"a\",\"enabled\":\"\",\"device-authentication-required\":\"\"}"),
         ADAPTERS("{\"type\":\"a\",\"enabled\":false,\"device-authentication-required\":false}")},
        {RESOURCES(""), RESOURCES("")},
        {RESOURCES("\"max-connections\":-1,\"max-ttl\":-1,\"ext\":{}"), RESOURCES("")},
        {RESOURCES("\"max-connections\":null"), RESOURCES("\"max-connections\":0")},
        {RESOURCES("\"max-connections\":2147483647,\"max-ttl\":9223372036854775807,"
                   "\"max-ttl-telemetry-qos0\":1,\"max-ttl-telemetry-qos1\":2,"
                   "\"max-ttl-command-response\":3,\"ext\":{\"x\":null}"),
         RESOURCES("\"max-connections\":2147483647,\"max-ttl\":9223372036854775807,"
                   "\"max-ttl-telemetry-qos0\":1,\"max-ttl-telemetry-qos1\":2,"
                   "\"max-ttl-command-response\":3,\"ext\":{\"x\":null}")},
        {RESOURCES("\"max-ttl-telemetry-qos0\":7,\"maxTtlTelemetryQoS0\":7"),
         RESOURCES("\"max-ttl-telemetry-qos0\":7")},
        {RESOURCES("\"maxTtlTelemetryQoS0\":8"), RESOURCES("\"max-ttl-telemetry-qos0\":8")},
        {VOLUME("\"effective-since\":\" 2026-01-01T01:00:00.999+01:00 \""),
         VOLUME(SINCE ",\"period\":{\"mode\":\"monthly\"}")},
        {VOLUME(SINCE ",\"max-bytes\":-1,\"period\":{\"mode\":\"DAYS\",\"no-of-days\":\"30\"}"),
         VOLUME(SINCE ",\"period\":{\"mode\":\"days\",\"no-of-days\":30},\"max-bytes\":-1")},
        {VOLUME(SINCE ",\"period\":{\"mode\":\"monthly\",\"no-of-days\":5}"),
         VOLUME(SINCE ",\"period\":{\"mode\":\"monthly\",\"no-of-days\":5}")},
        {VOLUME("\"effective-since\":\"+10000-01-01T00:00:00Z\""),
         VOLUME("\"effective-since\":\"+10000-01-01T00:00:00Z\","
                "\"period\":{\"mode\":\"monthly\"}")},
        {VOLUME(SINCE ",\"max-bytes\":0,\"period\":{\"mode\":\"unknown\",\"no-of-days\":0}"),
         VOLUME(SINCE ",\"period\":{\"mode\":\"unknown\"}")},
        {RESOURCES("\"connection-duration\":{" SINCE ",\"max-minutes\":\"9\"}"),
         RESOURCES("\"connection-duration\":{" SINCE
                   ",\"period\":{\"mode\":\"monthly\"},\"max-minutes\":9}")},
        {REGISTRATION(""), REGISTRATION("\"max-devices\":-1,\"max-credentials-per-device\":-1")},
        {REGISTRATION("\"max-devices\":5,\"max-credentials-per-device\":null"),
         REGISTRATION("\"max-devices\":5,\"max-credentials-per-device\":0")},
        {"{\"tracing\":{}}", "{\"tracing\":{\"sampling-mode\":null}}"},
        {"{\"tracing\":{\"sampling-mode\":\" All \",\"sampling-mode-per-auth-id\":{\"x\":\"NONE\","
         "\"y\":null}}}",
         "{\"tracing\":{\"sampling-mode\":\"all\",\"sampling-mode-per-auth-id\":{\"x\":\"none\","
         "\"y\":null}}}"},
        {"{\"tracing\":{\"sampling-mode-per-auth-id\":{}}}",
         "{\"tracing\":{\"sampling-mode\":null}}"},
    };

    (void)state;
    documents_accepted(tenant_document_read, cases, DOCUMENTS_COUNT(cases));
}

static void what_breaks_a_rule_is_refused_by_its_name(void **state)
{
    static const struct documents_case cases[] = {
        {"{\"tenant-id\":\"x\"}", "there is no member \"tenant-id\""},
        {"{\"enabled\":\"1\"}", "enabled: must be true or false"},
        {"{\"alias\":null}", "alias: must not be null"},
        {"{\"alias\":\"\"}", "alias: must be of a-z, 0-9 and '-'"},
        {"{\"alias\":\"A\"}", "alias: must be of"},
        {"{\"alias\":[]}", "alias: must be a text"},
        {"{\"ext\":5}", "ext: must be an object"},
        {"{\"defaults\":\"\"}", "defaults: must be an object"},
        {"{\"minimum-message-size\":null}", "minimum-message-size: must not be null"},
        {"{\"minimum-message-size\":\"\"}", "minimum-message-size: must not be null"},
        {"{\"minimum-message-size\":-1}", "minimum-message-size: must be 0 to 2147483647"},
        {"{\"minimum-message-size\":2147483648}", "minimum-message-size: must be 0 to"},
        {"{\"minimum-message-size\":true}", "minimum-message-size: must be an integer"},
        {"{\"minimum-message-size\":\"5.5\"}", "minimum-message-size: must be an integer"},
        {"{\"minimum-message-size\":\"5e2\"}", "minimum-message-size: must be an integer"},
        {"{\"minimum-message-size\":\"+\"}", "minimum-message-size: must be an integer"},
        {"{\"minimum-message-size\":\"9223372036854775808\"}", "minimum-message-size: must be an"},
        {"{\"minimum-message-size\":1e40}", "minimum-message-size: must be an integer"},
        {"{\"trust-anchor-group\":{}}", "trust-anchor-group: must be a text"},
        {"{\"adapters\":[]}", "adapters: must have 1 to 256 elements"},
        {"{\"adapters\":{}}", "adapters: must be an array"},
        {"{\"adapters\":\"\"}", "adapters: must be an array"},
        {ADAPTERS("null"), "adapters[0]: must not be null"},
        {ADAPTERS("5"), "adapters[0]: must be an object"},
        {ADAPTERS("{}"), "adapters[0].type: is required"},
        {ADAPTERS("{\"type\":null}"), "adapters[0].type: is required"},
        {ADAPTERS("{\"type\":[]}"), "adapters[0].type: must be a text"},
        {ADAPTERS("{\"type\":\"a\",\"enabled\":\"x\"}"), "adapters[0].enabled: must be true"},
        {ADAPTERS("{\"type\":\"a\",\"device-authentication-required\":[]}"),
         "adapters[0].device-authentication-required: must be true"},
        {ADAPTERS("{\"type\":\"a\",\"ext\":[]}"), "adapters[0].ext: must be an object"},
        {ADAPTERS("{\"type\":\"a\",\"x\":1}"), "adapters[0]: there is no member \"x\""},
        {ADAPTERS("{\"type\":\"a\"},{\"type\":\"b\"},{\"type\":\"a\"}"),
         "adapters: elements 0 and 2 have the same type"},
        {"{\"resource-limits\":[]}", "resource-limits: must be an object"},
        {RESOURCES("\"x\":1"), "resource-limits: there is no member \"x\""},
        {RESOURCES("\"max-connections\":-2"), "resource-limits.max-connections: must be -1 to"},
        {RESOURCES("\"max-connections\":2147483648"), "resource-limits.max-connections: must be"},
        {RESOURCES("\"max-ttl\":-2"), "resource-limits.max-ttl: must be -1 to 9223372036854775807"},
        {RESOURCES("\"max-ttl-telemetry-qos0\":-2"), "max-ttl-telemetry-qos0: must be -1"},
        {RESOURCES("\"maxTtlTelemetryQoS0\":-2"), "maxTtlTelemetryQoS0: must be -1"},
        {RESOURCES("\"max-ttl-telemetry-qos1\":{}"), "max-ttl-telemetry-qos1: must be an integer"},
        {RESOURCES("\"max-ttl-command-response\":-2"), "max-ttl-command-response: must be -1"},
        {RESOURCES("\"ext\":5"), "resource-limits.ext: must be an object"},
        {RESOURCES("\"data-volume\":[]"), "resource-limits.data-volume: must be an object"},
        {VOLUME(""), "resource-limits.data-volume.effective-since: is required"},
        {VOLUME("\"effective-since\":null"), "effective-since: must not be null"},
        {VOLUME("\"effective-since\":\"\""), "effective-since: must not be null"},
        {VOLUME("\"effective-since\":5"), "effective-since: must be a timestamp"},
        {VOLUME("\"effective-since\":\"2026-01-01\""), "effective-since: must be a timestamp"},
        {VOLUME("\"effective-since\":\"2026-01-01T00:00:00\""), "must be a timestamp"},
        {VOLUME("\"effective-since\":\"2026-02-30T00:00:00Z\""), "must be a timestamp"},
        {VOLUME("\"effective-since\":\"2026-01-01T00:00:00+0200\""), "must be a timestamp"},
        {VOLUME("\"effective-since\":\"0000-01-01T00:00:00+18:00\""), "must be a timestamp"},
        {VOLUME(SINCE ",\"max-bytes\":-2"), "data-volume.max-bytes: must be -1"},
        {VOLUME(SINCE ",\"max-minutes\":1"), "data-volume: there is no member \"max-minutes\""},
        {VOLUME(SINCE ",\"period\":5"), "data-volume.period: must be an object"},
        {VOLUME(SINCE ",\"period\":{}"), "data-volume.period.mode: is required"},
        {VOLUME(SINCE ",\"period\":{\"mode\":null}"), "period.mode: must not be null"},
        {VOLUME(SINCE ",\"period\":{\"mode\":\"\"}"),
         "mode: must be one of days, monthly, unknown"},
        {VOLUME(SINCE ",\"period\":{\"mode\":0}"), "period.mode: must be one of"},
        {VOLUME(SINCE ",\"period\":{\"mode\":\"days\",\"no-of-days\":-1}"),
         "no-of-days: must be 0"},
        {VOLUME(SINCE ",\"period\":{\"mode\":\"days\",\"x\":1}"), "period: there is no member"},
        {RESOURCES("\"connection-duration\":{" SINCE ",\"max-minutes\":-2}"), "max-minutes: must"},
        {RESOURCES("\"connection-duration\":{}"), "connection-duration.effective-since: is requ"},
        {"{\"registration-limits\":\"\"}", "registration-limits: must be an object"},
        {REGISTRATION("\"max-devices\":-2"), "registration-limits.max-devices: must be -1"},
        {REGISTRATION("\"max-devices\":2147483648"), "registration-limits.max-devices: must be"},
        {REGISTRATION("\"max-credentials-per-device\":\"x\""), "device: must be an integer"},
        {REGISTRATION("\"max\":1"), "registration-limits: there is no member \"max\""},
        {"{\"tracing\":\"\"}", "tracing: must be an object"},
        {"{\"tracing\":{\"sampling-mode\":\"some\"}}",
         "sampling-mode: must be one of default, all"},
        {"{\"tracing\":{\"sampling-mode\":\"\"}}", "tracing.sampling-mode: must be one of"},
        {"{\"tracing\":{\"sampling-mode-per-auth-id\":[]}}", "per-auth-id: must be an object"},
        {"{\"tracing\":{\"sampling-mode-per-auth-id\":{\"x\":5}}}", "per-auth-id.x: must be one"},
        {"{\"tracing\":{\"x\":1}}", "tracing: there is no member \"x\""},
        {"{\"trusted-ca\":{}}", "trusted-ca: must be an array"},
        {"{\"trusted-ca\":[null]}", "trusted-ca[0]: must not be null"},
        {"{\"trusted-ca\":[5]}", "trusted-ca[0]: must be an object"},
        {"{\"enabled\":true,\"ext\":{},\"enabled\":true}", "the name occurs twice"},
    };

    (void)state;
    documents_refused(tenant_document_read, cases, DOCUMENTS_COUNT(cases));
}

/* ---- trusted CAs ---- */

static void cas_are_taken_by_certificate_or_by_their_parts(void **state)
{
    static const struct documents_case cases[] = {
        {CA("\"cert\":\"@CERT@\""),
         CA(FLAGS "," SUBJECT "," FROM "," UNTIL ",\"subject-dn-bytes\":\"@DN@\","
                  "\"public-key\":\"@KEY@\",\"algorithm\":\"EC\",\"id\":\"#\"")},
        {CA("\"id\":\"mine\",\"cert\":\"@CERT@\",\"subject-dn\":\"CN=x\",\"public-key\":\"AA\","
            "\"algorithm\":\"foo\",\"not-before\":\"2020-01-01T00:00:00Z\","
            "\"subject-dn-bytes\":\"AAA\",\"auto-provisioning-enabled\":\"true\""),
         CA("\"id\":\"mine\"," SUBJECT ",\"subject-dn-bytes\":\"@DN@\",\"public-key\":\"@KEY@\","
            "\"algorithm\":\"EC\"," FROM ",\"auto-provisioning-enabled\":true,"
            "\"auto-provision-as-gateway\":false," UNTIL)},
        {CA("\"cert\":\"@CERT@\",\"subject-dn\":\"\",\"id\":null,"
            "\"auto-provision-as-gateway\":null"),
         CA(SUBJECT "," FLAGS "," FROM "," UNTIL ",\"subject-dn-bytes\":\"@DN@\","
                    "\"public-key\":\"@KEY@\",\"algorithm\":\"EC\",\"id\":\"#\"")},
        {CA("\"id\":\"\",\"subject-dn\":\" cn=Leaf ; o=Test\",\"public-key\":\"@KEY@\","
            "\"algorithm\":\"ec\",\"not-before\":\"2026-11-24T11:00:00.5+01:00\"," UNTIL),
         CA("\"id\":\"\"," SUBJECT ",\"public-key\":\"@KEY@\",\"algorithm\":\"ec\"," FROM "," UNTIL
            "," FLAGS)},
        {CA("\"id\":\"1\"," PARTS ",\"subject-dn-bytes\":\"AA\",\"ocsp-revocation-enabled\":false,"
            "\"ocsp-nonce-enabled\":true,\"ocsp-responder-uri\":\"http://o\","
            "\"ocsp-responder-cert\":\"\""),
         CA("\"id\":\"1\"," SUBJECT ",\"subject-dn-bytes\":\"AA==\",\"public-key\":\"@KEY@\","
            "\"algorithm\":\"EC\"," FROM "," UNTIL "," FLAGS
            ",\"ocsp-responder-uri\":\"http://o\",\"ocsp-responder-cert\":\"\","
            "\"ocsp-nonce-enabled\":true")},
        {CA("\"id\":\"1\"," PARTS ",\"ocsp-revocation-enabled\":true,\"ocsp-responder-cert\":\"\""),
         CA("\"id\":\"1\"," PARTS "," FLAGS
            ",\"ocsp-revocation-enabled\":true,\"ocsp-responder-cert\":\"\"")},
        {CA("\"id\":\"1\",\"cert\":\"@CERT@\",\"ocsp-revocation-enabled\":1"),
         CA("\"id\":\"1\"," FLAGS ",\"ocsp-revocation-enabled\":true," SUBJECT "," FROM "," UNTIL
            ",\"subject-dn-bytes\":\"@DN@\",\"public-key\":\"@KEY@\",\"algorithm\":\"EC\","
            "\"ocsp-responder-cert\":\"@CERT@\"")},
        {"{\"trusted-ca\":[{\"id\":\"1\"," PARTS "},{\"id\":\"2\"," PARTS "}]}",
         "{\"trusted-ca\":[{\"id\":\"1\"," PARTS "," FLAGS "},{\"id\":\"2\"," PARTS "," FLAGS
         "}]}"},
        {CA("\"id\":\"1\"," PARTS "," AUTH_ID ",\"auto-provision-as-gateway\":true,"
            "\"auto-provisioning-device-id-template\":\"d-{{subject-cn}}:{{subject-ou}}\""),
         CA("\"id\":\"1\"," PARTS ",\"auto-provisioning-enabled\":false,"
            "\"auto-provision-as-gateway\":true,"
            "\"auto-provisioning-device-id-template\":\"d-{{subject-cn}}:{{subject-ou}}"
            "\"," AUTH_ID)},
        /* of one name, but one after the other, or with one template */
        {"{\"trusted-ca\":[{\"id\":\"1\"," PARTS "," AUTH_ID "},{\"id\":\"2\"," LATER "}]}",
         "{\"trusted-ca\":[{\"id\":\"1\"," PARTS "," FLAGS "," AUTH_ID "},{\"id\":\"2\"," LATER
         "," FLAGS "}]}"},
        {"{\"trusted-ca\":[{\"id\":\"1\"," PARTS "," AUTH_ID "},{\"id\":\"2\"," PARTS "," AUTH_ID
         "}]}",
         "{\"trusted-ca\":[{\"id\":\"1\"," PARTS "," FLAGS "," AUTH_ID "},{\"id\":\"2\"," PARTS
         "," FLAGS "," AUTH_ID "}]}"},
    };

    (void)state;
    documents_accepted(tenant_document_read, cases, DOCUMENTS_COUNT(cases));
}

static void unusable_cas_are_refused(void **state)
{
    static const struct documents_case cases[] = {
        {CA(""), "trusted-ca[0].subject-dn: is required where there is no cert"},
        {CA(SUBJECT), "trusted-ca[0].public-key: is required"},
        {CA(SUBJECT ",\"public-key\":\"@KEY@\""), "trusted-ca[0].not-before: is required"},
        {CA(SUBJECT ",\"public-key\":\"@KEY@\"," FROM), "trusted-ca[0].not-after: is required"},
        {CA("\"cert\":null"), "trusted-ca[0].cert: must not be null"},
        {CA("\"cert\":\"\""), "trusted-ca[0].cert: "},
        {CA("\"cert\":\"AAAA\""), "trusted-ca[0].cert: "},
        {CA("\"cert\":\"%%\""), "trusted-ca[0].cert: must be Base64"},
        {CA("\"cert\":\"AA=\""), "trusted-ca[0].cert: must be Base64"},
        {CA("\"cert\":5"), "trusted-ca[0].cert: must be a Base64 text"},
        {CA("\"cert\":\"-----BEGIN CERTIFICATE-----\""), "trusted-ca[0].cert: must be Base64"},
        {CA("\"cert\":\"@CERT@\",\"subject-dn\":null"), "subject-dn: must not be null"},
        {CA("\"cert\":\"@CERT@\",\"subject-dn\":\"x\""), "trusted-ca[0].subject-dn: "},
        {CA("\"cert\":\"@CERT@\",\"not-after\":null"), "not-after: must not be null"},
        {CA("\"cert\":\"@CERT@\",\"not-before\":\"x\""), "not-before: must be a timestamp"},
        {CA("\"cert\":\"@CERT@\",\"public-key\":\"%\""), "public-key: must be Base64"},
        {CA("\"subject-dn\":\"E=x\",\"public-key\":\"@KEY@\"," FROM "," UNTIL), "subject-dn: "},
        {CA("\"subject-dn\":{}"), "trusted-ca[0].subject-dn: must be a text"},
        {CA("\"subject-dn-bytes\":\"AA=\""), "subject-dn-bytes: must be Base64"},
        {CA(SUBJECT ",\"public-key\":\"\",\"algorithm\":\"EC\"," FROM "," UNTIL), "public-key: "},
        {CA(SUBJECT ",\"public-key\":\"AAAA\"," FROM "," UNTIL), "public-key: "},
        {CA(SUBJECT ",\"public-key\":\"@KEY@\"," FROM "," UNTIL), "public-key: "},
        {CA(SUBJECT ",\"public-key\":\"@KEY@\",\"algorithm\":\"ECDSA\"," FROM "," UNTIL),
         "public-"},
        {CA(SUBJECT ",\"public-key\":\"@RSA@\"," FROM "," UNTIL), "public-key: "},
        {CA(PARTS ",\"auto-provisioning-enabled\":\"x\""), "auto-provisioning-enabled: must be"},
        {CA(PARTS ",\"auto-provisioning-as-gateway-enabled\":false"), "there is no member"},
        {CA(PARTS ",\"auto-provisioning-device-id-template\":\"{{subject-cn}}/x\""),
         "trusted-ca[0].auto-provisioning-device-id-template: holds text that no device id"},
        {CA(PARTS ",\"auto-provisioning-device-id-template\":\"{{subject-cn}}{{ou}}\""),
         "trusted-ca[0].auto-provisioning-device-id-template: has an unknown placeholder"},
        {CA(PARTS ",\"auto-provisioning-device-id-template\":\"\""), "has no placeholder"},
        {CA(PARTS ",\"auto-provisioning-device-id-template\":7"), "has no placeholder"},
        {CA(PARTS ",\"auto-provisioning-device-id-template\":[]"), "must be a text"},
        {CA(PARTS ",\"auto-provisioning-device-id-template\":null"), "must not be null"},
        {CA(PARTS ",\"auth-id-template\":\"{{{subject-cn}}}\""),
         "trusted-ca[0].auth-id-template: has an unknown placeholder"},
        {CA(PARTS ",\"auth-id-template\":\"cn={{subject-cn}}\""), "another spelling"},
        {CA(PARTS ",\"auth-id-template\":\"device\""), "has no placeholder"},
        {CA(PARTS ",\"auth-id-template\":null"), "must not be null"},
        {CA(PARTS ",\"provisioning\":{}"), "trusted-ca[0].provisioning: is not supported yet"},
        {CA(PARTS ",\"ocsp-revocation-enabled\":true"),
         "trusted-ca[0].ocsp-revocation-enabled: needs a cert or an ocsp-responder-cert"},
        {CA(PARTS ",\"ocsp-responder-uri\":[]"), "ocsp-responder-uri: must be a text"},
        {CA(PARTS ",\"ocsp-responder-cert\":\"A\""), "ocsp-responder-cert: must be Base64"},
        {CA(PARTS ",\"ocsp-nonce-enabled\":\"x\""), "ocsp-nonce-enabled: must be true"},
        {CA(PARTS ",\"id\":[]"), "trusted-ca[0].id: must be a text"},
        {"{\"trusted-ca\":[{\"id\":\"1\"," PARTS "},{\"id\":\"1\"," PARTS "}]}",
         "trusted-ca: elements 0 and 1 have the same id"},
        {"{\"trusted-ca\":[{" OTHER "},{" PARTS "},{" PARTS "," AUTH_ID "}]}",
         "trusted-ca: elements 1 and 2 have the same subject-dn at the same time"},
        {"{\"trusted-ca\":[{" PARTS "," AUTH_ID "},{" PARTS
         ",\"auth-id-template\":\"{{subject-ou}}\"}]}",
         "must have the same auth-id-template"},
    };

    (void)state;
    documents_refused(tenant_document_read, cases, DOCUMENTS_COUNT(cases));
}

static void a_certificate_may_be_pem_and_be_followed_by_anything(void **state)
{
    struct span cert = documents_fill("@CERT@");
    struct buf pem = {0};
    struct buf body = {0};
    json_t *document = NULL;

    (void)state;
    buf_add_cstr(&pem, "-----BEGIN CERTIFICATE-----\n");
    for (size_t i = 0; i < cert.len; i += 64) {
        buf_add(&pem, cert.ptr + i, cert.len - i < 64 ? cert.len - i : 64);
        buf_add_char(&pem, '\n');
    }
    buf_add_cstr(&pem, "-----END CERTIFICATE-----\nand more\n");
    buf_add_cstr(&body, "{\"trusted-ca\":[{\"cert\":\"");
    base64_encode(&body, pem.ptr, pem.len);
    buf_add_cstr(&body, "\"}]}");
    assert_ok(tenant_document_read(buf_span(&body), &document, why));
    assert_string_equal(
        json_string_value(json_object_get(
            json_array_get(json_object_get(document, "trusted-ca"), 0), "subject-dn")),
        "CN=Leaf,O=Test");
    json_decref(document);
    buf_done(&pem);
    buf_done(&body);
}

static void more_cas_than_the_store_takes_are_refused(void **state)
{
    struct buf body = {0};
    struct ks_failure why = {0};
    json_t *document = NULL;

    (void)state;
    buf_add_cstr(&body, "{\"trusted-ca\":[{}");
    for (int i = 0; i < STORE_CAS_MAX; i++) {
        buf_add_cstr(&body, ",{}");
    }
    buf_add_cstr(&body, "]}");
    assert_int_equal(tenant_document_read(buf_span(&body), &document, &why), KS_INVALID);
    assert_string_equal(why.text, "trusted-ca: must have 0 to 64 elements");
    buf_done(&body);
}

/* ---- rendering ---- */

static void render(struct arena *arena, const char *body, struct store_tenant *out)
{
    json_t *document = documents_read(tenant_document_read, body);

    assert_ok(tenant_document_render(arena, document, SPAN("T1"), out, why));
    json_decref(document);
}

static void an_empty_tenant_answers_with_its_defaults(void **state)
{
    struct store_tenant tenant = {.space = 9, .created_ms = 5};
    struct arena arena;

    (void)state;
    arena_init(&arena);
    render(&arena, "{}", &tenant);
    assert_span(tenant.id, "T1");
    assert_span(tenant.document, "{}");
    assert_span(tenant.answer.text,
                "{\"tenant-id\":\"T1\",\"enabled\":true,\"minimum-message-size\":0,"
                "\"defaults\":{},\"ext\":{},\"trusted-ca\":[]}");
    assert_int_equal(store_segment_count(&tenant.answer), 0);
    assert_int_equal(tenant.flags, STORE_TENANT_ENABLED);
    assert_int_equal(tenant.alias.len, 0);
    assert_int_equal(tenant.trust_anchor_group.len, 0);
    assert_int_equal(tenant.max_devices, -1);
    assert_int_equal(tenant.max_credentials_per_device, -1);
    assert_int_equal(tenant.space, 9);
    assert_int_equal(tenant.created_ms, 5);
    arena_done(&arena);
}

static void management_members_stay_inside(void **state)
{
    struct store_tenant tenant = {.flags = STORE_TENANT_ENABLED};
    struct arena arena;

    (void)state;
    arena_init(&arena);
    render(&arena,
           "{\"enabled\":false,\"alias\":\"al\",\"trust-anchor-group\":\"G\","
           "\"registration-limits\":{\"max-devices\":3,\"max-credentials-per-device\":0},"
           "\"minimum-message-size\":4,\"defaults\":{\"ttl\":1},\"ext\":{\"a\":null},"
           "\"adapters\":[{\"type\":\"x\"}],\"resource-limits\":{\"maxTtlTelemetryQoS0\":9},"
           "\"tracing\":{}}",
           &tenant);
    assert_span(tenant.answer.text,
                "{\"tenant-id\":\"T1\",\"enabled\":false,\"minimum-message-size\":4,"
                "\"defaults\":{\"ttl\":1},\"ext\":{\"a\":null},\"trusted-ca\":[],"
                "\"adapters\":[{\"type\":\"x\",\"enabled\":false,"
                "\"device-authentication-required\":true}],"
                "\"resource-limits\":{\"max-ttl-telemetry-qos0\":9},"
                "\"tracing\":{\"sampling-mode\":null}}");
    assert_span(tenant.alias, "al");
    assert_span(tenant.trust_anchor_group, "G");
    assert_int_equal(tenant.max_devices, 3);
    assert_int_equal(tenant.max_credentials_per_device, 0);
    assert_int_equal(tenant.flags, 0);
    arena_done(&arena);
}

static void check_ca(const struct store_tenant *tenant)
{
    unsigned char key[BASE64_DECODED_MAX(512)];
    struct span base64 = documents_fill("@KEY@");
    struct sha256 hash;
    struct store_ca ca;
    size_t offset = 0;
    size_t len = 0;
    int64_t from = 0;

    assert_true(base64_decode(base64, key, &len));
    assert_true(clock_parse(SPAN("2026-11-24T10:00:00Z"), &from));
    assert_true(store_cas_next(tenant->cas, &offset, &ca));
    assert_span(ca.subject_dn, "CN=Leaf,O=Test");
    assert_true(span_eq(ca.public_key, span_of(key, len)));
    hash = sha256_of_pair(ca.subject_dn, ca.public_key);
    assert_memory_equal(ca.key_hash, hash.bytes, sizeof(ca.key_hash));
    assert_int_equal(ca.not_before_ms, from);
    assert_int_equal(ca.not_after_ms, from + 86400000);
    assert_int_equal(ca.flags, STORE_CA_AUTO_PROVISIONING | STORE_CA_AS_GATEWAY);
    assert_span(ca.device_id_template, "d-{{subject-cn}}");
    assert_span(ca.auth_id_template, "{{subject-cn}}");
    assert_true(store_cas_next(tenant->cas, &offset, &ca));
    assert_span(ca.subject_dn, "");
    assert_int_equal(ca.flags, 0);
    assert_int_equal(ca.device_id_template.len + ca.auth_id_template.len, 0);
    assert_false(store_cas_next(tenant->cas, &offset, &ca));
}

static void each_ca_is_a_segment_without_its_id(void **state)
{
    static const char first[] =
        "{" SUBJECT ",\"subject-dn-bytes\":\"@DN@\",\"public-key\":\"@KEY@\",\"algorithm\":\"EC\","
        "\"auto-provisioning-enabled\":true," AUTH_ID ",\"ocsp-revocation-enabled\":true,"
        "\"ocsp-responder-cert\":\"@CERT@\"}";
    static const char second[] = "{\"subject-dn\":\"\",\"public-key\":\"@KEY@\",\"algorithm\":"
                                 "\"EC\",\"auto-provisioning-enabled\":false}";
    const char *const texts[] = {first, second};
    struct store_tenant tenant = {.flags = 0};
    struct arena arena;

    (void)state;
    arena_init(&arena);
    render(&arena,
           "{\"trusted-ca\":[{\"cert\":\"@CERT@\",\"auto-provisioning-enabled\":true,"
           "\"auto-provision-as-gateway\":true," AUTH_ID ","
           "\"auto-provisioning-device-id-template\":\"d-{{subject-cn}}\","
           "\"ocsp-revocation-enabled\":true},{\"subject-dn\":\"\",\"public-key\":\"@KEY@\","
           "\"algorithm\":\"EC\"," FROM "," UNTIL "}]}",
           &tenant);
    assert_int_equal(store_segment_count(&tenant.answer), 2);
    for (size_t i = 0; i < 2; i++) {
        struct store_segment segment = store_segment_at(&tenant.answer, i);

        assert_true(span_eq(span_of(tenant.answer.text.ptr + segment.offset, segment.len),
                            documents_fill(texts[i])));
        assert_true(segment.enabled);
        assert_int_equal(segment.until_ms - segment.from_ms, 86400000);
    }
    check_ca(&tenant);
    arena_done(&arena);
}

static void what_was_read_is_read_again_as_the_same(void **state)
{
    json_t *once = documents_read(tenant_document_read,
                                  "{\"alias\":\"a\",\"enabled\":true,\"tracing\":{},"
                                  "\"resource-limits\":{\"data-volume\":{" SINCE "}},"
                                  "\"registration-limits\":{},\"adapters\":[{\"type\":\"x\"}],"
                                  "\"trusted-ca\":[{\"cert\":\"@CERT@\",\"id\":\"i\"," AUTH_ID ","
                                  "\"ocsp-revocation-enabled\":true}]}");
    json_t *twice = NULL;
    struct arena arena;
    struct store_tenant tenant = {.flags = 0};

    (void)state;
    arena_init(&arena);
    assert_ok(tenant_document_render(&arena, once, SPAN("T1"), &tenant, why));
    assert_ok(tenant_document_read(tenant.document, &twice, why));
    assert_true(json_equal(once, twice));
    json_decref(once);
    json_decref(twice);
    arena_done(&arena);
}

/* "DC=ü" is printed of a certificate's UTF8String, but Java reads it as an IA5String: "DC=?". */
static void the_name_of_a_certificate_stays_as_it_was_printed(void **state)
{
    static const struct {
        const char *bytes;
        const char *kept;
    } cases[] = {
        {"MBQxEjAQBgoJkiaJk/IsZAEZDALDvA==", "DC=\xC3\xBC"}, {"@DN@", "DC=?"}, {"AAAA", "DC=?"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[512];
        json_t *document;

        (void)snprintf(body, sizeof(body),
                       "{\"trusted-ca\":[{\"subject-dn\":\"DC=\xC3\xBC\",\"public-key\":\"@KEY@\","
                       "\"algorithm\":\"EC\"," FROM "," UNTIL ",\"subject-dn-bytes\":\"%s\"}]}",
                       cases[i].bytes);
        document = documents_read(tenant_document_read, body);
        assert_string_equal(
            json_string_value(json_object_get(
                json_array_get(json_object_get(document, "trusted-ca"), 0), "subject-dn")),
            cases[i].kept);
        json_decref(document);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_is_taken_and_put_in_normal_form),
        cmocka_unit_test(what_breaks_a_rule_is_refused_by_its_name),
        cmocka_unit_test(cas_are_taken_by_certificate_or_by_their_parts),
        cmocka_unit_test(unusable_cas_are_refused),
        cmocka_unit_test(a_certificate_may_be_pem_and_be_followed_by_anything),
        cmocka_unit_test(more_cas_than_the_store_takes_are_refused),
        cmocka_unit_test(an_empty_tenant_answers_with_its_defaults),
        cmocka_unit_test(management_members_stay_inside),
        cmocka_unit_test(each_ca_is_a_segment_without_its_id),
        cmocka_unit_test(what_was_read_is_read_again_as_the_same),
        cmocka_unit_test(the_name_of_a_certificate_stays_as_it_was_printed),
    };
    int failed;

    documents_begin();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    documents_end();
    return failed;
}
