#include "http/head.h"

#include <strings.h>

enum { LENGTH_DIGITS_MAX = 15 };

/* ---- characters ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_token_char(text.ptr[i])) {
            return false;
        }
    }
    return text.len > 0;
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7F;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct span trimmed(struct span text)
{
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text = span_of(text.ptr + 1, text.len - 1);
    }
    while (text.len > 0 && is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

static bool is(struct span text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.ptr, word, text.len) == 0;
}

/* What comes before the separator, which is taken off as well; all of it if there is none. */
static struct span cut_at(struct span *rest, char separator)
{
    const char *at = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
    struct span before = *rest;

    if (at == NULL) {
        *rest = span_of(span_end(*rest), 0);
    } else {
        before.len = (size_t)(at - rest->ptr);
        *rest = span_of(at + 1, rest->len - before.len - 1);
    }
    return before;
}

/* ---- lines ---- */

static bool is_target(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (is_control(text.ptr[i])) {
            return false;
        }
    }
    return text.len > 0;
}

bool head_parse_line(struct span line, struct head *out)
{
    struct span version = line;

    out->method = cut_at(&version, ' ');
    out->target = cut_at(&version, ' ');
    out->http_1_0 = span_eq(version, SPAN("HTTP/1.0"));
    return is_token(out->method) && is_target(out->target) &&
           (out->http_1_0 || span_eq(version, SPAN("HTTP/1.1")));
}

bool head_parse_field(struct span line, struct span *name, struct span *value)
{
    struct span rest = line;

    *name = cut_at(&rest, ':');
    *value = trimmed(rest);
    for (size_t i = 0; i < value->len; i++) {
        if (is_control(value->ptr[i]) && value->ptr[i] != '\t') {
            return false;
        }
    }
    return is_token(*name) && name->len < line.len;
}

/* ---- fields that mean something here ---- */

struct reading {
    struct head *head;
    size_t hosts;
    size_t lengths;
    size_t encodings;
};

static bool take_host(struct reading *reading, struct span value)
{
    (void)value;
    return ++reading->hosts == 1;
}

static bool take_length(struct reading *reading, struct span value)
{
    uint64_t length = 0;

    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.ptr[i])) {
            return false;
        }
        length = length * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    reading->head->body = length > 0 ? HEAD_BODY_LENGTH : HEAD_BODY_NONE;
    reading->head->length = length;
    return ++reading->lengths == 1 && value.len > 0 && value.len <= LENGTH_DIGITS_MAX;
}

static bool take_encoding(struct reading *reading, struct span value)
{
    reading->head->body = HEAD_BODY_CHUNKED;
    return ++reading->encodings == 1 && is(value, "chunked");
}

static bool take_connection(struct reading *reading, struct span value)
{
    while (value.len > 0) {
        struct span option = trimmed(cut_at(&value, ','));

        reading->head->close = reading->head->close || is(option, "close");
        reading->head->keep_alive = reading->head->keep_alive || is(option, "keep-alive");
    }
    return true;
}

static bool take_expect(struct reading *reading, struct span value)
{
    bool known = is(value, "100-continue");

    reading->head->expects_continue = known;
    reading->head->expects_more = reading->head->expects_more || !known;
    return true;
}

static bool take_nothing(struct reading *reading, struct span value)
{
    (void)reading;
    (void)value;
    return true;
}

/* Those that are not copied. */
static const struct known {
    const char *name;
    bool (*take)(struct reading *reading, struct span value);
} known[] = {
    {"content-length", take_length}, {"transfer-encoding", take_encoding},
    {"connection", take_connection}, {"expect", take_expect},
    {"keep-alive", take_nothing},    {"proxy-connection", take_nothing},
};

static const struct known *find_known(struct span name)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (is(name, known[i].name)) {
            return &known[i];
        }
    }
    return NULL;
}

static bool take_field(struct reading *reading, struct span name, struct span value)
{
    const struct known *field = find_known(name);

    if (field != NULL) {
        return field->take(reading, value);
    }
    return !is(name, "host") || take_host(reading, value);
}

