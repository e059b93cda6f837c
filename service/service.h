/*
 * service: what all operations share. Immutable after service_open but for what says otherwise.
 *
 * Threads:   read by all; the things it points to have rules of their own.
 * Ownership: borrows store, writer, accounts; they outlive it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "service/trust.h"

struct accounts;
struct counters_slot;
struct device_connections;
struct outbox;
struct pool;
struct search_worker;
struct store;
struct store_txn;
struct tenant_cache;
struct writer;

enum verify_mode { VERIFY_ENFORCE, VERIFY_REPORT, VERIFY_OFF };

struct service {
    struct store *store;
    struct writer *writer;
    struct pool *pool;                             /* password hashes */
    struct device_connections *device_connections; /* Hono 1.x adapters' */
    struct outbox *outbox;                         /* NULL: no messaging */
    struct search_worker *search;                  /* of the management API */
    enum verify_mode verify;                       /* provisioning.verify */
    int64_t max_devices_per_tenant;                /* 0: none */
    int64_t max_credentials_per_device;            /* 0: none */
    int max_bcrypt_cost;
    int tenant_max_age_s;       /* 180; 0: no-cache */
    int credentials_max_age_s;  /* 180; 0: no-cache */
    int registration_max_age_s; /* 300 */
};

/*
 * What one thread needs to answer look-ups: its reader, its caches, its scratch memory.
 * Owned by that thread.
 */
struct service_reader {
    const struct service *service;
    struct store_txn *txn;
    struct tenant_cache *tenants; /* id -> key space */
    struct trust_memory trust;    /* certificates verified with a CA's key, such keys */
    struct counters_slot *counters;
    struct arena scratch; /* reset by the caller after each request */
};

KS_MUST_CHECK enum ks_status service_reader_open(struct service_reader *reader,
                                                 const struct service *service,
                                                 struct counters_slot *counters,
                                                 struct ks_failure *why);
void service_reader_close(struct service_reader *reader);
/* A fresh snapshot for one request: reads the tenant generation, then renews the transaction. */
KS_MUST_CHECK enum ks_status service_reader_renew(struct service_reader *reader,
                                                  struct ks_failure *why);
/* Between requests: lets go of the snapshot and resets the scratch. */
void service_reader_rest(struct service_reader *reader);
