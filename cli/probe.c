/* koseki probe: does what a protocol adapter does at a device's login, and tells of each step. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/client.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/json_walk.h"
#include "certs/certificate.h"
#include "cli/command.h"
#include "net/tls.h"
#include "service/identity_template.h"

enum { TIMEOUT_MS = 10000, FILE_MAX = 64 << 10, STEPS_MAX = 4 };

struct step {
    const char *name;
    int status;         /* 0: it was not answered */
    struct span reason; /* of a refusal; empty: none */
    int64_t us;
};

struct probe {
    const struct command_options *options;
    struct arena arena;
    struct amqp_client *client;
    struct certificate certificate;
    struct span tenant;
    struct span type;
    struct span auth_id;
    struct span device;
    bool provisioned;
    struct step steps[STEPS_MAX];
    size_t step_count;
    const char *result;
    char trouble[320]; /* what a person should know if it ended early */
};

/* ---- input ---- */

static bool read_file(struct probe *probe, const char *path, struct span *out)
{
    char *bytes = arena_alloc(&probe->arena, FILE_MAX);
    FILE *file = fopen(path, "rbe");
    size_t len;

    if (file == NULL) {
        (void)fprintf(stderr, "koseki probe: %s: %s\n", path, ks_errno_text(errno));
        return false;
    }
    len = fread(bytes, 1, FILE_MAX, file);
    (void)fclose(file);
    *out = span_of(bytes, len);
    return true;
}

/* The password: the file's first line. */
static bool read_password(struct probe *probe, const char **out)
{
    struct span bytes;
    const char *end;

    if (!read_file(probe, probe->options->password_file, &bytes)) {
        return false;
    }
    end = bytes.len == 0 ? NULL : memchr(bytes.ptr, '\n', bytes.len);
    *out = arena_span(&probe->arena,
                      end == NULL ? bytes : span_of(bytes.ptr, (size_t)(end - bytes.ptr)))
               .ptr;
    return true;
}

static bool read_certificate(struct probe *probe)
{
    struct ks_failure why = {0};
    struct span bytes;

    if (!read_file(probe, probe->options->cert, &bytes)) {
        return false;
    }
    if (certificate_parse(bytes, &probe->arena, &probe->certificate, &why) != KS_OK) {
        (void)fprintf(stderr, "koseki probe: %s: %s\n", probe->options->cert, why.text);
        return false;
    }
    probe->type = SPAN("x509-cert");
    probe->auth_id = probe->certificate.subject_dn;
    return true;
}

static const char *check_usage(const struct command_options *o)
{
    bool by_id = o->tenant != NULL && o->type != NULL && o->auth_id != NULL;
    bool some_id = o->tenant != NULL || o->type != NULL || o->auth_id != NULL;

    if (o->connect == NULL || o->username == NULL || o->password_file == NULL) {
        return "--connect, --username and --password-file are needed";
    }
    if ((o->cert != NULL) == by_id || (o->cert != NULL && some_id)) {
        return "give either --cert, or --tenant, --type and --auth-id";
    }
    return o->tls && o->ca == NULL ? "--tls needs --ca" : NULL;
}

/* ---- steps ---- */

/* The members of a JSON object; none if it cannot be read. `text` outlives them. */
static const struct json_members *members_of(struct probe *probe, struct span text)
{
    struct json_members *members = arena_alloc(&probe->arena, sizeof(*members));

    if (json_scan_object(text, members, NULL) != KS_OK) {
        members->count = 0;
    }
    return members;
}

/* A string member, unescaped; empty if there is none. */
static struct span text_of(struct probe *probe, const struct json_members *members, const char *key)
{
    const struct json_member *member = json_members_find(members, span_cstr(key));
    struct span text = span_of(NULL, 0);

    if (member != NULL && member->kind == JSON_KIND_STRING) {
        json_scan_string(member->value, arena_alloc(&probe->arena, member->value.len), &text);
    }
    return text;
}

static struct span keep_body(struct probe *probe, const struct amqp_client_answer *answer)
{
    return arena_span(&probe->arena, buf_span(&answer->body));
}

static struct span member_of(struct probe *probe, const struct amqp_client_answer *answer,
                             const char *key)
{
    return text_of(probe, members_of(probe, keep_body(probe, answer)), key);
}

/* Calls, notes the step. False: refused or broken; probe->result says which. */
static bool call(struct probe *probe, const char *name, const struct amqp_client_request *request,
                 struct amqp_client_answer *answer)
{
    struct step *step = &probe->steps[probe->step_count++];
    int64_t start = clock_monotonic_us();
    struct ks_failure why = {0};
    enum ks_status st = amqp_client_call(probe->client, request, answer, &why);

