#include "cli/settings.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/cors.h"
#include "net/address.h"

enum kind {
    KIND_TEXT,
    KIND_ORIGIN, /* "*" or a pattern */
    KIND_PATH,
    KIND_LISTENER,
    KIND_INTEGER,
    KIND_SIZE,     /* bytes, with KiB MiB GiB TiB */
    KIND_DURATION, /* milliseconds, with ms s m h */
    KIND_BOOL,
    KIND_CHOICE,
};

struct setting {
    const char *key;
    enum kind kind;
    size_t offset;        /* in struct settings */
    const char *fallback; /* as a user would write it; NULL: not set */
    int64_t min;
    int64_t max;
    const char *choices[4]; /* KIND_CHOICE: index is the value */
    const char *help;
};

#define AT(member) offsetof(struct settings, member)
#define KIB        ((int64_t)1 << 10)
#define MIB        ((int64_t)1 << 20)
#define TIB        ((int64_t)1 << 40)

static const struct setting table[] = {
    {.key = "data-dir",
     .kind = KIND_PATH,
     .offset = AT(data_dir),
     .fallback = "/var/lib/koseki",
     .help = "folder of the store; made with mode 0700"},
    {.key = "threads",
     .kind = KIND_INTEGER,
     .offset = AT(threads),
     .fallback = "0",
     .max = 256,
     .help = "reactor threads; 0: one per core"},
    {.key = "amqp.listen",
     .kind = KIND_LISTENER,
     .offset = AT(amqp_listen),
     .help = "AMQP 1.0 without TLS"},
    {.key = "amqp.tls-listen",
     .kind = KIND_LISTENER,
     .offset = AT(amqp_tls_listen),
     .help = "AMQP 1.0 over TLS"},
    {.key = "amqp.link-credit",
     .kind = KIND_INTEGER,
     .offset = AT(amqp_link_credit),
     .fallback = "500",
     .min = 1,
     .max = 10000,
     .help = "requests in flight on a link"},
    {.key = "amqp.max-frame-size",
     .kind = KIND_SIZE,
     .offset = AT(amqp_max_frame_size),
     .fallback = "32KiB",
     .min = 512,
     .max = MIB,
     .help = "frame that is accepted"},
    {.key = "amqp.max-message-size",
     .kind = KIND_SIZE,
     .offset = AT(amqp_max_message_size),
     .fallback = "64KiB",
     .min = KIB,
     .max = MIB,
     .help = "request that is accepted"},
    {.key = "amqp.max-connections",
     .kind = KIND_INTEGER,
     .offset = AT(amqp_max_connections),
     .fallback = "20000",
     .min = 1,
     .max = 1000000,
     .help = "AMQP connections; also bounded by the open-file limit"},
    {.key = "amqp.max-links",
     .kind = KIND_INTEGER,
     .offset = AT(amqp_max_links),
     .fallback = "4096",
     .min = 2,
     .max = 65536,
     .help = "live links of a connection"},
    {.key = "http.listen",
     .kind = KIND_LISTENER,
     .offset = AT(http_listen),
     .help = "management API without TLS"},
    {.key = "http.tls-listen",
     .kind = KIND_LISTENER,
     .offset = AT(http_tls_listen),
     .help = "management API over TLS"},
    {.key = "http.max-payload",
     .kind = KIND_SIZE,
     .offset = AT(http_max_payload),
     .fallback = "65536",
     .min = 128,
     .max = MIB,
     .help = "bytes of a request body"},
    {.key = "http.authentication",
     .kind = KIND_BOOL,
     .offset = AT(http_authentication),
     .fallback = "true",
     .help = "HTTP Basic against accounts; false: everyone may do everything"},
    {.key = "http.cors-allowed-origin",
     .kind = KIND_ORIGIN,
     .offset = AT(http_cors_allowed_origin),
     .fallback = "*",
     .help = "origins that browsers may call from: *, or a POSIX extended regular expression that "
             "matches them whole"},
    {.key = "ops.listen",
     .kind = KIND_LISTENER,
     .offset = AT(ops_listen),
     .help = "/liveness, /readiness, /started, plain HTTP"},
    {.key = "tls.cert",
     .kind = KIND_PATH,
     .offset = AT(tls_cert),
     .help = "server certificate and chain, PEM"},
    {.key = "tls.key", .kind = KIND_PATH, .offset = AT(tls_key), .help = "its key, PEM"},
    {.key = "tls.client-ca",
     .kind = KIND_PATH,
     .offset = AT(tls_client_ca),
     .help = "CAs of client certificates (SASL EXTERNAL), PEM"},
    {.key = "accounts",
     .kind = KIND_PATH,
     .offset = AT(accounts),
     .help = "permissions.json in Hono's format"},
    {.key = "passwords.max-bcrypt-cost",
     .kind = KIND_INTEGER,
     .offset = AT(passwords_max_bcrypt_cost),
     .fallback = "10",
     .min = 4,
     .max = 16,
     .help = "cost of bcrypt hashes that are made, and the highest accepted"},
    {.key = "store.map-size",
     .kind = KIND_SIZE,
     .offset = AT(store_map_size),
     .fallback = "1TiB",
     .min = MIB,
     .max = 64 * TIB,
     .help = "address space of the store; not reserved on disk"},
    {.key = "store.min-free",
     .kind = KIND_SIZE,
     .offset = AT(store_min_free),
     .fallback = "256MiB",
     .max = INT64_MAX,
     .help = "space of the file system below which writes are refused"},
    {.key = "limits.max-devices-per-tenant",
     .kind = KIND_INTEGER,
     .offset = AT(limits_max_devices_per_tenant),
     .fallback = "0",
     .max = INT32_MAX,
     .help = "0: no limit; a tenant's own limit wins"},
    {.key = "limits.max-credentials-per-device",
     .kind = KIND_INTEGER,
     .offset = AT(limits_max_credentials_per_device),
     .fallback = "0",
     .max = INT32_MAX,
     .help = "0: no limit; a tenant's own limit wins"},
    {.key = "limits.max-device-connections",
     .kind = KIND_INTEGER,
     .offset = AT(limits_max_device_connections),
     .fallback = "100000",
     .min = 1,
     .max = 10000000,
     .help = "devices whose gateway or adapter is remembered (Hono 1.x), the oldest forgotten"},
    {.key = "limits.max-device-connections-per-tenant",
     .kind = KIND_INTEGER,
     .offset = AT(limits_max_device_connections_per_tenant),
     .fallback = "10000",
     .min = 1,
     .max = 10000000,
     .help = "the same of one tenant; more are refused"},
    {.key = "provisioning.verify",
     .kind = KIND_CHOICE,
     .offset = AT(provisioning_verify),
     .fallback = "enforce",
     .choices = {"enforce", "report", "off"},
     .help = "check certificates: refuse, only count, or only look at the issuer's name"},
    {.key = "provisioning.event-wait",
     .kind = KIND_DURATION,
     .offset = AT(provisioning_event_wait_ms),
     .fallback = "100ms",
     .max = 60000,
     .help = "how long a provisioning login waits for the broker to accept its event"},
    {.key = "messaging.urls",
     .kind = KIND_TEXT,
     .offset = AT(messaging_urls),
     .help = "brokers, tried in turn: amqp://HOST:PORT, amqps://HOST:PORT; absent: no events"},
    {.key = "messaging.username",
     .kind = KIND_TEXT,
     .offset = AT(messaging_username),
     .help = "SASL PLAIN; absent: EXTERNAL with messaging.cert, else ANONYMOUS"},
    {.key = "messaging.password-file",
     .kind = KIND_PATH,
     .offset = AT(messaging_password_file),
     .help = "its password: the first line of this file"},
    {.key = "messaging.ca",
     .kind = KIND_PATH,
     .offset = AT(messaging_ca),
     .help = "CAs of brokers, PEM; absent: those of the system"},
    {.key = "messaging.cert",
     .kind = KIND_PATH,
     .offset = AT(messaging_cert),
     .help = "client certificate and chain, PEM"},
    {.key = "messaging.key",
     .kind = KIND_PATH,
     .offset = AT(messaging_key),
     .help = "its key, PEM"},
    {.key = "messaging.max-events",
     .kind = KIND_INTEGER,
     .offset = AT(messaging_max_events),
     .fallback = "1000000",
     .min = 1,
     .max = 1000000000,
     .help = "events that wait for the broker; beyond it new devices are refused"},
    {.key = "messaging.max-notifications",
     .kind = KIND_INTEGER,
     .offset = AT(messaging_max_notifications),
     .fallback = "100000",
     .min = 1,
     .max = 1000000000,
     .help = "change notifications that wait; beyond it the oldest are dropped"},
    {.key = "log.level",
     .kind = KIND_CHOICE,
     .offset = AT(log_level),
     .fallback = "info",
     .choices = {"error", "warn", "info", "debug"},
     .help = "lines that are written"},
    {.key = "log.format",
     .kind = KIND_CHOICE,
     .offset = AT(log_format),
     .fallback = "logfmt",
     .choices = {"logfmt", "json"},
     .help = "form of the lines"},
};

