#include "store/lmdb/lmdb_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

const char lmdb_folder_loading[] = "import.tmp";

enum { PATH_ROOM = LMDB_PATH_MAX + 32 };

static void path_in(char path[PATH_ROOM], const char *dir, const char *name)
{
    (void)snprintf(path, PATH_ROOM, "%.*s/%s", LMDB_PATH_MAX, dir, name);
}

static enum ks_status cannot(const char *what, const char *path, struct ks_failure *why)
{
    return ks_fail(why, KS_IO, NULL, "cannot %s %s: %s", what, path, ks_errno_text(errno));
}

enum ks_status lmdb_folder_take(const char *dir, int *fd, struct ks_failure *why)
{
    char path[PATH_ROOM];
    int lock;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return cannot("make the data folder", dir, why);
    }
    path_in(path, dir, "koseki.lock");
    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0) {
        return cannot("open", path, why);
    }
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        close(lock);
        return ks_fail(why, KS_BUSY, "data-dir-in-use",
                       "the data folder %s is served by another process", dir);
    }
    *fd = lock;
    return KS_OK;
}

bool lmdb_folder_is_taken(const char *dir)
{
    char path[PATH_ROOM];
    bool taken;
    int fd;

    path_in(path, dir, "koseki.lock");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    taken = flock(fd, LOCK_SH | LOCK_NB) != 0;
    close(fd);
    return taken;
}

pid_t lmdb_folder_reader(const char *dir)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[PATH_ROOM];
    pid_t reader = 0;
    int fd;

    path_in(path, dir, "lock.mdb");
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) {
        reader = lock.l_pid;
    }
    close(fd);
    return reader;
}

enum ks_status lmdb_folder_sweep(const char *dir, struct ks_failure *why)
{
    char path[PATH_ROOM];
    struct dirent *entry;
    DIR *left;

    path_in(path, dir, lmdb_folder_loading);
    left = opendir(path);
    if (left == NULL) {
        return errno == ENOENT ? KS_OK : cannot("look into", path, why);
    }
    /* readdir is one stream's: this one is nobody else's */
    while ((entry = readdir(left)) != NULL) { // NOLINT(concurrency-mt-unsafe): as said
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            (void)unlinkat(dirfd(left), entry->d_name, 0);
        }
    }
    closedir(left);
    return rmdir(path) == 0 ? KS_OK : cannot("remove", path, why);
}

enum ks_status lmdb_folder_sync(const char *dir, struct ks_failure *why)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum ks_status st = KS_OK;

    if (fd < 0) {
        return cannot("open", dir, why);
    }
    if (fsync(fd) != 0) {
        st = cannot("sync", dir, why);
    }
    close(fd);
    return st;
}
