#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "service/credential_document.h"
#include "service/credential_merge.h"
#include "service/credential_read.h"
#include "service/json_text.h"
#include "support/documents.h"

enum { MAX_COST = 10 };

#define HASH "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

#define CREDENTIAL(type, id, members, secrets)                                                     \
    "{\"type\":\"" type "\",\"auth-id\":\"" id "\"" members ",\"secrets\":[" secrets "]}"
#define PASSWORD(secret) "[" CREDENTIAL("hashed-password", "sensor", "", "{" secret "}") "]"
#define PSK(secret)      "[" CREDENTIAL("psk", "sensor", "", "{" secret "}") "]"
#define RPK(secret)      "[" CREDENTIAL("rpk", "sensor", "", "{" secret "}") "]"
#define X509(id, secret) "[" CREDENTIAL("x509-cert", id, "", "{" secret "}") "]"
#define CUSTOM(secret)   "[" CREDENTIAL("my-own", "sensor", "", "{" secret "}") "]"
#define PAST             "\"not-before\":\"2026-11-24T10:00:00Z\""
#define PAST_AFTER       "\"not-after\":\"2026-11-24T10:00:00Z\""
#define FUTURE           "\"not-after\":\"2026-11-25T10:00:00Z\""

static enum ks_status read_set(struct span body, json_t **out, struct ks_failure *why)
{
    return credential_read_set(body, MAX_COST, out, why);
}

/* ---- reading ---- */

static void every_kind_is_taken_and_put_in_normal_form(void **state)
{
    static const struct documents_case cases[] = {
        {"[]", "[]"},
        {PASSWORD("\"pwd-plain\":\"x\",\"pwd-hash\":\"h\",\"salt\":\"s\",\"hash-function\":\"f\""),
         PASSWORD("\"pwd-plain\":\"x\"")},
        {PASSWORD("\"pwd-plain\":\"\",\"pwd-hash\":\"h\",\"hash-function\":\"sha-256\","
                  "\"salt\":\"s\""),
         PASSWORD("\"hash-function\":\"sha-256\",\"pwd-hash\":\"h\",\"salt\":\"s\"")},
        {PASSWORD("\"id\":\"a\",\"pwd-plain\":\"\",\"pwd-hash\":\"\",\"hash-function\":\"\""),
         PASSWORD("\"id\":\"a\"")},
        {PASSWORD("\"id\":null,\"pwd-plain\":\"p\",\"salt\":null"),
         PASSWORD("\"pwd-plain\":\"p\"")},
        {PASSWORD("\"hash-function\":\"bcrypt\",\"pwd-hash\":\"" HASH "\""),
         PASSWORD("\"hash-function\":\"bcrypt\",\"pwd-hash\":\"" HASH "\"")},
        {PASSWORD("\"hash-function\":\"BCRYPT\",\"pwd-hash\":\"anything\""),
         PASSWORD("\"hash-function\":\"BCRYPT\",\"pwd-hash\":\"anything\"")},
        {PASSWORD("\"id\":\"a\",\"salt\":\"s\",\"enabled\":\"false\",\"comment\":1,"
                  "\"not-before\":\"2026-11-24T10:00:00.999Z\",\"not-after\":\" "
                  "2026-11-25T12:00:00+02:00 \""),
         PASSWORD("\"id\":\"a\",\"enabled\":false," PAST "," FUTURE ",\"comment\":\"1\"")},
        {"[{\"type\":\"hashed-password\",\"auth-id\":\"aZ09-_=.\",\"enabled\":true,"
         "\"comment\":\"c\",\"ext\":{\"client-id\":\"x\"},\"secrets\":[{\"pwd-plain\":\"p\"}]}]",
         "[{\"type\":\"hashed-password\",\"auth-id\":\"aZ09-_=.\",\"enabled\":true,"
         "\"comment\":\"c\",\"ext\":{\"client-id\":\"x\"},"
         "\"secrets\":[{\"pwd-plain\":\"p\"}]}]"},
        {PSK("\"key\":\"AA\""), PSK("\"key\":\"AA==\"")},
        {PSK("\"id\":\"a\",\"enabled\":null,\"not-before\":\"\",\"not-after\":null,"
             "\"comment\":null"),
         PSK("\"id\":\"a\"")},
        {"[" CREDENTIAL("psk", "any /text\\u00e4", "", "{\"key\":\"AQ==\"}") "]",
         "[" CREDENTIAL("psk", "any /text\xc3\xa4", "", "{\"key\":\"AQ==\"}") "]"},
        {X509("CN=Leaf,O=Test", ""), X509("CN=Leaf,O=Test", "")},
        {X509(" cn=Leaf ; o=Test", PAST "," PAST_AFTER),
         X509("CN=Leaf,O=Test", PAST "," PAST_AFTER)},
        {X509("no distinguished name", ""), X509("no distinguished name", "")},
        {"[{\"type\":\"x509-cert\",\"cert\":\"@CERT@\",\"auth-id\":5,\"comment\":\"c\","
         "\"secrets\":[{\"id\":\"x\",\"comment\":\"y\"},{}]}]",
         "[{\"type\":\"x509-cert\",\"auth-id\":\"CN=Leaf,O=Test\",\"comment\":\"c\","
         "\"secrets\":[{" PAST "," FUTURE "}]}]"},
        {"[{\"type\":\"x509-cert\",\"cert\":null,\"auth-id\":\"CN=a\",\"secrets\":[{}]}]",
         X509("CN=a", "")},
        {RPK("\"key\":\"@KEY@\",\"algorithm\":\"ec\""),
         RPK("\"key\":\"@KEY@\",\"algorithm\":\"ec\"")},
        {RPK("\"algorithm\":\"RSA\",\"key\":\"AAAA\",\"not-after\":\"2020-01-01T00:00:00Z\","
             "\"cert\":\"@CERT@\""),
         RPK(FUTURE ",\"key\":\"@KEY@\",\"algorithm\":\"EC\"," PAST)},
        {RPK("\"cert\":\"@CERT@\",\"algorithm\":\"ec\",\"not-after\":\"2027-01-01T00:00:00Z\""),
         RPK("\"not-after\":\"2027-01-01T00:00:00Z\",\"algorithm\":\"ec\",\"key\":\"@KEY@"
             "\"," PAST)},
        {CUSTOM("\"id\":7,\"pwd-plain\":\"kept\",\"n\":null,\"o\":{\"a\":[]}"),
         CUSTOM("\"id\":\"7\",\"pwd-plain\":\"kept\",\"n\":null,\"o\":{\"a\":[]}")},
        {CUSTOM(""), CUSTOM("")},
        {"[" CREDENTIAL("psk", "a", "", "{\"key\":\"AQ==\"}") "," CREDENTIAL("my-own", "a", "",
                                                                             "{}") "]",
         "[" CREDENTIAL("psk", "a", "", "{\"key\":\"AQ==\"}") "," CREDENTIAL("my-own", "a", "",
                                                                             "{}") "]"},
    };

    (void)state;
    documents_accepted(read_set, cases, DOCUMENTS_COUNT(cases));
}