    *step = (struct step){.name = name, .us = clock_monotonic_us() - start};
    if (st != KS_OK) {
        probe->result = st == KS_IO ? "unreachable" : "refused";
        (void)snprintf(probe->trouble, sizeof(probe->trouble), "%s: %s", name, why.text);
        return false;
    }
    step->status = answer->status;
    if (answer->status / 100 != 2) {
        step->reason = member_of(probe, answer, "reason");
        probe->result = "refused";
        (void)snprintf(probe->trouble, sizeof(probe->trouble), "%s: %.*s", name,
                       SPAN_ARG(member_of(probe, answer, "description")));
        return false;
    }
    return true;
}

/* The template that an adapter uses: of the first trusted CA with the issuer's name. */
static struct span auth_id_template_of(struct probe *probe, const struct amqp_client_answer *answer)
{
    const struct json_members *tenant = members_of(probe, keep_body(probe, answer));
    const struct json_member *cas = json_members_find(tenant, SPAN("trusted-ca"));
    struct json_walk walk;
    struct span no_key;
    struct span element;

    if (cas == NULL || cas->kind != JSON_KIND_ARRAY || !json_walk_begin(&walk, cas->value)) {
        return span_of(NULL, 0);
    }
    while (json_walk_next(&walk, &no_key, &element)) {
        const struct json_members *ca = members_of(probe, element);

        if (span_eq(text_of(probe, ca, "subject-dn"), probe->certificate.issuer_dn)) {
            return text_of(probe, ca, "auth-id-template");
        }
    }
    return span_of(NULL, 0);
}

/* The auth-id is the subject, or what the CA's template makes of it. */
static bool make_auth_id(struct probe *probe, const struct amqp_client_answer *answer)
{
    const struct identity_subject subject = {.dn = probe->certificate.subject_dn,
                                             .der = probe->certificate.subject_der};
    struct span template = auth_id_template_of(probe, answer);
    struct ks_failure why = {0};
    struct buf text;
    enum ks_status st;

    if (template.len == 0) {
        return true;
    }
    buf_init(&text, 0);
    st = identity_template_fill(template, &subject, &text, &why);
    if (st == KS_OK) {
        probe->auth_id = arena_span(&probe->arena, buf_span(&text));
    } else {
        probe->result = "refused";
        (void)snprintf(probe->trouble, sizeof(probe->trouble), "auth-id: %s", why.text);
    }
    buf_done(&text);
    return st == KS_OK;
}

static bool ask_tenant(struct probe *probe)
{
    struct amqp_client_answer answer;
    struct buf body;
    bool ok;

    buf_init(&body, 0);
    if (probe->options->cert != NULL) {
        buf_add_cstr(&body, "{\"subject-dn\":");
        buf_add_json(&body, probe->certificate.issuer_dn);
    } else {
        buf_add_cstr(&body, "{\"tenant-id\":");
        buf_add_json(&body, span_cstr(probe->options->tenant));
    }
    buf_add_char(&body, '}');
    ok = call(probe, "tenant",
              &(struct amqp_client_request){
                  .endpoint = "tenant", .subject = "get", .body = buf_span(&body)},
              &answer);
    probe->tenant = ok ? member_of(probe, &answer, "tenant-id") : probe->tenant;
    ok = ok && (probe->options->cert == NULL || make_auth_id(probe, &answer));
    buf_done(&answer.body);
    buf_done(&body);
    return ok;
}

static bool ask_credentials(struct probe *probe)
{
    struct amqp_client_answer answer;
    struct buf body;
    bool ok;

    buf_init(&body, 0);
    buf_add_cstr(&body, "{\"type\":");
    buf_add_json(&body, probe->type);
    buf_add_cstr(&body, ",\"auth-id\":");
    buf_add_json(&body, probe->auth_id);
    if (probe->options->cert != NULL) {
        buf_add_cstr(&body, ",\"client-certificate\":\"");
        base64_encode(&body, probe->certificate.der.ptr, probe->certificate.der.len);
        buf_add_char(&body, '"');
    }
    buf_add_char(&body, '}');
    ok = call(probe, "credentials",
              &(struct amqp_client_request){.endpoint = "credentials",
                                            .tenant = probe->tenant,
                                            .subject = "get",
                                            .body = buf_span(&body)},
              &answer);
    if (ok) {
        probe->device = member_of(probe, &answer, "device-id");
        probe->provisioned = answer.status == 201;
    }
    buf_done(&answer.body);
    buf_done(&body);
    return ok;
}

static bool ask_assert(struct probe *probe)
{
    struct amqp_client_answer answer;
    bool ok = call(probe, "assert",
                   &(struct amqp_client_request){.endpoint = "registration",
                                                 .tenant = probe->tenant,
                                                 .subject = "assert",
                                                 .device_id = probe->device},
                   &answer);

    buf_done(&answer.body);
    return ok;
}

