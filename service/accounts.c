#include "service/accounts.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/uuid.h"
#include "service/authority.h"
#include "service/digest_cache.h"
#include "service/permissions.h"
#include "service/reasons.h"

enum { KEY_LEN = 32, WAITERS_MAX = 16384, LOGINS_CACHED = 1024, DOUBTS_LOGGED = 20 };

/* Somebody who waits for a hash. */
struct waiter {
    struct waiter *next;
    accounts_done *done;
    void *arg;
    struct identity *identity; /* once the hash is there; NULL: refused */
    size_t authorize_as_len;
    char authorize_as[];
};

/* A login whose password is being hashed, for all who asked with the same user and password. */
struct flight {
    struct pool_job job; /* first */
    struct flight *next;
    struct accounts *accounts;
    struct sha256 key;
    struct waiter *waiters;
    char *user;
    size_t user_len;
    char *password; /* NUL-terminated */
};

struct accounts {
    char *path;
    struct pool *pool;
    char key[KEY_LEN]; /* of the cache's keyed hash */
    /* The lock guards all below. It is held while the pool's own is taken (a flight is listed and
     * queued in one step), never the other way round, and never over a hash or a callback. */
    struct lock lock;
    struct permissions *permissions;
    struct digest_cache *cache; /* keyed hashes of the logins verified with `permissions` */
    struct flight *flights;
    size_t waiters;
};

static void *must(void *memory)
{
    if (memory == NULL) {
        abort();
    }
    return memory;
}

enum ks_status accounts_open(struct accounts **out, const char *path, struct pool *pool,
                             struct ks_failure *why)
{
    struct permissions *permissions = NULL;
    struct accounts *accounts;
    enum ks_status st = permissions_load(path, &permissions, why);

    if (st != KS_OK) {
        return st;
    }
    accounts = must(calloc(1, sizeof(*accounts)));
    accounts->path = must(strdup(path));
    accounts->pool = pool;
    accounts->permissions = permissions;
    accounts->cache = digest_cache_open(LOGINS_CACHED);
    random_bytes(accounts->key, sizeof(accounts->key));
    lock_init(&accounts->lock);
    *out = accounts;
    return KS_OK;
}

enum ks_status accounts_reload(struct accounts *accounts, struct ks_failure *why)
{
    struct permissions *fresh = NULL;
    struct permissions *old;
    enum ks_status st = permissions_load(accounts->path, &fresh, why);

    if (st != KS_OK) {
        return st;
    }
    lock_take(&accounts->lock);
    old = accounts->permissions;
    accounts->permissions = fresh;
    digest_cache_clear(accounts->cache);
    lock_give(&accounts->lock);
    permissions_unref(old);
    return KS_OK;
}

void accounts_log_doubts(struct accounts *accounts)
{
    struct permissions *permissions;
    struct span user;
    const char *doubt;
    size_t at = 0;

    lock_take(&accounts->lock);
    permissions = permissions_ref(accounts->permissions);
    lock_give(&accounts->lock);
    for (unsigned lines = 0; lines < DOUBTS_LOGGED; lines++) {
        struct log_text file;
        struct log_text name;

        if (!permissions_next_doubt(permissions, &at, &user, &doubt)) {
            break;
        }
        log_warn("accounts-doubtful", "file=%s user=%s doubt=\"%s\"",
                 log_text(&file, span_cstr(accounts->path)), log_text(&name, user), doubt);
    }
    permissions_unref(permissions);
}

void accounts_close(struct accounts *accounts)
{
    if (accounts == NULL) {
        return;
    }
    permissions_unref(accounts->permissions);
    digest_cache_close(accounts->cache);
    lock_done(&accounts->lock);
    free(accounts->path);
    explicit_bzero(accounts->key, sizeof(accounts->key));
    free(accounts);
}

/* ---- what a login is worth ---- */

/* Whom the user may act as: itself, or who it names if it may and that user exists. */
static struct identity *identity_for(const struct permissions *permissions,
                                     const struct permissions_user *user, struct span authorize_as)
{
    const struct permissions_user *other = NULL;

    if (user->may_impersonate && authorize_as.len > 0) {
        other = permissions_find(permissions, authorize_as);
    }
    return identity_ref((other != NULL ? other : user)->identity);
}

static const struct permissions_user *find_user(const struct permissions *permissions,
                                                struct span name, enum login_mechanism mechanism)
{
    const struct permissions_user *user = permissions_find(permissions, name);

    return user != NULL && user->mechanism == mechanism ? user : NULL;
}

static bool clear_password_is(const struct permissions_user *user, struct span password)
{
    return user != NULL && user->password != NULL &&
           secret_eq(span_of(user->password, user->password_len), password);
}

/* bcrypt stops at a NUL, and libcrypt takes no longer phrase. */
static bool hashable(struct span password)
{
    return password.len < CRYPT_MAX_PASSPHRASE_SIZE && !span_has_nul(password);
}

