/* Ids made from a certificate's subject. */
#include "support/test.h"

#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "service/identity_template.h"
#include "service/ids.h"
#include "service/reasons.h"

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

/* ---- subjects: UTF8Strings, each in an RDN of its own ---- */

struct part {
    const char *oid; /* content octets */
    const char *value;
};

#define CN(v)                                                                                      \
    {                                                                                              \
        "\x55\x04\x03", v                                                                          \
    }
#define OU(v)                                                                                      \
    {                                                                                              \
        "\x55\x04\x0B", v                                                                          \
    }
#define O(v)                                                                                       \
    {                                                                                              \
        "\x55\x04\x0A", v                                                                          \
    }

static void add_tlv(struct buf *out, int tag, struct span content)
{
    assert_true(content.len < 0x100);
    buf_add_char(out, (char)tag);
    if (content.len >= 0x80) {
        buf_add_char(out, (char)0x81);
    }
    buf_add_char(out, (char)content.len);
    buf_add_span(out, content);
}

static struct span wrapped(int tag, struct span content)
{
    struct buf out;
    struct span kept;

    buf_init(&out, 0);
    add_tlv(&out, tag, content);
    kept = arena_span(&arena, buf_span(&out));
    buf_done(&out);
    return kept;
}

static struct identity_subject subject_of(const char *dn, const struct part *parts)
{
    struct identity_subject subject = {.dn = span_cstr(dn)};
    struct buf rdns;

    buf_init(&rdns, 0);
    for (size_t i = 0; i < 3 && parts[i].oid != NULL; i++) {
        struct buf pair;

        buf_init(&pair, 0);
        add_tlv(&pair, 0x06, span_cstr(parts[i].oid));
        add_tlv(&pair, 0x0C, span_cstr(parts[i].value));
        buf_add_span(&rdns, wrapped(0x31, wrapped(0x30, buf_span(&pair))));
        buf_done(&pair);
    }
    subject.der = wrapped(0x30, buf_span(&rdns));
    buf_done(&rdns);
    return subject;
}

/* ---- what a tenant may have ---- */

struct check {
    const char *template;
    const char *refusal; /* NULL: accepted */
};

static void check_all(const struct check *cases, size_t count,
                      enum ks_status (*check)(struct span, struct ks_failure *))
{
    for (size_t i = 0; i < count; i++) {
        struct ks_failure found = {0};
        enum ks_status st = check(span_cstr(cases[i].template), &found);

        if ((st == KS_OK) != (cases[i].refusal == NULL)) {
            fail_msg("%s: %s %s", cases[i].template, ks_status_name(st), found.text);
        }
        if (st != KS_OK) {
            assert_int_equal(st, KS_INVALID);
            assert_string_equal(found.reason, REASON_BAD_REQUEST);
            assert_non_null(strstr(found.text, cases[i].refusal));
        }
    }
}

#define UNKNOWN "unknown placeholder"
#define NONE    "no placeholder"

static void a_template_has_placeholders_and_only_known_ones(void **state)
{
    static const struct check cases[] = {
        {"{{subject-dn}}", NULL},
        {"{{subject-cn}}", NULL},
        {"{{subject-ou}}", NULL},
        {"{{subject-o}}", NULL},
        {"a{{subject-cn}}b{{subject-cn}}c", NULL},
        {"{{subject-cn}}{{subject-o}}", NULL},
        {"", NONE},
        {"device", NONE},
        {"subject-cn", NONE},
        {"{subject-cn}", NONE},
        {"{{subject-cn}", NONE},
        {"{{subject-cn} }", NONE},
        {"}}subject-cn{{", NONE},
        {"{{", NONE},
        {"{{}", NONE},
        {"{{}}", UNKNOWN},
        {"{{ subject-cn }}", UNKNOWN},
        {"{{SUBJECT-CN}}", UNKNOWN},
        {"{{subject-xyz}}", UNKNOWN},
        {"{{subject-cn}}{{subject-xyz}}", UNKNOWN},
        {"{{subject-cn}}{{}}", UNKNOWN},
        {"{{{subject-cn}}}", UNKNOWN},
        {"{{{{subject-cn}}}}", UNKNOWN},
        {"{{ {{subject-cn}}", UNKNOWN},
        {"{{subject-cn\n}}", UNKNOWN},
    };

    (void)state;
    check_all(cases, sizeof(cases) / sizeof(cases[0]), identity_template_check_auth_id);
    check_all(cases, sizeof(cases) / sizeof(cases[0]), identity_template_check_device_id);
}

