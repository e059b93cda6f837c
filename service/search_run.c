#include "service/search_run.h"

#include <stdlib.h>

#include "base/arena.h"
#include "service/device_status.h"
#include "service/reasons.h"
#include "service/search_match.h"
#include "service/search_rows.h"
#include "service/search_source.h"
#include "store/store.h"

enum {
    LOOK_EVERY = 16,  /* between two looks at the clock: records, or… */
    LOOK_SIZE = 4096, /* …so many bytes of documents each */
};

struct search_run {
    const struct search_query *query;
    struct search_bounds bounds;
    struct search_source source;
    struct search_matcher matcher;
    struct buf row;
    bool by_id;    /* records come in the order wanted */
    bool counted;  /* the total is known without a look at each of them */
    size_t looked; /* since the last look at the clock */

    /* From here on: since it began, or began anew. */
    bool begun;
    bool counting_gateways; /* the pass before a search for the others, which leaves them out */
    uint64_t gateways;
    uint64_t found;  /* matches; of several passes the first counts */
    uint64_t passed; /* rows of the passes before */
    struct search_rows rows;
    struct arena arena;
    struct span page[SEARCH_PAGE_MAX]; /* ids */
    size_t page_count;
};

/* ---- records ---- */

static bool of_devices(const struct search_run *run)
{
    return run->source.tenant != NULL;
}

static void add_to_page(struct search_run *run, struct span id)
{
    run->page[run->page_count++] = arena_span(&run->arena, id);
}

static void take(struct search_run *run, const struct search_record *record)
{
    const struct search_query *query = run->query;

    if (run->counting_gateways) {
        run->gateways++;
        return;
    }
    run->looked += record->document.len / LOOK_SIZE;
    if (!search_matches(&run->matcher, record)) {
        return;
    }
    run->found += run->passed == 0; /* counted in the first pass */
    if (!run->by_id) {
        buf_clear(&run->row);
        search_add_row(&run->matcher, record, &run->row);
        search_rows_offer(&run->rows, buf_span(&run->row), record->id.len);
    } else if (run->found > query->skip && run->page_count < query->page_size) {
        add_to_page(run, record->id);
    }
}

/* ---- passes ---- */

/* How many rows an order still has to bring, at most as many as memory takes. */
static size_t rows_wanted(const struct search_run *run)
{
    uint64_t wanted = run->query->skip + run->query->page_size - run->passed;

    return wanted < run->bounds.rows ? (size_t)wanted : run->bounds.rows;
}

static void begin_pass(struct search_run *run)
{
    search_source_begin(&run->source, run->counting_gateways);
}

static void begin(struct search_run *run)
{
    search_rows_done(&run->rows);
    arena_reset(&run->arena);
    run->gateways = 0;
    run->found = 0;
    run->passed = 0;
    run->page_count = 0;
    search_rows_init(&run->rows, rows_wanted(run), run->bounds.row_bytes);
    run->counting_gateways = run->counted && run->query->gateways == SEARCH_OTHERS;
    begin_pass(run);
}

/* The rows of a pass that lie on the page. True: another pass is needed. */
static bool end_pass_of_rows(struct search_run *run)
{
    struct search_rows *rows = &run->rows;
    uint64_t skip = run->query->skip;

    search_rows_end_pass(rows);
    for (size_t i = 0; i < rows->count && run->page_count < run->query->page_size; i++) {
        if (run->passed + i >= skip) {
            add_to_page(run, search_row_id(rows->row[i]));
        }
    }
    run->passed += rows->count;
    return run->page_count < run->query->page_size && run->found > skip &&
           search_rows_next_pass(rows, rows_wanted(run));
}

/* There are no more records in this pass. True: another begins. */
static bool end_pass(struct search_run *run)
{
    bool again = run->counting_gateways || (!run->by_id && end_pass_of_rows(run));

    run->counting_gateways = false;
    if (again) {
        begin_pass(run);
    }
    return again;
}

/* ---- totals ---- */

/* By the counters, less the gateways if those are left out. */
static enum ks_status count(struct search_run *run, struct store_txn *txn, uint64_t *total,
                            struct ks_failure *why)
{
    enum ks_status st = of_devices(run) ? store_device_count(txn, run->source.space, total, why)
                                        : store_tenant_count(txn, total, why);

    if (st == KS_OK) {
        *total -= run->gateways < *total ? run->gateways : *total;
    }
    return st;
}

/* Nothing more is needed of the store: the page is full, or lies behind all records. */
static enum ks_status check_page(struct search_run *run, struct store_txn *txn, bool *complete,
                                 struct ks_failure *why)
{
    uint64_t total = 0;
    enum ks_status st = KS_OK;

    *complete = false;
    if (!run->counted || run->counting_gateways) {
        return KS_OK;
    }
    if (run->page_count == 0) {
        st = count(run, txn, &total, why);
        *complete = st == KS_OK && run->query->skip >= total;
    }
    return st;
}

/* ---- the answer ---- */

static enum ks_status show_item(struct search_run *run, struct store_txn *txn, struct span id,
                                struct buf *out, bool *shown, struct ks_failure *why)
{
    struct search_entry entry = {.record = {.id = span_of(NULL, 0)}};
    bool notified = false;
    enum ks_status st = search_source_get(&run->source, txn, id, &entry, why);