static bool hash_is(const char *hash, const char *password)
{
    struct crypt_data *data = must(calloc(1, sizeof(*data)));
    const char *made = crypt_rn(password, hash, data, (int)sizeof(*data));
    bool equal = made != NULL && secret_eq(span_cstr(made), span_cstr(hash));

    explicit_bzero(data, sizeof(*data));
    free(data);
    return equal;
}

/* Takes one hash, also when it is clear without that the login fails. */
static bool verify(const struct permissions *permissions, const struct flight *flight)
{
    const struct permissions_user *user =
        find_user(permissions, span_of(flight->user, flight->user_len), LOGIN_PLAIN);
    const char *decoy = permissions_decoy(permissions);

    if (clear_password_is(user, span_cstr(flight->password))) {
        return true;
    }
    if (user != NULL && user->password_hash != NULL) {
        return hash_is(user->password_hash, flight->password);
    }
    return decoy != NULL && hash_is(decoy, flight->password);
}

/* ---- flights ---- */

static struct flight *flight_find_locked(struct accounts *accounts, const struct sha256 *key)
    LOCK_REQUIRES(accounts->lock);
static struct flight *flight_find_locked(struct accounts *accounts, const struct sha256 *key)
{
    struct flight *flight = accounts->flights;

    while (flight != NULL && !sha256_eq(&flight->key, key)) {
        flight = flight->next;
    }
    return flight;
}

static void flight_free(struct flight *flight)
{
    explicit_bzero(flight->password, strlen(flight->password));
    free(flight->password);
    free(flight->user);
    free(flight);
}

static void waiter_add_locked(struct accounts *accounts, struct flight *flight,
                              const struct accounts_login *login, accounts_done *done, void *arg)
    LOCK_REQUIRES(accounts->lock);
static void waiter_add_locked(struct accounts *accounts, struct flight *flight,
                              const struct accounts_login *login, accounts_done *done, void *arg)
{
    struct waiter *waiter = must(malloc(sizeof(*waiter) + login->authorize_as.len));

    *waiter = (struct waiter){.next = flight->waiters,
                              .done = done,
                              .arg = arg,
                              .authorize_as_len = login->authorize_as.len};
    if (login->authorize_as.len > 0) {
        memcpy(waiter->authorize_as, login->authorize_as.ptr, login->authorize_as.len);
    }
    flight->waiters = waiter;
    accounts->waiters++;
}

/* Takes the flight off the list and decides what each waiter gets. */
static struct waiter *flight_land_locked(struct accounts *accounts, struct flight *flight,
                                         bool verified) LOCK_REQUIRES(accounts->lock);
static struct waiter *flight_land_locked(struct accounts *accounts, struct flight *flight,
                                         bool verified)
{
    const struct permissions_user *user =
        verified ? permissions_find(accounts->permissions, span_of(flight->user, flight->user_len))
                 : NULL;
    struct flight **link = &accounts->flights;

    while (*link != flight) {
        link = &(*link)->next;
    }
    *link = flight->next;
    if (user != NULL) {
        digest_cache_add(accounts->cache, &flight->key);
    }
    for (struct waiter *waiter = flight->waiters; waiter != NULL; waiter = waiter->next) {
        accounts->waiters--;
        if (user != NULL) {
            waiter->identity =
                identity_for(accounts->permissions, user,
                             span_of(waiter->authorize_as, waiter->authorize_as_len));
        }
    }
    return flight->waiters;
}

static struct permissions *permissions_now(struct accounts *accounts)
{
    struct permissions *permissions;

    lock_take(&accounts->lock);
    permissions = permissions_ref(accounts->permissions);
    lock_give(&accounts->lock);
    return permissions;
}

/* On a pool thread. A verdict counts only if the accounts were not exchanged meanwhile. */
static void flight_run(struct pool_job *job, bool discard)
{
    struct flight *flight = (struct flight *)job;
    struct accounts *accounts = flight->accounts;
    struct waiter *waiters = NULL;
    bool current = false;

    while (!current) {
        struct permissions *permissions = permissions_now(accounts);
        bool verified = !discard && verify(permissions, flight);

        lock_take(&accounts->lock);
        current = accounts->permissions == permissions;
        if (current) {
            waiters = flight_land_locked(accounts, flight, verified);
        }
        lock_give(&accounts->lock);
        permissions_unref(permissions);
    }
    flight_free(flight);
    while (waiters != NULL) {
        struct waiter *waiter = waiters;
        enum ks_status refused = discard ? KS_BUSY : KS_UNAUTHORIZED;

        waiters = waiter->next;
        waiter->done(waiter->arg, waiter->identity != NULL ? KS_OK : refused, waiter->identity);
        free(waiter);
    }
}

/* KS_OK: `done` will be called. */
static enum ks_status flight_join_locked(struct accounts *accounts,
                                         const struct accounts_login *login,
                                         const struct sha256 *key, accounts_done *done, void *arg)
    LOCK_REQUIRES(accounts->lock);
