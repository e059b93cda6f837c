/*
 * search_source: where the records of a search come from, one after the other: as few as the query
 * allows.
 *
 * A filter on /id that begins with text confines the walk to ids that begin so; one without
 * wildcards is a single record. Gateways come from the indexes: those that devices name in `via`,
 * then the members of groups. Everything else is a walk over all ids, with their records only where
 * these are looked at.
 *
 * Where it stands are ids that are kept here: each call may have another snapshot.
 *
 * Threads:   one owner at a time.
 * Ownership: borrows query and tenant. An entry lives as long as the transaction, its status until
 *            the next entry.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"
#include "service/search_match.h"
#include "service/search_query.h"
#include "store/store.h"

/* What follows from the query alone. */
struct search_plan {
    struct span id; /* the beginning of the id, or all of it */
    bool one;       /* all of it */
    bool by_index;  /* gateways */
    bool records;   /* ids alone do not tell */
    bool status;    /* a filter or an order looks at it */
};

enum search_stage {
    SEARCH_NOTHING,
    SEARCH_ONE,
    SEARCH_WALK,
    SEARCH_NAMED,   /* in the `via` of some device */
    SEARCH_MEMBERS, /* of groups, and not named so */
};

struct search_place {
    char text[STORE_ID_MAX];
    size_t len;
};

struct search_source {
    const struct search_query *query;
    const struct span *tenant; /* NULL: tenants are searched, else its devices */
    struct search_plan plan;
    uint32_t space; /* the tenant's: set by who begins */
    struct buf status;

    enum search_stage stage;
    bool beginning; /* of a walk: the id that is the prefix itself comes first */
    struct search_place at;
    struct search_place group;
};

/* A tenant or device; of a walk that needs no records its id only. */
struct search_entry {
    struct search_record record;
    struct store_device device; /* if it is one */
};

void search_source_init(struct search_source *source, const struct search_query *query,
                        const struct span *tenant);
void search_source_done(struct search_source *source);

/* To the first record. `gateways`: all gateways, whatever the query. */
void search_source_begin(struct search_source *source, bool gateways);
/* *wanted: the entry is one that the filters are to be tried on; else there was nothing at this
 * place. KS_NOT_FOUND: no more. */
KS_MUST_CHECK enum ks_status search_source_next(struct search_source *source, struct store_txn *txn,
                                                struct search_entry *entry, bool *wanted,
                                                struct ks_failure *why);
/* The record with this id. */
KS_MUST_CHECK enum ks_status search_source_get(struct search_source *source, struct store_txn *txn,
                                               struct span id, struct search_entry *entry,
                                               struct ks_failure *why);
