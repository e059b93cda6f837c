#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/line_reader.h"
#include "cli/progress.h"
#include "service/export.h"
#include "service/import.h"
#include "store/lmdb/lmdb_kv.h"
#include "store/lmdb/lmdb_load.h"
#include "store/load_kv.h"
#include "store/store.h"

enum { SORT_MEMORY = 64 << 20 };

struct importer {
    const struct settings *settings;
    int fd;
    uint64_t bytes; /* of the input; 0: not known */
    struct progress progress;
    struct lmdb_load *load;
    struct store *store;
    struct import *import;
};

static enum ks_status open_input(struct importer *i, const char *path, struct ks_failure *why)
{
    struct stat st;

    i->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (i->fd < 0) {
        return ks_fail(why, KS_IO, NULL, "cannot open %s: %s", path, ks_errno_text(errno));
    }
    if (fstat(i->fd, &st) == 0 && S_ISREG(st.st_mode)) {
        i->bytes = (uint64_t)st.st_size;
    }
    return KS_OK;
}

static void on_written(void *arg, uint64_t done, uint64_t all)
{
    struct importer *i = arg;
    const struct progress_state state = {
        .done = done, .all = all, .count = done, .unit = "entries"};

    progress_show(&i->progress, &state);
}

static enum ks_status open_new_store(struct importer *i, struct kv **load, struct ks_failure *why)
{
    struct load_kv_options options = {.memory = SORT_MEMORY, .progress = on_written, .arg = i};
    struct kv *kv = NULL;
    enum ks_status st = lmdb_load_open(&i->load, i->settings->data_dir,
                                       (uint64_t)i->settings->store_map_size, &kv, why);

    if (st != KS_OK) {
        return st;
    }
    options.dir = lmdb_load_dir(i->load);
    *load = load_kv_open(kv, &options);
    st = store_open(&i->store, *load, why);
    if (st != KS_OK) {
        (*load)->engine->close(*load);
    }
    return st;
}

static enum ks_status read_lines(struct importer *i, struct ks_failure *why)
{
    struct line_reader reader;
    struct span line;
    enum ks_status st;

    line_reader_init(&reader, i->fd, EXPORT_LINE_MAX);
    progress_begin(&i->progress, "reading");
    while ((st = line_reader_next(&reader, &line, why)) == KS_OK) {
        const struct progress_state state = {.done = reader.taken,
                                             .all = i->bytes,
                                             .in_bytes = true,
                                             .count = reader.number,
                                             .unit = "lines"};

        st = import_line(i->import, line, why);
        if (st != KS_OK) {
            break;
        }
        progress_show(&i->progress, &state);
    }
    line_reader_done(&reader);
    return st == KS_NOT_FOUND ? KS_OK : st;
}

static enum ks_status fill(struct importer *i, struct ks_failure *why)
{
    struct import_options options = {.max_bcrypt_cost =
                                         (int)i->settings->passwords_max_bcrypt_cost};
    enum ks_status st = open_new_store(i, &options.load, why);

    if (st == KS_OK) {
        options.store = i->store;
        st = import_open(&i->import, &options, why);
    }
    if (st == KS_OK) {
        st = read_lines(i, why);
    }
    if (st == KS_OK) {
        progress_begin(&i->progress, "writing");
        st = import_finish(i->import, why);
    }
    progress_end(&i->progress);
    return st;
}

/* The new file must not be open when it takes its place. */
static enum ks_status run(struct importer *i, struct import_counts *counts, struct ks_failure *why)
{
    enum ks_status st = fill(i, why);

    if (st == KS_OK) {
        *counts = import_counts(i->import);
    }
    import_close(i->import);
    store_close(i->store);
    if (st == KS_OK) {
        st = lmdb_load_publish(i->load, why);
    }
    lmdb_load_close(i->load);
    return st;
}

int command_import(const struct command_options *options)
{
    struct settings settings;
    struct importer i = {.settings = &settings, .fd = -1};
    struct import_counts counts = {0};
    struct ks_failure why = {0};
    enum ks_status st = KS_INVALID;

    if (command_settings(options, &settings)) {
        st = open_input(&i, options->operand, &why);
        if (st == KS_OK) {
            st = run(&i, &counts, &why);
        }
        if (st == KS_OK) {
            (void)printf("imported %" PRIu64 " tenants, %" PRIu64 " devices, %" PRIu64
                         " credentials\n",
                         counts.tenants, counts.devices, counts.credentials);
        } else {
            (void)fprintf(stderr, "koseki import: %s\n", why.text);
        }
    }
    if (i.fd > STDERR_FILENO) {
        close(i.fd);
    }
    settings_done(&settings);
    return st == KS_OK ? EXIT_OK : EXIT_FAILED;
}
