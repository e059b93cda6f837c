/* koseki: finds the sub-command and runs it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "cli/command.h"
#include "service/json_text.h"

static const struct command commands[] = {
    {"serve", "[--config FILE] [--set KEY=VALUE]...", "Runs the service in the foreground.",
     command_serve, "cs", NULL},
    {"check-config", "[--config FILE] [--set KEY=VALUE]...",
     "Reads the configuration, certificates and accounts and prints what is wrong.",
     command_check_config, "cs", NULL},
    {"probe",
     "--connect HOST:PORT [--tls --ca FILE] --username U --password-file F\n"
     "                    (--cert DEVICE.pem | --tenant T --type TYPE --auth-id ID) [--json]",
     "Does what an adapter does at a device's login. Exit code 1: refused, 2: unreachable.",
     command_probe, "csCAUPDTYIjt", NULL},
    {"hash-password", "[--config FILE] [--set KEY=VALUE]...",
     "Reads a password from standard input and prints its bcrypt hash.", command_hash_password,
     "cs", NULL},
    {"stat", "[--verify] [--config FILE] [--set KEY=VALUE]...",
     "Counts and sizes of the store; --verify cross-checks all of it. Works beside the service.",
     command_stat, "csv", NULL},
    {"export", "[--config FILE] [--set KEY=VALUE]...",
     "Prints the whole registry as JSON lines, hashes and keys included. Works beside the service.",
     command_export, "cs", NULL},
    {"import", "FILE|- [--config FILE] [--set KEY=VALUE]...",
     "Reads what export printed into an empty store; - is standard input. Not beside the service.",
     command_import, "cs", "FILE, or - for standard input"},
    {"backup", "DEST [--config FILE] [--set KEY=VALUE]...",
     "Makes the folder DEST with a compact copy of the store. Works beside the service.",
     command_backup, "cs", "DEST, a folder to be made"},
    {"health",
     "[--check readiness|liveness|started] [--connect HOST:PORT] [--config FILE]\n"
     "                     [--set KEY=VALUE]...",
     "Asks ops.listen of the running service for its readiness. Exit code 0: up, 1: down or "
     "silent.",
     command_health, "csCk", NULL},
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static void print_help(FILE *to)
{
    (void)fprintf(to, "Koseki %s, a device registry for Eclipse Hono\n\n", KS_VERSION);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        (void)fprintf(to, "koseki %s %s\n    %s\n", commands[i].name, commands[i].usage,
                      commands[i].help);
    }
    (void)fprintf(to,
                  "koseki --help | --version\n\n"
                  "Settings: from the YAML file, the environment (KOSEKI_AMQP_LISTEN), --set; the "
                  "later wins.\n\n");
    settings_print_help(to);
}

/* A standard stream that the caller closed keeps its number, or the next file opened would get it,
 * and log lines would be written into the store. Opened for reading: writing to it fails. */
static bool hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd) {
            return false;
        }
    }
    return true;
}

/* What was printed has to arrive: a script must not go on with half of it. */
static int finish(const char *name, int code)
{
    errno = 0;
    if ((fflush(stdout) == 0 && ferror(stdout) == 0) || code != EXIT_OK) {
        return code;
    }
    (void)fprintf(stderr, "koseki %s: cannot write to standard output: %s\n", name,
                  errno != 0 ? ks_errno_text(errno) : "it is not all there");
    return EXIT_FAILED;
}

int main(int argc, char **argv)
{
    struct command_options options;

    if (!hold_standard_streams()) {
        return EXIT_FAILED;
    }
    json_text_setup();
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return finish(argv[1], EXIT_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("koseki %s\n", KS_VERSION);
        return finish(argv[1], EXIT_OK);
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        int code;

        if (strcmp(argv[1], commands[i].name) != 0) {
            continue;
        }
        code = command_parse(&commands[i], argc - 1, argv + 1, &options);
        if (code != EXIT_OK) {
            return finish(commands[i].name, code < 0 ? EXIT_OK : code);
        }
        return finish(commands[i].name, commands[i].run(&options));
    }
    (void)fprintf(stderr, "koseki: there is no sub-command '%s'; see koseki --help\n", argv[1]);
    return EXIT_USAGE;
}
