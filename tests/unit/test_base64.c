#include "support/test.h"

#include "base/base64.h"

static void what_is_base64_decodes_and_what_is_not_does_not(void **state)
{
    static const struct {
        const char *text;
        const char *bytes; /* NULL: refused */
    } cases[] = {
        {"", ""},        {"Zg==", "f"},      {"Zm8=", "fo"}, {"Zm9v", "foo"}, {"Zg", "f"},
        {"Zm8", "fo"},   {"Zm9vYg", "foob"}, {"Zh==", "f"},  {"Z", NULL},     {"Zg=", NULL},
        {"Zm9v=", NULL}, {"Z===", NULL},     {"Zm-_", NULL}, {"Zm 9v", NULL}, {"Zm9v\n", NULL},
        {"=", NULL},     {"Zg==Zg==", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char out[64];
        size_t len = 99;
        bool ok = base64_decode(span_cstr(cases[i].text), out, &len);

        assert_int_equal(ok, cases[i].bytes != NULL);
        if (ok) {
            assert_span(span_of(out, len), cases[i].bytes);
        }
    }
}

static void encoding_is_padded_and_decodes_to_the_same(void **state)
{
    unsigned char bytes[100];

    (void)state;
    for (size_t len = 0; len < sizeof(bytes); len++) {
        struct buf text;
        unsigned char back[128];
        size_t back_len;

        bytes[len] = (unsigned char)(len * 37);
        buf_init(&text, 0);
        base64_encode(&text, bytes, len);
        assert_int_equal(text.len, (len + 2) / 3 * 4);
        assert_true(base64_decode(buf_span(&text), back, &back_len));
        assert_int_equal(back_len, len);
        assert_memory_equal(back, bytes, len);
        buf_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_base64_decodes_and_what_is_not_does_not),
        cmocka_unit_test(encoding_is_padded_and_decodes_to_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
