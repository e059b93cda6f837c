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
        /* each keyword that Java reads, and how it writes the attribute */
        {"C=DE,L=l,ST=s,STREET=r,OU=u,DC=d,UID=i", "C=DE,L=l,ST=s,STREET=r,OU=u,DC=d,UID=i"},
        {"uid=A,Cn=B,oU=C", "UID=A,CN=B,OU=C"},
        {"IP=1", "1.3.6.1.4.1.42.2.11.2.1=#130131"},
        {"DNQ=1", "2.5.4.46=#130131"},
        {"DNQUALIFIER=1", "2.5.4.46=#130131"},
        {"SURNAME=1", "2.5.4.4=#130131"},
        {"GIVENNAME=1", "2.5.4.42=#130131"},
        {"INITIALS=1", "2.5.4.43=#130131"},
        {"GENERATION=1", "2.5.4.44=#130131"},
        {"EMAIL=1", "1.2.840.113549.1.9.1=#160131"},
        {"oid.2.5.4.4=1", "2.5.4.4=#130131"},
        {"SN=1", NULL},
        {"GN=1", NULL},
        {"G=1", NULL},
        {"SP=1", NULL},
        {"USERID=1", NULL},
        {"SERIAL=1", NULL},
        {"POSTALCODE=1", NULL},
        {"DESCRIPTION=1", NULL},
        /* characters that are not of PrintableString */
        {"T=a@b", "2.5.4.12=#0c03614062"},
        {"T=a*b", "2.5.4.12=#0c03612a62"},
        {"T='a' (b)+O=:?/.-", "2.5.4.12=#130727612720286229+O=:?/.-"},
        {"T=\xC3\xA9", "2.5.4.12=#0c02c3a9"},
        /* separators */
        {" CN = a ,\tO = b ; OU = c +\tL = d ", "CN=a,O=b,OU=c+L=d"},
        {"\tCN\t=a\t,\n O=\nb", "CN=a\t,O=b"}, /* before a separator a tab is of the value */
        {"CN=\ta", "CN=\ta"},
        {"CN=\"a\" ,O=b", "CN=a,O=b"},
        {"CN=a\\,b\\+c\\;d\\<e\\>f\\\"g\\\\h\\#i\\=j",
         "CN=a\\,b\\+c\\;d\\<e\\>f\\\"g\\\\h\\#i\\=j"},
        {"CN=\"a,b+c;d<e>f\"", "CN=a\\,b\\+c\\;d\\<e\\>f"},
        {"CN=a  b", "CN=a  b"},
        {"CN=\\20\\20", "CN=\\ \\ "},
        {"CN=a;", NULL},
        {";CN=a", NULL},
        {"CN=a;;O=b", NULL},
        {"CN=a,;O=b", NULL},
        {"CN=a,b", NULL},
        {"CN=a+b", NULL},
        {"CN=a>b", NULL},
        {"CN=a\\4", NULL},
        {"CN=a\\g", NULL},
        {"CN=#", NULL},
        {"CN=#0c02", NULL},
        {"=a", NULL},
        {"2.5.4.=a", NULL},
        {"2=a", NULL},
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
            if (!span_eq(buf_span(&out), span_cstr(cases[i].normal))) {
                fail_msg("%s: %.*s", cases[i].text, SPAN_ARG(buf_span(&out)));
            }
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

