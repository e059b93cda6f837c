/*
 * Every member of every document, by its row: wrong values of its kind and beyond its rule are
 * refused with 400 and the member's path, right ones at its edges are taken in their normal form.
 * Whether the rows themselves are right is tested by hand: test_tenant_document.c and its like.
 */
#include "support/test.h"

#include <regex.h>
#include <string.h>

#include "base/buf.h"
#include "service/credential_members.h"
#include "service/credential_read.h"
#include "service/device_document.h"
#include "service/device_members.h"
#include "service/json_text.h"
#include "service/tenant_document.h"
#include "service/tenant_members.h"
#include "support/documents.h"
#include "support/sites.h"

enum { MAX_COST = 10 };

static enum ks_status read_set(struct span body, json_t **out, struct ks_failure *why)
{
    return credential_read_set(body, MAX_COST, out, why);
}

/* ---- trying ---- */

static void refused_text(const struct site *site, const struct member_rule *rule, const char *value,
                         const char *what)
{
    site_refused(site, rule, "", site_parse(value), what);
}

static void taken_text(const struct site *site, const struct member_rule *rule, const char *value,
                       const char *expected)
{
    if (!site_is_judged(site, rule)) {
        site_taken(site, rule, site_parse(value), expected == NULL ? NULL : site_parse(expected));
    }
}

/* What null, or a blank text, leaves behind. */
static json_t *null_of(const struct member_rule *rule)
{
    if ((rule->flags & MEMBER_NULL_IS_ZERO) != 0) {
        return rule->kind == MEMBER_FLAG ? json_false() : json_integer(0);
    }
    return (rule->flags & MEMBER_FILLED) != 0 ? site_parse(rule->fallback) : NULL;
}

static void try_as_null(const struct site *site, const struct member_rule *rule, const char *value)
{
    if ((rule->flags & MEMBER_NOT_NULL) != 0) {
        refused_text(site, rule, value, "must not be null");
    } else if ((rule->flags & MEMBER_REQUIRED) != 0) {
        refused_text(site, rule, value, "is required");
    } else if (!site_is_judged(site, rule) && !site_needs(site, rule)) {
        site_taken(site, rule, site_parse(value), null_of(rule));
    }
}

/* ---- by kind ---- */

static void try_flag(const struct site *site, const struct member_rule *rule)
{
    static const char *const wrong[] = {"1.0",        "\"1\"", "\"yes\"", "\"tRUE\"",
                                        "\"true x\"", "[]",    "{}"};
    static const char *const right[][2] = {
        {"true", "true"}, {"false", "false"},   {"0", "false"},           {"1", "true"},
        {"-7", "true"},   {"\"True\"", "true"}, {"\" FALSE \"", "false"}, {"\"TRUE\"", "true"}};

    for (size_t i = 0; i < DOCUMENTS_COUNT(wrong); i++) {
        refused_text(site, rule, wrong[i], "must be true or false");
    }
    for (size_t i = 0; i < DOCUMENTS_COUNT(right); i++) {
        taken_text(site, rule, right[i][0], right[i][1]);
    }
    try_as_null(site, rule, "\"\"");
    try_as_null(site, rule, "\" \\t\"");
}

static void try_number(const struct site *site, const struct member_rule *rule)
{
    static const char *const wrong[] = {"true",
                                        "\"x\"",
                                        "\"5.5\"",
                                        "\"5e2\"",
                                        "\"+\"",
                                        "\"1 2\"",
                                        "\"0x5\"",
                                        "[]",
                                        "{}",
                                        "1e300",
                                        "\"9223372036854775808\""};
    char text[32];

    for (size_t i = 0; i < DOCUMENTS_COUNT(wrong); i++) {
        refused_text(site, rule, wrong[i], "must be an integer");
    }
    site_refused(site, rule, "", json_integer(rule->min - 1), "must be ");
    (void)snprintf(text, sizeof(text), "%lld.0", (long long)rule->min - 1);
    refused_text(site, rule, text, "must be ");
    if (rule->max < INT64_MAX) {
        site_refused(site, rule, "", json_integer(rule->max + 1), "must be ");
    }
    site_taken(site, rule, json_integer(rule->min), json_integer(rule->min));
    site_taken(site, rule, json_integer(rule->max), json_integer(rule->max));
    (void)snprintf(text, sizeof(text), "\" +%lld\\n\"", (long long)rule->max);
    site_taken(site, rule, site_parse(text), json_integer(rule->max));
    taken_text(site, rule, "12.7", "12");
    taken_text(site, rule, "\"007\"", "7");
    taken_text(site, rule, "5e2", "500");
    try_as_null(site, rule, "\"\"");
}