enum { TABLE_COUNT = sizeof(table) / sizeof(table[0]), VARIABLE_MAX = 80 };

static void *member_of(struct settings *settings, const struct setting *setting)
{
    return (char *)settings + setting->offset;
}

static bool problem(const struct settings_report *report, const char *place, const char *format,
                    ...) KS_PRINTF(3, 4);

static bool problem(const struct settings_report *report, const char *place, const char *format,
                    ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    report->problem(report->arg, place, text);
    return false;
}

/* ---- texts to values ---- */

static const struct {
    const char *unit;
    enum kind kind;
    int64_t factor;
} units[] = {
    {"KiB", KIND_SIZE, 1LL << 10}, {"MiB", KIND_SIZE, 1LL << 20}, {"GiB", KIND_SIZE, 1LL << 30},
    {"TiB", KIND_SIZE, 1LL << 40}, {"ms", KIND_DURATION, 1},      {"s", KIND_DURATION, 1000},
    {"m", KIND_DURATION, 60000},   {"h", KIND_DURATION, 3600000},
};

/* A number with the unit its kind allows; a bare 0 needs none. */
static bool parse_number(const char *text, enum kind kind, int64_t *out)
{
    char *end;
    long long value;
    int64_t factor = 0;

    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno != 0) {
        return false;
    }
    if (*end == '\0' && (kind != KIND_DURATION || value == 0)) {
        factor = 1;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (units[i].kind == kind && strcmp(units[i].unit, end) == 0) {
            factor = units[i].factor;
        }
    }
    if (factor == 0 || value > INT64_MAX / factor) {
        return false;
    }
    *out = value * factor;
    return true;
}

