#include "amqp/guard_schema.h"

#include "base/utf8.h"

/*
 * One letter for each field:
 *   s string, y symbol, Y symbol or array, I uint, H ushort, L ulong, B ubyte, o bool, b binary,
 *   M map, T source or target, S delivery state, E error,
 *   * any value. '!' before a letter: mandatory.
 */
struct composite {
    uint8_t descriptor;
    const char *fields;
};

static const struct composite performatives[] = {
    {PERFORMATIVE_OPEN, "!ssIHIYYYYM"},
    {PERFORMATIVE_BEGIN, "H!I!I!IIYYM"},
    {PERFORMATIVE_ATTACH, "!s!I!oBBTTMoILYYM"},
    {PERFORMATIVE_FLOW, "I!I!I!IIIIIooM"},
    {PERFORMATIVE_TRANSFER, "!IIbIooBSooo"},
    {PERFORMATIVE_DISPOSITION, "!o!IIoSo"},
    {PERFORMATIVE_DETACH, "!IoE"},
    {PERFORMATIVE_END, "E"},
    {PERFORMATIVE_CLOSE, "E"},
};

static const struct composite answers[] = {
    {PERFORMATIVE_OPEN, "**IHI*****"},
    {PERFORMATIVE_BEGIN, "H!I!I!II***"},
    {PERFORMATIVE_ATTACH, "!s!I!oBB**MoIL***"},
    {PERFORMATIVE_FLOW, "I!I!I!IIIIIoo*"},
    {PERFORMATIVE_TRANSFER, "!IIbIooBSooo"},
    {PERFORMATIVE_DISPOSITION, "!o!IIo*o"},
    {PERFORMATIVE_DETACH, "!Io*"},
    {PERFORMATIVE_END, "*"},
    {PERFORMATIVE_CLOSE, "*"},
};

static const struct composite termini[] = {
    {0x28, "sIyIoMyMSYY"}, /* source */
    {0x29, "sIyIoMY"},     /* target */
    {0x30, "Y"},           /* coordinator: refused later, with a condition */
};

static const struct composite states[] = {
    {0x23, "!I!L"}, /* received */
    {0x24, ""},     /* accepted */
    {0x25, "E"},    /* rejected */
    {0x26, ""},     /* released */
    {0x27, "ooM"},  /* modified */
};

static const struct composite errors[] = {{0x1D, "!ysM"}};

static bool check_composite(struct codec_reader *r, const struct composite *table, size_t count);

#define CHECK_COMPOSITE(r, table) check_composite(r, table, sizeof(table) / sizeof((table)[0]))

/* One value of the kind; the reader moves behind it. */
static bool check_field(struct codec_reader *r, char kind)
{
    static const struct {
        char kind;
        enum codec_type type;
    } plain[] = {
        {'y', CODEC_SYMBOL}, {'I', CODEC_UINT},  {'H', CODEC_USHORT},
        {'L', CODEC_ULONG},  {'B', CODEC_UBYTE}, {'o', CODEC_BOOL},
        {'b', CODEC_BINARY}, {'M', CODEC_MAP},   {'Y', CODEC_SYMBOL},
    };
    enum codec_type type;
    struct span text;

    if (kind == 'T') {
        return CHECK_COMPOSITE(r, termini);
    }
    if (kind == 'S') {
        return CHECK_COMPOSITE(r, states);
    }
    if (kind == 'E') {
        return CHECK_COMPOSITE(r, errors);
    }
    if (kind == '*') {
        return codec_skip(r, NULL);
    }
    if (!codec_peek(r, &type)) {
        return false;
    }
    if (kind == 'Y' && type == CODEC_ARRAY) {
        return codec_skip(r, NULL);
    }
    if (kind == 's') {
        /* The engine hands strings on as C strings: no NUL, and UTF-8, or names would differ. */
        return codec_read_string(r, &text) && utf8_valid(text) && !span_has_nul(text);
    }
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (plain[i].kind == kind) {
            return plain[i].type == type && codec_skip(r, NULL);
        }
    }
    return false;
}

/* A list against its fields; `found` (may be NULL) learns where they are. */
static bool check_list(struct codec_reader *r, const char *fields, struct guard_fields *found)
{
    struct codec_reader in;
    uint32_t count;
    uint32_t i = 0;

    if (!codec_read_list(r, &in, &count)) {
        return false;
    }
    for (const char *kind = fields; *kind != '\0'; kind++, i++) {
        bool mandatory = *kind == '!';

        kind += mandatory;
        if (i >= count || codec_take_null(&in)) {
            if (mandatory) {
                return false;
            }
            continue;
        }
        if (found != NULL) {
            found->at[i] = in;
            found->has[i] = true;
        }
        if (!check_field(&in, *kind)) {
            return false;
        }
    }
    return count <= i && in.at == in.end;
}

static const struct composite *find_composite(const struct composite *table, size_t count,
                                              uint64_t descriptor)
{
    for (size_t i = 0; i < count; i++) {
        if (table[i].descriptor == descriptor) {
            return &table[i];
        }
    }
    return NULL;
}

static bool check_composite(struct codec_reader *r, const struct composite *table, size_t count)
{
    const struct composite *composite;
    uint64_t descriptor;

    if (!codec_read_descriptor(r, &descriptor)) {
        return false;
    }
    composite = find_composite(table, count, descriptor);
    return composite != NULL && check_list(r, composite->fields, NULL);
}

static bool read_performative(struct codec_reader *body, const struct composite *table,
                              size_t count, struct guard_fields *out)
{
    const struct composite *composite;

    *out = (struct guard_fields){0};
    if (!codec_read_descriptor(body, &out->performative)) {
        return false;
    }
    composite = find_composite(table, count, out->performative);
    return composite != NULL && check_list(body, composite->fields, out);
}

bool guard_schema_read(struct codec_reader *body, struct guard_fields *out)
{
    return read_performative(body, performatives, sizeof(performatives) / sizeof(performatives[0]),
                             out);
}

bool guard_schema_read_answer(struct codec_reader *body, struct guard_fields *out)
{
    return read_performative(body, answers, sizeof(answers) / sizeof(answers[0]), out);
}