static json_t *text_of(size_t len)
{
    struct buf text;
    json_t *value;

    buf_init(&text, 0);
    for (size_t i = 0; i < len; i++) {
        buf_add_char(&text, 'a');
    }
    value = json_stringn(len > 0 ? text.ptr : "", len);
    buf_done(&text);
    return value;
}

static const char *const candidates[] = {
    "a", "a-1", "A", "b c", "\xc3\xa4", "_", "=", ".", "/", "{", "a\nb", "a\n", "-", "~", "z9", "",
};

/* The form is what `accepts` says, and the pattern says the same. */
static void try_form(const struct site *site, const struct member_rule *rule)
{
    regex_t pattern;
    size_t wrong = 0;

    assert_int_equal(regcomp(&pattern, rule->pattern, REG_EXTENDED | REG_NOSUB), 0);
    for (size_t i = 0; i < DOCUMENTS_COUNT(candidates); i++) {
        bool accepted = rule->accepts(span_cstr(candidates[i]));

        assert_int_equal(accepted, regexec(&pattern, candidates[i], 0, NULL, 0) == 0);
        if (!accepted) {
            site_refused(site, rule, "", json_string(candidates[i]), "must ");
            wrong++;
        } else if (!site_is_judged(site, rule)) {
            site_taken(site, rule, json_string(candidates[i]), json_string(candidates[i]));
        }
    }
    assert_true(wrong > 0);
    regfree(&pattern);
}

static void try_text(const struct site *site, const struct member_rule *rule)
{
    refused_text(site, rule, "[]", "must be a text");
    refused_text(site, rule, "{}", "must be a text");
    refused_text(site, rule, "[\"a\"]", "must be a text");
    if (rule->max > 0) {
        site_refused(site, rule, "", text_of((size_t)rule->max + 1), "must not be longer than ");
    }
    if (rule->min > 0) {
        site_refused(site, rule, "", text_of((size_t)rule->min - 1), "must have at least ");
    }
    if (rule->accepts != NULL) {
        try_form(site, rule);
    }
    if (!site_is_judged(site, rule)) {
        size_t longest = rule->max > 0 ? (size_t)rule->max : 5000;

        site_taken(site, rule, text_of(longest), text_of(longest));
    }
    taken_text(site, rule, "5", "\"5\"");
    taken_text(site, rule, "true", "\"true\"");
}

static void try_word(const struct site *site, const struct member_rule *rule)
{
    static const char *const wrong[] = {"\"nonesuch\"", "\"\"", "\" \"", "0", "true", "[]", "{}"};

    for (size_t i = 0; i < DOCUMENTS_COUNT(wrong); i++) {
        refused_text(site, rule, wrong[i], "must be one of ");
    }
    for (const char *const *word = rule->words; *word != NULL; word++) {
        char shouted[64];
        size_t len = strlen(*word);

        shouted[0] = ' ';
        for (size_t i = 0; i < len; i++) {
            shouted[i + 1] = (char)((*word)[i] >= 'a' ? (*word)[i] - 'a' + 'A' : (*word)[i]);
        }
        site_taken(site, rule, json_string(*word), json_string(*word));
        site_taken(site, rule, json_stringn(shouted, len + 1), json_string(*word));
    }
}

