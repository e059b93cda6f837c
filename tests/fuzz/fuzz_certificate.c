/* Certificates: whatever is taken can be verified with its own key, or not, without harm. */
#include <stdint.h>

#include "certs/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct certificate certificate;
    struct arena arena;
    uint8_t id[20];

    arena_init(&arena);
    if (certificate_parse(span_of(data, size), &arena, &certificate, NULL) == KS_OK) {
        (void)!certificate_verify(certificate.der, certificate.public_key, NULL);
        (void)!public_key_check(certificate.public_key, certificate.algorithm, NULL);
        (void)public_key_id(certificate.public_key, id);
    }
    (void)!public_key_check(span_of(data, size), SPAN("EC"), NULL);
    arena_done(&arena);
    return 0;
}
