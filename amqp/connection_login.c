/* The login of a connection: from a SASL init to the identity it works under. */
#include <stdlib.h>
#include <string.h>

#include "amqp/connection.h"
#include "amqp/home.h"
#include "base/counters.h"
#include "base/log.h"
#include "certs/dn.h"
#include "net/stream.h"
#include "service/accounts.h"
#include "service/authority.h"

/* Carries the outcome of a hash back to the reactor. Names its connection by handle: the peer may
 * be gone by then. */
enum { USER_LOGGED_MAX = 128 };

struct login_wait {
    struct reactor_post post; /* first */
    struct home *home;
    struct slot_handle connection;
    enum ks_status status;
    struct identity *identity;
    size_t user_len;
    char user[USER_LOGGED_MAX];
};

static enum sasl_code code_of(enum ks_status status)
{
    if (status == KS_OK) {
        return SASL_CODE_OK;
    }
    return status == KS_UNAUTHORIZED || status == KS_INVALID ? SASL_CODE_AUTH : SASL_CODE_SYS_TEMP;
}

static const char *why_refused(enum ks_status status, const char *mechanism)
{
    if (status == KS_UNAUTHORIZED || status == KS_INVALID) {
        return *mechanism == 'E' ? "no user of this mechanism is named by the subject's first CN"
                                 : "no such user, or a wrong password";
    }
    return status == KS_BUSY ? "too many logins wait" : ks_status_name(status);
}

static void log_refused_login(const struct connection *connection, enum ks_status status,
                              const char *mechanism, struct span user)
{
    struct log_text text;

    log_info("login-refused", "peer=%s mechanism=%s user=%s why=\"%s\"", connection->peer.text,
             mechanism, log_text(&text, user), why_refused(status, mechanism));
}

/* identity is taken. user: who it claimed to be, or the certificate's subject. */
static void finish_login(struct connection *connection, enum ks_status status,
                         struct identity *identity, const char *mechanism, struct span user)
{
    sasl_decide(&connection->sasl, code_of(status), &connection->out);
    if (status != KS_OK) {
        counters_add(connection->home->counters, COUNTER_LOGINS_FAILED, 1);
        log_refused_login(connection, status, mechanism, user);
        connection->state = CONNECTION_ENDING;
        return;
    }
    connection->who = identity;
    connection->state = CONNECTION_HEADER;
    connection_start_engine(connection);
    counters_add(connection->home->counters, COUNTER_LOGINS_OK, 1);
    if (log_enabled(LOG_LEVEL_DEBUG)) {
        struct log_text text;

        log_debug("login", "peer=%s user=%s", connection->peer.text,
                  log_text(&text, span_cstr(identity_name(identity))));
    }
}

static void login_answered_on_reactor(struct reactor_post *post, bool discard)
{
    struct login_wait *wait = (struct login_wait *)post;
    struct connection *connection =
        discard ? NULL : slots_find(&wait->home->connections, wait->connection);

    if (connection == NULL || connection->state != CONNECTION_LOGIN) {
        identity_unref(wait->identity);
    } else {
        finish_login(connection, wait->status, wait->identity, "PLAIN",
                     span_of(wait->user, wait->user_len));
        connection_resume(connection);
    }
    free(wait);
}

/* On a thread of the pool. */
static void login_answered(void *arg, enum ks_status status, struct identity *identity)
{
    struct login_wait *wait = arg;

    wait->status = status;
    wait->identity = identity;
    reactor_post(wait->home->reactor, &wait->post);
}

static void begin_plain(struct connection *connection, const struct sasl_login *login)
{
    struct home *home = connection->home;
    const struct accounts_login ask = {.user = login->user,
                                       .password = login->password,
                                       .authorize_as = login->authorize_as,
                                       .peer = connection->peer_key,
                                       .urgent = true};
    struct login_wait *wait = calloc(1, sizeof(*wait));
    struct identity *identity = NULL;
    enum ks_status status = KS_OK;

    if (wait == NULL) {
        abort();
    }
    wait->post.run = login_answered_on_reactor;
    wait->home = home;
    wait->connection = connection->handle;
    wait->user_len = login->user.len < USER_LOGGED_MAX ? login->user.len : USER_LOGGED_MAX;
    memcpy(wait->user, login->user.ptr, wait->user_len);
    connection->state = CONNECTION_LOGIN;
    switch (
        accounts_login(home->options->accounts, &ask, login_answered, wait, &status, &identity)) {
    case ACCOUNTS_ANSWERED:
        free(wait);
        finish_login(connection, status, identity, "PLAIN", login->user);
        break;
    case ACCOUNTS_PENDING:
        break;
    }
}

bool connection_has_certificate(const struct connection *connection)
{
    struct buf der;
    bool has;

    buf_init(&der, 0);
    has = stream_peer_subject(connection->stream, &der);
    buf_done(&der);
    return has;
}

static void begin_external(struct connection *connection, const struct sasl_login *login)
{
    struct identity *identity = NULL;
    enum ks_status status = KS_UNAUTHORIZED;
    struct buf der;
    struct buf subject;

    buf_init(&der, 0);
    buf_init(&subject, 0);
    if (stream_peer_subject(connection->stream, &der)) {
        status = dn_from_der(buf_span(&der), &subject, NULL);
    }
    if (status == KS_OK) {
        status = accounts_login_external(connection->home->options->accounts, buf_span(&subject),
                                         login->authorize_as, &identity, NULL);
    }
    finish_login(connection, status, identity, "EXTERNAL", buf_span(&subject));
    buf_done(&subject);
    buf_done(&der);
}

void connection_begin_login(struct connection *connection, const struct sasl_login *login)
{
    switch (login->mechanism) {
    case SASL_PLAIN:
        begin_plain(connection, login);
        break;
    case SASL_EXTERNAL:
        begin_external(connection, login);
        break;
    }
}
