/* Names: text that is taken has a normal form which is taken and stays; DER that is taken gives
 * text that is taken or holds what Java prints but does not read. */
#include <stdint.h>
#include <stdlib.h>

#include "certs/dn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Control characters are printed raw, but skipped or trimmed by the reader in places, as in Java.
 */
static int is_stable(const struct buf *text)
{
    for (size_t i = 0; i < text->len; i++) {
        if (text->ptr[i] < 0x20 || text->ptr[i] > 0x7E) {
            return 0;
        }
    }
    return text->len <= 4096;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf once;
    struct buf twice;

    buf_init(&once, 0);
    buf_init(&twice, 0);
    if (dn_normalize(span_of(data, size), &once, NULL) == KS_OK && is_stable(&once)) {
        if (dn_normalize(buf_span(&once), &twice, NULL) != KS_OK ||
            !span_eq(buf_span(&once), buf_span(&twice))) {
            abort();
        }
    }
    buf_clear(&once);
    (void)!dn_from_der(span_of(data, size), &once, NULL);
    buf_clear(&once);
    if (dn_find_attribute(span_of(data, size), "CN", &once) && once.len == 0) {
        abort();
    }
    buf_done(&once);
    buf_done(&twice);
    return 0;
}
