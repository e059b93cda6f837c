/*
 * store_conformance: one body of tests that every engine must pass. Of the product it includes only
 * store/store.h.
 */
#pragma once

struct kv;

/* A fresh engine for each test; `finish` is called after the store was closed. */
int store_conformance_run(struct kv *(*start)(void), void (*finish)(void));