static bool set_number(int64_t *to, const struct setting *setting, const char *value,
                       const struct settings_source *source, const struct settings_report *report)
{
    static const char *const expected[] = {[KIND_INTEGER] = "a whole number",
                                           [KIND_SIZE] = "a size such as 32KiB, 256MiB or 1TiB",
                                           [KIND_DURATION] = "a time such as 100ms, 5s or 1m"};
    int64_t number;

    if (!parse_number(value, setting->kind, &number)) {
        return problem(report, source->place, "%s is '%.60s', not %s", setting->key, value,
                       expected[setting->kind]);
    }
    if (number < setting->min || number > setting->max) {
        return problem(report, source->place,
                       "%s is %.60s; it must be between %" PRId64 " and %" PRId64, setting->key,
                       value, setting->min, setting->max);
    }
    *to = number;
    return true;
}

static bool set_choice(int64_t *to, const struct setting *setting, const char *value,
                       const struct settings_source *source, const struct settings_report *report)
{
    char known[128] = "";
    size_t len = 0;

    for (int64_t i = 0; i < 4 && setting->choices[i] != NULL; i++) {
        if (strcmp(setting->choices[i], value) == 0) {
            *to = i;
            return true;
        }
        len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s", i > 0 ? ", " : "",
                                setting->choices[i]);
    }
    return problem(report, source->place, "%s is '%.60s'; it is one of: %s", setting->key, value,
                   known);
}

static bool set_bool(bool *to, const struct setting *setting, const char *value,
                     const struct settings_source *source, const struct settings_report *report)
{
    if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) {
        *to = value[0] == 't';
        return true;
    }
    return problem(report, source->place, "%s is '%.60s'; it is true or false", setting->key,
                   value);
}

