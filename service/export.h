/*
 * export: the registry as JSON lines, independent of the store's format: docs/export.md.
 *
 * Threads:   the transaction's.
 * Errors:    the store's; what `line` returns ends the export and is returned.
 */
#pragma once

#include "base/span.h"
#include "base/status.h"

enum {
    EXPORT_FORMAT = 1,
    EXPORT_LINE_MAX = 16 << 20, /* bytes, newline not counted: what a reader must take */
};

struct store_txn;

/* Calls `line` for each line, without its newline, in a stable order: the header, then each tenant
 * by id, behind it its devices by id. One snapshot: that of the transaction. */
KS_MUST_CHECK enum ks_status export_lines(struct store_txn *txn,
                                          enum ks_status (*line)(struct span text, void *arg,
                                                                 struct ks_failure *why),
                                          void *arg, struct ks_failure *why);