static void what_breaks_a_rule_is_refused_by_its_name(void **state)
{
    static const struct documents_case cases[] = {
        {"{}", "credentials must be an array"},
        {"[1]", "[0]: must be an object"},
        {"[null]", "[0]: must be an object"},
        {"[{}]", "[0].type: is required"},
        {"[{\"type\":null}]", "[0].type: is required"},
        {"[{\"type\":[]}]", "[0].type: must be a text"},
        {"[{\"type\":\"Hashed-Password\"}]", "[0].type: must be of a-z, 0-9 and '-'"},
        {"[{\"type\":\"\"}]", "[0].type: must be of"},
        {"[{\"type\":\"aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaa\"}]",
         "[0].type: must not be longer than 64 bytes"},
        {"[{\"type\":\"psk\",\"secrets\":[{\"key\":\"AA\"}]}]", "[0].auth-id: is required"},
        {"[" CREDENTIAL("psk", "", "", "{\"key\":\"AA\"}") "]",
         "[0].auth-id: must have at least 1 by"},
        {"[" CREDENTIAL("my-own", "", "", "{}") "]", "[0].auth-id: must have at least 1 bytes"},
        {"[" CREDENTIAL("hashed-password", "a b", "", "{\"pwd-plain\":\"x\"}") "]",
         "[0].auth-id: must be of a-z, A-Z, 0-9 and -_=."},
        {"[{\"type\":\"psk\",\"auth-id\":null,\"secrets\":[]}]", "[0].auth-id: is required"},
        {"[{\"type\":\"psk\",\"auth-id\":{}}]", "[0].auth-id: must be a text"},
        {"[{\"type\":\"psk\",\"auth-id\":\"a\"}]", "[0].secrets: is required"},
        {"[{\"type\":\"psk\",\"auth-id\":\"a\",\"secrets\":null}]", "[0].secrets: is required"},
        {"[" CREDENTIAL("psk", "a", "", "") "]", "[0].secrets: must have 1 to 256 elements"},
        {"[" CREDENTIAL("psk", "a", "", "null") "]", "[0].secrets[0]: must not be null"},
        {"[" CREDENTIAL("psk", "a", "", "5") "]", "[0].secrets[0]: must be an object"},
        {"[{\"type\":\"psk\",\"auth-id\":\"a\",\"secrets\":{}}]", "[0].secrets: must be an array"},
        {"[" CREDENTIAL("psk", "a", ",\"device-id\":\"d\"", "{\"key\":\"AA\"}") "]",
         "[0]: there is no member \"device-id\""},
        {"[" CREDENTIAL("my-own", "a", ",\"x\":1", "{}") "]", "[0]: there is no member \"x\""},
        {"[" CREDENTIAL("my-own", "a", ",\"additionalProperties\":{}", "{}") "]", "no member"},
        {"[" CREDENTIAL("psk", "a", ",\"enabled\":\"x\"", "{\"key\":\"AA\"}") "]", "[0].enabled: "},
        {"[" CREDENTIAL("psk", "a", ",\"comment\":[]", "{\"key\":\"AA\"}") "]",
         "[0].comment: must"},
        {"[" CREDENTIAL("psk", "a", ",\"ext\":[]", "{\"key\":\"AA\"}") "]",
         "[0].ext: must be an ob"},
        {"[" CREDENTIAL("psk", "a", ",\"cert\":\"@CERT@\"", "{\"key\":\"AA\"}") "]", "\"cert\""},
        {PSK("\"key\":\"AA\",\"id\":[]"), "[0].secrets[0].id: must be a text"},
        {PSK("\"key\":\"AA\",\"enabled\":2.5"), "secrets[0].enabled: must be true or false"},
        {PSK("\"key\":\"AA\",\"not-before\":5"), "secrets[0].not-before: must be a timestamp"},
        {PSK("\"key\":\"AA\",\"not-after\":\"x\""), "secrets[0].not-after: must be a timestamp"},
        {PSK("\"key\":\"AA\",\"comment\":{}"), "secrets[0].comment: must be a text"},
        {PSK("\"key\":\"AA\",\"x\":1"), "secrets[0]: there is no member \"x\""},
        {PSK("\"key\":\"AA\",\"not-before\":\"2026-11-25T10:00:00.002Z\","
             "\"not-after\":\"2026-11-25T10:00:00.001Z\""),
         "secrets[0].not-before: must not be later than not-after"},
        {PSK(""), "secrets[0].key: is required, or the id of a secret"},
        {PSK("\"id\":\"\""), "secrets[0].key: is required"},
        {PSK("\"key\":null,\"id\":\"a\""), "secrets[0].key: must not be null"},
        {PSK("\"key\":\"\""), "secrets[0].key: must have at least 1 bytes"},
        {PSK("\"key\":\"A\""), "secrets[0].key: must be Base64"},
        {PSK("\"key\":\"a-_b\""), "secrets[0].key: must be Base64"},
        {PSK("\"key\":\"AA\\n\""), "secrets[0].key: must be Base64"},
        {PSK("\"key\":5"), "secrets[0].key: must be a Base64 text"},
        {PSK("\"key\":\"AA\",\"key\":\"AA\""), "the name occurs twice"},
        {PASSWORD(""), "secrets[0].pwd-hash: is required, or pwd-plain"},
        {PASSWORD("\"id\":\"\""), "secrets[0].pwd-hash: is required"},
        {PASSWORD("\"salt\":\"s\""), "secrets[0].pwd-hash: is required"},
        {PASSWORD("\"pwd-hash\":\"x\""), "secrets[0].hash-function: is required with pwd-hash"},
        {PASSWORD("\"hash-function\":\"bcrypt\",\"id\":\"a\""), "secrets[0].pwd-hash: is required"},
        {PASSWORD("\"hash-function\":\"bcrypt\",\"pwd-hash\":\"x\""),
         "pwd-hash: a bcrypt hash must"},
        {PASSWORD("\"hash-function\":\"bcrypt\",\"pwd-hash\":\"$2a$11$CCCCCCCCCCCCCCCCCCCCC."
                  "E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\""),
         "pwd-hash: a bcrypt hash must cost 4 to 10"},
        {PASSWORD("\"hash-function\":{}"), "secrets[0].hash-function: must be a text"},
        {PASSWORD("\"pwd-hash\":[]"), "secrets[0].pwd-hash: must be a text"},
        {PASSWORD("\"salt\":[],\"pwd-plain\":\"x\""), "secrets[0].salt: must be a text"},
        {PASSWORD("\"pwd-plain\":{}"), "secrets[0].pwd-plain: must be a text"},
        {PASSWORD("\"pwd-plain\":\"aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaa"
                  "aaaaaaabbb\""),
         "secrets[0].pwd-plain: a password must have 1 to 72 bytes"},
        {PASSWORD("\"pwd-plain\":\"a\\u0000b\""), "\\u0000"},
        {PASSWORD("\"pwd-plain\":\"x\",\"key\":\"AA\""), "there is no member \"key\""},
        {X509("", ""), "[0].auth-id: is required and must not be empty, or a cert"},
        {"[{\"type\":\"x509-cert\",\"secrets\":[{}]}]", "[0].auth-id: is required"},
        {"[{\"type\":\"x509-cert\",\"auth-id\":\"CN=a\"}]", "[0].secrets: must have exactly one"},
        {"[" CREDENTIAL("x509-cert", "CN=a", "", "") "]", "[0].secrets: must have exactly one"},
        {"[" CREDENTIAL("x509-cert", "CN=a", "", "{},{}") "]",
         "[0].secrets: must have exactly one"},
        {X509("CN=a", "\"key\":\"AA\""), "secrets[0]: there is no member \"key\""},
        {"[{\"type\":\"x509-cert\",\"cert\":\"AAAA\"}]", "[0].cert: "},
        {"[{\"type\":\"x509-cert\",\"cert\":\"\"}]", "[0].cert: must have at least 1 bytes"},
        {"[{\"type\":\"x509-cert\",\"cert\":5}]", "[0].cert: must be a Base64 text"},
        {"[{\"type\":\"x509-cert\",\"cert\":\"@CERT@\",\"secrets\":[{\"x\":1}]}]", "\"x\""},
        {"[{\"type\":\"x509-cert\",\"cert\":\"@CERT@\",\"auth-id\":[]}]",
         "auth-id: must be a text"},
        {RPK("\"algorithm\":\"EC\""), "secrets[0].key: is required where there is no cert"},
        {RPK("\"key\":\"@KEY@\""), "secrets[0].algorithm: is required where there is no cert"},
        {RPK("\"id\":\"a\""), "secrets[0].key: is required"},
        {RPK("\"key\":null"), "secrets[0].key: must not be null"},
        {RPK("\"algorithm\":null"), "secrets[0].algorithm: must not be null"},
        {RPK("\"cert\":null"), "secrets[0].cert: must not be null"},
        {RPK("\"cert\":\"AAAA\""), "secrets[0].cert: "},
        {RPK("\"key\":\"@KEY@\",\"algorithm\":\"RSA\""), "secrets[0].key: "},
        {RPK("\"key\":\"@KEY@\",\"algorithm\":\"ECDSA\""), "secrets[0].key: "},
        {RPK("\"key\":\"AAAA\",\"algorithm\":\"EC\""), "secrets[0].key: "},
        {RPK("\"cert\":\"@CERT@\",\"key\":\"AAAA\""), "secrets[0].key: "},
        {RPK("\"cert\":\"@CERT@\",\"algorithm\":\"RSA\""), "secrets[0].key: "},
        {RPK("\"cert\":\"@CERT@\",\"not-after\":\"2020-01-01T00:00:00Z\""), "must not be later"},
        {CUSTOM("\"not-before\":\"x\""), "secrets[0].not-before: must be a timestamp"},
        {CUSTOM("\"enabled\":\"x\""), "secrets[0].enabled: must be true or false"},
        {CUSTOM("\"id\":{}"), "secrets[0].id: must be a text"},
        {"[" CREDENTIAL("my-own", "a", "", "{\"id\":\"x\"},{},{\"id\":\"x\"}") "]",
         "[0].secrets: elements 0 and 2 have the same id"},
        {"[" CREDENTIAL("my-own", "a", "", "{}") "," CREDENTIAL("my-own", "a", "", "{}") "]",
         "[1]: has the type and auth-id of element 0"},
        {"[" CREDENTIAL("x509-cert", "CN=a", "", "{}") "," CREDENTIAL("x509-cert", "cn = a", "",
                                                                      "{}") "]",
         "[1]: has the type and auth-id of element 0"},
    };

    (void)state;
    documents_refused(read_set, cases, DOCUMENTS_COUNT(cases));
}