static void try_time(const struct site *site, const struct member_rule *rule)
{
    static const char *const wrong[] = {"5",
                                        "true",
                                        "[]",
                                        "{}",
                                        "\"x\"",
                                        "\"2026-01-01\"",
                                        "\"2026-01-01T00:00:00\"",
                                        "\"2026-01-01T00:00:00+0200\"",
                                        "\"2026-01-01 00:00:00Z\"",
                                        "\"2026-02-30T00:00:00Z\"",
                                        "\"2026-01-01T24:00:00Z\"",
                                        "\"2026-01-01T00:00:60Z\"",
                                        "\"2026-01-01T00:00:00,5Z\"",
                                        "\"2026-01-01T00:00:00.1234567890Z\"",
                                        "\"2026-01-01T00:00:00Z[UTC]\"",
                                        "\"2026-01-01T00:00:00+19:00\"",
                                        "\"10000-01-01T00:00:00Z\"",
                                        "\"2026-1-01T00:00:00Z\""};
    static const char *const right[][2] = {
        {"\"2026-03-01T00:00Z\"", "\"2026-03-01T00:00:00Z\""},
        {"\"2026-03-01t00:00:00z\"", "\"2026-03-01T00:00:00Z\""},
        {"\" 2026-03-01T02:00:00+02:00 \"", "\"2026-03-01T00:00:00Z\""},
        {"\"2026-03-01T02:00:00+02\"", "\"2026-03-01T00:00:00Z\""},
        {"\"2026-03-01T01:00:30+01:00:30\"", "\"2026-03-01T00:00:00Z\""},
        {"\"2026-03-01T00:00:00.999999999Z\"", "\"2026-03-01T00:00:00Z\""},
        {"\"2026-03-01T00:00:05.Z\"", "\"2026-03-01T00:00:05Z\""},
        {"\"0001-01-01T00:00:00Z\"", "\"0001-01-01T00:00:00Z\""},
        {"\"9999-12-31T23:59:59Z\"", "\"9999-12-31T23:59:59Z\""}};

    for (size_t i = 0; i < DOCUMENTS_COUNT(wrong); i++) {
        refused_text(site, rule, wrong[i], "must be a timestamp with an offset");
    }
    for (size_t i = 0; i < DOCUMENTS_COUNT(right); i++) {
        taken_text(site, rule, right[i][0], right[i][1]);
    }
    try_as_null(site, rule, "\"\"");
}

static void try_binary(const struct site *site, const struct member_rule *rule)
{
    static const char *const wrong[] = {"5",
                                        "true",
                                        "[]",
                                        "{}",
                                        "\"%\"",
                                        "\"A\"",
                                        "\"AA=\"",
                                        "\"AAA==\"",
                                        "\"a-_b\"",
                                        "\"AA==\\n\"",
                                        "\" AA==\"",
                                        "\"AA==AA==\"",
                                        "\"-----BEGIN\""};

    for (size_t i = 0; i < DOCUMENTS_COUNT(wrong); i++) {
        refused_text(site, rule, wrong[i], "must be ");
    }
    if (rule->min > 0) {
        refused_text(site, rule, "\"\"", "must have at least ");
    } else {
        taken_text(site, rule, "\"\"", "\"\"");
    }
    taken_text(site, rule, "\"AA\"", "\"AA==\"");
    taken_text(site, rule, "\"AAA\"", "\"AAA=\"");
    taken_text(site, rule, "\"+/+/\"", "\"+/+/\"");
}

static void try_structure(const struct site *site, const struct member_rule *rule, const char *what)
{
    static const char *const wrong[] = {"5", "\"\"", "\"{}\"", "true", "[]"};

    for (size_t i = 0; i < DOCUMENTS_COUNT(wrong); i++) {
        refused_text(site, rule, wrong[i], what);
    }
}

static void try_free(const struct site *site, const struct member_rule *rule)
{
    static const char deep[] =
        "{\"\":null,\"$a\":{\"b.c\":[null,1.5,{}]},\"d\":9223372036854775807}";

    try_structure(site, rule, "must be an object");
    taken_text(site, rule, deep, deep);
    taken_text(site, rule, "{}", "{}");
}

static void try_table(const struct site *site);

/* The table that the member's value, or its elements, go by. */
static void try_below(const struct site *site, const struct member_rule *rule)
{
    const struct member_rule *leads = rule->element != NULL ? rule->element : rule;
    const struct site below = {.up = site,
                               .table = leads->table,
                               .rule = rule,
                               .read = site->read,
                               .in_set = site->in_set};

    if (leads->table != NULL) {
        try_table(&below);
    }
}

static void try_object(const struct site *site, const struct member_rule *rule)
{
    try_structure(site, rule, "must be an object");
    try_below(site, rule);
}

static void try_elements(const struct site *site, const struct member_rule *rule)
{
    json_t *many = json_array();

    for (int64_t i = 0; i <= rule->max; i++) {
        (void)json_array_append_new(many, json_null());
    }
    site_refused(site, rule, "", many, "must have ");
    if (rule->min > 0) {
        refused_text(site, rule, "[]", "must have ");
    } else {
        taken_text(site, rule, "[]", "[]");
    }
    refused_text(site, rule, "{}", "must be an array");
    site_refused(site, rule, "[0]", site_parse("[null]"), "must not be null");
    site_refused(site, rule, "[0]", site_parse("[[]]"), "must be ");
    try_below(site, rule);
}

