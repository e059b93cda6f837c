#include "net/tls.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/log.h"

enum { EXPIRY_WARNING_DAYS = 14 };

struct tls_context {
    bool server;
    char *cert; /* file names, kept for reload */
    char *key;
    char *ca;
    struct lock lock; /* guards ctx: reload swaps it */
    SSL_CTX *ctx;
};

/* Forward-secret AEAD suites only; TLS 1.3 suites are OpenSSL's own list. */
static const char tls_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2";

/* The oldest entry of the queue is the cause; those behind it say who was told ("PEM lib"). */
static enum ks_status tls_fail(struct ks_failure *why, const char *what, const char *file)
{
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_reason_error_string(code);
    int error = ERR_GET_LIB(code) == ERR_LIB_SYS ? ERR_GET_REASON(code) : 0;

    ERR_clear_error();
    if (error != 0) {
        return ks_fail(why, KS_IO, NULL, "%s %s: %s", what, file, ks_errno_text(error));
    }
    return ks_fail(why, KS_INVALID, NULL, "%s %s: %s", what, file,
                   reason != NULL ? reason : "unknown error");
}

/* A service with an old certificate starts all the same, and every client turns away. */
static void tls_warn_of_expiry(const SSL_CTX *ctx, const char *file)
{
    const X509 *cert = SSL_CTX_get0_certificate(ctx);
    struct log_text text;
    int days = 0;
    int seconds = 0;

    if (cert == NULL || ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) != 1) {
        return;
    }
    if (days < 0 || seconds < 0) {
        log_warn("certificate-expired", "file=%s action=\"renew it: clients refuse it\"",
                 log_text(&text, span_cstr(file)));
    } else if (days < EXPIRY_WARNING_DAYS) {
        log_warn("certificate-expires", "file=%s days=%d", log_text(&text, span_cstr(file)), days);
    }
}

/* A key that needs a pass phrase is refused: nobody is there to type it. */
static int tls_no_pass_phrase(char *out, int size, int writing, void *arg)
{
    (void)writing;
    (void)arg;
    if (size > 0) {
        *out = '\0';
    }
    return -1;
}

static enum ks_status tls_use_identity(SSL_CTX *ctx, const struct tls_context *tls,
                                       struct ks_failure *why)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, tls->cert) != 1) {
        return tls_fail(why, "cannot use certificate", tls->cert);
    }
    SSL_CTX_set_default_passwd_cb(ctx, tls_no_pass_phrase);
    if (SSL_CTX_use_PrivateKey_file(ctx, tls->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        return tls_fail(why,
                        "cannot use key (does it belong to the certificate, without pass phrase?)",
                        tls->key);
    }
    if (tls->server) {
        tls_warn_of_expiry(ctx, tls->cert);
    }
    return KS_OK;
}

/* Only the CAs of this file are trusted, never the system's. */
static enum ks_status tls_use_ca(SSL_CTX *ctx, const struct tls_context *tls,
                                 struct ks_failure *why)
{
    if (SSL_CTX_load_verify_file(ctx, tls->ca) != 1) {
        return tls_fail(why, "cannot use CA file", tls->ca);
    }
    if (tls->server) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(tls->ca);

        if (names == NULL) {
            return tls_fail(why, "cannot use CA file", tls->ca);
        }
        SSL_CTX_set_client_CA_list(ctx, names);
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL); /* on a server: asked for, not required */
    return KS_OK;
}

/* A client that names no CA trusts those of the system. */
static enum ks_status tls_use_system_cas(SSL_CTX *ctx, struct ks_failure *why)
{
    if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
        return tls_fail(why, "cannot use", "the system's CAs");
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return KS_OK;
}

static enum ks_status tls_build(const struct tls_context *tls, SSL_CTX **out,
                                struct ks_failure *why)
{
    static const unsigned char session_id[] = "koseki";
    enum ks_status st = KS_OK;
    SSL_CTX *ctx;

