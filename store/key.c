#include "store/key.h"

#include <assert.h>
#include <string.h>

#include "base/digest.h"

void key_begin(struct key *key)
{
    key->len = 0;
}

void key_add_text(struct key *key, struct span text)
{
    assert(key->len + text.len <= sizeof(key->bytes)); /* the edge bounds every part */
    if (text.len > 0) {
        memcpy(key->bytes + key->len, text.ptr, text.len);
        key->len += text.len;
    }
}

static void key_add_number(struct key *key, uint64_t value, size_t size)
{
    unsigned char bytes[8];

    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(value >> (8 * (size - 1 - i)));
    }
    key_add_text(key, span_of(bytes, size));
}

void key_add_space(struct key *key, uint32_t space)
{
    key_add_number(key, space, 4);
}

void key_add_seq(struct key *key, uint64_t seq)
{
    key_add_number(key, seq, 8);
}

void key_add_nul(struct key *key)
{
    key_add_text(key, span_of("", 1));
}

void key_add_name(struct key *key, struct span name)
{
    struct sha256 hash;

    if (name.len <= KEY_NAME_RAW_MAX) {
        key_add_text(key, span_of("\x00", 1));
        key_add_text(key, name);
        return;
    }
    hash = sha256_of(name);
    key_add_text(key, span_of("\x01", 1));
    key_add_text(key, span_of(name.ptr, KEY_NAME_PREFIX));
    key_add_text(key, span_of(hash.bytes, sizeof(hash.bytes)));
}

void key_step(struct key *key, struct span after)
{
    key_begin(key);
    key_add_text(key, after);
    key_add_nul(key);
}

static uint64_t read_number(struct span bytes, size_t size)
{
    uint64_t value = 0;

    assert(bytes.len >= size);
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | (unsigned char)bytes.ptr[i];
    }
    return value;
}

uint32_t key_read_space(struct span bytes)
{
    return (uint32_t)read_number(bytes, 4);
}

uint64_t key_read_seq(struct span bytes)
{
    return read_number(bytes, 8);
}

void key_of_space(struct key *key, uint32_t space)
{
    key_begin(key);
    key_add_space(key, space);
}

void key_of_tenant_ca(struct key *key, struct span dn, uint32_t space)
{
    key_begin(key);
    key_add_name(key, dn);
    key_add_nul(key);
    key_add_space(key, space);
}

void key_of_device(struct key *key, uint32_t space, struct span id)
{
    key_of_space(key, space);
    key_add_text(key, id);
}

void key_of_auth(struct key *key, uint32_t space, struct span type, struct span auth_id)
{
    key_of_space(key, space);
    key_add_text(key, type);
    key_add_nul(key);
    key_add_name(key, auth_id);
}

void key_of_parked(struct key *key, uint32_t space, uint64_t seq)
{
    key_of_space(key, space);
    key_add_seq(key, seq);
}

void key_of_group(struct key *key, uint32_t space, struct span group, struct span device)
{
    key_of_space(key, space);
    key_add_text(key, group);
    key_add_nul(key);
    key_add_text(key, device);
}
