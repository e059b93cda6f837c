#include "support/documents.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/uuid.h"
#include "service/json_text.h"
#include "support/pki.h"

enum { FILLED = 2 };

/* 2026-11-24T10:00:00Z */
#define FROM_MS INT64_C(1795514400000)
#define DAY_MS  INT64_C(86400000)

static struct pki_key *leaf_key;
static struct buf placeholders[4];
static const char *const names[] = {"@CERT@", "@KEY@", "@DN@", "@RSA@"};
static struct buf filled[FILLED];
static size_t next_filled;
static struct buf printed;

static const unsigned char subject_der[] = {
    0x30, 0x1E, 0x31, 0x0D, 0x30, 0x0B, 0x06, 0x03, 0x55, 0x04, 0x0A, 0x0C, 0x04, 'T', 'e', 's',
    't',  0x31, 0x0D, 0x30, 0x0B, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0C, 0x04, 'L',  'e', 'a', 'f'};

static void add_weak_rsa(struct buf *out)
{
    EVP_PKEY *key = EVP_RSA_gen(512);
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);

    assert_true(len > 0);
    base64_encode(out, der, (size_t)len);
    OPENSSL_free(der);
    EVP_PKEY_free(key);
}

void documents_begin(void)
{
    struct pki_text cert;
    struct pki_public key;

    json_text_setup();
    leaf_key = pki_key_new();
    cert = pki_certificate(&(struct pki_spec){.subject = "Leaf",
                                              .issuer = "CA",
                                              .key = leaf_key,
                                              .signer = leaf_key,
                                              .from_ms = FROM_MS,
                                              .until_ms = FROM_MS + DAY_MS});
    key = pki_public_of(leaf_key);
    buf_add_span(&placeholders[0], pki_span(&cert));
    base64_encode(&placeholders[1], key.bytes, key.len);
    base64_encode(&placeholders[2], subject_der, sizeof(subject_der));
    add_weak_rsa(&placeholders[3]);
}

void documents_end(void)
{
    pki_key_free(leaf_key);
    for (size_t i = 0; i < 4; i++) {
        buf_done(&placeholders[i]);
    }
    for (size_t i = 0; i < FILLED; i++) {
        buf_done(&filled[i]);
    }
    buf_done(&printed);
}

/* How much of the text a placeholder takes; 0: none stands here. */
static size_t add_placeholder(struct buf *out, const char *text)
{
    for (size_t i = 0; i < 4; i++) {
        if (strncmp(text, names[i], strlen(names[i])) == 0) {
            buf_add_span(out, buf_span(&placeholders[i]));
            return strlen(names[i]);
        }
    }
    return 0;
}

struct span documents_fill(const char *text)
{
    struct buf *out = &filled[next_filled++ % FILLED];

    buf_clear(out);
    while (*text != '\0') {
        size_t taken = add_placeholder(out, text);

        if (taken == 0) {
            buf_add_char(out, *text);
            taken = 1;
        }
        text += taken;
    }
    return buf_span(out);
}

struct span documents_text(json_t *document)
{
    struct buf text;
    struct uuid id;

    buf_init(&text, 0);
    buf_clear(&printed);
    json_text_add(&text, document);
    for (size_t i = 0; i < text.len; i++) {
        if (text.len - i >= UUID_TEXT_LEN &&
            uuid_parse(span_of(text.ptr + i, UUID_TEXT_LEN), &id)) {
            buf_add_char(&printed, '#');
            i += UUID_TEXT_LEN - 1;
        } else {
            buf_add_char(&printed, text.ptr[i]);
        }
    }
    buf_done(&text);
    return buf_span(&printed);
}

json_t *documents_read(documents_reader *read, const char *body)
{
    json_t *document = NULL;

    assert_ok(read(documents_fill(body), &document, why));
    return document;
}

void documents_accepted(documents_reader *read, const struct documents_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ks_failure why = {0};
        json_t *document = NULL;
        struct span expected = documents_fill(cases[i].expected);
        struct span text;

        if (read(documents_fill(cases[i].given), &document, &why) != KS_OK) {
            fail_msg("%s\nwas refused: %s", cases[i].given, why.text);
        }
        text = documents_text(document);
        if (!span_eq(text, expected)) {
            fail_msg("%s\nwas read as %.*s\nand not as %.*s", cases[i].given, SPAN_ARG(text),
                     SPAN_ARG(expected));
        }
        json_decref(document);
    }
}

void documents_refused(documents_reader *read, const struct documents_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ks_failure why = {0};
        json_t *document = NULL;
        enum ks_status st = read(documents_fill(cases[i].given), &document, &why);

        if (st == KS_OK) {
            fail_msg("%s\nwas read as %.*s", cases[i].given, SPAN_ARG(documents_text(document)));
        }
        assert_null(document);
        if (st != KS_INVALID || why.reason == NULL || strstr(why.text, cases[i].expected) == NULL) {
            fail_msg("%s\nwas refused with %s %s: %s\nand not: %s", cases[i].given,
                     ks_status_name(st), why.reason != NULL ? why.reason : "", why.text,
                     cases[i].expected);
        }
    }
}
