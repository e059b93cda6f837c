/*
 * command: what the sub-commands share: their options, and how they report.
 *
 * Threads: main. Errors: exit codes 0, 1 failed or inconsistent, 64 usage (probe: 2 unreachable).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cli/settings.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_UNREACHABLE = 2, EXIT_USAGE = 64 };

enum { COMMAND_SETS_MAX = 64 };

struct command_options {
    const char *config;
    const char *sets[COMMAND_SETS_MAX];
    size_t set_count;
    bool verify; /* stat */
    bool json;   /* probe */
    bool tls;
    const char *connect;
    const char *ca;
    const char *username;
    const char *password_file;
    const char *cert;
    const char *tenant;
    const char *type;
    const char *auth_id;
    const char *operand; /* what stands beside the options */
    const char *check;   /* health */
};

struct command {
    const char *name;
    const char *usage; /* options, as --help shows them */
    const char *help;
    int (*run)(const struct command_options *options);
    const char *allowed; /* options it takes, as short codes of command.c */
    const char *operand; /* the one word it takes beside options; NULL: none */
};

/* Reads the options of `command`; EXIT_OK, or the code to exit with after what was printed. */
int command_parse(const struct command *command, int argc, char **argv,
                  struct command_options *out);
/* Reads the settings of the options; problems go to standard error. */
bool command_settings(const struct command_options *options, struct settings *out);
/* Prints problems as "PLACE: text" lines to standard error. */
extern const struct settings_report command_report;

int command_serve(const struct command_options *options);
int command_check_config(const struct command_options *options);
int command_probe(const struct command_options *options);
int command_hash_password(const struct command_options *options);
int command_stat(const struct command_options *options);
int command_export(const struct command_options *options);
int command_import(const struct command_options *options);
int command_backup(const struct command_options *options);
int command_health(const struct command_options *options);
