#include "cli/messaging.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

    if (file == NULL) {
        return ks_fail(why, KS_IO, NULL, "messaging.password-file: %s: %s", path,
                       ks_errno_text(errno));
    }
    read = fgets(line, sizeof(line), file) != NULL;
    (void)fclose(file);
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
        st = tls_client_open(&out->tls, settings->messaging_ca, settings->messaging_cert,
                             settings->messaging_key, why);
    }
    if (st != KS_OK) {
        messaging_done(out);
    }
    return st;
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
