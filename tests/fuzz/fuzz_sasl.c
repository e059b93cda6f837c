/*
 * The SASL layer: what comes of a client's first bytes does not depend on how they are cut, and a
 * login's parts lie inside them.
 *
 * The last bit of the length says whether EXTERNAL is offered.
 *
 * Covers: amqp/sasl.c
 */
#include <stdint.h>
#include <stdlib.h>

#include "amqp/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum sasl_step step;
    size_t consumed;
    struct sasl_login login;
    struct buf out;
};

static void expect(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void inside(struct span whole, struct span part)
{
    expect(part.len == 0 || (part.ptr >= whole.ptr && span_end(part) <= span_end(whole)));
}

/* Shows the bytes as they come, `step` more each time, as a connection does. */
static struct outcome run(struct span input, size_t step)
{
    struct outcome o = {.step = SASL_STEP_MORE};
    struct sasl sasl;
    size_t seen = 0;

    buf_init(&o.out, 0);
    sasl_init(&sasl, input.len % 2 == 0);
    while (o.step == SASL_STEP_MORE && seen < input.len) {
        size_t consumed = 0;

        seen = input.len - seen < step ? input.len : seen + step;
        if (seen > o.consumed) {
            o.step = sasl_input(&sasl, span_of(input.ptr + o.consumed, seen - o.consumed),
                                &consumed, &o.out, &o.login);
        }
        o.consumed += consumed;
        expect(o.consumed <= seen);
    }
    if (o.step == SASL_STEP_LOGIN) {
        inside(input, o.login.user);
        inside(input, o.login.password);
        inside(input, o.login.authorize_as);
        expect(sasl.state == SASL_DECIDING && (o.login.mechanism == SASL_PLAIN || sasl.external));
        sasl_decide(&sasl, SASL_CODE_OK, &o.out);
        expect(sasl.state == SASL_DONE);
    }
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {1, 7, 64};
    struct span input = span_of(data, size);
    struct outcome whole = run(input, size);

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct outcome cut = run(input, steps[i]);

        expect(cut.step == whole.step && cut.consumed == whole.consumed &&
               span_eq(buf_span(&cut.out), buf_span(&whole.out)));
        if (cut.step == SASL_STEP_LOGIN) {
            expect(cut.login.mechanism == whole.login.mechanism &&
                   span_eq(cut.login.user, whole.login.user) &&
                   span_eq(cut.login.password, whole.login.password) &&
                   span_eq(cut.login.authorize_as, whole.login.authorize_as));
        }
        buf_done(&cut.out);
    }
    buf_done(&whole.out);
    return 0;
}
