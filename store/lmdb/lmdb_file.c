#include "store/lmdb/lmdb_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint32_t magic = 0xBEEFC0DE;

/* LMDB writes its structs as they lie in memory: native byte order, 64 bit. */
enum {
    VERSION = 1,
    META_PAGES = 2,

    PAGE_HEAD =
        16, /* page number u64, unused u16, flags u16, end of node offsets u16, unused u16 */
    PAGE_FLAGS_AT = 10,
    PAGE_LOWER_AT = 12,
    PAGE_BRANCH = 0x01,
    PAGE_LEAF = 0x02,

    /* In the meta page, behind the page's head. */
    META_MAGIC_AT = 0,
    META_VERSION_AT = 4,
    META_FREE_DB_AT = 24, /* whose first field holds the page size */
    META_MAIN_DB_AT = 72,
    META_LAST_PAGE_AT = 120,
    META_TXNID_AT = 128,
    META_SIZE = 136,

    DB_DEPTH_AT = 6,
    DB_OVERFLOW_PAGES_AT = 24,
    DB_ROOT_AT = 40,
    DB_SIZE = 48,

    NODE_HEAD = 8, /* data length u32, flags u16, key length u16; in a branch the first two are the
                      low and the high part of a page number */
    NODE_FLAGS_AT = 4,
    NODE_KEY_LEN_AT = 6,
    NODE_OVERFLOW = 0x01,
    NODE_SUB_DB = 0x02,

    DEPTH_MAX = 32,
};

struct file {
    int fd;
    uint32_t page_size;
    uint64_t pages; /* whole ones */
};

static const char cut_short[] = "pages are missing at its end: it has been cut";
static const char malformed[] = "a page of it is damaged";

static uint16_t u16_at(const unsigned char *p)
{
    uint16_t value;

    memcpy(&value, p, sizeof(value));
    return value;
}

static uint32_t u32_at(const unsigned char *p)
{
    uint32_t value;

    memcpy(&value, p, sizeof(value));
    return value;
}

static uint64_t u64_at(const unsigned char *p)
{
    uint64_t value;

    memcpy(&value, p, sizeof(value));
    return value;
}

/* ---- the walk: each function says what is wrong, NULL if nothing is ---- */

static const char *walk_tree(const struct file *file, const unsigned char *db, bool has_sub_dbs);

static const char *check_leaf_node(const struct file *file, const unsigned char *node, size_t room,
                                   bool has_sub_dbs)
{
    uint16_t flags = u16_at(node + NODE_FLAGS_AT);
    size_t data_at = NODE_HEAD + (size_t)u16_at(node + NODE_KEY_LEN_AT);
    uint64_t len = u32_at(node);

    if ((flags & NODE_OVERFLOW) != 0) {
        uint64_t first;

        if (data_at + sizeof(first) > room) {
            return malformed;
        }
        first = u64_at(node + data_at);
        return first < file->pages && (PAGE_HEAD + len + file->page_size - 1) / file->page_size <=
                                          file->pages - first
                   ? NULL
                   : cut_short;
    }
    if ((flags & NODE_SUB_DB) != 0 && has_sub_dbs) {
        return data_at + DB_SIZE <= room ? walk_tree(file, node + data_at, false) : malformed;
    }
    return NULL;
}

/* The number of nodes of the page, whose offsets follow its head; -1 if it cannot be one of this
 * tree. */
static int check_page(const struct file *file, const unsigned char *page, uint64_t number,
                      bool is_leaf)
{
    size_t lower = u16_at(page + PAGE_LOWER_AT);

    if (u64_at(page) != number || lower < PAGE_HEAD || lower > file->page_size ||
        (u16_at(page + PAGE_FLAGS_AT) & (PAGE_BRANCH | PAGE_LEAF)) !=
            (is_leaf ? PAGE_LEAF : PAGE_BRANCH)) {
        return -1;
    }
    return (int)((lower - PAGE_HEAD) / sizeof(uint16_t));
}

struct walk {
    const struct file *file;
    bool reads_leaves; /* their nodes refer to pages */
    bool has_sub_dbs;
};

