/*
 * json_path: where in a JSON text a byte stands: `trusted-ca[1].cert`. For refusals: a parser tells
 * of lines and columns, people look for members.
 *
 * Threads: any; pure. The text up to that byte is well-formed but for what is wrong at it.
 */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"

/* Appends the path of the value or, right behind a name, of the member of that name; nothing at the
 * text's top. Names are cut to a length that messages bear. */
void json_path_add(struct buf *out, struct span text, size_t at);