static struct span many(struct buf *out, const char *before, const char *element, size_t count,
                        const char *after)
{
    buf_clear(out);
    buf_add_cstr(out, before);
    for (size_t i = 0; i < count; i++) {
        buf_add_cstr(out, i == 0 ? "" : ",");
        buf_printf(out, "%s", element);
    }
    buf_add_cstr(out, after);
    return buf_span(out);
}

static void sets_are_bounded(void **state)
{
    static const char before[] = "[{\"type\":\"hashed-password\",\"auth-id\":\"a\",\"secrets\":[";
    struct buf body = {0};
    struct ks_failure cause = {0};
    json_t *set = NULL;

    (void)state;
    assert_int_equal(read_set(many(&body, "[", "{}", 257, "]"), &set, &cause), KS_INVALID);
    assert_string_equal(cause.text, "credentials must be an array of at most 256 elements");
    assert_int_equal(
        read_set(many(&body, before, "{\"pwd-plain\":\"p\"}", 257, "]}]"), &set, &cause),
        KS_INVALID);
    assert_string_equal(cause.text, "[0].secrets: must have 1 to 256 elements");
    assert_int_equal(
        read_set(many(&body, before, "{\"pwd-plain\":\"p\"}", 65, "]}]"), &set, &cause),
        KS_INVALID);
    assert_string_equal(cause.text, "at most 64 passwords in clear can be set at once");
    assert_ok(read_set(many(&body, before, "{\"pwd-plain\":\"p\"}", 64, "]}]"), &set, why));
    assert_int_equal(credential_read_count_secrets(set), 64);
    json_decref(set);
    buf_done(&body);
}