static const char *keep(struct settings *settings, const char *text)
{
    return arena_span(&settings->arena, span_cstr(text)).ptr;
}

static bool set_path(struct settings *settings, const char **to, const struct setting *setting,
                     const char *value, const struct settings_source *source,
                     const struct settings_report *report)
{
    char path[PATH_MAX];
    int len = value[0] == '/' ? snprintf(path, sizeof(path), "%s", value)
                              : snprintf(path, sizeof(path), "%s/%s", source->base, value);

    if (len < 0 || (size_t)len >= sizeof(path)) {
        return problem(report, source->place, "%s: the path is too long", setting->key);
    }
    *to = keep(settings, path);
    return true;
}

static bool set_listener(struct settings *settings, const char **to, const struct setting *setting,
                         const char *value, const struct settings_source *source,
                         const struct settings_report *report)
{
    struct ks_failure why;

    if (net_address_check(value, &why) != KS_OK) {
        return problem(report, source->place, "%s: %s", setting->key, why.text);
    }
    *to = keep(settings, value);
    return true;
}

static bool set_origin(struct settings *settings, const char **to, const struct setting *setting,
                       const char *value, const struct settings_source *source,
                       const struct settings_report *report)
{
    struct cors *cors = NULL;
    struct ks_failure why;

    if (cors_open(&cors, value, &why) != KS_OK) {
        return problem(report, source->place,
                       "%s is '%.60s'; it is * or a POSIX extended regular expression: %s",
                       setting->key, value, why.text);
    }
    cors_close(cors);
    *to = keep(settings, value);
    return true;
}

static const struct setting *find_setting(const char *key)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        if (strcmp(table[i].key, key) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

static bool set_value(struct settings *settings, const struct setting *setting, const char *value,
                      const struct settings_source *source, const struct settings_report *report)
{
    void *to = member_of(settings, setting);

    switch (setting->kind) {
    case KIND_TEXT:
        *(const char **)to = keep(settings, value);
        return true;
    case KIND_ORIGIN:
        return set_origin(settings, to, setting, value, source, report);
    case KIND_PATH:
        return set_path(settings, to, setting, value, source, report);
    case KIND_LISTENER:
        return set_listener(settings, to, setting, value, source, report);
    case KIND_INTEGER:
    case KIND_SIZE:
    case KIND_DURATION:
        return set_number(to, setting, value, source, report);
    case KIND_BOOL:
        return set_bool(to, setting, value, source, report);
    case KIND_CHOICE:
        return set_choice(to, setting, value, source, report);
    }
    return false;
}

bool settings_set(struct settings *settings, const char *key, const char *value,
                  const struct settings_source *source, const struct settings_report *report)
{
    const struct setting *setting = find_setting(key);

    if (setting == NULL) {
        return problem(report, source->place,
                       "there is no setting '%.80s'; see koseki --help for all of them", key);
    }
    if (value[0] == '\0') {
        return problem(report, source->place, "%s has no value", setting->key);
    }
    return set_value(settings, setting, value, source, report);
}

/* ---- sources ---- */

static void set_defaults(struct settings *settings)
{
    static const struct settings_source source = {.place = "default", .base = "/"};

    for (size_t i = 0; i < TABLE_COUNT; i++) {
        if (table[i].fallback != NULL &&
            !set_value(settings, &table[i], table[i].fallback, &source, NULL)) {
            abort(); /* the table contradicts itself */
        }
    }
}

/* amqp.tls-listen: KOSEKI_AMQP_TLS_LISTEN. */
static void variable_of(const struct setting *setting, char out[VARIABLE_MAX])
{
    size_t n = (size_t)snprintf(out, VARIABLE_MAX, "KOSEKI_%s", setting->key);

    for (size_t i = 0; i < n; i++) {
        int c = toupper((unsigned char)out[i]);

        out[i] = (char)(c == '.' || c == '-' ? '_' : c);
    }
}

/* Variables that begin with KOSEKI_ but name no setting are not ours to refuse. */
static bool read_environment(struct settings *settings, const char *base,
                             const struct settings_report *report)
{
    bool ok = true;

    for (size_t i = 0; i < TABLE_COUNT; i++) {
        char name[VARIABLE_MAX];
        const struct settings_source source = {.place = name, .base = base};
        const char *value;

        variable_of(&table[i], name);
        value = getenv(name); // NOLINT(concurrency-mt-unsafe): before threads start
        if (value != NULL && *value != '\0') {
            ok = settings_set(settings, table[i].key, value, &source, report) && ok;
        }
    }
    return ok;
}

static bool read_sets(struct settings *settings, const char *const *sets, size_t count,
                      const char *base, const struct settings_report *report)
{
    bool ok = true;

    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(sets[i], '=');
        char key[VARIABLE_MAX];
        char place[VARIABLE_MAX + 8];
        const struct settings_source source = {.place = place, .base = base};

        (void)snprintf(place, sizeof(place), "--set %.60s", sets[i]);
        if (equals == NULL || (size_t)(equals - sets[i]) >= sizeof(key)) {
            ok = problem(report, place, "is not KEY=VALUE");
            continue;
        }
        memcpy(key, sets[i], (size_t)(equals - sets[i]));
        key[equals - sets[i]] = '\0';
        (void)snprintf(place, sizeof(place), "--set %s", key);
        ok = settings_set(settings, key, equals + 1, &source, report) && ok;
    }
    return ok;
}

