/* The store on a sorted array. */
#include "support/test.h"

#include "support/array_kv.h"
#include "support/store_conformance.h"

static void finish(void)
{
}

int main(void)
{
    return store_conformance_run(array_kv_open, finish);
}
