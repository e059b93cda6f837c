/*
 * messaging: what the settings say about the message broker, read and checked: addresses, login,
 * TLS.
 *
 * Threads:   the caller's.
 * Ownership: messaging_done frees; what it holds is borrowed by the sender, but for the password,
 *            which the sender copies.
 */
#pragma once

#include "amqp/broker_url.h"
#include "cli/settings.h"

struct sender_options;
struct tls_context;

struct messaging {
    struct broker_url urls[BROKERS_MAX];
    size_t url_count; /* 0: no messaging */
    char *password;   /* NULL: none */
    struct tls_context *tls;
};

/* KS_INVALID, KS_IO with what is wrong and where. */
KS_MUST_CHECK enum ks_status messaging_read(struct messaging *out, const struct settings *settings,
                                            struct ks_failure *why);
/* The password, the CAs and the certificate anew; what cannot be read stays as it was. Sessions
 * that are open keep what they have. */
KS_MUST_CHECK enum ks_status messaging_reload(struct messaging *messaging,
                                              const struct settings *settings,
                                              struct ks_failure *why);
/* Logs what is hardly meant: passwords and events that may go over the network in clear. */
void messaging_log_doubts(const struct messaging *messaging, const struct settings *settings);
/* Takes a zeroed one. */
void messaging_done(struct messaging *messaging);