    ERR_clear_error();
    ctx = SSL_CTX_new(tls->server ? TLS_server_method() : TLS_client_method());
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, tls_ciphers) != 1) {
        st = tls_fail(why, "cannot set up", "TLS");
        goto done;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_id_context(ctx, session_id, sizeof(session_id) - 1);
    if (tls->cert != NULL) {
        st = tls_use_identity(ctx, tls, why);
    }
    if (st == KS_OK && tls->ca != NULL) {
        st = tls_use_ca(ctx, tls, why);
    } else if (st == KS_OK && !tls->server) {
        st = tls_use_system_cas(ctx, why);
    }
done:
    if (st != KS_OK) {
        SSL_CTX_free(ctx);
        return st;
    }
    *out = ctx;
    return KS_OK;
}

static char *copy_or_null(const char *text)
{
    char *copy = text == NULL ? NULL : strdup(text);

    if (text != NULL && copy == NULL) {
        abort();
    }
    return copy;
}

static enum ks_status tls_open(struct tls_context **out, bool server, const char *cert,
                               const char *key, const char *ca, struct ks_failure *why)
{
    struct tls_context *tls = calloc(1, sizeof(*tls));
    enum ks_status st;

    if (tls == NULL) {
        abort();
    }
    lock_init(&tls->lock);
    tls->server = server;
    tls->cert = copy_or_null(cert);
    tls->key = copy_or_null(key);
    tls->ca = copy_or_null(ca);
    st = tls_build(tls, &tls->ctx, why);
    if (st != KS_OK) {
        tls_close(tls);
        return st;
    }
    *out = tls;
    return KS_OK;
}

enum ks_status tls_server_open(struct tls_context **out, const struct tls_server_options *options,
                               struct ks_failure *why)
{
    return tls_open(out, true, options->cert, options->key, options->client_ca, why);
}

enum ks_status tls_client_open(struct tls_context **out, const char *ca, const char *cert,
                               const char *key, struct ks_failure *why)
{
    return tls_open(out, false, cert, key, ca, why);
}

enum ks_status tls_reload(struct tls_context *context, struct ks_failure *why)
{
    SSL_CTX *fresh = NULL;
    SSL_CTX *old;
    enum ks_status st = tls_build(context, &fresh, why);

    if (st != KS_OK) {
        return st;
    }
    lock_take(&context->lock);
    old = context->ctx;
    context->ctx = fresh;
    lock_give(&context->lock);
    SSL_CTX_free(old); /* sessions hold references of their own */
    return KS_OK;
}

void tls_close(struct tls_context *context)
{
    if (context == NULL) {
        return;
    }
    SSL_CTX_free(context->ctx);
    free(context->cert);
    free(context->key);
    free(context->ca);
    lock_done(&context->lock);
    free(context);
}

static SSL *tls_new_ssl(struct tls_context *context)
{
    SSL *ssl;

    lock_take(&context->lock);
    ssl = SSL_new(context->ctx);
    lock_give(&context->lock);
    if (ssl == NULL) {
        ERR_clear_error();
    }
    return ssl;
}

/* SSL_set_tlsext_host_name is a macro that drops the const: OpenSSL only reads the name. */
static long set_server_name(SSL *ssl, const char *host)
{
    void *name;

    memcpy(&name, &host, sizeof(name));
    return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name);
}

struct ssl_st *tls_session(struct tls_context *context, int fd, const char *host)
{
    SSL *ssl = tls_new_ssl(context);

    if (ssl == NULL) {
        return NULL;
    }
    if (SSL_set_fd(ssl, fd) != 1) {
        ERR_clear_error();
        SSL_free(ssl);
        return NULL;
    }
    if (context->server) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    SSL_set_connect_state(ssl);
    if (host != NULL) {
        /* An address is verified as such; only names go into SNI (RFC 6066 section 3). */
        if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) != 1) {
            (void)SSL_set1_host(ssl, host);
            (void)set_server_name(ssl, host);
        }
        ERR_clear_error();
    }
    return ssl;
}

struct bufferevent *tls_bufferevent(struct tls_context *context, struct event_base *base)
{
    SSL *ssl = tls_new_ssl(context);
    struct bufferevent *bev;

    if (ssl == NULL) {
        return NULL;
    }
    bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                         BEV_OPT_CLOSE_ON_FREE);
    if (bev == NULL) {
        SSL_free(ssl);
        return NULL;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

bool tls_bufferevent_is_open(struct bufferevent *bev)
{
    return SSL_is_init_finished(bufferevent_openssl_get_ssl(bev)) == 1;
}