static void an_auth_id_fits_the_store_in_its_normal_form(void **state)
{
    struct buf body = {0};
    struct buf name = {0};
    struct ks_failure cause = {0};
    json_t *set = NULL;

    (void)state;
    for (size_t i = 0; i < 2048; i++) {
        buf_add_char(&name, 'a');
    }
    buf_printf(&body, "[{\"type\":\"psk\",\"auth-id\":\"%.*s\",\"secrets\":[{\"key\":\"AA\"}]}]",
               SPAN_ARG(buf_span(&name)));
    assert_ok(read_set(buf_span(&body), &set, why));
    json_decref(set);
    set = NULL;
    buf_clear(&body);
    buf_printf(&body, "[{\"type\":\"psk\",\"auth-id\":\"%.*sb\",\"secrets\":[{\"key\":\"AA\"}]}]",
               SPAN_ARG(buf_span(&name)));
    assert_int_equal(read_set(buf_span(&body), &set, &cause), KS_INVALID);
    assert_string_equal(cause.text, "[0].auth-id: must not be longer than 2048 bytes");
    buf_clear(&body); /* each '=' takes two bytes in the normal form */
    buf_printf(&body, "[{\"type\":\"x509-cert\",\"auth-id\":\"CN=%.*s====\",\"secrets\":[{}]}]",
               2040, name.ptr);
    assert_int_equal(read_set(buf_span(&body), &set, &cause), KS_INVALID);
    assert_string_equal(cause.text, "[0].auth-id: cannot be kept: too long, or not UTF-8");
    buf_done(&body);
    buf_done(&name);
}

