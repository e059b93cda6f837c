/*
 * lmdb_free: how much of a store's file holds nothing: what was deleted leaves pages that are
 * written next; the file itself does not shrink.
 *
 * Threads: any; takes a reader's slot, and a step for each commit that freed pages.
 */
#pragma once

#include <stdint.h>

#include "base/status.h"

struct kv;

KS_MUST_CHECK enum ks_status lmdb_free_bytes(struct kv *kv, uint64_t *out, struct ks_failure *why);
