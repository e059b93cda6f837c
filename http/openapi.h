/*
 * openapi: the management API described as an OpenAPI 3.0 document, made of what serves it: paths
 * from the route table, what operations take and answer from service/management.h, bodies from the
 * tables that read them.
 *
 * Threads: any; pure. Made once, when the server is opened.
 * Source:  OpenAPI Specification 3.0.3.
 */
#pragma once

#include "base/buf.h"

/* Appends the document. */
void openapi_add(struct buf *out);
