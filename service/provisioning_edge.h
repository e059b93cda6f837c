/*
 * provisioning_edge: decides on a reader whether a device that nobody registered may be, because a
 * gateway with the authority speaks for it, so that the writer need only confirm.
 *
 * Threads: the reader's.
 */
#pragma once

#include <stdint.h>

#include "base/status.h"

struct assert_query;
struct provisioning_plan;
struct service_reader;

/* For a query whose gateway was found to have the authority. KS_OK: *plan is filled, its spans
 * borrow from *ask. Otherwise a refusal: the tenant is disabled, or the id is none. */
KS_MUST_CHECK enum ks_status provisioning_edge_plan(struct service_reader *reader, uint32_t space,
                                                    const struct assert_query *ask,
                                                    struct provisioning_plan *plan,
                                                    struct ks_failure *why);
