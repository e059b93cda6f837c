#include "service/permissions.h"

#include <assert.h>
#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "service/authority.h"

enum { BCRYPT_LEN = 60, BCRYPT_SALT_AT = 7, BCRYPT_SALT_LEN = 22, COST_MIN = 4 };

struct permissions {
    _Atomic unsigned refs;
    struct arena arena;             /* names, passwords, hashes, users */
    struct permissions_user *users; /* by name */
    size_t count;
    unsigned cost; /* of the dearest hash; 0: none has one */
    char decoy[BCRYPT_SALT_AT + BCRYPT_SALT_LEN + 1];
};

/* What reading needs besides the result; `name` of the file for messages. */
struct reading {
    struct permissions *into;
    const json_t *roles;
    const char *name;
    struct ks_failure *why;
};

/* The member, NULL also if it is null: Hono does not tell the two apart. */
static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_null(value) ? NULL : value;
}

/* ---- grants ---- */

static enum ks_status parse_activity(const struct reading *reading, const char *role,
                                     const json_t *text, unsigned *activities)
{
    static const struct {
        const char *name;
        unsigned activity;
    } known[] = {{"READ", ACTIVITY_READ}, {"WRITE", ACTIVITY_WRITE}, {"EXECUTE", ACTIVITY_EXECUTE}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(json_string_value(text), known[i].name) == 0) {
            *activities |= known[i].activity;
            return KS_OK;
        }
    }
    return ks_fail(reading->why, KS_INVALID, NULL,
                   "%s: role \"%s\": activity \"%s\" is none of READ, WRITE, EXECUTE",
                   reading->name, role, json_string_value(text));
}

static enum ks_status parse_activities(const struct reading *reading, const char *role,
                                       const json_t *list, unsigned *activities)
{
    size_t i;
    const json_t *text;
    enum ks_status st = KS_OK;

    if (list != NULL && !json_is_array(list)) {
        return ks_fail(reading->why, KS_INVALID, NULL,
                       "%s: role \"%s\": \"activities\" is no array", reading->name, role);
    }
    json_array_foreach (list, i, text) {
        if (json_is_string(text) && st == KS_OK) {
            st = parse_activity(reading, role, text, activities);
        }
    }
    return st;
}

struct role_entry {
    struct span resource; /* ptr NULL: an operation without ':', ignored as in Hono */
    struct span operation;
    unsigned activities;
};

static enum ks_status parse_resource(const struct reading *reading, const char *role,
                                     const json_t *entry, const json_t *resource,
                                     struct role_entry *out)
{
    out->resource = span_of(json_string_value(resource), json_string_length(resource));
    return parse_activities(reading, role, json_object_get(entry, "activities"), &out->activities);
}

static enum ks_status parse_operation(const json_t *operation, struct role_entry *out)
{
    struct span text = span_of(json_string_value(operation), json_string_length(operation));
    const char *colon = memchr(text.ptr, ':', text.len);

    if (colon != NULL) {
        out->resource = span_of(text.ptr, (size_t)(colon - text.ptr));
        out->operation = span_of(colon + 1, text.len - out->resource.len - 1);
        out->activities = ACTIVITY_EXECUTE;
    }
    return KS_OK;
}

static enum ks_status parse_role_entry(const struct reading *reading, const char *role,
                                       const json_t *entry, struct role_entry *out)
{
    const json_t *resource = member(entry, "resource");
    const json_t *operation = member(entry, "operation");

    *out = (struct role_entry){.activities = 0};
    if (json_is_string(resource)) {
        return parse_resource(reading, role, entry, resource, out);
    }
    if (resource == NULL && json_is_string(operation)) {
        return parse_operation(operation, out);
    }
    return ks_fail(reading->why, KS_INVALID, NULL,
                   "%s: role \"%s\": an entry needs a text \"resource\" or \"operation\"",
                   reading->name, role);
}

