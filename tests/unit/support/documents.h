/*
 * documents: tables of request bodies and what reading makes of them.
 *
 * In a case's texts `@CERT@` stands for a certificate (CN=Leaf,O=Test, EC key, valid from
 * 2026-11-24T10:00:00Z for a day), `@KEY@` for its public key, `@DN@` for the DER of its subject,
 * `@RSA@` for the public key of an RSA key of 512 bits, all in Base64. In what is read, ids that
 * were drawn are written as `#`.
 *
 * Threads: one.
 */
#pragma once

#include "support/test.h"

#include <jansson.h>
#include <stddef.h>

#include "base/span.h"

typedef enum ks_status documents_reader(struct span body, json_t **out, struct ks_failure *why);

struct documents_case {
    const char *given;
    const char *expected; /* the stored form, or a part of the refusal */
};

void documents_begin(void);
void documents_end(void);

/* The text with its placeholders filled in; overwritten by the next call but one. */
struct span documents_fill(const char *text);
/* The document as text, drawn ids as `#`; overwritten by the next call. */
struct span documents_text(json_t *document);
/* The stored form of a body that is fine. */
json_t *documents_read(documents_reader *read, const char *body);

void documents_accepted(documents_reader *read, const struct documents_case *cases, size_t count);
void documents_refused(documents_reader *read, const struct documents_case *cases, size_t count);

#define DOCUMENTS_COUNT(cases) (sizeof(cases) / sizeof((cases)[0]))
