#include "support/sites.h"

#include <stdio.h>
#include <string.h>

#include "service/answer.h"
#include "service/json_text.h"

/* ---- documents around a member ---- */

/* Objects of each table to which any one member can be added or set. */
static const struct {
    const char *table;
    const char *object;
} whole[] = {
    {"Adapter", "{\"type\":\"a\"}"},
    {"Period", "{\"mode\":\"days\"}"},
    {"DataVolume", "{\"effective-since\":\"2026-01-01T00:00:00Z\"}"},
    {"ConnectionDuration", "{\"effective-since\":\"2026-01-01T00:00:00Z\"}"},
    {"ResourceLimits", "{}"},
    {"RegistrationLimits", "{}"},
    {"Tracing", "{}"},
    {"TrustedCA", "{\"id\":\"i\",\"subject-dn\":\"CN=a\",\"public-key\":\"@KEY@\",\"algorithm\":"
                  "\"EC\",\"not-before\":\"2026-01-01T00:00:00Z\",\"not-after\":"
                  "\"2027-01-01T00:00:00Z\",\"ocsp-responder-cert\":\"AA==\"}"},
    {"Tenant", "{}"},
    {"CommandEndpoint", "{}"},
    {"Device", "{}"},
    {"PasswordSecret", "{\"hash-function\":\"f\",\"pwd-hash\":\"h\"}"},
    {"PskSecret", "{\"key\":\"AA==\"}"},
    {"RpkSecret", "{\"key\":\"@KEY@\",\"algorithm\":\"EC\"}"},
    {"X509Secret", "{}"},
    {"CustomSecret", "{}"},
    {"PasswordCredential",
     "{\"type\":\"hashed-password\",\"auth-id\":\"a\",\"secrets\":[{\"pwd-plain\":\"p\"}]}"},
    {"PskCredential", "{\"type\":\"psk\",\"auth-id\":\"a\",\"secrets\":[{\"key\":\"AA==\"}]}"},
    {"RpkCredential", "{\"type\":\"rpk\",\"auth-id\":\"a\",\"secrets\":[{\"key\":\"@KEY@\","
                      "\"algorithm\":\"EC\"}]}"},
    {"X509Credential", "{\"type\":\"x509-cert\",\"auth-id\":\"CN=a\",\"secrets\":[{}]}"},
    {"CustomCredential", "{\"type\":\"my-own\",\"auth-id\":\"a\",\"secrets\":[{}]}"},
};

/* Members whose content is judged together with others: a value that is fine by the row alone may
 * be refused. Of them the example is tried, and what the row itself refuses. */
static const char *const judged[] = {
    "TrustedCA.cert",
    "TrustedCA.subject-dn",
    "TrustedCA.public-key",
    "TrustedCA.algorithm",
    "TrustedCA.auto-provisioning-device-id-template",
    "TrustedCA.auth-id-template",
    "TrustedCA.auto-provision-as-gateway",
    "RpkSecret.key",
    "RpkSecret.algorithm",
    "RpkSecret.cert",
    "X509Credential.cert",
    "X509Credential.secrets",
    "PasswordCredential.type",
    "PskCredential.type",
    "RpkCredential.type",
    "X509Credential.type",
    "CustomCredential.type",
    "PasswordSecret.pwd-plain",
};

