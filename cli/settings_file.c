/* The YAML file: nested mappings of scalars and lists of scalars, read by libyaml's events. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/buf.h"
#include "cli/settings.h"

enum {
    DEPTH_MAX = 4,
    KEY_MAX_LEN = 128,
    KEYS_MAX = 128,
    FILE_MAX = 1 << 20,
    PROBLEMS_MAX = 50, /* told; a file with more is another file */
};

struct reader {
    struct settings *settings;
    const struct settings_report *report;
    const char *file;
    char folder[PATH_MAX];
    yaml_parser_t parser;
    char *seen[KEYS_MAX]; /* keys that have been set */
    size_t seen_count;
    size_t problems;
};

static void wrong(struct reader *r, size_t line, const char *text)
{
    char place[PATH_MAX + 32];

    (void)snprintf(place, sizeof(place), "%s:%zu", r->file, line + 1);
    r->report->problem(r->report->arg, place, text);
    r->problems++;
}

/* The next event; false at an error, which has been reported. */
static bool next(struct reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event) != 1) {
        char text[256];

        (void)snprintf(text, sizeof(text), "not YAML: %s",
                       r->parser.problem != NULL ? r->parser.problem : "cannot be read");
        wrong(r, r->parser.problem_mark.line, text);
        return false;
    }
    return true;
}

static bool is_new_key(struct reader *r, const char *key)
{
    for (size_t i = 0; i < r->seen_count; i++) {
        if (strcmp(r->seen[i], key) == 0) {
            return false;
        }
    }
    if (r->seen_count < KEYS_MAX) {
        r->seen[r->seen_count] = strdup(key);
        r->seen_count += r->seen[r->seen_count] != NULL;
    }
    return true;
}

static void set(struct reader *r, const char *key, struct span value, size_t line)
{
    char place[PATH_MAX + 32];
    const struct settings_source source = {.place = place, .base = r->folder};

    if (span_has_nul(value)) {
        wrong(r, line, "a value holds a NUL");
        return;
    }
    if (!is_new_key(r, key)) {
        wrong(r, line, "the same key is there twice");
        return;
    }
    (void)snprintf(place, sizeof(place), "%s:%zu", r->file, line + 1);
    r->problems += !settings_set(r->settings, key, value.ptr, &source, r->report);
}

/* A list of scalars, joined by commas. */
static bool read_list(struct reader *r, const char *key, size_t line)
{
    struct buf value;
    bool more = true;

    buf_init(&value, FILE_MAX);
    while (more) {
        yaml_event_t event;

        if (!next(r, &event)) {
            buf_done(&value);
            return false;
        }
        more = event.type == YAML_SCALAR_EVENT;
        if (more) {
            if (value.len > 0) {
                buf_add_char(&value, ',');
            }
            buf_add(&value, event.data.scalar.value, event.data.scalar.length);
        } else if (event.type != YAML_SEQUENCE_END_EVENT) {
            wrong(r, event.start_mark.line, "a list holds texts only");
            yaml_event_delete(&event);
            buf_done(&value);
            return false;
        }
        yaml_event_delete(&event);
    }
    buf_add(&value, "", 1);
    set(r, key, span_of(value.ptr, value.len - 1), line);
    buf_done(&value);
    return true;
}

static bool read_mapping(struct reader *r, const char *prefix, unsigned depth);

/* What stands behind a key. */
static bool read_value(struct reader *r, const char *key, unsigned depth)
{
    yaml_event_t event;
    bool ok = true;
    size_t line;

    if (!next(r, &event)) {
        return false;
    }
    line = event.start_mark.line;
    if (event.type == YAML_SCALAR_EVENT && event.data.scalar.anchor == NULL) {
        set(r, key, span_of((const char *)event.data.scalar.value, event.data.scalar.length), line);
    } else if (event.type == YAML_SEQUENCE_START_EVENT) {
        ok = read_list(r, key, line);
    } else if (event.type == YAML_MAPPING_START_EVENT && depth < DEPTH_MAX) {
        ok = read_mapping(r, key, depth + 1);
    } else {
        wrong(r, line, "anchors, aliases and deep nesting are not supported here");
        ok = false;
    }
    yaml_event_delete(&event);
    return ok;
}

