#include "service/service.h"

#include "certs/key_cache.h"
#include "service/digest_cache.h"
#include "service/tenant_cache.h"
#include "store/store.h"

enum { VERDICTS_CACHED = 65536, KEYS_CACHED = 64 };

enum ks_status service_reader_open(struct service_reader *reader, const struct service *service,
                                   struct counters_slot *counters, struct ks_failure *why)
{
    enum ks_status st;

    *reader = (struct service_reader){.service = service, .counters = counters};
    st = store_reader_open(service->store, &reader->txn, why);
    if (st != KS_OK) {
        return st;
    }
    arena_init(&reader->scratch);
    reader->tenants = tenant_cache_open();
    reader->trust.verdicts = digest_cache_open(VERDICTS_CACHED);
    reader->trust.keys = key_cache_open(KEYS_CACHED);
    return KS_OK;
}

void service_reader_close(struct service_reader *reader)
{
    if (reader == NULL || reader->txn == NULL) {
        return;
    }
    store_reader_close(reader->txn);
    reader->txn = NULL;
    tenant_cache_close(reader->tenants);
    digest_cache_close(reader->trust.verdicts);
    key_cache_close(reader->trust.keys);
    arena_done(&reader->scratch);
}

enum ks_status service_reader_renew(struct service_reader *reader, struct ks_failure *why)
{
    /* Before the snapshot is taken: see tenant_cache.h. */
    tenant_cache_begin(reader->tenants, store_tenant_generation(reader->service->store));
    return store_reader_renew(reader->txn, why);
}

void service_reader_rest(struct service_reader *reader)
{
    store_reader_reset(reader->txn);
    arena_reset(&reader->scratch);
}
