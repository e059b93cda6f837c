/*
 * key: how the store's keys are put together. Keys order by memcmp: numbers are big-endian, parts
 * are parted by NUL (no identifier holds one).
 *
 * K(x) bounds a name of any length: 0x00 and the name if it has at most 200 bytes, else 0x01, its
 * first 64 bytes and its SHA-256. The full name then stands in the value and is compared on read.
 *
 * Threads: any; plain values.
 */
#pragma once

#include <stdint.h>

#include "base/span.h"
#include "store/kv.h"

enum { KEY_NAME_RAW_MAX = 200, KEY_NAME_PREFIX = 64 };

struct key {
    unsigned char bytes[KV_KEY_MAX + 1]; /* one more for key_step */
    size_t len;
};

static inline struct span key_span(const struct key *key)
{
    return span_of(key->bytes, key->len);
}

void key_begin(struct key *key);
void key_add_space(struct key *key, uint32_t space);
void key_add_seq(struct key *key, uint64_t seq);
void key_add_text(struct key *key, struct span text);
void key_add_nul(struct key *key);
/* K(name). */
void key_add_name(struct key *key, struct span name);
/* Where to go on behind the entry `after`. */
void key_step(struct key *key, struct span after);

/* Of at least 4, 8 bytes. */
uint32_t key_read_space(struct span bytes);
uint64_t key_read_seq(struct span bytes);

/* The composite keys of the tables. */
void key_of_space(struct key *key, uint32_t space);
void key_of_tenant_ca(struct key *key, struct span dn, uint32_t space);
void key_of_device(struct key *key, uint32_t space, struct span id);
void key_of_auth(struct key *key, uint32_t space, struct span type, struct span auth_id);
/* A parked event: its key space, its number. */
void key_of_parked(struct key *key, uint32_t space, uint64_t seq);
void key_of_group(struct key *key, uint32_t space, struct span group, struct span device);
