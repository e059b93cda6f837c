/*
 * array_kv: a second kv engine, in memory: each table a sorted array. It proves that the store asks
 * nothing of its engine that only LMDB has. A snapshot is a copy, a write transaction works on one
 * too.
 *
 * Threads: one.
 */
#pragma once

struct kv;

struct kv *array_kv_open(void);
