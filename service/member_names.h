/*
 * member_names: makes the constants and accessors of a *.def file that is included behind it. No
 * include guard: once for each such file.
 *
 * Of each DOCUMENT(x, …) come `enum x_member` with a constant for each row, and by constant:
 *
 *     x_name(m)          the member's name
 *     x_at(object, m)    its value, borrowed; NULL: it is not there
 *     x_put(object, m, value)  sets it; the value is handed over. False, if it is NULL
 *     x_drop(object, m)  takes it out
 *
 * Code reaches members by these alone: what has no row does not compile.
 */
#include <jansson.h>
#include <stdbool.h>

#include "service/member.h"

#define DOCUMENT(x, ...)                                                                           \
    enum x##_member                                                                                \
    {
#define MEMBER(constant, ...) constant,
#define END(x)                                                                                     \
    }                                                                                              \
    ;                                                                                              \
    extern const struct member_table x##_table;                                                    \
                                                                                                   \
    static inline const char *x##_name(enum x##_member member)                                     \
    {                                                                                              \
        return x##_table.rules[member].name;                                                       \
    }                                                                                              \
                                                                                                   \
    static inline json_t *x##_at(const json_t *object, enum x##_member member)                     \
    {                                                                                              \
        return json_object_get(object, x##_name(member));                                          \
    }                                                                                              \
                                                                                                   \
    static inline bool x##_put(json_t *object, enum x##_member member, json_t *value)              \
    {                                                                                              \
        return json_object_set_new(object, x##_name(member), value) == 0;                          \
    }                                                                                              \
                                                                                                   \
    static inline void x##_drop(json_t *object, enum x##_member member)                            \
    {                                                                                              \
        (void)json_object_del(object, x##_name(member));                                           \
    }