static void passwords_in_clear_are_found_one_after_the_other(void **state)
{
    json_t *set = documents_read(
        read_set, "[" CREDENTIAL("my-own", "a", "", "{\"pwd-plain\":\"not one\"}") "," CREDENTIAL(
                      "hashed-password", "a", "",
                      "{\"id\":\"x\"},{\"pwd-plain\":\"1\"},{\"pwd-plain\":\"2\"}") "]");
    static const char *const expected[] = {"1", "2"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        json_t *secret = credential_read_next_plain(set);

        assert_non_null(secret);
        assert_string_equal(json_string_value(json_object_get(secret, "pwd-plain")), expected[i]);
        json_object_del(secret, "pwd-plain");
    }
    assert_null(credential_read_next_plain(set));
    json_decref(set);
}

/* ---- merging ---- */

static json_t *parse(const char *text)
{
    json_t *tree = NULL;

    assert_ok(json_text_parse(span_cstr(text), &tree, why));
    return tree;
}

struct merge_case {
    const char *stored;
    const char *given;
    const char *expected; /* a set, or a part of the refusal */
};

static void check_merge(const struct merge_case *c)
{
    const struct uuid ids[8] = {0};
    struct ks_failure cause = {0};
    json_t *stored = parse(c->stored);
    json_t *set = documents_read(read_set, c->given);
    json_t *before = json_deep_copy(set);
    json_t *merged = NULL;
    enum ks_status st = credential_merge(set, stored, ids, &merged, &cause);

    assert_true(json_equal(set, before));
    if (st == KS_OK) {
        struct span text = documents_text(merged);

        if (!span_eq(text, span_cstr(c->expected))) {
            fail_msg("%s\nbecame %.*s\nand not %s", c->given, SPAN_ARG(text), c->expected);
        }
    } else if (st != KS_INVALID || strstr(cause.text, c->expected) == NULL) {
        fail_msg("%s\nwas refused: %s\nand not: %s", c->given, cause.text, c->expected);
    }
    json_decref(merged);
    json_decref(before);
    json_decref(set);
    json_decref(stored);
}

