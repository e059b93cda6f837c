/*
 * provisioning_plan: decides on a reader whether an unknown device's certificate earns it a
 * registration, so that the writer need only confirm.
 *
 * Threads:   the reader's; counts what mode "report" lets pass.
 */
#pragma once

#include <stdint.h>

#include "base/status.h"

struct credentials_query;
struct provisioning_plan;
struct service_reader;

/* KS_OK: *plan is filled, its spans borrow from *ask and the reader's
 * scratch. Otherwise a refusal with its reason. `ask`
 * brings a certificate, its ids fit the store. */
KS_MUST_CHECK enum ks_status provisioning_plan_make(struct service_reader *reader,
                                                    const struct credentials_query *ask,
                                                    uint32_t space, int64_t now_ms,
                                                    struct provisioning_plan *plan,
                                                    struct ks_failure *why);