/* Every role is read once for its faults, whether a user has it or not. */
static enum ks_status check_roles(const struct reading *reading, json_t *roles)
{
    const char *role;
    const json_t *entries;
    const json_t *entry;
    struct role_entry ignored;
    size_t i;
    enum ks_status st = KS_OK;

    json_object_foreach (roles, role, entries) {
        json_array_foreach (entries, i, entry) {
            if (json_is_object(entry) && st == KS_OK) {
                st = parse_role_entry(reading, role, entry, &ignored);
            }
        }
    }
    return st;
}

static enum ks_status grant_role(const struct reading *reading, const char *role,
                                 struct identity *identity)
{
    const json_t *entries = json_object_get(reading->roles, role);
    const json_t *entry;
    struct role_entry grant;
    size_t i;

    json_array_foreach (entries, i, entry) {
        enum ks_status st;

        if (!json_is_object(entry)) {
            continue;
        }
        st = parse_role_entry(reading, role, entry, &grant);
        if (st != KS_OK) {
            return st;
        }
        if (grant.resource.ptr != NULL) {
            identity_grant(identity, grant.resource, grant.operation, grant.activities);
        }
    }
    return KS_OK;
}

/* ---- users ---- */

static enum ks_status user_fault(const struct reading *reading, const char *user, const char *fault)
{
    return ks_fail(reading->why, KS_INVALID, NULL, "%s: user \"%s\": %s", reading->name, user,
                   fault);
}

static enum ks_status parse_authorities(const struct reading *reading, const char *name,
                                        const json_t *list, struct permissions_user *user)
{
    const json_t *role;
    size_t grants = 0;
    size_t i;

    if (!json_is_array(list)) {
        return user_fault(reading, name, "needs \"authorities\", an array of role names");
    }
    json_array_foreach (list, i, role) {
        if (!json_is_string(role)) {
            return user_fault(reading, name, "\"authorities\" holds something else than texts");
        }
        grants += json_array_size(json_object_get(reading->roles, json_string_value(role)));
        if (grants > PERMISSIONS_GRANTS_MAX) {
            return user_fault(reading, name, "\"authorities\" add up to too many grants");
        }
    }
    user->identity = identity_new(span_cstr(name), grants);
    json_array_foreach (list, i, role) {
        enum ks_status st = grant_role(reading, json_string_value(role), user->identity);

        if (st != KS_OK) {
            return st;
        }
        if (strcmp(json_string_value(role), "hono-component") == 0) {
            user->may_impersonate = true;
        } else if (json_object_get(reading->roles, json_string_value(role)) == NULL &&
                   user->unknown_role == NULL) {
            user->unknown_role =
                arena_span(&reading->into->arena,
                           span_of(json_string_value(role), json_string_length(role) + 1))
                    .ptr;
        }
    }
    return KS_OK;
}

static enum ks_status parse_mechanism(const struct reading *reading, const char *name,
                                      const json_t *mechanism, struct permissions_user *user)
{
    if (mechanism != NULL && !json_is_string(mechanism)) {
        return user_fault(reading, name, "\"mechanism\" is no text");
    }
    if (mechanism != NULL && strcmp(json_string_value(mechanism), "PLAIN") == 0) {
        user->mechanism = LOGIN_PLAIN;
    } else if (mechanism != NULL && strcmp(json_string_value(mechanism), "EXTERNAL") == 0) {
        user->mechanism = LOGIN_EXTERNAL;
    }
    return KS_OK; /* any other leaves a user that others may act as, but who never logs in */
}

/* $2a$, $2b$ or $2y$, two digits of cost, 53 characters. */
static bool parse_bcrypt(const char *hash, unsigned *cost)
{
    static const char alphabet[] =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    if (strlen(hash) != BCRYPT_LEN || strncmp(hash, "$2", 2) != 0 ||
        strchr("aby", hash[2]) == NULL || hash[3] != '$' || strchr("0123", hash[4]) == NULL ||
        strchr("0123456789", hash[5]) == NULL || hash[6] != '$' ||
        strspn(hash + BCRYPT_SALT_AT, alphabet) != BCRYPT_LEN - BCRYPT_SALT_AT) {
        return false;
    }
    *cost = (unsigned)(hash[4] - '0') * 10 + (unsigned)(hash[5] - '0');
    return crypt_checksalt(hash) == CRYPT_SALT_OK;
}

