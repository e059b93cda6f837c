/* Names as text. The expected texts are Java's own (JDK 17, X500Principal.getName(RFC2253)). */
#include "support/test.h"

#include "certs/dn.h"

static void text_is_normalised_as_java_does(void **state)
{
    static const struct {
        const char *text;
        const char *normal; /* NULL: refused */
    } cases[] = {
        {"", ""},
        {" ", NULL},
        {"CN=a", "CN=a"},
        {"cn = a , O = b", "CN=a,O=b"},
        {"CN=a;O=b+OU=c", "CN=a,O=b+OU=c"},
        {"S=x", "ST=x"},
        {"CN=a=b#c", "CN=a\\=b\\#c"},
        {"CN=\\ x\\ ", "CN=\\ x\\ "},
        {"CN=\" a,b \"", "CN=a\\,b"},
        {"CN=M\xC3\xBCller", "CN=M\xC3\xBCller"},
        {"CN=\\C3\\A9", "CN=\xC3\xA9"},
        {"CN=#0c0161", "CN=a"},
        {"CN=#1c0161", "CN=#1c0161"},
        {"CN=#1E020041", "CN=\\00A"},
        {"EMAILADDRESS=a@b.c", "1.2.840.113549.1.9.1=#16056140622e63"},
        {"SERIALNUMBER=1", "2.5.4.5=#130131"},
        {"SERIALNUMBER=a_b", "2.5.4.5=#0c03615f62"},
        {"T=x", "2.5.4.12=#130178"},
        {"DC=m\xC3\xBC", "DC=m?"},
        {"OID.2.5.4.3=x", "CN=x"},
        {"2.5.4.97=x", "2.5.4.97=#130178"},
        {"1.2.3.4=x", "1.2.3.4=#130178"},
        {"O=", "O="},
        {"CN=a\tb", "CN=a\tb"},
        {"E=x", NULL},
        {"SN=x", NULL},
        {"TITLE=x", NULL},
        {"CN", NULL},
        {"CN=a,", NULL},
        {",CN=a", NULL},
        {"CN=a,,O=b", NULL},
        {"CN=a+", NULL},
        {"CN=a<b", NULL},
        {"CN=a\"b", NULL},
        {"CN=a\\", NULL},
        {"CN=a\\x", NULL},
        {"CN=#0c016", NULL},
        {"CN=#zz", NULL},
        {"CN=\"a", NULL},
        {"CN=\"a\"b", NULL},
        {"3.1=x", NULL},
        {"1=x", NULL},
        {"device-1", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf out;
        struct buf again;
        enum ks_status st;

        buf_init(&out, 0);
        buf_init(&again, 0);
        st = dn_normalize(span_cstr(cases[i].text), &out, NULL);
        if ((st == KS_OK) != (cases[i].normal != NULL)) {
            fail_msg("%s: %s", cases[i].text, ks_status_name(st));
        }
        if (st == KS_OK) {
            assert_span(buf_span(&out), cases[i].normal);
            assert_ok(dn_normalize(buf_span(&out), &again, why));
            assert_true(span_eq(buf_span(&out), buf_span(&again)));
        }
        buf_done(&out);
        buf_done(&again);
    }
}

static void der_is_written_as_java_does(void **state)
{
    /* SEQUENCE { SET { SEQUENCE { O "Acme" } } SET { CN (UTF8) " a" , L (Printable) "b " } } */
    static const unsigned char name[] = {
        0x30, 0x29, 0x31, 0x0D, 0x30, 0x0B, 0x06, 0x03, 0x55, 0x04, 0x0A, 0x0C, 0x04, 'A', 'c',
        'm',  'e',  0x31, 0x18, 0x30, 0x09, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0C, 0x02, ' ', 'a',
        0x30, 0x0B, 0x06, 0x03, 0x55, 0x04, 0x07, 0x13, 0x04, 'b',  ' ',  0xFF, 0x00};
    struct buf out;

    (void)state;
    buf_init(&out, 0);
    assert_ok(dn_from_der(span_of(name, sizeof(name)), &out, why));
    assert_span(buf_span(&out), "CN=\\ a+L=b \xEF\xBF\xBD\\00,O=Acme");
    buf_done(&out);
    for (size_t n = 0; n < sizeof(name); n++) {
        buf_init(&out, 0);
        assert_int_equal(dn_from_der(span_of(name, n), &out, NULL), KS_INVALID);
        buf_done(&out);
    }
}

static void length_is_bounded(void **state)
{
    char text[5000];
    struct buf out;

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = "CN=a,"[i % 5];
    }
    buf_init(&out, 0);
    assert_int_equal(dn_normalize(span_of(text, 64 * 5 - 1), &out, NULL), KS_OK);
    assert_int_equal(dn_normalize(span_of(text, 65 * 5 - 1), &out, NULL), KS_INVALID);
    assert_int_equal(dn_normalize(span_of(text, 4999), &out, NULL), KS_INVALID);
    assert_int_equal(dn_normalize(span_of("CN=a\0b", 6), &out, NULL), KS_INVALID);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_normalised_as_java_does),
        cmocka_unit_test(der_is_written_as_java_does),
        cmocka_unit_test(length_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
