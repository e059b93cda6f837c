#include "cli/messaging.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "net/address.h"
#include "net/tls.h"

enum { URL_MAX = 320, PASSWORD_MAX = 1024 };

static enum ks_status read_urls(struct messaging *out, const char *list, struct ks_failure *why)
{
    const char *at = list;
    bool more = true;

    while (more) {
        size_t len = strcspn(at, ",");
        char url[URL_MAX];
        enum ks_status st;

        if (out->url_count == BROKERS_MAX || len >= sizeof(url)) {
            return ks_fail(why, KS_INVALID, NULL, "messaging.urls: %d brokers at most, of %d bytes",
                           BROKERS_MAX, URL_MAX);
        }
        while (len > 0 && *at == ' ') {
            at++;
            len--;
        }
        memcpy(url, at, len);
        url[len] = '\0';
        st = broker_url_parse(url, &out->urls[out->url_count], why);
        if (st != KS_OK) {
            struct ks_failure cause = *why;

            return ks_fail(why, st, NULL, "messaging.urls: %s", cause.text);
        }
        out->url_count++;
        more = at[len] == ',';
        at += len + more;
    }
    return KS_OK;
}

/* The password: the file's first line. */
static enum ks_status read_password(char **password, const char *path, struct ks_failure *why)
{
    FILE *file = fopen(path, "re");
    char line[PASSWORD_MAX];
    bool read;
    int error;

    if (file == NULL) {
        return ks_fail(why, KS_IO, NULL, "messaging.password-file: %s: %s", path,
                       ks_errno_text(errno));
    }
    errno = 0;
    read = fgets(line, sizeof(line), file) != NULL;
    error = errno; /* a folder can be opened, but not read */
    (void)fclose(file);
    if (!read && error != 0) {
        return ks_fail(why, KS_IO, NULL, "messaging.password-file: %s: %s", path,
                       ks_errno_text(error));
    }
    if (read) {
        line[strcspn(line, "\r\n")] = '\0';
        *password = strdup(line);
    }
    explicit_bzero(line, sizeof(line));
    return *password != NULL && (*password)[0] != '\0'
               ? KS_OK
               : ks_fail(why, KS_INVALID, NULL, "messaging.password-file: %s holds no password",
                         path);
}

static bool uses_tls(const struct messaging *messaging)
{
    for (size_t i = 0; i < messaging->url_count; i++) {
        if (messaging->urls[i].tls) {
            return true;
        }
    }
    return false;
}

static enum ks_status name_setting(const char *setting, enum ks_status status,
                                   struct ks_failure *why)
{
    struct ks_failure cause = *why;

    return status == KS_OK ? KS_OK : ks_fail(why, status, NULL, "%s: %s", setting, cause.text);
}

/* First without the certificate: then it is clear which setting is wrong. */
static enum ks_status open_tls(struct messaging *out, const struct settings *settings,
                               struct ks_failure *why)
{
    const char *ca = settings->messaging_ca;
    enum ks_status st =
        name_setting("messaging.ca", tls_client_open(&out->tls, ca, NULL, NULL, why), why);

    if (st != KS_OK || settings->messaging_cert == NULL) {
        return st;
    }
    tls_close(out->tls);
    out->tls = NULL;
    return name_setting(
        "messaging.cert, messaging.key",
        tls_client_open(&out->tls, ca, settings->messaging_cert, settings->messaging_key, why),
        why);
}

/* What belongs together is given together. */
static enum ks_status check(const struct settings *settings, struct ks_failure *why)
{
    if ((settings->messaging_username == NULL) != (settings->messaging_password_file == NULL)) {
        return ks_fail(why, KS_INVALID, NULL,
                       "messaging.username and messaging.password-file go together");
    }
    if ((settings->messaging_cert == NULL) != (settings->messaging_key == NULL)) {
        return ks_fail(why, KS_INVALID, NULL, "messaging.cert and messaging.key go together");
    }
    return KS_OK;
}

enum ks_status messaging_read(struct messaging *out, const struct settings *settings,
                              struct ks_failure *why)
{
    enum ks_status st;

    *out = (struct messaging){.url_count = 0};
    if (settings->messaging_urls == NULL) {
        return KS_OK;
    }
    st = check(settings, why);
    if (st == KS_OK) {
        st = read_urls(out, settings->messaging_urls, why);
    }
    if (st == KS_OK && settings->messaging_password_file != NULL) {
        st = read_password(&out->password, settings->messaging_password_file, why);
    }
    if (st == KS_OK && uses_tls(out)) {
        st = open_tls(out, settings, why);
    }
    if (st != KS_OK) {
        messaging_done(out);
    }
    return st;
}

/* ---- doubts ---- */

static bool is_loopback(const struct broker_url *url)
{
    char host[NET_HOST_PORT_MAX];
    struct in_addr address;

    net_host_of(url->host_port, host, sizeof(host));
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           (inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

/* What is doubtful about a broker; NULL: nothing. */
static const char *doubt_of(const struct broker_url *url, bool has_password, bool has_tls)
{
    if (url->tls || is_loopback(url)) {
        return NULL;
    }
    if (has_tls) {
        return has_password ? "who keeps Koseki from the amqps brokers reads its password here, in "
                              "clear: use amqps for all"
                            : "who keeps Koseki from the amqps brokers reads its events here, in "
                              "clear: use amqps for all";
    }
    return has_password ? "the password goes over the network in clear: use amqps" : NULL;
}

void messaging_log_doubts(const struct messaging *messaging, const struct settings *settings)
{
    for (size_t i = 0; i < messaging->url_count; i++) {
        const struct broker_url *url = &messaging->urls[i];
        const char *doubt =
            doubt_of(url, settings->messaging_username != NULL, uses_tls(messaging));
        struct log_text broker;

        if (doubt != NULL) {
            log_warn("messaging-doubtful", "broker=%s doubt=\"%s\"",
                     log_text(&broker, span_cstr(url->host_port)), doubt);
        }
    }
}

static void forget(char **password)
{
    if (*password != NULL) {
        explicit_bzero(*password, strlen(*password));
        free(*password);
        *password = NULL;
    }
}

enum ks_status messaging_reload(struct messaging *messaging, const struct settings *settings,
                                struct ks_failure *why)
{
    char *password = NULL;
    enum ks_status st = KS_OK;

    if (settings->messaging_password_file != NULL) {
        st = read_password(&password, settings->messaging_password_file, why);
    }
    if (st == KS_OK && messaging->tls != NULL) {
        st = tls_reload(messaging->tls, why);
    }
    if (st == KS_OK && password != NULL) {
        forget(&messaging->password);
        messaging->password = password;
        password = NULL;
    }
    forget(&password);
    return st;
}

void messaging_done(struct messaging *messaging)
{
    forget(&messaging->password);
    tls_close(messaging->tls);
    messaging->tls = NULL;
    messaging->url_count = 0;
}
