/*
 * utf8: well-formed UTF-8 as RFC 3629 has it: no overlong form, no surrogate, nothing beyond
 * U+10FFFF.
 *
 * Threads: any; pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/* The length of the character at p, of which `left` > 0 bytes are there; 0: there is none. */
size_t utf8_length(const unsigned char *p, size_t left);
bool utf8_valid(struct span text);
/* Puts a question mark in the place of each byte that is of no character. */
void utf8_mend(char *text);
