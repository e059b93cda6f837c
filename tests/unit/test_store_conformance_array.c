/* The store on a sorted array. */
#include "support/test.h"

#include "support/array_kv.h"
#include "support/store_conformance.h"

static struct array_disk *disk;

static struct kv *again(void)
{
    return array_kv_open(disk);
}

static struct kv *start(void)
{
    disk = array_disk_new();
    return again();
}

static void finish(void)
{
    array_disk_free(disk);
}

int main(void)
{
    return store_conformance_run(
        &(struct store_engine){.start = start, .again = again, .finish = finish});
}