/* The next line without its CRLF. */
static struct span next_line(struct span *rest)
{
    struct span line = cut_at(rest, '\n');

    return span_of(line.ptr, line.len > 0 ? line.len - 1 : 0);
}

bool head_parse(struct span text, struct head *out)
{
    struct reading reading = {.head = out};
    struct span rest = text;
    struct span line = next_line(&rest);
    const char *fields = rest.ptr;

    *out = (struct head){.body = HEAD_BODY_NONE};
    if (!head_parse_line(line, out)) {
        return false;
    }
    for (line = next_line(&rest); line.len > 0; line = next_line(&rest)) {
        struct span name;
        struct span value;

        if (!head_parse_field(line, &name, &value) || !take_field(&reading, name, value)) {
            return false;
        }
        out->fields = span_of(fields, (size_t)(rest.ptr - fields));
    }
    if (out->http_1_0) {
        out->expects_continue = false;
        out->expects_more = false;
    }
    return reading.encodings == 0 || (reading.lengths == 0 && !out->http_1_0);
}

/* ---- writing ---- */

bool head_wants_body(const struct head *head)
{
    return span_eq(head->method, SPAN("POST")) || span_eq(head->method, SPAN("PUT"));
}

static struct span plain_method(struct span method)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"};

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (span_eq(method, span_cstr(methods[i]))) {
            return method;
        }
    }
    return SPAN("PATCH");
}

static struct span skip(struct span text, size_t n)
{
    return span_of(text.ptr + n, text.len - n);
}

/* Path and query behind scheme and authority of an absolute target. */
static struct span path_of(struct span target)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t at = strlen(schemes[i]);

        if (target.len > at && strncasecmp(target.ptr, schemes[i], at) == 0) {
            while (at < target.len && strchr("/?#", target.ptr[at]) == NULL) {
                at++;
            }
            return skip(target, at);
        }
    }
    return target.ptr[0] == '/' ? target : span_of(target.ptr, 0);
}

static void write_target(struct span target, struct buf *out)
{
    struct span path = path_of(target);

    while (path.len > 0 && path.ptr[0] == '/') {
        path = skip(path, 1);
    }
    buf_add_char(out, '/');
    buf_add_span(out, path);
}

static void write_fields(struct span fields, struct buf *out)
{
    while (fields.len > 0) {
        struct span name;
        struct span value;

        if (head_parse_field(next_line(&fields), &name, &value) && find_known(name) == NULL) {
            buf_add_span(out, name);
            buf_add_cstr(out, ": ");
            buf_add_span(out, value);
            buf_add_cstr(out, "\r\n");
        }
    }
}

static void write_body(const struct head *head, enum head_body body, uint64_t length,
                       struct buf *out)
{
    switch (body) {
    case HEAD_BODY_NONE:
        if (head->body == HEAD_BODY_LENGTH && head_wants_body(head)) {
            buf_printf(out, HEAD_TOO_LARGE ": %llu\r\n", (unsigned long long)head->length);
        }
        return;
    case HEAD_BODY_LENGTH:
        buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)length);
        break;
    case HEAD_BODY_CHUNKED:
        buf_add_cstr(out, "Transfer-Encoding: chunked\r\n");
        break;
    }
    if (head->expects_continue) {
        buf_add_cstr(out, "Expect: 100-continue\r\n");
    }
}

void head_write(const struct head *head, enum head_body body, uint64_t length, struct buf *out)
{
    buf_add_span(out, plain_method(head->method));
    buf_add_char(out, ' ');
    write_target(head->target, out);
    buf_add_cstr(out, head->http_1_0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
    write_fields(head->fields, out);
    if (head->close) {
        buf_add_cstr(out, "Connection: close\r\n");
    } else if (head->http_1_0 && head->keep_alive) {
        buf_add_cstr(out, "Connection: keep-alive\r\n");
    }
    if (head->expects_more) {
        buf_add_cstr(out, HEAD_EXPECTS ": 1\r\n");
    }
    write_body(head, body, length, out);
    buf_add_cstr(out, "\r\n");
}