static enum ks_status parse_password(const struct reading *reading, const char *name,
                                     const json_t *user_json, struct permissions_user *user)
{
    struct permissions *into = reading->into;
    const json_t *clear = member(user_json, "password");
    const json_t *hash = member(user_json, "password-hash");
    unsigned cost;

    if (clear != NULL && hash != NULL) {
        return user_fault(reading, name, "has both \"password\" and \"password-hash\"");
    }
    if ((clear != NULL && !json_is_string(clear)) || (hash != NULL && !json_is_string(hash))) {
        return user_fault(reading, name, "the password is no text");
    }
    if (clear != NULL) {
        user->password_len = json_string_length(clear);
        user->password = arena_alloc(&into->arena, user->password_len + 1);
        memcpy(user->password, json_string_value(clear), user->password_len);
    }
    if (hash == NULL) {
        return KS_OK;
    }
    if (!parse_bcrypt(json_string_value(hash), &cost) || cost < COST_MIN ||
        cost > PERMISSIONS_COST_MAX) {
        return user_fault(reading, name,
                          "\"password-hash\" is no bcrypt hash ($2a$, $2b$ or $2y$) of cost 4 to "
                          "16; `koseki hash-password` makes one");
    }
    user->password_hash =
        arena_span(&into->arena, span_of(json_string_value(hash), BCRYPT_LEN)).ptr;
    if (cost > into->cost) {
        into->cost = cost;
    }
    return KS_OK;
}

static enum ks_status parse_user(const struct reading *reading, const char *name,
                                 const json_t *user_json, struct permissions_user *user)
{
    enum ks_status st;

    user->name = arena_span(&reading->into->arena, span_cstr(name));
    st = parse_mechanism(reading, name, member(user_json, "mechanism"), user);
    if (st == KS_OK) {
        st = parse_password(reading, name, user_json, user);
    }
    if (st == KS_OK) {
        st = parse_authorities(reading, name, json_object_get(user_json, "authorities"), user);
    }
    return st;
}

static int by_name(const void *a, const void *b)
{
    const struct permissions_user *left = a;
    const struct permissions_user *right = b;

    return span_cmp(left->name, right->name);
}

static enum ks_status parse_users(const struct reading *reading, json_t *users)
{
    struct permissions *into = reading->into;
    const char *name;
    const json_t *user;
    enum ks_status st = KS_OK;

    if (json_object_size(users) == 0) {
        return KS_OK;
    }
    into->users = arena_alloc(&into->arena, json_object_size(users) * sizeof(into->users[0]));
    json_object_foreach (users, name, user) {
        if (json_is_object(user) && st == KS_OK) {
            st = parse_user(reading, name, user, &into->users[into->count++]);
        }
    }
    if (st == KS_OK) {
        qsort(into->users, into->count, sizeof(into->users[0]), by_name);
    }
    return st;
}

/* ---- the whole ---- */

static enum ks_status parse_root(struct reading *reading, const json_t *root)
{
    json_t *roles = json_object_get(root, "roles");
    json_t *users = json_object_get(root, "users");
    enum ks_status st;

    if (!json_is_object(root) || (roles != NULL && !json_is_object(roles)) ||
        (users != NULL && !json_is_object(users))) {
        return ks_fail(reading->why, KS_INVALID, NULL,
                       "%s: must be an object whose \"roles\" and \"users\" are objects",
                       reading->name);
    }
    reading->roles = roles;
    st = check_roles(reading, roles);
    return st == KS_OK ? parse_users(reading, users) : st;
}

enum ks_status permissions_parse(struct span text, const char *name, struct permissions **out,
                                 struct ks_failure *why)
{
    struct reading reading = {.name = name, .why = why};
    struct permissions *into;
    json_error_t error;
    json_t *root = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    enum ks_status st;

