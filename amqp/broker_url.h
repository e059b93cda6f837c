/*
 * broker_url: amqp://HOST[:PORT] and amqps://HOST[:PORT], as in messaging.urls.
 *
 * Threads: any; pure.
 * Errors:  KS_INVALID with what to write instead.
 */
#pragma once

#include <stdbool.h>

#include "base/status.h"
#include "net/address.h"

enum { BROKERS_MAX = 16 };

struct broker_url {
    bool tls;
    char host_port[NET_HOST_PORT_MAX];
};

KS_MUST_CHECK enum ks_status broker_url_parse(const char *text, struct broker_url *out,
                                              struct ks_failure *why);
