#include "http/login.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/address.h"
#include "service/accounts.h"

enum { CREDENTIALS_MAX = 1024, PEER_MAX = 64 };

/* user:password as they came. */
struct credentials {
    unsigned char bytes[CREDENTIALS_MAX];
    size_t len;
    size_t user_len; /* what is behind the colon is the password */
};

/* A login that is not answered at once: a timer holds it, or a hash is made. */
struct login_wait {
    struct reactor_post post; /* first */
    struct login *login;
    struct login *next;                /* in the list of those that are held */
    struct reactor_timer timer;        /* zeroed until it is needed */
    void (*then)(struct login *login); /* when the timer fires */
    struct credentials credentials;
    char peer[PEER_MAX];
    enum ks_status status;
    struct identity *who;
};

/* ---- the header ---- */

static struct span user_of(const struct credentials *credentials)
{
    return span_of(credentials->bytes, credentials->user_len);
}

static struct span password_of(const struct credentials *credentials)
{
    size_t at = credentials->user_len + 1;

    return at > credentials->len ? span_of(NULL, 0)
                                 : span_of(credentials->bytes + at, credentials->len - at);
}

/* LOGIN_OK: there are credentials. */
static enum login_outcome read_header(const char *header, struct credentials *credentials)
{
    static const char scheme[] = "Basic";
    const char *blank = header == NULL ? NULL : strchr(header, ' ');
    const unsigned char *colon;
    struct span token;

    if (header == NULL) {
        return LOGIN_MISSING;
    }
    if (blank == NULL || blank == header) {
        return LOGIN_MALFORMED;
    }
    if ((size_t)(blank - header) != sizeof(scheme) - 1 ||
        strncasecmp(header, scheme, sizeof(scheme) - 1) != 0) {
        return LOGIN_MISSING;
    }
    token = span_cstr(blank + 1);
    if (BASE64_DECODED_MAX(token.len) > CREDENTIALS_MAX) {
        return LOGIN_REFUSED; /* no account has so long a name */
    }
    if (!base64_decode(token, credentials->bytes, &credentials->len)) {
        return LOGIN_MALFORMED;
    }
    colon = memchr(credentials->bytes, ':', credentials->len);
    credentials->user_len = colon == NULL ? credentials->len : (size_t)(colon - credentials->bytes);
    return user_of(credentials).len > 0 && password_of(credentials).len > 0 ? LOGIN_OK
                                                                            : LOGIN_REFUSED;
}

/* ---- the end ---- */

static void wait_free(struct login_wait *wait)
{
    reactor_timer_done(&wait->timer);
    explicit_bzero(&wait->credentials, sizeof(wait->credentials));
    free(wait);
}

static void finish(struct login *login, enum login_outcome outcome, struct identity *who)
{
    struct login_wait *wait = login->wait;

    login->wait = NULL;
    if (wait != NULL) {
        wait_free(wait);
    }
    login->done(login, outcome, who);
}

/* ---- waiting ---- */

static void unlink_waiting(struct logins *logins, const struct login *login)
{
    struct login **at = &logins->waiting;

    while (*at != login) {
        at = &(*at)->wait->next;
    }
    *at = login->wait->next;
}

static void on_timer(void *arg)
{
    struct login *login = arg;

    unlink_waiting(login->logins, login);
    login->wait->then(login);
}

static void hold(struct login *login, int64_t ms, void (*then)(struct login *login))
{
    struct logins *logins = login->logins;
    struct login_wait *wait = login->wait;

    if (ms == 0 || logins->hurrying) {
        then(login);
        return;
    }
    if (wait->timer.event == NULL) {
        reactor_timer_init(&wait->timer, logins->reactor, on_timer, login);
    }
    wait->then = then;
    wait->next = logins->waiting;
    logins->waiting = login;
    reactor_timer_set(&wait->timer, ms);
}

/* ---- verifying ---- */

static void refuse(struct login *login)
{
    finish(login, LOGIN_REFUSED, NULL);
}

static struct login_attempt attempt_of(const struct login *login)
{
    const struct login_wait *wait = login->wait;

    return login_pace_attempt(login->logins->pace, net_host_key(span_cstr(wait->peer)),
                              user_of(&wait->credentials), password_of(&wait->credentials));
}

static void succeed(struct login *login)
{
    struct login_pace *pace = login->logins->pace;

    if (!login_pace_is_quiet(pace)) {
        const struct login_attempt attempt = attempt_of(login);

        login_pace_succeeded(pace, &attempt, clock_monotonic_ms());
    }
    finish(login, LOGIN_OK, login->wait->who);
}