static enum ks_status flight_join_locked(struct accounts *accounts,
                                         const struct accounts_login *login,
                                         const struct sha256 *key, accounts_done *done, void *arg)
{
    struct flight *flight = flight_find_locked(accounts, key);
    enum ks_status st;

    if (accounts->waiters >= WAITERS_MAX) {
        return KS_BUSY;
    }
    if (flight != NULL) {
        waiter_add_locked(accounts, flight, login, done, arg);
        return KS_OK;
    }
    flight = must(malloc(sizeof(*flight)));
    *flight = (struct flight){.job = {.run = flight_run, .peer = login->peer},
                              .accounts = accounts,
                              .key = *key,
                              .user = must(strndup(login->user.ptr, login->user.len)),
                              .user_len = login->user.len,
                              .password = must(strndup(login->password.ptr, login->password.len))};
    /* Any refusal of the pool means: not now. */
    st = pool_submit(accounts->pool, login->urgent ? POOL_URGENT : POOL_NORMAL, &flight->job, NULL);
    if (st != KS_OK) {
        flight_free(flight);
        return KS_BUSY;
    }
    waiter_add_locked(accounts, flight, login, done, arg);
    flight->next = accounts->flights;
    accounts->flights = flight;
    return KS_OK;
}

/* ---- logins ---- */

static struct sha256 login_key(const struct accounts *accounts, const struct accounts_login *login)
{
    struct sha256 pair = sha256_of_pair(login->user, login->password);
    struct sha256 key = hmac_sha256(span_of(accounts->key, sizeof(accounts->key)),
                                    span_of(pair.bytes, sizeof(pair.bytes)));

    explicit_bzero(&pair, sizeof(pair));
    return key;
}

enum accounts_progress accounts_login(struct accounts *accounts, const struct accounts_login *login,
                                      accounts_done *done, void *arg, enum ks_status *status,
                                      struct identity **identity)
{
    const struct permissions_user *user;
    struct sha256 key;
    enum ks_status st = KS_UNAUTHORIZED;
    bool pending = false;

    *identity = NULL;
    *status = st;
    if (login->user.len == 0 || login->password.len == 0 || span_has_nul(login->user)) {
        return ACCOUNTS_ANSWERED;
    }
    key = login_key(accounts, login);
    lock_take(&accounts->lock);
    user = find_user(accounts->permissions, login->user, LOGIN_PLAIN);
    if (user != NULL &&
        (clear_password_is(user, login->password) || digest_cache_has(accounts->cache, &key))) {
        *identity = identity_for(accounts->permissions, user, login->authorize_as);
        st = KS_OK;
    } else if (permissions_decoy(accounts->permissions) != NULL && hashable(login->password)) {
        st = flight_join_locked(accounts, login, &key, done, arg);
        pending = st == KS_OK;
    }
    lock_give(&accounts->lock);
    if (pending) {
        return ACCOUNTS_PENDING; /* by now the outputs may be gone with what `done` freed */
    }
    *status = st;
    return ACCOUNTS_ANSWERED;
}

/* The value of the CN that comes first, up to a comma behind which blanks, one or two capital
 * letters and '=' follow: as Hono reads it, so "CN=x,UID=u" names "x,UID=u". */
static struct span common_name(struct span subject)
{
    struct span rest;

    if (subject.len < 3 || memcmp(subject.ptr, "CN=", 3) != 0) {
        return (struct span){.len = 0};
    }
    rest = span_of(subject.ptr + 3, subject.len - 3);
    for (size_t i = 0; i < rest.len; i++) {
        size_t at = i + 1;
        size_t letters = 0;

        if (rest.ptr[i] != ',') {
            continue;
        }
        while (at < rest.len && rest.ptr[at] == ' ') {
            at++;
        }
        while (at < rest.len && letters < 3 && rest.ptr[at] >= 'A' && rest.ptr[at] <= 'Z') {
            at++;
            letters++;
        }
        if ((letters == 1 || letters == 2) && at < rest.len && rest.ptr[at] == '=') {
            return span_of(rest.ptr, i);
        }
    }
    return rest;
}

enum ks_status accounts_login_external(struct accounts *accounts, struct span subject,
                                       struct span authorize_as, struct identity **identity,
                                       struct ks_failure *why)
{
    struct span name = common_name(subject);
    const struct permissions_user *user = NULL;

    lock_take(&accounts->lock);
    if (name.len > 0) {
        user = find_user(accounts->permissions, name, LOGIN_EXTERNAL);
    }
    if (user != NULL) {
        *identity = identity_for(accounts->permissions, user, authorize_as);
    }
    lock_give(&accounts->lock);
    return user != NULL ? KS_OK
                        : ks_fail(why, KS_UNAUTHORIZED, REASON_NOT_AUTHORIZED,
                                  "no user of the mechanism EXTERNAL for this certificate");
}