    if (root == NULL) {
        return ks_fail(why, KS_INVALID, NULL, "%s: line %d: %s", name, error.line, error.text);
    }
    into = calloc(1, sizeof(*into));
    if (into == NULL) {
        abort();
    }
    atomic_init(&into->refs, 1);
    arena_init(&into->arena);
    reading.into = into;
    st = parse_root(&reading, root);
    json_decref(root);
    if (st != KS_OK) {
        permissions_unref(into);
        return st;
    }
    (void)snprintf(into->decoy, sizeof(into->decoy), "$2b$%02u$%s", into->cost % 100,
                   "......................");
    *out = into;
    return KS_OK;
}

static enum ks_status read_file(const char *path, struct buf *out, struct ks_failure *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 0;

    if (fd >= 0) {
        do {
            char *room = buf_reserve(out, 4096);

            n = room == NULL ? 0 : read(fd, room, 4096);
            if (n > 0) {
                buf_commit(out, (size_t)n);
            }
        } while (n > 0 || (n < 0 && errno == EINTR));
    }
    if (n < 0) {
        int error = errno;
        char text[128];

        if (fd >= 0) {
            (void)close(fd);
        }
        return ks_fail(why, KS_IO, NULL, "%s: %s", path, strerror_r(error, text, sizeof(text)));
    }
    (void)close(fd);
    if (out->overflow) {
        return ks_fail(why, KS_INVALID, NULL, "%s: larger than %d bytes", path,
                       PERMISSIONS_FILE_MAX);
    }
    return KS_OK;
}

enum ks_status permissions_load(const char *path, struct permissions **out, struct ks_failure *why)
{
    struct buf text;
    enum ks_status st;

    buf_init(&text, PERMISSIONS_FILE_MAX + 4096);
    st = read_file(path, &text, why);
    if (st == KS_OK) {
        st = permissions_parse(buf_span(&text), path, out, why);
    }
    buf_done_secret(&text);
    return st;
}

struct permissions *permissions_ref(struct permissions *permissions)
{
    atomic_fetch_add_explicit(&permissions->refs, 1, memory_order_relaxed);
    return permissions;
}

void permissions_unref(struct permissions *permissions)
{
    if (permissions == NULL ||
        atomic_fetch_sub_explicit(&permissions->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < permissions->count; i++) {
        struct permissions_user *user = &permissions->users[i];

        if (user->password != NULL) {
            explicit_bzero(user->password, user->password_len);
        }
        identity_unref(user->identity);
    }
    arena_done(&permissions->arena);
    free(permissions);
}

const struct permissions_user *permissions_find(const struct permissions *permissions,
                                                struct span name)
{
    struct permissions_user wanted = {.name = name};

    return permissions->count == 0 ? NULL
                                   : bsearch(&wanted, permissions->users, permissions->count,
                                             sizeof(permissions->users[0]), by_name);
}

static const char *doubt_about(const struct permissions_user *user)
{
    if (user->mechanism == LOGIN_NONE) {
        return "has no mechanism PLAIN or EXTERNAL, and cannot log in";
    }
    if (user->mechanism == LOGIN_PLAIN && user->password == NULL && user->password_hash == NULL) {
        return "has neither password nor password-hash, and cannot log in";
    }
    return user->unknown_role != NULL ? "has a role that the file does not define" : NULL;
}

bool permissions_next_doubt(const struct permissions *permissions, size_t *at, struct span *user,
                            const char **doubt)
{
    if (permissions->count == 0 && (*at)++ == 0) {
        *user = SPAN("");
        *doubt = "names no user: nobody can log in";
        return true;
    }
    while (*at < permissions->count) {
        const struct permissions_user *found = &permissions->users[(*at)++];

        *doubt = doubt_about(found);
        if (*doubt != NULL) {
            *user = found->name;
            return true;
        }
    }
    return false;
}

const char *permissions_decoy(const struct permissions *permissions)
{
    return permissions->cost == 0 ? NULL : permissions->decoy;
}
