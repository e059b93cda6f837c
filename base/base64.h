/*
 * base64: the standard alphabet of RFC 4648 section 4, as Hono reads and writes it.
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"

/* Bytes that decoding `len` characters needs at most. */
#define BASE64_DECODED_MAX(len) ((len) / 4 * 3 + 3)

/* Missing padding and non-zero pad bits are accepted; URL-safe characters, white space, wrong
 * padding ("AA=") and a lone last character are not. Writes at most BASE64_DECODED_MAX(text.len)
 * bytes. */
bool base64_decode(struct span text, unsigned char *out, size_t *out_len);
/* Appends the padded form. */
void base64_encode(struct buf *out, const void *bytes, size_t len);
