/*
 * settings: one table (key, type, default, limits, help) drives the YAML file, the environment
 * (KOSEKI_AMQP_LISTEN), --set KEY=VALUE, --help and the check of docs/settings.md; the later wins.
 * Unknown keys stop the start.
 *
 * Threads:   read before threads start; immutable after.
 * Ownership: texts belong to the settings and live until settings_done.
 * Errors:    every problem is reported with its place ("koseki.yaml:12", "--set amqp.listen",
 *            "KOSEKI_AMQP_LISTEN") through `problem`; KS_INVALID if there was any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "service/service.h"

struct settings {
    const char *data_dir;
    int64_t threads;         /* 0: one per core */
    const char *amqp_listen; /* NULL: closed; so for all listeners */
    const char *amqp_tls_listen;
    int64_t amqp_link_credit;
    int64_t amqp_max_frame_size;
    int64_t amqp_max_message_size;
    int64_t amqp_max_connections;
    int64_t amqp_max_links;
    const char *http_listen;
    const char *http_tls_listen;
    int64_t http_max_payload;
    bool http_authentication;
    const char *http_cors_allowed_origin;
    const char *ops_listen;
    const char *tls_cert; /* paths are absolute */
    const char *tls_key;
    const char *tls_client_ca;
    const char *accounts;
    int64_t passwords_max_bcrypt_cost;
    int64_t store_map_size;
    int64_t store_min_free;
    int64_t limits_max_devices_per_tenant;
    int64_t limits_max_credentials_per_device;
    int64_t limits_max_device_connections;
    int64_t limits_max_device_connections_per_tenant;
    int64_t provisioning_verify; /* enum verify_mode */
    int64_t provisioning_event_wait_ms;
    const char *messaging_urls; /* comma-separated; NULL: no messaging */
    const char *messaging_username;
    const char *messaging_password_file;
    const char *messaging_ca;
    const char *messaging_cert;
    const char *messaging_key;
    int64_t messaging_max_events;
    int64_t messaging_max_notifications;
    int64_t log_level;  /* enum log_level */
    int64_t log_format; /* 0: logfmt, 1: json */
    struct arena arena;
};

struct settings_report {
    void (*problem)(void *arg, const char *place, const char *text);
    void *arg;
};

/* `sets` are the KEY=VALUE arguments in order. file may be NULL. */
KS_MUST_CHECK enum ks_status settings_read(struct settings *out, const char *file,
                                           const char *const *sets, size_t set_count,
                                           const struct settings_report *report);
/* What `serve` asks for on top: listeners with accounts, TLS with its files. */
KS_MUST_CHECK enum ks_status settings_check_service(const struct settings *settings,
                                                    const struct settings_report *report);
void settings_done(struct settings *settings);
/* The table as text, for --help. */
void settings_print_help(FILE *to);

/* ---- shared by the files of settings ---- */

/* Where a value came from. */
struct settings_source {
    const char *place; /* for reports */
    const char *base;  /* folder that relative paths are relative to */
};

/* Sets a key from its text; reports what is wrong. False: it was. */
bool settings_set(struct settings *settings, const char *key, const char *value,
                  const struct settings_source *source, const struct settings_report *report);
/* settings_file.c */
bool settings_read_file(struct settings *settings, const char *file,
                        const struct settings_report *report);