static void log_refused(const struct login *login, const char *why, int64_t told_in_ms)
{
    struct log_text user;

    log_info("login-refused", "peer=%s mechanism=BASIC user=%s why=\"%s\" answered-in-ms=%lld",
             login->wait->peer, log_text(&user, user_of(&login->wait->credentials)), why,
             (long long)told_in_ms);
}

static void fail(struct login *login)
{
    const struct login_attempt attempt = attempt_of(login);
    int64_t ms = login_pace_failed(login->logins->pace, &attempt, clock_monotonic_ms());

    log_refused(login, "no such user, or a wrong password", ms);
    hold(login, ms, refuse);
}

static void be_busy(struct login *login, const char *why)
{
    log_refused(login, why, 0);
    finish(login, LOGIN_BUSY, NULL);
}

static void verified(struct login *login)
{
    switch ((int)login->wait->status) {
    case KS_OK:
        succeed(login);
        break;
    case KS_UNAUTHORIZED:
        fail(login);
        break;
    default:
        be_busy(login, "too many logins wait");
        break;
    }
}

static void hashed_on_reactor(struct reactor_post *post, bool discard)
{
    struct login_wait *wait = (struct login_wait *)post;

    if (discard) {
        finish(wait->login, LOGIN_DROPPED, wait->who);
    } else {
        verified(wait->login);
    }
}

/* On a thread of the pool. */
static void hashed(void *arg, enum ks_status status, struct identity *who)
{
    struct login_wait *wait = arg;

    wait->status = status;
    wait->who = who;
    wait->post.run = hashed_on_reactor;
    reactor_post(wait->login->logins->reactor, &wait->post);
}

static void verify(struct login *login)
{
    struct login_wait *wait = login->wait;
    const struct accounts_login ask = {.user = user_of(&wait->credentials),
                                       .password = password_of(&wait->credentials),
                                       .peer = net_host_key(span_cstr(wait->peer))};
    struct login_attempt attempt;

    switch (
        accounts_login(login->logins->accounts, &ask, hashed, wait, &wait->status, &wait->who)) {
    case ACCOUNTS_ANSWERED:
        verified(login);
        break;
    case ACCOUNTS_PENDING:
        attempt = attempt_of(login); /* told when this thread turns to its posts, not before */
        login_pace_trying(login->logins->pace, &attempt, clock_monotonic_ms());
        break;
    }
}

/* ---- the beginning ---- */

static struct login_wait *wait_new(struct login *login, const struct credentials *credentials,
                                   const char *peer)
{
    struct login_wait *wait = calloc(1, sizeof(*wait));

    if (wait == NULL) {
        abort();
    }
    wait->login = login;
    wait->credentials = *credentials;
    (void)snprintf(wait->peer, sizeof(wait->peer), "%s", peer);
    return wait;
}

void login_begin(struct login *login, struct logins *logins, const struct login_request *request,
                 login_done *done)
{
    struct credentials credentials = {.len = 0};
    enum login_outcome outcome = read_header(request->authorization, &credentials);
    int64_t ms = 0;

    *login = (struct login){.logins = logins, .done = done};
    if (outcome != LOGIN_OK) {
        finish(login, outcome, NULL);
        return;
    }
    login->wait = wait_new(login, &credentials, request->peer);
    explicit_bzero(&credentials, sizeof(credentials));
    if (!login_pace_is_quiet(logins->pace)) {
        const struct login_attempt attempt = attempt_of(login);

        ms = login_pace_ask(logins->pace, &attempt, clock_monotonic_ms());
    }
    if (ms < 0) {
        be_busy(login, "too many passwords for this user are tried from there");
    } else {
        hold(login, ms, verify);
    }
}

/* ---- all of them ---- */

void logins_open(struct logins *logins, struct reactor *reactor, struct accounts *accounts)
{
    *logins = (struct logins){.reactor = reactor, .accounts = accounts, .pace = login_pace_open()};
}

static struct login *take_waiting(struct logins *logins)
{
    struct login *login = logins->waiting;

    if (login != NULL) {
        logins->waiting = login->wait->next;
        reactor_timer_clear(&login->wait->timer);
    }
    return login;
}

void logins_hurry(struct logins *logins)
{
    struct login *login;

    logins->hurrying = true;
    while ((login = take_waiting(logins)) != NULL) {
        login->wait->then(login);
    }
}

void logins_close(struct logins *logins)
{
    struct login *login;

    while ((login = take_waiting(logins)) != NULL) {
        finish(login, LOGIN_DROPPED, NULL);
    }
    login_pace_close(logins->pace);
    logins->pace = NULL;
}