#define STORED_PASSWORD                                                                            \
    "{\"id\":\"1\",\"enabled\":false,\"comment\":\"c\",\"hash-function\":\"f\",\"pwd-hash\":"      \
    "\"h\","                                                                                       \
    "\"salt\":\"s\"}"
#define OLD_PASSWORD "[" CREDENTIAL("hashed-password", "sensor", "", STORED_PASSWORD) "]"
#define OLD_PSK      "[" CREDENTIAL("psk", "sensor", "", "{\"id\":\"1\",\"key\":\"AA==\"}") "]"
#define OLD_CUSTOM   "[" CREDENTIAL("my-own", "sensor", "", "{\"id\":\"1\",\"a\":1,\"b\":null}") "]"

static void secrets_take_over_what_they_refer_to(void **state)
{
    static const struct merge_case cases[] = {
        {"[]", PSK("\"key\":\"AA==\""), PSK("\"key\":\"AA==\",\"id\":\"#\"")},
        {OLD_PASSWORD, PASSWORD("\"id\":\"1\""),
         PASSWORD("\"id\":\"1\",\"hash-function\":\"f\",\"pwd-hash\":\"h\",\"salt\":\"s\"")},
        {OLD_PASSWORD, PASSWORD("\"id\":\"1\",\"enabled\":true,\"salt\":\"ignored\"," PAST),
         PASSWORD("\"id\":\"1\",\"enabled\":true," PAST
                  ",\"hash-function\":\"f\",\"pwd-hash\":\"h\",\"salt\":\"s\"")},
        {OLD_PASSWORD, PASSWORD("\"id\":\"1\",\"hash-function\":\"g\",\"pwd-hash\":\"i\""),
         PASSWORD("\"id\":\"1\",\"hash-function\":\"g\",\"pwd-hash\":\"i\"")},
        {OLD_PSK, PSK("\"id\":\"1\",\"comment\":\"c\""),
         PSK("\"id\":\"1\",\"comment\":\"c\",\"key\":\"AA==\"")},
        {OLD_PSK, PSK("\"id\":\"1\",\"key\":\"AQ==\""), PSK("\"id\":\"1\",\"key\":\"AQ==\"")},
        {OLD_PSK, PSK("\"key\":\"AQ==\""), PSK("\"key\":\"AQ==\",\"id\":\"#\"")},
        {OLD_CUSTOM, CUSTOM("\"id\":\"1\""), CUSTOM("\"id\":\"1\",\"a\":1,\"b\":null")},
        {OLD_CUSTOM, CUSTOM("\"id\":\"1\",\"c\":3"), CUSTOM("\"id\":\"1\",\"c\":3")},
        {"[" CREDENTIAL("x509-cert", "CN=a", "", "{\"id\":\"1\"," PAST "}") "]",
         X509("CN=a", "\"id\":\"1\""), X509("CN=a", "\"id\":\"1\"")},
        /* an id in a credential that is not stored is the client's choice */
        {OLD_PSK, CUSTOM("\"id\":\"1\""), CUSTOM("\"id\":\"1\"")},
        {OLD_PSK, CUSTOM("\"id\":\"\""), CUSTOM("\"id\":\"\"")},
        {OLD_PSK, PASSWORD("\"id\":\"9\",\"hash-function\":\"f\",\"pwd-hash\":\"h\""),
         PASSWORD("\"id\":\"9\",\"hash-function\":\"f\",\"pwd-hash\":\"h\"")},
        {OLD_PSK, "[]", "[]"},
    };

    (void)state;
    for (size_t i = 0; i < DOCUMENTS_COUNT(cases); i++) {
        check_merge(&cases[i]);
    }
}