static void try_list(const struct site *site, const struct member_rule *rule)
{
    refused_text(site, rule, "5", "must be an array");
    refused_text(site, rule, "\"\"", "must be an array");
    refused_text(site, rule, "\"x\"", "must be an array");
    try_elements(site, rule);
}

static void try_strings(const struct site *site, const struct member_rule *rule)
{
    json_t *two = json_pack("[so]", "a", text_of((size_t)rule->element->max + 1));

    try_elements(site, rule);
    site_refused(site, rule, "[1]", two, "must not be longer than ");
    site_refused(site, rule, "[0]", site_parse("[{}]"), "must be a text");
    taken_text(site, rule, "\"x\"", "[\"x\"]");
    taken_text(site, rule, "\"\"", "[\"\"]");
    taken_text(site, rule, "5", "[\"5\"]");
    taken_text(site, rule, "[\"b\",\"a\",\"b\",true]", "[\"b\",\"a\",\"b\",\"true\"]");
}

static void try_map(const struct site *site, const struct member_rule *rule)
{
    try_structure(site, rule, "must be an object");
    site_refused(site, rule, ".k", site_parse("{\"a\":null,\"k\":[]}"), "must be ");
    site_refused(site, rule, ".k", site_parse("{\"k\":{}}"), "must be ");
    taken_text(site, rule, "{\"k\":null}", "{\"k\":null}");
    taken_text(site, rule, "{}", "{}");
}

static void try_ignored(const struct site *site, const struct member_rule *rule)
{
    static const char *const values[] = {"5", "null", "{\"x\":[]}", "[]", "\"\"", "true"};

    for (size_t i = 0; i < DOCUMENTS_COUNT(values); i++) {
        taken_text(site, rule, values[i], NULL);
    }
}

static void try_unsupported(const struct site *site, const struct member_rule *rule)
{
    refused_text(site, rule, "null", "is not supported yet");
    refused_text(site, rule, "{}", "is not supported yet");
}

static void (*const tries[MEMBER_KINDS])(const struct site *, const struct member_rule *) = {
    [MEMBER_FLAG] = try_flag,
    [MEMBER_NUMBER] = try_number,
    [MEMBER_TEXT] = try_text,
    [MEMBER_WORD] = try_word,
    [MEMBER_TIME] = try_time,
    [MEMBER_BINARY] = try_binary,
    [MEMBER_FREE] = try_free,
    [MEMBER_OBJECT] = try_object,
    [MEMBER_LIST] = try_list,
    [MEMBER_STRINGS] = try_strings,
    [MEMBER_MAP] = try_map,
    [MEMBER_IGNORED] = try_ignored,
    [MEMBER_UNSUPPORTED] = try_unsupported,
};

/* ---- what holds for every member, and every object ---- */

static void try_absent(const struct site *site, const struct member_rule *rule)
{
    json_t *object = site_whole(site->table);
    json_t *document;
    json_t *read = NULL;
    struct ks_failure why = {0};
    struct buf expected;

    (void)json_object_del(object, rule->name);
    document = site_document(site, object);
    buf_init(&expected, 0);
    site_add_member_path(&expected, site, rule->name, ": is required");
    if ((rule->flags & MEMBER_REQUIRED) != 0) {
        assert_int_equal(site_read(site, document, &read, &why), KS_INVALID);
        assert_memory_equal(why.text, expected.ptr, expected.len);
    } else if ((rule->flags & MEMBER_FILLED) != 0) {
        json_t *fallback = site_parse(rule->fallback);

        read = site_read_well(site, json_incref(document));
        assert_true(json_equal(json_object_get(site_object(site, read), rule->name), fallback));
        json_decref(fallback);
    }
    buf_done(&expected);
    json_decref(read);
    json_decref(document);
}

static void try_example(const struct site *site, const struct member_rule *rule)
{
    if (rule->kind != MEMBER_UNSUPPORTED) {
        json_decref(
            site_read_well(site, site_document_with(site, rule, site_parse(rule->example))));
    }
}

