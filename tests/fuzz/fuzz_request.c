/* Request messages: nothing is read past its end, and what is handed out lies inside the message.
 */
#include <stdint.h>
#include <stdlib.h>

#include "amqp/request.h"
#include "amqp/sasl.h"

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
    struct sasl_login login;
    struct request request;
    struct sasl sasl;
    struct buf out;
    size_t consumed;

    if (request_parse(whole, &request) == REQUEST_OK) {
        inside(whole, request.correlation);
        inside(whole, request.subject);
        inside(whole, request.reply_to);
        inside(whole, request.tenant_id);
        inside(whole, request.device_id);
        inside(whole, request.gateway_id);
        inside(whole, request.body);
    }
    buf_init(&out, 0);
    sasl_init(&sasl, size % 2 == 0);
    if (size > 0 && sasl_input(&sasl, whole, &consumed, &out, &login) == SASL_STEP_LOGIN) {
        inside(whole, login.user);
        inside(whole, login.authorize_as);
    }
    buf_done(&out);
    return 0;
}
