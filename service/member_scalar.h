/*
 * member_scalar: the readers of single values behind service/member.h, one for each kind, with
 * Hono's leniency. A blank text has been taken for null before, where it counts as that.
 *
 * Threads: pure. Ownership, errors: as service/member.h.
 */
#pragma once

#include "service/member.h"

typedef enum ks_status member_reader(const struct member_path *at, const struct member_rule *rule,
                                     json_t *given, json_t **out, struct ks_failure *why);

member_reader member_scalar_flag;
member_reader member_scalar_number;
member_reader member_scalar_text;
member_reader member_scalar_word;
member_reader member_scalar_time;
member_reader member_scalar_binary;

/* A text of blanks only, or of nothing. */
bool member_scalar_is_blank(const json_t *given);
