#include "service/splice.h"

#include "base/clock.h"
#include "service/answer.h"

/* Whether the segments lie in the text, in order and apart. */
static bool segments_fit(const struct store_answer *answer, size_t count)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        struct store_segment segment = store_segment_at(answer, i);

        if (segment.offset < at || segment.offset > answer->text.len ||
            segment.len > answer->text.len - segment.offset) {
            return false;
        }
        at = (size_t)segment.offset + segment.len;
    }
    return true;
}

/* Whether an element counts now; *until_ms comes down to the moment before that changes. */
static bool counts(const struct store_segment *segment, int64_t now_ms, int64_t *until_ms)
{
    if (!segment->enabled || now_ms > segment->until_ms) {
        return false;
    }
    if (now_ms < segment->from_ms) {
        *until_ms = segment->from_ms - 1 < *until_ms ? segment->from_ms - 1 : *until_ms;
        return false;
    }
    *until_ms = segment->until_ms < *until_ms ? segment->until_ms : *until_ms;
    return true;
}

static void add_shown(struct buf *out, const struct store_answer *answer, size_t count,
                      int64_t now_ms)
{
    struct store_segment first = store_segment_at(answer, 0);
    struct store_segment last = store_segment_at(answer, count - 1);
    size_t tail = (size_t)last.offset + last.len;
    int64_t ignored = CLOCK_MAX;
    bool follows = false;

    buf_add(out, answer->text.ptr, first.offset);
    for (size_t i = 0; i < count; i++) {
        struct store_segment segment = store_segment_at(answer, i);

        if (counts(&segment, now_ms, &ignored)) {
            if (follows) {
                buf_add_char(out, ',');
            }
            buf_add(out, answer->text.ptr + segment.offset, segment.len);
            follows = true;
        }
    }
    buf_add(out, answer->text.ptr + tail, answer->text.len - tail);
}

enum ks_status splice_answer(struct buf *out, const struct store_answer *answer, int64_t now_ms,
                             size_t *shown, int64_t *until_ms, struct ks_failure *why)
{
    size_t count = store_segment_count(answer);

    if (!segments_fit(answer, count)) {
        return ks_fail(why, KS_CORRUPT, NULL, "a stored answer's segments do not fit its text");
    }
    *shown = 0;
    *until_ms = CLOCK_MAX;
    for (size_t i = 0; i < count; i++) {
        struct store_segment segment = store_segment_at(answer, i);

        *shown += counts(&segment, now_ms, until_ms) ? 1 : 0;
    }
    if (*shown == count) {
        buf_add_span(out, answer->text);
    } else {
        add_shown(out, answer, count, now_ms);
    }
    return KS_OK;
}

int splice_max_age(int configured_s, int64_t now_ms, int64_t until_ms)
{
    int64_t left_s = until_ms == CLOCK_MAX ? INT64_MAX : (until_ms - now_ms) / 1000;

    if (configured_s <= 0) {
        return ANSWER_NO_CACHE;
    }
    if (left_s < 1) {
        return 1;
    }
    return left_s < configured_s ? (int)left_s : configured_s;
}
