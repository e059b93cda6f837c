/*
 * load_kv: an engine for filling an empty store: what a write transaction puts goes, in any order,
 * through a sorter to the end of the tables of the engine behind it. Records and index entries are
 * made by the same code as always (store/store.h); only when they are written differs.
 *
 * A transaction sees nothing of what it has put (but META and the counters of the key space at
 * hand), so that each insert takes itself for the first: what is there twice is found at the
 * commit. Counters add up there; an index entry that comes twice is one; a second record of one key
 * is a conflict. Nothing is deleted or looked for. Readers see what has been committed.
 *
 * The commit writes in several transactions: one that fails leaves the engine behind with a part,
 * to be thrown away. It is the only one that may put anything but META.
 *
 * Threads:   one.
 * Errors:    at the commit: KS_EXISTS for a conflict, which load_kv_conflict tells; else the
 *            engine's and the sorter's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "store/kv.h"

struct load_kv_options {
    const char *dir; /* of the sorter's file */
    size_t memory;   /* of the sorter, bytes */
    /* Called now and then during the commit; may be NULL. */
    void (*progress)(void *arg, uint64_t done, uint64_t all);
    void *arg;
};

/* Takes the engine behind it over. */
struct kv *load_kv_open(struct kv *behind, const struct load_kv_options *options);
/* What is put from here on comes from this place of the input. */
void load_kv_at(struct kv *kv, uint64_t place);

struct load_conflict {
    enum kv_table table;
    uint64_t first; /* the places of the two */
    uint64_t second;
};

/* False if there was none. */
bool load_kv_conflict(const struct kv *kv, struct load_conflict *out);
