/*
 * registry: a store in a temporary folder with a service on it, and records written straight into
 * it, so that a test of look-ups depends on no other part's documents.
 *
 * Threads: one; records are put while the writer rests.
 */
#pragma once

#include "support/test.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/answer.h"
#include "service/authority.h"
#include "service/service.h"
#include "store/store.h"
#include "store/writer.h"
#include "support/pki.h"

/* 2026-11-24T10:00:00Z: the time of all tests. */
#define REGISTRY_NOW INT64_C(1795514400000)
#define REGISTRY_DAY INT64_C(86400000)

struct registry {
    struct test_dir dir;
    struct kv *kv; /* the store's, to write behind its back */
    struct store *store;
    struct writer *writer;
    struct service service;
    struct service_reader reader;
    struct counters_slot *counters;
    struct arena arena; /* of the records being put */
    struct answer answer;
};

void registry_open(struct registry *registry);
/* Verifies the store first. */
void registry_close(struct registry *registry);
void registry_verify(struct registry *registry);

struct registry_ca {
    const char *name; /* CN of "CN=<name>,O=Test" */
    const struct pki_key *key;
    int64_t from_ms;  /* 0: long ago */
    int64_t until_ms; /* 0: far away */
    uint32_t flags;
    const char *device_id_template; /* NULL: none */
    const char *auth_id_template;   /* NULL: none */
};

struct registry_tenant {
    const char *id;
    const char *alias; /* NULL: none */
    bool disabled;
    bool limited; /* max_* below count */
    int32_t max_devices;
    int32_t max_credentials;
    const struct registry_ca *cas;
    size_t ca_count;
};

/* Inserts, or replaces the tenant of that id. */
uint32_t registry_put_tenant(struct registry *registry, const struct registry_tenant *tenant);
void registry_delete_tenant(struct registry *registry, const char *id);

struct registry_secret {
    const char *json;
    int64_t from_ms;  /* 0: always */
    int64_t until_ms; /* 0: always */
    bool disabled;
};

struct registry_credential {
    const char *type;
    const char *auth_id;
    const char *device_id;
    const char *ext; /* NULL: none */
    bool disabled;
    const struct registry_secret *secrets;
    size_t secret_count;
};

/* With its device, which must not be there yet. */
void registry_put_credential(struct registry *registry, uint32_t space,
                             const struct registry_credential *credential);

enum { REGISTRY_NAMES = 8 }; /* of a list, at most */

struct registry_device {
    const char *id;
    bool disabled;
    bool provisioner; /* has the authority */
    const char *via[REGISTRY_NAMES];
    const char *via_groups[REGISTRY_NAMES];
    const char *member_of[REGISTRY_NAMES];
};
void registry_put_device(struct registry *registry, uint32_t space,
                         const struct registry_device *device);
void registry_delete_device(struct registry *registry, uint32_t space, const char *id);
uint64_t registry_count_devices(struct registry *registry, uint32_t space);

void registry_renew(struct registry *registry);

/* An identity that may call `operation` on `resource`; NULL: that may do nothing. */
struct identity *registry_identity(const char *resource, const char *operation);

#define assert_answer(registry, code, json)                                                        \
    do {                                                                                           \
        if ((registry)->answer.status != (code)) {                                                 \
            fail_msg("status %d: %.*s", (registry)->answer.status,                                 \
                     SPAN_ARG(buf_span(&(registry)->answer.body)));                                \
        }                                                                                          \
        assert_span(buf_span(&(registry)->answer.body), json);                                     \
    } while (0)
#define assert_refusal(registry, code, why_not)                                                    \
    do {                                                                                           \
        if ((registry)->answer.status != (code) || (registry)->answer.reason == NULL ||            \
            strcmp((registry)->answer.reason, why_not) != 0) {                                     \
            fail_msg("not %d %s but %d %.*s", code, why_not, (registry)->answer.status,            \
                     SPAN_ARG(buf_span(&(registry)->answer.body)));                                \
        }                                                                                          \
    } while (0)
