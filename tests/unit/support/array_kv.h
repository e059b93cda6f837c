/*
 * array_kv: the second engine, which proves that nothing of LMDB leaks into the store: sorted
 * arrays in memory. It is strict where LMDB is lenient: every write moves everything that was found
 * in its transaction, so that a sanitizer sees who kept a span too long.
 *
 * Threads: one.
 */
#pragma once

struct array_disk;
struct kv;

/* What outlives an engine that is closed. */
struct array_disk *array_disk_new(void);
void array_disk_free(struct array_disk *disk);
/* One at a time. NULL: on a disk of its own, which goes with it. */
struct kv *array_kv_open(struct array_disk *disk);