static void text_around_placeholders_must_fit_a_device_id(void **state)
{
    static const char refusal[] = "no device id may have";
    static const struct check cases[] = {
        {"a-Z.0_9:=-{{subject-cn}}", NULL}, {"{{subject-cn}}/x", refusal},
        {"{{subject-cn}} ", refusal},       {"{{subject-cn}},{{subject-o}}", refusal},
        {"{{subject-cn}}}}", refusal},      {"{{subject-cn}}{{", refusal},
        {"{{subject-cn}}$1", refusal},      {"\xC3\xBC{{subject-cn}}", refusal},
    };
    char full[14 + 200];

    (void)state;
    check_all(cases, sizeof(cases) / sizeof(cases[0]), identity_template_check_device_id);
    memset(full, 'x', sizeof(full));
    memcpy(full, "{{subject-cn}}", 14);
    assert_ok(identity_template_check_device_id(span_of(full, 14 + 199), why));
    assert_int_equal(identity_template_check_device_id(span_of(full, 14 + 200), NULL), KS_INVALID);
    assert_ok(identity_template_check_auth_id(span_of(full, 14 + 200), why));
}

static void an_auth_id_that_is_a_name_must_be_in_normal_form(void **state)
{
    static const char refusal[] = "another spelling";
    static const struct check cases[] = {
        {"{{subject-cn}}/x", NULL},      {"{{subject-cn}}}}", NULL},
        {"{{subject-cn}} {{", NULL},     {"CN={{subject-cn}}", NULL},
        {"CN={{subject-cn}},O=x", NULL}, {"{{subject-dn}},O=x", NULL},
        {"cn={{subject-cn}}", refusal},  {"CN={{subject-cn}}, O=x", refusal},
        {" {{subject-dn}}", refusal},    {"OID.2.5.4.3={{subject-o}}", refusal},
    };

    (void)state;
    check_all(cases, sizeof(cases) / sizeof(cases[0]), identity_template_check_auth_id);
}

/* ---- what comes out ---- */

