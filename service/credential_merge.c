#include "service/credential_merge.h"

#include <stdbool.h>
#include <string.h>

#include "base/span.h"
#include "service/credential_members.h"
#include "service/json_text.h"
#include "service/member.h"

/* The common members are about a secret; all others are its content. */
static bool is_content(const char *name)
{
    return member_find(&secret_table, name) == NULL;
}

static bool has_content(json_t *secret)
{
    const char *name;
    json_t *value;

    json_object_foreach (secret, name, value) {
        if (is_content(name)) {
            return true;
        }
    }
    return false;
}

static void take_content(json_t *secret, json_t *from)
{
    const char *name;
    json_t *value;

    json_object_foreach (from, name, value) {
        if (is_content(name)) {
            (void)json_object_set(secret, name, value);
        }
    }
}

/* What a secret of this kind cannot be without. */
static const char *essence_of(const json_t *credential)
{
    const struct member_table *table = credential_kind_at(credential)->secret;

    if (table == &password_secret_table) {
        return password_secret_name(PASSWORD_SECRET_HASH);
    }
    return table == &psk_secret_table ? psk_secret_name(PSK_SECRET_KEY) : NULL;
}

static const json_t *find_credential(const json_t *set, const json_t *like)
{
    const json_t *credential;
    size_t i;

    json_array_foreach (set, i, credential) {
        if (json_equal(credential_at(credential, CREDENTIAL_TYPE),
                       credential_at(like, CREDENTIAL_TYPE)) &&
            json_equal(credential_at(credential, CREDENTIAL_AUTH_ID),
                       credential_at(like, CREDENTIAL_AUTH_ID))) {
            return credential;
        }
    }
    return NULL;
}

static json_t *find_secret(const json_t *credential, const json_t *id)
{
    json_t *secret;
    size_t i;

    json_array_foreach (credential_at(credential, CREDENTIAL_SECRETS), i, secret) {
        if (json_equal(secret_at(secret, SECRET_ID), id)) {
            return secret;
        }
    }
    return NULL;
}

static void set_id(json_t *secret, const struct uuid *id)
{
    char text[UUID_TEXT_LEN + 1];

    uuid_format(id, text);
    (void)secret_put(secret, SECRET_ID, json_text_new(span_cstr(text)));
}

/* `stored` is the credential of the same type and auth-id, NULL if there is none: then ids are the
 * client's choice. */
static enum ks_status merge_secret(const struct member_path *at, json_t *secret,
                                   const json_t *stored, const char *essence,
                                   struct ks_failure *why)
{
    const json_t *id = secret_at(secret, SECRET_ID);
    json_t *old = find_secret(stored, id);

    if (id != NULL && stored != NULL && old == NULL) {
        return member_refuse(at, why, "there is no stored secret with the id \"%.64s\"",
                             json_string_value(id));
    }
    if (old != NULL && !has_content(secret)) {
        take_content(secret, old);
    }
    if (essence != NULL && json_object_get(secret, essence) == NULL) {
        return member_refuse(at, why, "has no %s, and there is no stored secret that it refers to",
                             essence);
    }
    return KS_OK;
}

static enum ks_status merge_credential(const struct member_path *up, json_t *credential,
                                       const json_t *stored_set, const struct uuid *ids,
                                       struct ks_failure *why)
{
    const struct member_path at = {.up = up, .name = credential_name(CREDENTIAL_SECRETS)};
    const json_t *stored = find_credential(stored_set, credential);
    const char *essence = essence_of(credential);
    json_t *secret;
    size_t i;

    json_array_foreach (credential_at(credential, CREDENTIAL_SECRETS), i, secret) {
        const struct member_path here = {.up = &at, .index = i};
        enum ks_status st = KS_OK;

        if (secret_at(secret, SECRET_ID) != NULL && json_array_size(stored_set) == 0) {
            st = member_refuse(&here, why, "has an id, but the device has no credentials yet");
        }
        if (st == KS_OK) {
            st = merge_secret(&here, secret, stored, essence, why);
        }
        if (st != KS_OK) {
            return st;
        }
        if (secret_at(secret, SECRET_ID) == NULL) {
            set_id(secret, &ids[i]);
        }
    }
    return KS_OK;
}

static enum ks_status complete_secret(const struct member_path *at, json_t *secret,
                                      const char *essence, struct ks_failure *why)
{
    struct uuid id;

    if (essence != NULL && json_object_get(secret, essence) == NULL) {
        return member_refuse_member(at, essence, why, "is required");
    }
    if (secret_at(secret, SECRET_ID) == NULL) {
        id = uuid_random();
        set_id(secret, &id);
    }
    return KS_OK;
}

enum ks_status credential_complete(json_t *set, struct ks_failure *why)
{
    json_t *credential;
    size_t i;

    json_array_foreach (set, i, credential) {
        const struct member_path up = {.index = i};
        const struct member_path list = {.up = &up, .name = credential_name(CREDENTIAL_SECRETS)};
        const char *essence = essence_of(credential);
        json_t *secret;
        size_t k;

        json_array_foreach (credential_at(credential, CREDENTIAL_SECRETS), k, secret) {
            const struct member_path at = {.up = &list, .index = k};
            enum ks_status st = complete_secret(&at, secret, essence, why);

            if (st != KS_OK) {
                return st;
            }
        }
    }
    return KS_OK;
}

enum ks_status credential_merge(const json_t *set, const json_t *stored, const struct uuid *ids,
                                json_t **out, struct ks_failure *why)
{
    json_t *merged = json_text_must(json_deep_copy(set));
    enum ks_status st = KS_OK;
    json_t *credential;
    size_t i;

    json_array_foreach (merged, i, credential) {
        const struct member_path at = {.index = i};

        st = merge_credential(&at, credential, stored, ids, why);
        if (st != KS_OK) {
            json_decref(merged);
            return st;
        }
        ids += json_array_size(credential_at(credential, CREDENTIAL_SECRETS));
    }
    *out = merged;
    return KS_OK;
}
