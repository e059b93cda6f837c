#include "http/cors.h"

#include <regex.h>
#include <stdlib.h>
#include <strings.h>

#include "base/buf.h"

enum { ORIGIN_MAX = 512, PATTERN_MAX = 1024 };

struct cors {
    bool all;
    regex_t pattern; /* unless all */
};

enum ks_status cors_open(struct cors **out, const char *allowed, struct ks_failure *why)
{
    struct cors *cors = calloc(1, sizeof(*cors));
    char text[128];
    struct buf whole;
    int rc;

    if (cors == NULL) {
        abort();
    }
    cors->all = strcmp(allowed, "*") == 0;
    if (cors->all) {
        *out = cors;
        return KS_OK;
    }
    buf_init(&whole, PATTERN_MAX);
    buf_printf(&whole, "^(%s)$", allowed);
    buf_add_char(&whole, '\0');
    rc = whole.overflow ? REG_ESPACE : regcomp(&cors->pattern, whole.ptr, REG_EXTENDED | REG_NOSUB);
    buf_done(&whole);
    if (rc != 0) {
        (void)regerror(rc, &cors->pattern, text, sizeof(text));
        free(cors);
        return ks_fail(why, KS_INVALID, NULL, "%s", text);
    }
    *out = cors;
    return KS_OK;
}

void cors_close(struct cors *cors)
{
    if (cors != NULL) {
        if (!cors->all) {
            regfree(&cors->pattern);
        }
        free(cors);
    }
}

bool cors_allows_all(const struct cors *cors)
{
    return cors->all;
}

/* ---- origins ---- */

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* How many characters belong to the host: a name, an IPv4 or, in brackets, an IPv6 address. */
static size_t host_len(const char *text)
{
    size_t n = 0;

    if (text[0] == '[') {
        n = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
        return n > 1 && text[n] == ']' ? n + 1 : 0;
    }
    while (is_alphanumeric(text[n]) || text[n] == '.' || text[n] == '-') {
        n++;
    }
    return n;
}

/* Behind "scheme://"; NULL if that is not there. */
static const char *behind_scheme(const char *origin)
{
    static const char *const schemes[] = {"http://", "https://", "ftp://"};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (strncasecmp(origin, schemes[i], strlen(schemes[i])) == 0) {
            return origin + strlen(schemes[i]);
        }
    }
    return NULL;
}

static bool is_origin(const char *origin)
{
    const char *at = behind_scheme(origin);
    size_t n;

    if (strcmp(origin, "null") == 0) {
        return true;
    }
    n = at == NULL ? 0 : host_len(at);
    if (n == 0) {
        return false;
    }
    at += n;
    if (*at == ':') {
        at += 1 + strspn(at + 1, "0123456789");
    }
    return *at == '\0' || (*at == '/' && strpbrk(at, " \t?#,") == NULL);
}

bool cors_allows(const struct cors *cors, const char *origin)
{
    if (strnlen(origin, ORIGIN_MAX + 1) > ORIGIN_MAX || !is_origin(origin)) {
        return false;
    }
    return cors->all || regexec(&cors->pattern, origin, 0, NULL, 0) == 0;
}
