/*
 * Request messages: nothing is read past its end, and what is handed out lies inside the message.
 *
 * Covers: amqp/request.c
 */
#include <stdint.h>
#include <stdlib.h>

#include "amqp/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct span whole, struct span part)
{
    if (part.len > 0 && (part.ptr < whole.ptr || part.ptr + part.len > whole.ptr + whole.len)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span whole = span_of(data, size);
    struct request request;

    if (request_parse(whole, &request) == REQUEST_OK) {
        inside(whole, request.correlation);
        inside(whole, request.subject);
        inside(whole, request.reply_to);
        inside(whole, request.tenant_id);
        inside(whole, request.device_id);
        inside(whole, request.gateway_id);
        inside(whole, request.body);
    }
    return 0;
}