enum ks_status settings_read(struct settings *out, const char *file, const char *const *sets,
                             size_t set_count, const struct settings_report *report)
{
    char working[PATH_MAX];
    bool ok;

    *out = (struct settings){0};
    arena_init(&out->arena);
    set_defaults(out);
    if (getcwd(working, sizeof(working)) == NULL) {
        (void)snprintf(working, sizeof(working), "."); /* it has been removed */
    }
    ok = file == NULL || settings_read_file(out, file, report);
    ok = read_environment(out, working, report) && ok;
    ok = read_sets(out, sets, set_count, working, report) && ok;
    return ok ? KS_OK : KS_INVALID;
}

enum ks_status settings_check_service(const struct settings *settings,
                                      const struct settings_report *report)
{
    bool amqp = settings->amqp_listen != NULL || settings->amqp_tls_listen != NULL;
    bool http = settings->http_listen != NULL || settings->http_tls_listen != NULL;
    bool tls = settings->amqp_tls_listen != NULL || settings->http_tls_listen != NULL;
    bool ok = true;

    if (!amqp && !http) {
        ok = problem(report, "settings",
                     "no port is configured: set amqp.listen or amqp.tls-listen, and http.listen "
                     "or http.tls-listen, as in --set amqp.listen=127.0.0.1:5672");
    }
    if (settings->accounts == NULL && (amqp || (http && settings->http_authentication))) {
        ok = problem(report, "settings",
                     "accounts is not set: a listener needs a permissions.json to check logins");
    }
    if (tls && (settings->tls_cert == NULL || settings->tls_key == NULL)) {
        ok = problem(report, "settings", "a TLS listener needs tls.cert and tls.key");
    }
    return ok ? KS_OK : KS_INVALID;
}

void settings_done(struct settings *settings)
{
    arena_done(&settings->arena);
}

void settings_print_help(FILE *to)
{
    static const char *const types[] = {
        [KIND_TEXT] = "text",          [KIND_ORIGIN] = "pattern",  [KIND_PATH] = "path",
        [KIND_LISTENER] = "HOST:PORT", [KIND_INTEGER] = "number",  [KIND_SIZE] = "size",
        [KIND_DURATION] = "time",      [KIND_BOOL] = "true|false", [KIND_CHOICE] = "choice"};

    for (size_t i = 0; i < TABLE_COUNT; i++) {
        char choices[128] = "";
        size_t len = 0;

        for (size_t k = 0; k < 4 && table[i].choices[k] != NULL; k++) {
            len += (size_t)snprintf(choices + len, sizeof(choices) - len, "%s%s", k > 0 ? "|" : "",
                                    table[i].choices[k]);
        }
        (void)fprintf(to, "  %-34s %-20s %s%s%s%s\n", table[i].key,
                      len > 0 ? choices : types[table[i].kind], table[i].help,
                      table[i].fallback != NULL ? " [" : "",
                      table[i].fallback != NULL ? table[i].fallback : "",
                      table[i].fallback != NULL ? "]" : "");
    }
}