json_t *site_parse(const char *text)
{
    struct span filled = documents_fill(text);
    json_t *value = json_loadb(filled.ptr, filled.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    if (value == NULL) {
        fail_msg("the test's own %s is no JSON", text);
    }
    return value;
}

json_t *site_whole(const struct member_table *table)
{
    for (size_t i = 0; i < DOCUMENTS_COUNT(whole); i++) {
        if (strcmp(whole[i].table, table->about->name) == 0) {
            return site_parse(whole[i].object);
        }
    }
    fail_msg("say above what a whole %s is", table->about->name);
    return NULL;
}

bool site_is_judged(const struct site *site, const struct member_rule *rule)
{
    char name[128];

    (void)snprintf(name, sizeof(name), "%s.%s", site->table->about->name, rule->name);
    for (size_t i = 0; i < DOCUMENTS_COUNT(judged); i++) {
        if (strcmp(judged[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_list(const struct member_rule *rule)
{
    return rule->kind == MEMBER_LIST || rule->kind == MEMBER_STRINGS;
}

/* The document with this object (handed over) at the site. */
json_t *site_document(const struct site *site, json_t *object)
{
    json_t *above;

    if (site->up == NULL) {
        return site->in_set ? json_pack("[o]", object) : object;
    }
    above = site_whole(site->up->table);
    (void)json_object_set_new(above, site->rule->name,
                              is_list(site->rule) ? json_pack("[o]", object) : object);
    return site_document(site->up, above);
}

/* The object at the site of a document that was read. */
json_t *site_object(const struct site *site, json_t *document)
{
    json_t *value;

    if (site->up == NULL) {
        return site->in_set ? json_array_get(document, 0) : document;
    }
    value = json_object_get(site_object(site->up, document), site->rule->name);
    return is_list(site->rule) ? json_array_get(value, 0) : value;
}

void site_add_path(struct buf *out, const struct site *site)
{
    if (site->up == NULL) {
        buf_add_cstr(out, site->in_set ? "[0]" : "");
        return;
    }
    site_add_path(out, site->up);
    buf_printf(out, "%s%s%s", out->len > 0 ? "." : "", site->rule->name,
               is_list(site->rule) ? "[0]" : "");
}

/* `below` is the rest of the path: an element, a name in a map. */
void site_add_member_path(struct buf *out, const struct site *site, const char *name,
                          const char *below)
{
    site_add_path(out, site);
    buf_printf(out, "%s%s%s", out->len > 0 ? "." : "", name, below);
}

/* ---- trying ---- */

enum ks_status site_read(const struct site *site, json_t *document, json_t **out,
                         struct ks_failure *why)
{
    struct buf text;
    enum ks_status st;

    buf_init(&text, 0);
    json_text_add(&text, document);
    st = site->read(buf_span(&text), out, why);
    buf_done(&text);
    return st;
}

json_t *site_document_with(const struct site *site, const struct member_rule *rule, json_t *value)
{
    json_t *object = site_whole(site->table);

    (void)json_object_set_new(object, rule->name, value);
    return site_document(site, object);
}

/* The value (handed over) is refused, the text begins with the path of the member (and what is
 * below it) and then says `what`. */
void site_refused(const struct site *site, const struct member_rule *rule, const char *below,
                  json_t *value, const char *what)
{
    json_t *document = site_document_with(site, rule, value);
    json_t *read = NULL;
    struct ks_failure why = {0};
    struct buf expected;
    enum ks_status st = site_read(site, document, &read, &why);

    buf_init(&expected, 0);
    site_add_member_path(&expected, site, rule->name, below);
    buf_printf(&expected, ": %s", what);
    if (st != KS_INVALID || answer_status_code(st) != 400 ||
        strcmp(why.reason, "bad-request") != 0 ||
        strncmp(why.text, expected.ptr, expected.len) != 0) {
        fail_msg("%.*s\nwas answered %s: %s\nand not: %.*s", SPAN_ARG(documents_text(document)),
                 ks_status_name(st), why.text, SPAN_ARG(buf_span(&expected)));
    }
    assert_null(read);
    buf_done(&expected);
    json_decref(document);
}

json_t *site_read_well(const struct site *site, json_t *document)
{
    json_t *read = NULL;
    struct ks_failure why = {0};

    if (site_read(site, document, &read, &why) != KS_OK) {
        fail_msg("%.*s\nwas refused: %s", SPAN_ARG(documents_text(document)), why.text);
    }
    json_decref(document);
    return read;
}

/* The value (handed over) is taken; what is stored is `expected` (handed over; NULL: nothing). */
void site_taken(const struct site *site, const struct member_rule *rule, json_t *value,
                json_t *expected)
{
    json_t *document = site_read_well(site, site_document_with(site, rule, value));
    const char *name = rule->stored_as != NULL ? rule->stored_as : rule->name;
    const json_t *stored = json_object_get(site_object(site, document), name);
    json_t *fallback = rule->fallback != NULL ? site_parse(rule->fallback) : NULL;

    if (expected != NULL && (rule->flags & MEMBER_HIDES_DEFAULT) != 0 &&
        json_equal(expected, fallback)) {
        json_decref(expected);
        expected = NULL;
    }
    if (expected == NULL ? stored != NULL : !json_equal(stored, expected)) {
        fail_msg("%s.%s was read as %.*s", site->table->about->name, name,
                 SPAN_ARG(documents_text(document)));
    }
    json_decref(fallback);
    json_decref(expected);
    json_decref(document);
}

/* Whether a whole object cannot do without it. */
bool site_needs(const struct site *site, const struct member_rule *rule)
{
    json_t *object = site_whole(site->table);
    bool found = json_object_get(object, rule->name) != NULL;

    json_decref(object);
    return found;
}
