/* The store on LMDB. */
#include "support/test.h"

#include "store/lmdb/lmdb_kv.h"
#include "support/store_conformance.h"

static struct test_dir dir;

static struct kv *again(void)
{
    const struct lmdb_kv_options options = {
        .dir = dir.path, .map_size = UINT64_C(1) << 30, .max_readers = 16};
    struct kv *kv = NULL;

    assert_ok(lmdb_kv_open(&kv, &options, why));
    return kv;
}

static struct kv *start(void)
{
    test_dir_make(&dir);
    return again();
}

static void finish(void)
{
    test_dir_remove(&dir);
}

int main(void)
{
    return store_conformance_run(
        &(struct store_engine){.start = start, .again = again, .finish = finish});
}
