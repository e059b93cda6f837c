/*
 * sorter: sorts more entries than memory holds: runs that are sorted in memory go to a temporary
 * file, reading merges them.
 *
 * The file has no name while it is used: nothing of it outlives the process. What it holds may be
 * secret: memory is wiped before it is given back.
 *
 * Threads:   one.
 * Ownership: an entry that was read lives until the next call.
 * Errors:    KS_IO, KS_DISK_FULL, with the folder's path.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

struct sorter;

struct sorter_entry {
    struct span key;
    struct span value;
    uint64_t place; /* a number of the caller's; of equal keys the smaller comes first */
};

/* `dir` is borrowed until sorter_close; `memory`: bytes, beside the largest entry's. */
struct sorter *sorter_open(const char *dir, size_t memory);
/* Takes NULL. */
void sorter_close(struct sorter *sorter);

/* Room for the value, to be filled before the next call. */
KS_MUST_CHECK enum ks_status sorter_add(struct sorter *sorter, struct span key, uint64_t place,
                                        size_t value_len, char **room, struct ks_failure *why);
/* Nothing is added any more. */
KS_MUST_CHECK enum ks_status sorter_sort(struct sorter *sorter, struct ks_failure *why);
/* The next entry in the order of keys. KS_NOT_FOUND: no more. */
KS_MUST_CHECK enum ks_status sorter_next(struct sorter *sorter, struct sorter_entry *out,
                                         struct ks_failure *why);
/* How many were added. */
uint64_t sorter_count(const struct sorter *sorter);
