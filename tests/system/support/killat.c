/*
 * killat: a preload that ends the process, as a crash does, right before the N-th call that changes
 * what a folder holds or what is on the disk. N is in KOSEKI_KILL_AT; without it nothing happens.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void count(void)
{
    static atomic_long calls;
    const char *at = getenv("KOSEKI_KILL_AT");

    if (at != NULL && atomic_fetch_add(&calls, 1) + 1 == strtol(at, NULL, 10)) {
        (void)kill(getpid(), SIGKILL);
    }
}

/* The function behind ours. */
#define NEXT(result, name, ...)                                                                    \
    count();                                                                                       \
    result (*next)(__VA_ARGS__) = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

int rename(const char *from, const char *to)
{
    NEXT(int, "rename", const char *, const char *);
    return next(from, to);
}

int unlink(const char *path)
{
    NEXT(int, "unlink", const char *);
    return next(path);
}

int unlinkat(int folder, const char *path, int flags)
{
    NEXT(int, "unlinkat", int, const char *, int);
    return next(folder, path, flags);
}

int rmdir(const char *path)
{
    NEXT(int, "rmdir", const char *);
    return next(path);
}

int mkdir(const char *path, mode_t mode)
{
    NEXT(int, "mkdir", const char *, mode_t);
    return next(path, mode);
}

int fsync(int fd)
{
    NEXT(int, "fsync", int);
    return next(fd);
}

int fdatasync(int fd)
{
    NEXT(int, "fdatasync", int);
    return next(fd);
}
