#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/command.h"
#include "service/passwords.h"

enum { LINE_MAX_LEN = 1024 };

/* Without echo on a terminal. */
static bool read_line(char *line, size_t size, size_t *len)
{
    struct termios old;
    bool terminal = tcgetattr(STDIN_FILENO, &old) == 0;
    size_t n = 0;
    int c;

    if (terminal) {
        struct termios quiet = old;

        quiet.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
        (void)fprintf(stderr, "Password: ");
    }
    while ((c = getchar()) != EOF && c != '\n' && n < size) {
        line[n++] = (char)c;
    }
    if (terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
        (void)fprintf(stderr, "\n");
    }
    *len = n;
    return n > 0;
}

int command_hash_password(const struct command_options *options)
{
    struct settings settings;
    char line[LINE_MAX_LEN];
    char hash[PASSWORDS_HASH_LEN + 1];
    struct ks_failure why = {0};
    size_t len = 0;
    enum ks_status st;

    if (!command_settings(options, &settings)) {
        settings_done(&settings);
        return EXIT_FAILED;
    }
    if (!read_line(line, sizeof(line), &len)) {
        (void)fprintf(stderr, "koseki hash-password: give the password on standard input\n");
        settings_done(&settings);
        return EXIT_FAILED;
    }
    st = passwords_check_plain(span_of(line, len), &why);
    if (st == KS_OK) {
        st =
            passwords_hash(span_of(line, len), (int)settings.passwords_max_bcrypt_cost, hash, &why);
    }
    explicit_bzero(line, sizeof(line));
    settings_done(&settings);
    if (st != KS_OK) {
        (void)fprintf(stderr, "koseki hash-password: %s\n", why.text);
        return EXIT_FAILED;
    }
    (void)printf("%s\n", hash);
    return EXIT_OK;
}
