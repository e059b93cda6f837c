#include "amqp/broker_url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *scheme;
    bool tls;
    const char *port;
} schemes[] = {{"amqp://", false, "5672"}, {"amqps://", true, "5671"}};

static bool has_port(const char *host)
{
    const char *bracket = strchr(host, ']');

    return strchr(bracket == NULL ? host : bracket, ':') != NULL;
}

static enum ks_status take_host(const char *host, const char *port, struct broker_url *out,
                                struct ks_failure *why)
{
    size_t len = strcspn(host, "/");
    int n = snprintf(out->host_port, sizeof(out->host_port), "%.*s", (int)len, host);

    if (host[len] != '\0' && host[len + 1] != '\0') {
        return ks_fail(why, KS_INVALID, NULL, "a broker has no path");
    }
    if (strchr(out->host_port, '@') != NULL) {
        return ks_fail(why, KS_INVALID, NULL,
                       "user and password stand in messaging.username and messaging.password-file");
    }
    if (n > 0 && (size_t)n + sizeof(":5672") < sizeof(out->host_port) &&
        !has_port(out->host_port)) {
        (void)snprintf(out->host_port + n, sizeof(out->host_port) - (size_t)n, ":%s", port);
    }
    return net_address_check(out->host_port, why);
}

enum ks_status broker_url_parse(const char *text, struct broker_url *out, struct ks_failure *why)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t n = strlen(schemes[i].scheme);

        if (strncasecmp(text, schemes[i].scheme, n) == 0) {
            out->tls = schemes[i].tls;
            return take_host(text + n, schemes[i].port, out, why);
        }
    }
    return ks_fail(why, KS_INVALID, NULL, "'%.80s' is not amqp://HOST:PORT or amqps://HOST:PORT",
                   text);
}
