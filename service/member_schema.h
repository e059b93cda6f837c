/*
 * member_schema: JSON Schema of tables of members, in the dialect of OpenAPI 3.0.
 *
 * Each table is a schema of the name it has, and schemas refer to each other by their names. They
 * tell the normal form: what else is taken for it (texts for numbers, null for absence) is told in
 * words by who writes the document. Members that are not supported are left out.
 *
 * Threads: any; pure.
 */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "service/member.h"

enum { MEMBER_SCHEMAS_MAX = 64 };

/* The members of an object of schemas, as they are put together. */
struct member_schemas {
    struct buf *out;
    const struct member_table *done[MEMBER_SCHEMAS_MAX];
    size_t count;
};

/* A member that a schema has in the place of a rule, or beside all; required. */
struct member_schema_extra {
    const char *name;
    const char *schema; /* JSON */
};

/* Appends `"Name":{…}`, behind the schemas of all tables that its rules lead to; of each once. */
void member_schemas_add(struct member_schemas *schemas, const struct member_table *table);
/* The same under another name and with a member of its own. */
void member_schemas_add_as(struct member_schemas *schemas, const char *name,
                           const struct member_table *table,
                           const struct member_schema_extra *extra);
/* Appends a schema that is none of a table. */
void member_schemas_add_text(struct member_schemas *schemas, const char *name, const char *schema);
