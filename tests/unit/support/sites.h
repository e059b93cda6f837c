/*
 * sites: documents with one member set to a value, wherever in a document its object stands; what
 * is read of them, and how they are refused.
 *
 * Threads: one. Values that are handed over are json_decref'd; what is wrong fails the test.
 */
#pragma once

#include "support/test.h"

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "service/member.h"
#include "support/documents.h"

/* An object of a table somewhere in a document. */
struct site {
    const struct site *up; /* NULL: the document itself */
    const struct member_table *table;
    const struct member_rule *rule; /* of `up`: what this object is, or is an element of */
    documents_reader *read;         /* of the document */
    bool in_set;                    /* the document is an array of such objects */
};

/* The value of a JSON text with its placeholders filled in. */
json_t *site_parse(const char *text);
/* An object of the table that is fine without any other member. */
json_t *site_whole(const struct member_table *table);
/* Whether such an object has the member: it cannot do without it. */
bool site_needs(const struct site *site, const struct member_rule *rule);
/* Whether the member's content is judged together with others': a value that is fine by its row
 * alone may be refused. */
bool site_is_judged(const struct site *site, const struct member_rule *rule);

/* The document with this object (handed over) at the site. */
json_t *site_document(const struct site *site, json_t *object);
/* The document with this value (handed over) of a member at the site. */
json_t *site_document_with(const struct site *site, const struct member_rule *rule, json_t *value);
/* The object at the site of a document that was read. */
json_t *site_object(const struct site *site, json_t *document);
/* Appends the path of the object; of a member of it, `below` the rest. */
void site_add_path(struct buf *out, const struct site *site);
void site_add_member_path(struct buf *out, const struct site *site, const char *name,
                          const char *below);

/* What is made of a document. */
enum ks_status site_read(const struct site *site, json_t *document, json_t **out,
                         struct ks_failure *why);
/* Of one (handed over) that is fine. */
json_t *site_read_well(const struct site *site, json_t *document);

/* The value (handed over) is refused with 400; the text begins with the path of the member and of
 * what is below it, and goes on with `what`. */
void site_refused(const struct site *site, const struct member_rule *rule, const char *below,
                  json_t *value, const char *what);
/* The value (handed over) is taken, and stored as `expected` (handed over; NULL: not at all). */
void site_taken(const struct site *site, const struct member_rule *rule, json_t *value,
                json_t *expected);
