/*
 * slowdisk: a preload that delays and fails the two steps of an LMDB commit: fdatasync of the data
 * and the write of the meta page on a descriptor opened with O_DSYNC.
 *
 * Steered while the process runs by the file named in KOSEKI_SLOWDISK, read at each step. Its
 * words: sync-hold=1 (until the word is gone) sync-delay=MS sync-fail=ERRNO, and meta-… of each. A
 * step that is held back or fails first appends a line to the same name with ".log".
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long setting(const char *name)
{
    const char *path = getenv("KOSEKI_SLOWDISK");
    char text[256] = "";
    const char *at;
    FILE *file = path == NULL ? NULL : fopen(path, "re");

    if (file == NULL) {
        return 0;
    }
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    at = strstr(text, name);
    return at == NULL ? 0 : strtol(at + strlen(name), NULL, 10);
}

static void note(const char *what)
{
    char path[4096];
    FILE *file;

    if (snprintf(path, sizeof(path), "%s.log", getenv("KOSEKI_SLOWDISK")) >= (int)sizeof(path)) {
        return;
    }
    file = fopen(path, "ae");
    if (file != NULL) {
        fprintf(file, "%s\n", what);
        fclose(file);
    }
}

static void pause_for(long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

/* 0, or the errno to fail with, after the hold and the delay. */
static int step(const char *hold, const char *delay, const char *fail)
{
    long ms;
    long error;

    if (setting(hold) != 0) {
        note(hold);
        while (setting(hold) != 0) {
            pause_for(2);
        }
    }
    ms = setting(delay);
    if (ms > 0) {
        note(delay);
        pause_for(ms);
    }
    error = setting(fail);
    if (error != 0) {
        note(fail);
    }
    return (int)error;
}

int fdatasync(int fd)
{
    static int (*next)(int);
    int error = step("sync-hold=", "sync-delay=", "sync-fail=");

    if (next == NULL) {
        next = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    }
    if (error != 0) {
        errno = error;
        return -1;
    }
    return next(fd);
}

static ssize_t meta_pwrite(const char *symbol, int fd, const void *buf, size_t len, off_t at)
{
    ssize_t (*next)(int, const void *, size_t, off_t);
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && (flags & O_DSYNC) != 0) {
        int error = step("meta-hold=", "meta-delay=", "meta-fail=");

        if (error != 0) {
            errno = error;
            return -1;
        }
    }
    next = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, symbol);
    return next(fd, buf, len, at);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t at)
{
    return meta_pwrite("pwrite", fd, buf, len, at);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off_t at)
{
    return meta_pwrite("pwrite64", fd, buf, len, at);
}