static void filling_is_literal_and_done_once(void **state)
{
    static const struct {
        const char *template;
        struct part parts[3];
        const char *filled; /* NULL: cannot be */
    } cases[] = {
        {"{{subject-dn}}", {CN("x")}, "THE DN"},
        {"{{subject-cn}}", {O("Acme"), OU("Plant"), CN("dev")}, "dev"},
        {"{{subject-ou}}.{{subject-o}}", {O("Acme"), OU("Plant"), CN("dev")}, "Plant.Acme"},
        {"a{{subject-cn}}b{{subject-cn}}c", {CN("x")}, "axbxc"},
        {"{{subject-cn}}}}{{", {CN("x")}, "x}}{{"},
        {"{ {{subject-cn}} }", {CN("x")}, "{ x }"},
        /* what regular expressions would make something else of */
        {"d-{{subject-cn}}", {CN("$1")}, "d-$1"},
        {"d-{{subject-cn}}", {CN("a\\1\\")}, "d-a\\1\\"},
        {"d-{{subject-cn}}$1\\", {CN("x")}, "d-x$1\\"},
        /* what a certificate brings is no template */
        {"{{subject-cn}}", {O("secret"), CN("{{subject-o}}")}, "{{subject-o}}"},
        {"{{subject-cn}}{{subject-o}}", {O("ect-ou}}"), CN("{{subj")}, "{{subject-ou}}"},
        {"{{subject-o}}-{{subject-cn}}", {O("{{subject-cn}}"), CN("x")}, "{{subject-cn}}-x"},
        {"{{subject-cn}}", {CN("M\xC3\xBCller, \"A\"")}, "M\xC3\xBCller, \"A\""},
        {"{{subject-cn}}", {O("Acme")}, NULL},
        {"{{subject-o}}-{{subject-ou}}", {O("Acme"), CN("x")}, NULL},
        {"{{subject-cn}}", {CN("")}, NULL},
        {"{{subject-cn}}", {CN(""), CN("x")}, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct identity_subject subject = subject_of("THE DN", cases[i].parts);
        struct ks_failure found = {0};
        struct buf out;
        enum ks_status st;

        buf_init(&out, 0);
        st = identity_template_fill(span_cstr(cases[i].template), &subject, &out, &found);
        if ((st == KS_OK) != (cases[i].filled != NULL)) {
            fail_msg("%s: %s %s", cases[i].template, ks_status_name(st), found.text);
        }
        if (st == KS_OK) {
            assert_span(buf_span(&out), cases[i].filled);
        } else {
            assert_int_equal(st, KS_INVALID);
            assert_string_equal(found.reason, REASON_TEMPLATE_UNFILLED);
            assert_non_null(strstr(found.text, "THE DN"));
        }
        buf_done(&out);
    }
}

static void a_name_without_text_fills_nothing(void **state)
{
    static const struct part none[3] = {{NULL, NULL}};
    struct identity_subject subject = subject_of("", none);
    struct ks_failure found = {0};
    struct buf out;

    (void)state;
    buf_init(&out, 0);
    assert_int_equal(identity_template_fill(SPAN("{{subject-dn}}"), &subject, &out, &found),
                     KS_INVALID);
    assert_string_equal(found.reason, REASON_TEMPLATE_UNFILLED);
    buf_done(&out);
}

static void a_device_id_is_one_or_refused(void **state)
{
    static const struct {
        const char *cn;
        const char *reason; /* NULL: d-<cn> */
    } cases[] = {
        {"aZ09-_.:=", NULL},
        {"a b", REASON_BAD_DEVICE_ID},
        {"a/b", REASON_BAD_DEVICE_ID},
        {"a,b", REASON_BAD_DEVICE_ID},
        {"$1", REASON_BAD_DEVICE_ID},
        {"a\\b", REASON_BAD_DEVICE_ID},
        {"\xC3\xBC", REASON_BAD_DEVICE_ID},
        {"{{subject-cn}}", REASON_BAD_DEVICE_ID},
        {"", REASON_TEMPLATE_UNFILLED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct part parts[3] = {CN(cases[i].cn)};
        struct identity_subject subject = subject_of("CN=?", parts);
        struct span id = SPAN("untouched");
        struct ks_failure found = {0};
        enum ks_status st =
            identity_template_device_id(SPAN("d-{{subject-cn}}"), &subject, &arena, &id, &found);

        if (cases[i].reason == NULL) {
            assert_int_equal(st, KS_OK);
            assert_true(span_eq(span_of(id.ptr + 2, id.len - 2), span_cstr(cases[i].cn)));
        } else {
            assert_int_equal(st, KS_INVALID);
            assert_string_equal(found.reason, cases[i].reason);
            assert_span(id, "untouched");
        }
    }
}

static void a_device_id_has_an_end(void **state)
{
    char cn[201];
    char repeated[14 * 40 + 1] = "";
    const struct part parts[3] = {CN(cn)};
    struct identity_subject subject;
    struct span id;

    (void)state;
    memset(cn, 'x', sizeof(cn));
    cn[200] = '\0';
    subject = subject_of("CN=xxx", parts);
    assert_ok(identity_template_device_id(SPAN("{{subject-cn}}"), &subject, &arena, &id, why));
    assert_int_equal(id.len, 200);
    assert_int_equal(
        identity_template_device_id(SPAN("{{subject-cn}}x"), &subject, &arena, &id, NULL),
        KS_INVALID);
    for (int i = 0; i < 40; i++) { /* what does not fit the buffer is no short id */
        memcpy(repeated + (size_t)i * 14, "{{subject-cn}}", 15);
    }
    assert_int_equal(identity_template_device_id(span_cstr(repeated), &subject, &arena, &id, NULL),
                     KS_INVALID);
}

static void ids_have_patterns(void **state)
{
    char longest[201];

    (void)state;
    memset(longest, 'x', sizeof(longest));
    assert_true(ids_is_device(span_of(longest, 200)));
    assert_false(ids_is_device(span_of(longest, 201)));
    assert_true(ids_is_tenant(span_of(longest, 200)));
    assert_false(ids_is_tenant(span_of(longest, 201)));
    assert_true(ids_is_device(SPAN("aZ09-_.:=")));
    assert_true(ids_is_tenant(SPAN("aZ09-_.")));
    assert_false(ids_is_tenant(SPAN("a:b")));
    assert_false(ids_is_tenant(SPAN("a=b")));
    assert_false(ids_is_device(SPAN("")));
    assert_false(ids_is_tenant(SPAN("")));
    assert_false(ids_is_device(SPAN("a\0b")));
    assert_false(ids_is_device(SPAN("++\xC2\xA3\xC2\xA3")));
    assert_true(ids_fits_device(SPAN("")));
}

static void steps_of_a_path_are_no_ids(void **state)
{
    (void)state;
    assert_false(ids_is_device(SPAN(".")));
    assert_false(ids_is_device(SPAN("..")));
    assert_false(ids_is_tenant(SPAN(".")));
    assert_false(ids_is_tenant(SPAN("..")));
    assert_true(ids_is_device(SPAN("...")));
    assert_true(ids_is_tenant(SPAN(".a")));
    assert_true(ids_fits_device(SPAN("."))); /* of a template: a part of the id */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_template_has_placeholders_and_only_known_ones),
        TEST(text_around_placeholders_must_fit_a_device_id),
        TEST(an_auth_id_that_is_a_name_must_be_in_normal_form),
        TEST(filling_is_literal_and_done_once),
        TEST(a_name_without_text_fills_nothing),
        TEST(a_device_id_is_one_or_refused),
        TEST(a_device_id_has_an_end),
        TEST(ids_have_patterns),
        TEST(steps_of_a_path_are_no_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
