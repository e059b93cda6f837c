/* The store on LMDB. */
#include "support/test.h"

#include "store/lmdb/lmdb_kv.h"
#include "support/store_conformance.h"

static struct test_dir dir;

static struct kv *start(void)
{
    struct lmdb_kv_options options = {.map_size = UINT64_C(1) << 30, .max_readers = 16};
    struct kv *kv = NULL;

    test_dir_make(&dir);
    options.dir = dir.path;
    assert_ok(lmdb_kv_open(&kv, &options, why));
    return kv;
}

static void finish(void)
{
    test_dir_remove(&dir);
}

int main(void)
{
    return store_conformance_run(start, finish);
}