/* SEQUENCE { SET { SEQUENCE { CN, the value } } } */
static void values_are_written_by_their_type(void **state)
{
    static const struct {
        unsigned char tag;
        const char *value;
        const char *text;
    } cases[] = {
        {0x0C, "a", "a"}, /* UTF8, Printable, T61, IA5, General, BMP: text, whatever the type */
        {0x13, "a", "a"},
        {0x14, "a", "a"},
        {0x16, "a", "a"},
        {0x1B, "a", "a"},
        {0x1E, "a", "a"},
        {0x1A, "a", "#1a0161"}, /* Visible, Numeric, Universal, OCTET STRING: hex */
        {0x12, "1", "#120131"},
        {0x1C, "a", "#1c0161"},
        {0x04, "a", "#040161"},
        {0x0C, "", ""},
        {0x0C, " ", "\\ "},
        {0x0C, "   ", "\\ \\ \\ "},
        {0x0C, "  a  b  ", "\\ \\ a  b\\ \\ "},
        {0x0C, "\t\r\n\x7F\x01", "\t\r\n\x7F\x01"},
        {0x0C, ",=+<>#;\"\\", "\\,\\=\\+\\<\\>\\#\\;\\\"\\\\"},
        {0x0C, "a#b'(/", "a\\#b'(/"},
        {0x0C, "M\xC3\xBCller", "M\xC3\xBCller"},
        {0x14, "M\xFCller", "M\xEF\xBF\xBDller"}, /* Latin-1 in a T61String */
        {0x1E, "\xFF\xFE", "\xEF\xBF\xBD\xEF\xBF\xBD"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char len = (unsigned char)strlen(cases[i].value);
        unsigned char name[64] = {0x30, len + 11U, 0x31, len + 9U, 0x30,         len + 7U, 0x06,
                                  0x03, 0x55,      0x04, 0x03,     cases[i].tag, len};
        struct buf out;

        memcpy(name + 13, cases[i].value, len);
        buf_init(&out, 0);
        assert_ok(dn_from_der(span_of(name, 13U + len), &out, why));
        if (out.len != strlen(cases[i].text) + 3 || memcmp(out.ptr, "CN=", 3) != 0 ||
            memcmp(out.ptr + 3, cases[i].text, out.len - 3) != 0) {
            fail_msg("case %zu: %.*s", i, SPAN_ARG(buf_span(&out)));
        }
        buf_done(&out);
    }
}

/* ---- one attribute of a name ---- */

enum { UTF8 = 0x0C, PRINTABLE = 0x13, UNIVERSAL = 0x1C, BMP = 0x1E };

struct part {
    bool joins; /* the part before: one RDN of several attributes */
    const char *keyword;
    int tag;
    const char *value;
    size_t len;
};

static void add_tlv(struct buf *out, int tag, struct span content)
{
    assert_true(content.len < 0x80);
    buf_add_char(out, (char)tag);
    buf_add_char(out, (char)content.len);
    buf_add_span(out, content);
}

static void add_attribute(struct buf *out, const struct part *part)
{
    static const struct {
        const char *keyword;
        const char *oid;
    } types[] = {{"CN", "\x55\x04\x03"},
                 {"OU", "\x55\x04\x0B"},
                 {"O", "\x55\x04\x0A"},
                 {"C", "\x55\x04\x06"},
                 {"SERIALNUMBER", "\x55\x04\x05"}};
    struct buf pair;

    buf_init(&pair, 0);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i].keyword, part->keyword) == 0) {
            add_tlv(&pair, 0x06, span_cstr(types[i].oid));
        }
    }
    add_tlv(&pair, part->tag, span_of(part->value, part->len));
    add_tlv(out, 0x30, buf_span(&pair));
    buf_done(&pair);
}

/* A Name of the parts, in their order. */
static void make_name(struct buf *out, const struct part *parts)
{
    struct buf rdns;
    struct buf rdn;

    buf_init(&rdns, 0);
    for (size_t i = 0; parts[i].keyword != NULL;) {
        buf_init(&rdn, 0);
        do {
            add_attribute(&rdn, &parts[i++]);
        } while (parts[i].keyword != NULL && parts[i].joins);
        add_tlv(&rdns, 0x31, buf_span(&rdn));
        buf_done(&rdn);
    }
    add_tlv(out, 0x30, buf_span(&rdns));
    buf_done(&rdns);
}

#define VALUE(text) .value = (text), .len = sizeof(text) - 1
#define TEXT(k, v)                                                                                 \
    {                                                                                              \
        .keyword = (k), .tag = UTF8, VALUE(v)                                                      \
    }
#define JOINED(k, v)                                                                               \
    {                                                                                              \
        .joins = true, .keyword = (k), .tag = UTF8, VALUE(v)                                       \
    }
#define TAGGED(k, t, v)                                                                            \
    {                                                                                              \
        .keyword = (k), .tag = (t), VALUE(v)                                                       \
    }

