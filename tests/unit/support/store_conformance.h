/*
 * store_conformance: one body of tests that every engine must pass. Of the product it includes only
 * store/store.h.
 *
 * Threads: one.
 */
#pragma once

struct kv;

struct store_engine {
    /* An engine on an empty place. */
    struct kv *(*start)(void);
    /* Again on the same place, after the store was closed. */
    struct kv *(*again)(void);
    /* After the store was closed: the place goes. */
    void (*finish)(void);
};

int store_conformance_run(const struct store_engine *engine);
