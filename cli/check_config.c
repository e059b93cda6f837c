#include <stdio.h>

#include "base/pool.h"
#include "cli/command.h"
#include "cli/messaging.h"
#include "net/tls.h"
#include "service/accounts.h"

static bool fine(enum ks_status status, const char *key, const struct ks_failure *why)
{
    if (status != KS_OK) {
        command_report.problem(NULL, key, why->text);
    }
    return status == KS_OK;
}

static bool check_tls(const struct settings *settings)
{
    const struct tls_server_options options = {
        .cert = settings->tls_cert, .key = settings->tls_key, .client_ca = settings->tls_client_ca};
    struct tls_context *tls = NULL;
    struct ks_failure why = {0};
    bool ok;

    if (options.cert == NULL || options.key == NULL) {
        return true;
    }
    ok = fine(tls_server_open(&tls, &options, &why), "tls", &why);
    tls_close(tls);
    return ok;
}

static bool check_accounts(const struct settings *settings)
{
    struct accounts *accounts = NULL;
    struct ks_failure why = {0};
    struct pool *pool;
    bool ok;

    if (settings->accounts == NULL) {
        return true;
    }
    pool = pool_open(1, 1);
    ok = fine(accounts_open(&accounts, settings->accounts, pool, &why), "accounts", &why);
    if (ok) {
        accounts_log_doubts(accounts);
    }
    accounts_close(accounts);
    pool_close(pool);
    return ok;
}

static bool check_messaging(const struct settings *settings)
{
    struct messaging messaging;
    struct ks_failure why = {0};
    bool ok = fine(messaging_read(&messaging, settings, &why), "messaging", &why);

    if (ok) {
        messaging_log_doubts(&messaging, settings);
    }
    messaging_done(&messaging);
    return ok;
}

int command_check_config(const struct command_options *options)
{
    struct settings settings;
    bool ok = command_settings(options, &settings);

    /* All of it is looked at, so that one run shows everything that is wrong. */
    ok = settings_check_service(&settings, &command_report) == KS_OK && ok;
    ok = check_tls(&settings) && ok;
    ok = check_accounts(&settings) && ok;
    ok = check_messaging(&settings) && ok;
    settings_done(&settings);
    if (!ok) {
        return EXIT_FAILED;
    }
    (void)printf("the configuration is fine\n");
    return EXIT_OK;
}