/* As LdapName of JDK 17 answers, but for the last group. */
static void one_attribute_is_found_as_hono_finds_it(void **state)
{
    static const struct {
        struct part parts[5];
        const char *keyword;
        const char *found; /* NULL: nothing */
    } cases[] = {
        {{TEXT("O", "Acme"), TEXT("OU", "Plant"), TEXT("CN", "dev")}, "CN", "dev"},
        {{TEXT("O", "Acme"), TEXT("OU", "Plant"), TEXT("CN", "dev")}, "OU", "Plant"},
        {{TEXT("O", "Acme"), TEXT("OU", "Plant"), TEXT("CN", "dev")}, "O", "Acme"},
        {{TEXT("O", "Acme")}, "CN", NULL},
        {{TEXT("OU", "Acme")}, "O", NULL},
        {{{.keyword = NULL}}, "CN", NULL},
        /* the first of the encoding, which is the last of the text */
        {{TEXT("CN", "first"), TEXT("O", "Acme"), TEXT("CN", "second")}, "CN", "first"},
        /* as it is */
        {{TEXT("CN", "a,b+c\\ \"#=<>; ")}, "CN", "a,b+c\\ \"#=<>; "},
        {{TEXT("CN", "  ")}, "CN", "  "},
        {{TEXT("CN", "$1 {{subject-o}}")}, "CN", "$1 {{subject-o}}"},
        {{TEXT("CN", "M\xC3\xBC")}, "CN", "M\xC3\xBC"},
        {{TEXT("CN", "a\xFF")}, "CN", "a\xEF\xBF\xBD"},
        {{TAGGED("CN", PRINTABLE, "p")}, "CN", "p"},
        /* the first decides, also when there is nothing to take */
        {{TEXT("CN", ""), TEXT("CN", "second")}, "CN", NULL},
        {{TAGGED("CN", UNIVERSAL, "a"), TEXT("CN", "b")}, "CN", NULL},
        /* several in one RDN: sorted by type, then by value without letter case */
        {{TEXT("O", "Acme"), TEXT("OU", "x"), JOINED("CN", "dev")}, "CN", "dev"},
        {{TEXT("O", "a"), JOINED("CN", "dev"), TEXT("O", "shown")}, "O", "shown"},
        {{TEXT("CN", "b"), JOINED("CN", "a")}, "CN", "a"},
        {{TEXT("CN", "B"), JOINED("CN", "aa")}, "CN", "aa"},
        {{TEXT("CN", "a"), JOINED("CN", "A")}, "CN", "a"},
        {{TEXT("CN", "a"), JOINED("SERIALNUMBER", "7"), TEXT("CN", "shown")}, "CN", "shown"},
        {{TAGGED("CN", UNIVERSAL, "a"), JOINED("CN", "A")}, "CN", NULL},
        /* shown by no RDN: LdapName has nothing */
        {{TEXT("CN", "dev"), JOINED("O", "Acme")}, "O", "Acme"},
        {{TEXT("CN", "dev"), JOINED("SERIALNUMBER", "7")}, "CN", "dev"},
        {{TEXT("C", "x"), JOINED("O", ""), TEXT("C", "y"), JOINED("O", "z")}, "O", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf name;
        struct buf out;
        bool found;

        buf_init(&name, 0);
        buf_init(&out, 0);
        make_name(&name, cases[i].parts);
        found = dn_find_attribute(buf_span(&name), cases[i].keyword, &out);
        if (found != (cases[i].found != NULL)) {
            fail_msg("case %zu: found %d", i, found);
        }
        assert_span(buf_span(&out), found ? cases[i].found : "");
        for (size_t n = 0; n < name.len; n++) { /* cut names end in nothing worse than nothing */
            (void)!dn_find_attribute(span_of(name.ptr, n), cases[i].keyword, &out);
        }
        buf_done(&out);
        buf_done(&name);
    }
}

/* The bytes of a BMPString are read as those of the others. */
static void a_found_value_may_hold_a_nul(void **state)
{
    static const struct part parts[] = {TAGGED("CN", BMP, "\0A"), {.keyword = NULL}};
    struct buf name;
    struct buf out;

    (void)state;
    buf_init(&name, 0);
    buf_init(&out, 0);
    make_name(&name, parts);
    assert_true(dn_find_attribute(buf_span(&name), "CN", &out));
    assert_true(span_eq(buf_span(&out), SPAN("\0A")));
    buf_done(&out);
    buf_done(&name);
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
        cmocka_unit_test(values_are_written_by_their_type),
        cmocka_unit_test(one_attribute_is_found_as_hono_finds_it),
        cmocka_unit_test(a_found_value_may_hold_a_nul),
        cmocka_unit_test(length_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