    if (st == KS_OK && of_devices(run)) {
        st = device_status_notified(txn, run->source.space, &entry.device, &notified, why);
    }
    if (st != KS_OK) {
        return st == KS_NOT_FOUND ? KS_OK : st; /* deleted since it was found */
    }
    buf_add_cstr(out, *shown ? ",{\"id\":" : "{\"id\":");
    buf_add_json(out, id);
    if (of_devices(run)) {
        buf_add_char(out, ',');
        device_status_add_members(out, &entry.device, notified);
    } else if (entry.record.document.len > sizeof("{}") - 1) {
        buf_add_char(out, ',');
        buf_add(out, entry.record.document.ptr + 1, entry.record.document.len - 2);
    }
    buf_add_char(out, '}');
    *shown = true;
    return KS_OK;
}

static enum ks_status show(struct search_run *run, struct store_txn *txn, struct buf *out,
                           struct ks_failure *why)
{
    uint64_t total = run->found;
    bool shown = false;
    enum ks_status st = run->counted ? count(run, txn, &total, why) : KS_OK;

    if (st == KS_OK && total == 0) {
        st = ks_fail(why, KS_NOT_FOUND, REASON_NOT_FOUND, "no %s matches",
                     of_devices(run) ? "device" : "tenant");
    }
    if (st != KS_OK) {
        return st;
    }
    buf_printf(out, "{\"total\":%llu,\"result\":[", (unsigned long long)total);
    for (size_t i = 0; i < run->page_count && st == KS_OK; i++) {
        st = show_item(run, txn, run->page[i], out, &shown, why);
    }
    buf_add_cstr(out, "]}");
    if (st == KS_OK && out->overflow) {
        st = ks_fail(why, KS_INVALID, REASON_TOO_LARGE,
                     "pageSize: a page of %u takes more than %zu bytes; ask for a smaller one",
                     run->query->page_size, out->max);
    }
    return st;
}

/* ---- the run ---- */

static bool is_by_id(const struct search_query *query)
{
    return query->orders == 0 ||
           (search_pointer_is(&query->order[0].field, SPAN("id")) && !query->order[0].descending);
}

struct search_run *search_run_open(const struct search_query *query, const struct span *tenant,
                                   const struct search_bounds *bounds)
{
    struct search_run *run = calloc(1, sizeof(*run));

    if (run == NULL) {
        abort();
    }
    run->query = query;
    run->bounds = *bounds;
    search_source_init(&run->source, query, tenant);
    search_matcher_init(&run->matcher, query);
    run->by_id = is_by_id(query) && !run->source.plan.by_index;
    run->counted = run->by_id && query->filters == 0;
    buf_init(&run->row, 0);
    arena_init(&run->arena);
    return run;
}

void search_run_close(struct search_run *run)
{
    if (run == NULL) {
        return;
    }
    search_source_done(&run->source);
    search_matcher_done(&run->matcher);
    search_rows_done(&run->rows);
    buf_done(&run->row);
    arena_done(&run->arena);
    free(run);
}

/* The tenant may have gone since the last step, or stand in another key space. */
static enum ks_status enter(struct search_run *run, struct store_txn *txn, struct ks_failure *why)
{
    uint32_t space = 0;
    enum ks_status st = KS_OK;

    if (of_devices(run)) {
        st = store_tenant_find(txn, *run->source.tenant, &space, why);
    }
    if (st == KS_NOT_FOUND) {
        return ks_fail(why, st, REASON_UNKNOWN_TENANT, "no such tenant");
    }
    if (st == KS_OK && (!run->begun || space != run->source.space)) {
        run->source.space = space;
        run->begun = true;
        begin(run);
    }
    return st;
}

/* One place of the source; *ended: all that is needed is there. */
static enum ks_status advance(struct search_run *run, struct store_txn *txn, bool *ended,
                              struct ks_failure *why)
{
    struct search_entry entry;
    bool wanted = false;
    enum ks_status st = search_source_next(&run->source, txn, &entry, &wanted, why);

    if (st == KS_NOT_FOUND) {
        bool again = end_pass(run);

        *ended = !again;
        return again ? check_page(run, txn, ended, why) : KS_OK;
    }
    if (st == KS_OK && wanted) {
        take(run, &entry.record);
        *ended = run->counted && run->page_count == run->query->page_size;
    }
    return st;
}

enum ks_status search_run_step(struct search_run *run, struct store_txn *txn,
                               bool (*is_time_up)(void *arg), void *arg, bool *ended,
                               struct buf *out, struct ks_failure *why)
{
    bool complete = false;
    enum ks_status st = enter(run, txn, why);

    *ended = false;
    if (st == KS_OK) {
        st = check_page(run, txn, &complete, why);
    }
    while (st == KS_OK && !complete) {
        if (++run->looked >= LOOK_EVERY) {
            run->looked = 0;
            if (is_time_up(arg)) {
                return KS_OK;
            }
        }
        st = advance(run, txn, &complete, why);
    }
    if (st == KS_OK) {
        st = show(run, txn, out, why);
        *ended = true;
    }
    return st;
}
