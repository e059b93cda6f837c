/*
 * member_tables: makes the tables of a *.def file that is included behind it: for each
 * DOCUMENT(x, …) a `struct member_table x_table`. No include guard: once for each such file.
 *
 *     DOCUMENT(x, members of struct member_about, designated)
 *     MEMBER(constant, "name", JSON(example), "text", members of struct member_rule, designated)
 *     END(x)
 */
#include "service/member.h"

#define DOCUMENT(x, ...)                                                                           \
    static const struct member_about x##_about = {__VA_ARGS__};                                    \
    static const struct member_rule x##_rules[] = {
#define MEMBER(constant, member, json, description, ...)                                           \
    [constant] = {.name = (member), .example = (json), .text = (description), __VA_ARGS__},
#define END(x)                                                                                     \
    }                                                                                              \
    ;                                                                                              \
    const struct member_table x##_table = {                                                        \
        .about = &x##_about, .rules = x##_rules, .count = MEMBER_COUNT(x##_rules)};

/* A JSON text as C's. */
#undef JSON
#define JSON(...) #__VA_ARGS__