static void references_to_nothing_are_refused(void **state)
{
    static const struct merge_case cases[] = {
        {"[]", PSK("\"id\":\"1\",\"key\":\"AA\""),
         "[0].secrets[0]: has an id, but the device has no credentials yet"},
        {"[]", CUSTOM("\"id\":\"\""), "[0].secrets[0]: has an id, but the device has no"},
        {OLD_PSK, PSK("\"id\":\"2\",\"key\":\"AA\""),
         "[0].secrets[0]: there is no stored secret with the id \"2\""},
        {OLD_PSK, PASSWORD("\"id\":\"1\""),
         "[0].secrets[0]: has no pwd-hash, and there is no stor"},
        {OLD_PASSWORD, PSK("\"id\":\"1\""), "[0].secrets[0]: has no key, and there is no stored"},
        {OLD_PSK, "[" CREDENTIAL("psk", "other", "", "{\"id\":\"1\"}") "]", "has no key"},
    };

    (void)state;
    for (size_t i = 0; i < DOCUMENTS_COUNT(cases); i++) {
        check_merge(&cases[i]);
    }
}

/* ---- showing and rendering ---- */

static void hashes_and_keys_are_hidden_from_operators(void **state)
{
    static const struct documents_case cases[] = {
        {CREDENTIAL("hashed-password", "a", "", STORED_PASSWORD ",{\"id\":\"2\"}"),
         CREDENTIAL("hashed-password", "a", "",
                    "{\"id\":\"1\",\"enabled\":false,\"comment\":\"c\"},{\"id\":\"2\"}")},
        {CREDENTIAL("psk", "a", ",\"comment\":\"c\"", "{\"id\":\"1\",\"key\":\"AA==\"}"),
         CREDENTIAL("psk", "a", ",\"comment\":\"c\"", "{\"id\":\"1\"}")},
        {CREDENTIAL("rpk", "a", "", "{\"id\":\"1\",\"key\":\"AA==\",\"algorithm\":\"EC\"}"),
         CREDENTIAL("rpk", "a", "", "{\"id\":\"1\",\"key\":\"AA==\",\"algorithm\":\"EC\"}")},
        {CREDENTIAL("my-own", "a", "", "{\"id\":\"1\",\"pwd-hash\":1,\"key\":null}"),
         CREDENTIAL("my-own", "a", "", "{\"id\":\"1\",\"pwd-hash\":1,\"key\":null}")},
    };

    (void)state;
    for (size_t i = 0; i < DOCUMENTS_COUNT(cases); i++) {
        json_t *shown = NULL;

        assert_ok(credential_document_show(span_cstr(cases[i].given), &shown, why));
        assert_span(documents_text(shown), cases[i].expected);
        json_decref(shown);
    }
}