static bool read_mapping(struct reader *r, const char *prefix, unsigned depth)
{
    for (;;) {
        yaml_event_t event;
        char key[KEY_MAX_LEN];
        bool fits;

        if (!next(r, &event)) {
            return false;
        }
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        fits = event.type == YAML_SCALAR_EVENT &&
               snprintf(key, sizeof(key), "%s%s%s", prefix, *prefix != '\0' ? "." : "",
                        (const char *)event.data.scalar.value) < KEY_MAX_LEN;
        if (!fits) {
            wrong(r, event.start_mark.line, "a key is not a short text");
        }
        yaml_event_delete(&event);
        if (!fits || !read_value(r, key, depth)) {
            return false;
        }
        if (r->problems >= PROBLEMS_MAX) {
            r->report->problem(r->report->arg, r->file, "and perhaps more");
            return false;
        }
    }
}

/* Stream, document, one mapping, and nothing behind it. */
static bool read_document(struct reader *r)
{
    static const yaml_event_type_t head[] = {YAML_STREAM_START_EVENT, YAML_DOCUMENT_START_EVENT,
                                             YAML_MAPPING_START_EVENT};
    static const yaml_event_type_t tail[] = {YAML_DOCUMENT_END_EVENT, YAML_STREAM_END_EVENT};
    yaml_event_t event;

    for (size_t i = 0; i < 3; i++) {
        yaml_event_type_t type;

        if (!next(r, &event)) {
            return false;
        }
        type = event.type;
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT) {
            return true; /* an empty file sets nothing */
        }
        if (type != head[i]) {
            wrong(r, 0, "expected settings as `key: value`");
            return false;
        }
    }
    if (!read_mapping(r, "", 1)) {
        return false;
    }
    for (size_t i = 0; i < 2; i++) {
        yaml_event_type_t type;

        if (!next(r, &event)) {
            return false;
        }
        type = event.type;
        if (type != tail[i]) {
            wrong(r, event.start_mark.line, "there is a second document in the file");
        }
        yaml_event_delete(&event);
        if (type != tail[i]) {
            return false;
        }
    }
    return true;
}

static void set_folder(struct reader *r)
{
    char *whole = realpath(r->file, NULL);
    char *slash = whole == NULL ? NULL : strrchr(whole, '/');

    if (slash != NULL) {
        *slash = '\0';
        (void)snprintf(r->folder, sizeof(r->folder), "%s", whole);
    }
    free(whole);
}

/* The whole file, at most `size` bytes; what is wrong, NULL if nothing is. */
static const char *load(const char *file, unsigned char *bytes, size_t size, size_t *len)
{
    FILE *stream = fopen(file, "re");
    const char *trouble = NULL;

    if (stream == NULL) {
        return ks_errno_text(errno);
    }
    errno = 0;
    *len = fread(bytes, 1, size, stream);
    if (ferror(stream) != 0) {
        trouble = ks_errno_text(errno);
    } else if (*len == size && fgetc(stream) != EOF) {
        trouble = "larger than 1 MiB: this is no configuration";
    }
    (void)fclose(stream);
    return trouble;
}

bool settings_read_file(struct settings *settings, const char *file,
                        const struct settings_report *report)
{
    struct reader r = {.settings = settings, .report = report, .file = file};
    unsigned char *bytes = malloc(FILE_MAX);
    const char *trouble;
    size_t len = 0;
    bool read;

    if (bytes == NULL || yaml_parser_initialize(&r.parser) != 1) {
        abort();
    }
    trouble = load(file, bytes, FILE_MAX, &len);
    if (trouble != NULL) {
        report->problem(report->arg, file, trouble);
        read = false;
    } else {
        set_folder(&r);
        yaml_parser_set_input_string(&r.parser, bytes, len);
        read = read_document(&r);
    }
    yaml_parser_delete(&r.parser);
    free(bytes);
    for (size_t i = 0; i < r.seen_count; i++) {
        free(r.seen[i]);
    }
    return read && r.problems == 0;
}