static void log_in(struct probe *probe, const char *password, struct tls_context *tls)
{
    const struct amqp_client_options options = {.address = probe->options->connect,
                                                .tls = tls,
                                                .user = probe->options->username,
                                                .password = password,
                                                .timeout_ms = TIMEOUT_MS};
    struct step *step = &probe->steps[probe->step_count++];
    int64_t start = clock_monotonic_us();
    struct ks_failure why = {0};
    enum ks_status st = amqp_client_open(&probe->client, &options, &why);

    *step = (struct step){.name = "connect", .us = clock_monotonic_us() - start};
    step->status = st == KS_OK ? 200 : st == KS_UNAUTHORIZED ? 401 : st == KS_UNAVAILABLE ? 503 : 0;
    if (st != KS_OK) {
        probe->result = st == KS_IO ? "unreachable" : "refused";
        (void)snprintf(probe->trouble, sizeof(probe->trouble), "connect: %s", why.text);
        return;
    }
    if (ask_tenant(probe) && ask_credentials(probe) && ask_assert(probe)) {
        probe->result = "logged-in";
    }
}

/* ---- output ---- */

static void add_text_or_null(struct buf *out, struct span text)
{
    if (text.len > 0) {
        buf_add_json(out, text);
    } else {
        buf_add_cstr(out, "null");
    }
}

static void print_json(const struct probe *probe)
{
    struct buf out;

    buf_init(&out, 0);
    buf_printf(&out, "{\"result\":\"%s\",\"provisioned\":%s,\"tenant\":", probe->result,
               probe->provisioned ? "true" : "false");
    add_text_or_null(&out, probe->tenant);
    buf_add_cstr(&out, ",\"device\":");
    add_text_or_null(&out, probe->device);
    buf_add_cstr(&out, ",\"steps\":[");
    for (size_t i = 0; i < probe->step_count; i++) {
        const struct step *step = &probe->steps[i];

        buf_printf(&out, "%s{\"name\":\"%s\",\"status\":%d,\"reason\":", i > 0 ? "," : "",
                   step->name, step->status);
        add_text_or_null(&out, step->reason);
        buf_printf(&out, ",\"ms\":%.3f}", (double)step->us / 1000.0);
    }
    buf_add_cstr(&out, "]}\n");
    (void)fwrite(out.ptr, 1, out.len, stdout);
    buf_done(&out);
}

static void print_text(const struct probe *probe)
{
    for (size_t i = 0; i < probe->step_count; i++) {
        const struct step *step = &probe->steps[i];

        (void)printf("%-12s %3d  %8.1f ms%s%.*s\n", step->name, step->status,
                     (double)step->us / 1000.0, step->reason.len > 0 ? "  " : "",
                     SPAN_ARG(step->reason));
    }
    if (strcmp(probe->result, "logged-in") == 0) {
        (void)printf("logged in: tenant %.*s, device %.*s%s\n", SPAN_ARG(probe->tenant),
                     SPAN_ARG(probe->device), probe->provisioned ? " (provisioned just now)" : "");
    } else {
        (void)printf("%s: %s\n", probe->result, probe->trouble);
    }
}

static int exit_code(const char *result)
{
    if (strcmp(result, "logged-in") == 0) {
        return EXIT_OK;
    }
    return strcmp(result, "refused") == 0 ? EXIT_FAILED : EXIT_UNREACHABLE;
}

int command_probe(const struct command_options *options)
{
    struct probe probe = {.options = options,
                          .tenant = span_cstr(options->tenant),
                          .type = span_cstr(options->type),
                          .auth_id = span_cstr(options->auth_id),
                          .result = "unreachable"};
    const char *wrong = check_usage(options);
    const char *password = NULL;
    struct tls_context *tls = NULL;
    struct ks_failure why = {0};
    struct settings settings;
    bool known;
    int code = EXIT_USAGE;

    if (wrong != NULL) {
        (void)fprintf(stderr, "koseki probe: %s; see koseki probe --help\n", wrong);
        return EXIT_USAGE;
    }
    known =
        command_settings(options, &settings); /* none matters here, but wrong ones are told of */
    settings_done(&settings);
    if (!known) {
        return EXIT_USAGE;
    }
    arena_init(&probe.arena);
    if (options->tls && tls_client_open(&tls, options->ca, NULL, NULL, &why) != KS_OK) {
        (void)fprintf(stderr, "koseki probe: %s\n", why.text);
    } else if (read_password(&probe, &password) &&
               (options->cert == NULL || read_certificate(&probe))) {
        log_in(&probe, password, tls);
        if (options->json) {
            print_json(&probe);
        } else {
            print_text(&probe);
        }
        code = exit_code(probe.result);
    }
    amqp_client_close(probe.client);
    tls_close(tls);
    arena_done(&probe.arena);
    return code;
}
