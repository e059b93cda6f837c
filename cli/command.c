#include "cli/command.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const struct option long_options[] = {{"config", required_argument, NULL, 'c'},
                                             {"set", required_argument, NULL, 's'},
                                             {"verify", no_argument, NULL, 'v'},
                                             {"json", no_argument, NULL, 'j'},
                                             {"tls", no_argument, NULL, 't'},
                                             {"connect", required_argument, NULL, 'C'},
                                             {"ca", required_argument, NULL, 'A'},
                                             {"username", required_argument, NULL, 'U'},
                                             {"password-file", required_argument, NULL, 'P'},
                                             {"cert", required_argument, NULL, 'D'},
                                             {"tenant", required_argument, NULL, 'T'},
                                             {"type", required_argument, NULL, 'Y'},
                                             {"auth-id", required_argument, NULL, 'I'},
                                             {"check", required_argument, NULL, 'k'},
                                             {"help", no_argument, NULL, 'h'},
                                             {NULL, 0, NULL, 0}};

static int usage(const struct command *command, const char *text)
{
    (void)fprintf(stderr, "koseki %s: %s\nusage: koseki %s %s\n", command->name, text,
                  command->name, command->usage);
    return EXIT_USAGE;
}

static bool *flag_of(struct command_options *options, int code)
{
    switch (code) {
    case 'v':
        return &options->verify;
    case 'j':
        return &options->json;
    case 't':
        return &options->tls;
    default:
        return NULL;
    }
}

static const char **value_of(struct command_options *options, int code)
{
    switch (code) {
    case 'c':
        return &options->config;
    case 'C':
        return &options->connect;
    case 'A':
        return &options->ca;
    case 'U':
        return &options->username;
    case 'P':
        return &options->password_file;
    case 'D':
        return &options->cert;
    case 'T':
        return &options->tenant;
    case 'Y':
        return &options->type;
    case 'I':
        return &options->auth_id;
    case 'k':
        return &options->check;
    default:
        return NULL;
    }
}

static const char *name_of(int code)
{
    for (const struct option *o = long_options; o->name != NULL; o++) {
        if (o->val == code) {
            return o->name;
        }
    }
    return NULL;
}

/* After getopt has answered `code`, which the command cannot use; `last` is the word it read. */
static int bad_option(const struct command *command, int code, const char *last)
{
    const char *name = name_of(code == '?' || code == ':' ? optopt : code);
    char text[128];

    if (name == NULL) {
        (void)snprintf(text, sizeof(text), "there is no option '%.80s'", last);
    } else if (code == ':' || code == '?') {
        (void)snprintf(text, sizeof(text), "--%s takes %s value", name, code == ':' ? "a" : "no");
    } else {
        (void)snprintf(text, sizeof(text), "it has no option --%s", name);
    }
    return usage(command, text);
}

static int take_option(const struct command *command, int code, const char *last,
                       struct command_options *out)
{
    if (code == 'h') {
        (void)printf("usage: koseki %s %s\n\n%s\n", command->name, command->usage, command->help);
        return -1;
    }
    if (code == '?' || code == ':' || strchr(command->allowed, code) == NULL) {
        return bad_option(command, code, last);
    }
    if (code == 's') {
        if (out->set_count == COMMAND_SETS_MAX) {
            return usage(command, "too many --set");
        }
        out->sets[out->set_count++] = optarg;
    } else {
        bool *flag = flag_of(out, code);
        const char **value = value_of(out, code);

        if (flag != NULL) {
            *flag = true;
        } else if (value != NULL) {
            *value = optarg;
        }
    }
    return EXIT_OK;
}

/* What stands behind or between the options, which getopt has moved to the end. */
static int take_operand(const struct command *command, int argc, char **argv,
                        struct command_options *out)
{
    char text[64];

    if (command->operand == NULL) {
        return optind < argc ? usage(command, "it takes options only") : EXIT_OK;
    }
    if (argc - optind != 1 || argv[optind][0] == '\0') {
        (void)snprintf(text, sizeof(text), "it takes one %s", command->operand);
        return usage(command, text);
    }
    out->operand = argv[optind];
    return EXIT_OK;
}

/* -1: help was asked for and printed. */
int command_parse(const struct command *command, int argc, char **argv, struct command_options *out)
{
    int code;

    *out = (struct command_options){0};
    optind = 1;
    opterr = 0;
    /* getopt_long is not reentrant; this is the main thread before there is any other. */
    // NOLINTNEXTLINE(concurrency-mt-unsafe): as said
    while ((code = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        int exit_code = take_option(command, code, argv[optind - 1], out);

        if (exit_code != EXIT_OK) {
            return exit_code;
        }
    }
    return take_operand(command, argc, argv, out);
}

static void print_problem(void *arg, const char *place, const char *text)
{
    (void)arg;
    (void)fprintf(stderr, "%s: %s\n", place, text);
}

const struct settings_report command_report = {.problem = print_problem};

bool command_settings(const struct command_options *options, struct settings *out)
{
    return settings_read(out, options->config, options->sets, options->set_count,
                         &command_report) == KS_OK;
}