static const char *walk_page(const struct walk *walk, uint64_t number, unsigned depth)
{
    const struct file *file = walk->file;
    const char *wrong = NULL;
    unsigned char *page;
    int nodes = 0;

    if (number >= file->pages) {
        return cut_short;
    }
    if (depth == 1 && !walk->reads_leaves) {
        return NULL;
    }
    page = malloc(file->page_size);
    if (page == NULL) {
        abort();
    }
    if (pread(file->fd, page, file->page_size, (off_t)(number * file->page_size)) !=
        (ssize_t)file->page_size) {
        wrong = "it cannot be read";
    } else if ((nodes = check_page(file, page, number, depth == 1)) < 0) {
        wrong = malformed;
    }
    for (int i = 0; i < nodes && wrong == NULL; i++) {
        size_t at = u16_at(page + PAGE_HEAD + (size_t)i * sizeof(uint16_t));

        if (at + NODE_HEAD > file->page_size) {
            wrong = malformed;
        } else if (depth == 1) {
            wrong = check_leaf_node(file, page + at, file->page_size - at, walk->has_sub_dbs);
        } else {
            uint64_t child = u32_at(page + at) | (uint64_t)u16_at(page + at + NODE_FLAGS_AT) << 32;

            wrong = walk_page(walk, child, depth - 1);
        }
    }
    free(page);
    return wrong;
}

static const char *walk_tree(const struct file *file, const unsigned char *db, bool has_sub_dbs)
{
    const struct walk walk = {
        .file = file,
        .reads_leaves = has_sub_dbs || u64_at(db + DB_OVERFLOW_PAGES_AT) != 0,
        .has_sub_dbs = has_sub_dbs,
    };
    uint64_t root = u64_at(db + DB_ROOT_AT);
    unsigned depth = u16_at(db + DB_DEPTH_AT);

    if (root == UINT64_MAX) {
        return NULL; /* empty */
    }
    return depth == 0 || depth > DEPTH_MAX ? malformed : walk_page(&walk, root, depth);
}

/* ---- the meta pages ---- */

static bool read_meta(int fd, off_t page_at, unsigned char meta[META_SIZE])
{
    return pread(fd, meta, META_SIZE, page_at + PAGE_HEAD) == META_SIZE &&
           u32_at(meta + META_MAGIC_AT) == magic;
}

static const char *check(int fd)
{
    unsigned char meta[META_PAGES][META_SIZE];
    const unsigned char *newer;
    struct file file = {.fd = fd};
    struct stat st;
    const char *wrong;

    if (fstat(fd, &st) != 0) {
        return "it cannot be read";
    }
    if (st.st_size == 0) {
        return NULL; /* LMDB will make it */
    }
    if (!read_meta(fd, 0, meta[0])) {
        return "it is no LMDB file";
    }
    file.page_size = u32_at(meta[0] + META_FREE_DB_AT);
    if (u32_at(meta[0] + META_VERSION_AT) != VERSION || file.page_size < 512 ||
        file.page_size > 65536 || (file.page_size & (file.page_size - 1)) != 0) {
        return "its LMDB format is not ours";
    }
    if (!read_meta(fd, (off_t)file.page_size, meta[1])) {
        return "its second meta page is damaged";
    }
    newer = meta[u64_at(meta[1] + META_TXNID_AT) > u64_at(meta[0] + META_TXNID_AT)];
    file.pages = (uint64_t)st.st_size / file.page_size;
    if (u64_at(newer + META_LAST_PAGE_AT) < file.pages) {
        return NULL;
    }
    wrong = walk_tree(&file, newer + META_FREE_DB_AT, false);
    return wrong != NULL ? wrong : walk_tree(&file, newer + META_MAIN_DB_AT, true);
}

enum ks_status lmdb_file_check(const char *path, struct ks_failure *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const char *wrong;

    if (fd < 0) {
        return ks_fail(why, errno == ENOENT ? KS_NOT_FOUND : KS_IO, NULL, "cannot open %s: %s",
                       path, ks_errno_text(errno));
    }
    wrong = check(fd);
    close(fd);
    return wrong == NULL ? KS_OK
                         : ks_fail(why, KS_CORRUPT, "not-a-store",
                                   "cannot use %s: %s; restore it from a backup", path, wrong);
}