static void adapters_get_secrets_without_ids_and_comments(void **state)
{
    static const char *const secrets[] = {
        "{\"enabled\":false,\"hash-function\":\"f\",\"pwd-hash\":\"h\",\"salt\":\"s\"}",
        "{" PAST "," FUTURE ",\"pwd-hash\":\"i\"}", "{}"};
    json_t *stored = parse(CREDENTIAL(
        "hashed-password", "a", ",\"enabled\":true,\"comment\":\"c\",\"ext\":{\"x\":[1.5]}",
        STORED_PASSWORD ",{\"id\":\"2\"," PAST "," FUTURE ",\"pwd-hash\":\"i\"},{\"id\":\"3\"}"));
    struct store_credential credential = {.flags = 99};
    struct arena arena;
    int64_t from = 0;

    (void)state;
    arena_init(&arena);
    assert_ok(credential_document_render(&arena, stored, SPAN("d1"), &credential, why));
    json_decref(stored);
    assert_span(credential.type, "hashed-password");
    assert_span(credential.auth_id, "a");
    assert_span(credential.device_id, "d1");
    assert_span(credential.ext, "{\"x\":[1.5]}");
    assert_int_equal(credential.flags, STORE_CREDENTIAL_ENABLED | STORE_CREDENTIAL_HAS_EXT);
    assert_non_null(
        memmem(credential.document.ptr, credential.document.len, "\"pwd-hash\":\"h\"", 14));
    assert_span(credential.answer.text,
                "{\"device-id\":\"d1\",\"type\":\"hashed-password\",\"auth-id\":\"a\","
                "\"enabled\":true,\"ext\":{\"x\":[1.5]},\"secrets\":["
                "{\"enabled\":false,\"hash-function\":\"f\",\"pwd-hash\":\"h\",\"salt\":\"s\"},"
                "{" PAST "," FUTURE ",\"pwd-hash\":\"i\"},{}]}");
    assert_int_equal(store_segment_count(&credential.answer), 3);
    for (size_t i = 0; i < 3; i++) {
        struct store_segment segment = store_segment_at(&credential.answer, i);

        assert_span(span_of(credential.answer.text.ptr + segment.offset, segment.len), secrets[i]);
        assert_int_equal(segment.enabled, i != 0);
    }
    assert_true(clock_parse(SPAN("2026-11-24T10:00:00Z"), &from));
    assert_true(store_segment_at(&credential.answer, 0).from_ms == CLOCK_MIN);
    assert_true(store_segment_at(&credential.answer, 0).until_ms == CLOCK_MAX);
    assert_int_equal(store_segment_at(&credential.answer, 1).from_ms, from);
    assert_int_equal(store_segment_at(&credential.answer, 1).until_ms, from + 86400000);
    arena_done(&arena);
}

static void a_disabled_credential_has_no_flag(void **state)
{
    json_t *stored = parse(CREDENTIAL("psk", "a", ",\"enabled\":false", "{\"id\":\"1\"}"));
    struct store_credential credential;
    struct arena arena;

    (void)state;
    arena_init(&arena);
    assert_ok(credential_document_render(&arena, stored, SPAN("d"), &credential, why));
    assert_int_equal(credential.flags, 0);
    assert_int_equal(credential.ext.len, 0);
    json_decref(stored);
    arena_done(&arena);
}

static void a_broken_stored_form_is_reported(void **state)
{
    json_t *stored = parse(CREDENTIAL("psk", "a", "", "{\"not-after\":\"x\"}"));
    struct store_credential credential;
    json_t *shown = NULL;
    struct arena arena;

    (void)state;
    arena_init(&arena);
    assert_status(KS_CORRUPT,
                  credential_document_render(&arena, stored, SPAN("d"), &credential, why));
    assert_status(KS_CORRUPT, credential_document_show(SPAN("{"), &shown, why));
    json_decref(stored);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_taken_and_put_in_normal_form),
        cmocka_unit_test(what_breaks_a_rule_is_refused_by_its_name),
        cmocka_unit_test(sets_are_bounded),
        cmocka_unit_test(an_auth_id_fits_the_store_in_its_normal_form),
        cmocka_unit_test(passwords_in_clear_are_found_one_after_the_other),
        cmocka_unit_test(secrets_take_over_what_they_refer_to),
        cmocka_unit_test(references_to_nothing_are_refused),
        cmocka_unit_test(hashes_and_keys_are_hidden_from_operators),
        cmocka_unit_test(adapters_get_secrets_without_ids_and_comments),
        cmocka_unit_test(a_disabled_credential_has_no_flag),
        cmocka_unit_test(a_broken_stored_form_is_reported),
    };
    int failed;

    documents_begin();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    documents_end();
    return failed;
}