/* The same name twice in the object at the site. */
static void try_twice(const struct site *site, const struct member_rule *rule)
{
    static const char mark[] = "{\"@twice@\":1}";
    json_t *document = site_document(site, json_pack("{si}", "@twice@", 1));
    json_t *read = NULL;
    struct ks_failure why = {0};
    struct buf text;
    struct buf body;
    struct buf expected;
    const char *at;

    buf_init(&text, 0);
    buf_init(&body, 0);
    buf_init(&expected, 0);
    json_text_add(&text, document);
    buf_add_char(&text, '\0');
    at = strstr(text.ptr, mark);
    assert_non_null(at);
    buf_printf(&body, "%.*s{\"%s\":null,\"%s\":null}%s", (int)(at - text.ptr), text.ptr, rule->name,
               rule->name, at + sizeof(mark) - 1);
    site_add_member_path(&expected, site, rule->name, ": the name occurs twice");
    buf_add_char(&expected, '\0');
    assert_int_equal(site->read(buf_span(&body), &read, &why), KS_INVALID);
    assert_string_equal(why.reason, "bad-json");
    at = strstr(why.text, ", at ");
    assert_non_null(at);
    assert_string_equal(at + 5, expected.ptr);
    json_decref(document);
    buf_done(&text);
    buf_done(&body);
    buf_done(&expected);
}

static void try_member(const struct site *site, const struct member_rule *rule)
{
    assert_true(rule->text != NULL && rule->text[0] != '\0');
    try_absent(site, rule);
    try_example(site, rule);
    try_twice(site, rule);
    if (rule->kind != MEMBER_IGNORED && rule->kind != MEMBER_UNSUPPORTED) {
        try_as_null(site, rule, "null");
    }
    tries[rule->kind](site, rule);
}

static void try_unknown(const struct site *site, const char *name)
{
    json_t *object = site_whole(site->table);
    json_t *document;
    json_t *read = NULL;
    struct ks_failure why = {0};
    struct buf expected;

    (void)json_object_set_new(object, name, json_integer(1));
    document = site_document(site, object);
    buf_init(&expected, 0);
    site_add_path(&expected, site);
    buf_printf(&expected, "%sthere is no member \"%s\"", expected.len > 0 ? ": " : "", name);
    if (site->table->about->open) {
        read = site_read_well(site, json_incref(document));
        assert_int_equal(json_integer_value(json_object_get(site_object(site, read), name)), 1);
    } else {
        assert_int_equal(site_read(site, document, &read, &why), KS_INVALID);
        assert_memory_equal(why.text, expected.ptr, expected.len);
        assert_int_equal(strlen(why.text), expected.len);
    }
    buf_done(&expected);
    json_decref(read);
    json_decref(document);
}

static size_t members_tried;

static void try_table(const struct site *site)
{
    const struct member_rule *rule;
    size_t next = 0;

    while ((rule = member_next(site->table, &next)) != NULL) {
        try_member(site, rule);
        members_tried++;
    }
    try_unknown(site, "nonesuch");
    try_unknown(site, "Enabled");
    try_unknown(site, "");
}

static void try_document(const struct site *site)
{
    static const char *const wrong[] = {"null", "5", "true", "\"x\"", " ", "[1]", "[null]", "[[]]"};
    json_t *read = NULL;

    for (size_t i = 0; i < DOCUMENTS_COUNT(wrong); i++) {
        struct ks_failure why = {0};

        assert_int_equal(site->read(span_cstr(wrong[i]), &read, &why), KS_INVALID);
        assert_true(why.text[0] != '\0');
    }
    try_table(site);
}

/* ---- the documents ---- */

/* A table that shrinks without anybody meaning it is noticed. */
static void every_member_of_a_tenant(void **state)
{
    static const struct site site = {.table = &tenant_table, .read = tenant_document_read};

    (void)state;
    members_tried = 0;
    try_document(&site);
    assert_int_equal(members_tried, 4 + 3 + 2 + 3 + 2 + 9 + 2 + 2 + 17 + 11);
}

static void every_member_of_a_device(void **state)
{
    static const struct site site = {.table = &device_table, .read = device_document_read};

    (void)state;
    members_tried = 0;
    try_document(&site);
    assert_int_equal(members_tried, 3 + 11);
}

static void every_member_of_credentials(void **state)
{
    static const size_t own[CREDENTIAL_KINDS] = {4, 1, 0, 3, 0};

    (void)state;
    for (size_t i = 0; i < CREDENTIAL_KINDS; i++) {
        const struct site site = {
            .table = credential_kinds[i].credential, .read = read_set, .in_set = true};

        members_tried = 0;
        try_document(&site);
        assert_int_equal(members_tried, 6 +
                                            (credential_kinds[i].type != NULL &&
                                             strcmp(credential_kinds[i].type, "x509-cert") == 0) +
                                            5 + own[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_of_a_tenant),
        cmocka_unit_test(every_member_of_a_device),
        cmocka_unit_test(every_member_of_credentials),
    };
    int failed;

    documents_begin();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    documents_end();
    return failed;
}
