/*
 * fault_kv: an engine around another one that fails when told to and counts what it is asked.
 *
 * Threads: as store/kv.h; the functions below from any thread.
 */
#pragma once

#include <stddef.h>

#include "base/status.h"

struct kv;

/* Takes the inner engine over. */
struct kv *fault_kv_open(struct kv *inner);
/* Every commit fails like this and leaves nothing; KS_OK: no more. */
void fault_kv_fail_commits(struct kv *kv, enum ks_status status);
/* A transaction's puts beyond `count` fail like this. */
void fault_kv_fail_puts(struct kv *kv, size_t count, enum ks_status status);
/* Commits that succeeded. */
size_t fault_kv_commits(const struct kv *kv);
/* The most deletions that one transaction saw. */
size_t fault_kv_most_deletions(const struct kv *kv);
