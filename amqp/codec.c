#include "amqp/codec.h"

#include <assert.h>
#include <string.h>

static bool codec_fail(struct codec_reader *r)
{
    r->failed = true;
    return false;
}

/* ---- constructors ---- */

/*
 * Section 1.6: the upper half of a constructor says how wide the value is (4: nothing, 5: 1 byte …
 * 9: 16 bytes; A, B: bytes behind a size; C, D: elements behind size and count; E, F: arrays).
 */
enum { KNOWN = 0x80 };

/* By code: enum codec_type. Every value of every frame passes here several times. */
static const unsigned char constructors[256] = {
    [0x00] = KNOWN | CODEC_DESCRIBED,  [0x40] = KNOWN | CODEC_NULL,
    [0x41] = KNOWN | CODEC_BOOL,       [0x42] = KNOWN | CODEC_BOOL,
    [0x43] = KNOWN | CODEC_UINT,       [0x44] = KNOWN | CODEC_ULONG,
    [0x45] = KNOWN | CODEC_LIST,       [0x50] = KNOWN | CODEC_UBYTE,
    [0x51] = KNOWN | CODEC_BYTE,       [0x52] = KNOWN | CODEC_UINT,
    [0x53] = KNOWN | CODEC_ULONG,      [0x54] = KNOWN | CODEC_INT,
    [0x55] = KNOWN | CODEC_LONG,       [0x56] = KNOWN | CODEC_BOOL,
    [0x60] = KNOWN | CODEC_USHORT,     [0x61] = KNOWN | CODEC_SHORT,
    [0x70] = KNOWN | CODEC_UINT,       [0x71] = KNOWN | CODEC_INT,
    [0x72] = KNOWN | CODEC_FLOAT,      [0x73] = KNOWN | CODEC_CHAR,
    [0x74] = KNOWN | CODEC_DECIMAL32,  [0x80] = KNOWN | CODEC_ULONG,
    [0x81] = KNOWN | CODEC_LONG,       [0x82] = KNOWN | CODEC_DOUBLE,
    [0x83] = KNOWN | CODEC_TIMESTAMP,  [0x84] = KNOWN | CODEC_DECIMAL64,
    [0x94] = KNOWN | CODEC_DECIMAL128, [0x98] = KNOWN | CODEC_UUID,
    [0xA0] = KNOWN | CODEC_BINARY,     [0xA1] = KNOWN | CODEC_STRING,
    [0xA3] = KNOWN | CODEC_SYMBOL,     [0xB0] = KNOWN | CODEC_BINARY,
    [0xB1] = KNOWN | CODEC_STRING,     [0xB3] = KNOWN | CODEC_SYMBOL,
    [0xC0] = KNOWN | CODEC_LIST,       [0xC1] = KNOWN | CODEC_MAP,
    [0xD0] = KNOWN | CODEC_LIST,       [0xD1] = KNOWN | CODEC_MAP,
    [0xE0] = KNOWN | CODEC_ARRAY,      [0xF0] = KNOWN | CODEC_ARRAY,
};

static bool constructor_type(unsigned char code, enum codec_type *type)
{
    *type = (enum codec_type)(constructors[code] & ~KNOWN);
    return constructors[code] != 0;
}

static uint64_t big_endian(const unsigned char *at, size_t len)
{
    uint64_t value = 0;

    for (size_t i = 0; i < len; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

/* The bytes of a value behind its constructor: for a variable or compound one the size field is
 * taken off, the count of a compound is left in. */
static bool take_body(struct codec_reader *r, unsigned char code, struct span *body)
{
    static const unsigned char fixed[] = {[4] = 0, [5] = 1, [6] = 2, [7] = 4, [8] = 8, [9] = 16};
    unsigned char width = code >> 4;
    size_t size_len;
    size_t size;

    if (width >= 4 && width <= 9) {
        size_len = 0;
        size = fixed[width];
    } else {
        size_len = width & 1 ? 4 : 1; /* A C E: one byte, B D F: four */
        if (width < 10 || codec_left(r) < size_len) {
            return codec_fail(r);
        }
        size = (size_t)big_endian(r->at, size_len);
    }
    if (codec_left(r) - size_len < size) {
        return codec_fail(r);
    }
    *body = span_of(r->at + size_len, size);
    r->at += size_len + size;
    return true;
}

bool codec_peek(const struct codec_reader *r, enum codec_type *type)
{
    return !r->failed && r->at < r->end && constructor_type(*r->at, type);
}

/* The constructor if it is of this type. */
static bool take_constructor(struct codec_reader *r, enum codec_type want, unsigned char *code)
{
    enum codec_type type;

    if (!codec_peek(r, &type) || type != want) {
        return codec_fail(r);
    }
    *code = *r->at++;
    return true;
}

/* ---- scalars ---- */

bool codec_take_null(struct codec_reader *r)
{
    if (r->failed || r->at == r->end || *r->at != 0x40) {
        return false;
    }
    r->at++;
    return true;
}

static bool read_number(struct codec_reader *r, enum codec_type type, uint64_t *out)
{
    unsigned char code;
    struct span body;

    if (!take_constructor(r, type, &code) || !take_body(r, code, &body)) {
        return false;
    }
    *out = big_endian((const unsigned char *)body.ptr, body.len);
    return true;
}

bool codec_read_bool(struct codec_reader *r, bool *out)
{
    unsigned char code;
    struct span body;

    if (!take_constructor(r, CODEC_BOOL, &code) || !take_body(r, code, &body)) {
        return false;
    }
    if (code == 0x56) {
        if (body.ptr[0] != 0 && body.ptr[0] != 1) {
            return codec_fail(r);
        }
        *out = body.ptr[0] == 1;
    } else {
        *out = code == 0x41;
    }
    return true;
}

bool codec_read_ubyte(struct codec_reader *r, uint8_t *out)
{
    uint64_t value;

    if (!read_number(r, CODEC_UBYTE, &value)) {
        return false;
    }
    *out = (uint8_t)value;
    return true;
}

bool codec_read_uint(struct codec_reader *r, uint32_t *out)
{
    uint64_t value;

    if (!read_number(r, CODEC_UINT, &value)) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

bool codec_read_ulong(struct codec_reader *r, uint64_t *out)
{
    return read_number(r, CODEC_ULONG, out);
}

bool codec_read_integer(struct codec_reader *r, int64_t *out)
{
    enum codec_type type;
    unsigned char code;
    struct span body;
    uint64_t value;

    if (!codec_peek(r, &type) || (type != CODEC_INT && type != CODEC_LONG) ||
        !take_constructor(r, type, &code) || !take_body(r, code, &body)) {
        return codec_fail(r);
    }
    value = big_endian((const unsigned char *)body.ptr, body.len);
    *out = body.len == 1 ? (int8_t)value : body.len == 4 ? (int32_t)value : (int64_t)value;
    return true;
}

static bool read_bytes(struct codec_reader *r, enum codec_type type, struct span *out)
{
    unsigned char code;

    return take_constructor(r, type, &code) && take_body(r, code, out);
}

bool codec_read_binary(struct codec_reader *r, struct span *out)
{
    return read_bytes(r, CODEC_BINARY, out);
}

bool codec_read_string(struct codec_reader *r, struct span *out)
{
    return read_bytes(r, CODEC_STRING, out);
}

bool codec_read_symbol(struct codec_reader *r, struct span *out)
{
    return read_bytes(r, CODEC_SYMBOL, out);
}

/* ---- compounds ---- */

static bool read_compound(struct codec_reader *r, enum codec_type type, struct codec_reader *inside,
                          uint32_t *count)
{
    unsigned char code;
    struct span body;
    size_t count_len;

    if (!take_constructor(r, type, &code) || !take_body(r, code, &body)) {
        return false;
    }
    *inside = codec_reader_of(body);
    *count = 0;
    if (code == 0x45) {
        return true;
    }
    count_len = (code >> 4) & 1 ? 4 : 1;
    if (body.len < count_len) {
        return codec_fail(r);
    }
    *count = (uint32_t)big_endian(inside->at, count_len);
    inside->at += count_len;
    return true;
}

bool codec_read_list(struct codec_reader *r, struct codec_reader *inside, uint32_t *count)
{
    return read_compound(r, CODEC_LIST, inside, count);
}

bool codec_read_map(struct codec_reader *r, struct codec_reader *inside, uint32_t *count)
{
    return read_compound(r, CODEC_MAP, inside, count) && (*count % 2 == 0 || codec_fail(r));
}

bool codec_read_array(struct codec_reader *r, struct codec_reader *inside, uint32_t *count)
{
    return read_compound(r, CODEC_ARRAY, inside, count);
}

bool codec_read_descriptor(struct codec_reader *r, uint64_t *descriptor)
{
    unsigned char code;

    return take_constructor(r, CODEC_DESCRIBED, &code) && codec_read_ulong(r, descriptor);
}

bool codec_read_symbolic_descriptor(struct codec_reader *r, struct span *descriptor)
{
    unsigned char code;

    return take_constructor(r, CODEC_DESCRIBED, &code) && codec_read_symbol(r, descriptor);
}

/* ---- skipping ---- */

/* One value; a budget of NULL is without end. */
static bool pay(uint32_t *budget)
{
    if (budget == NULL) {
        return true;
    }
    if (*budget == 0) {
        return false;
    }
    --*budget;
    return true;
}

static bool skip_value(struct codec_reader *r, unsigned depth, uint32_t *budget);

static bool skip_elements(struct codec_reader *inside, uint32_t count, unsigned depth,
                          uint32_t *budget)
{
    /* Every element has a byte at least: a huge count with nothing behind it ends at once. */
    for (uint32_t i = 0; i < count; i++) {
        if (!skip_value(inside, depth, budget)) {
            return false;
        }
    }
    return inside->at == inside->end;
}

/* The elements of an array share one constructor. Elements without bytes (null, true) could be
 * counted in billions for free: such arrays are bounded by their declared size instead. */
static bool skip_array(struct codec_reader *inside, uint32_t count, unsigned depth,
                       uint32_t *budget)
{
    unsigned char code;
    enum codec_type type;
    struct span body;

    if (inside->at == inside->end) {
        return count == 0;
    }
    code = *inside->at++;
    if (!constructor_type(code, &type)) {
        return false;
    }
    if (type == CODEC_DESCRIBED) { /* the descriptor, then the constructor of what it describes */
        if (depth >= CODEC_DEPTH || !skip_value(inside, depth + 1, budget) ||
            inside->at == inside->end) {
            return false;
        }
        code = *inside->at++;
        if (!constructor_type(code, &type) || type == CODEC_DESCRIBED) {
            return false;
        }
    }
    if (type == CODEC_LIST || type == CODEC_MAP || type == CODEC_ARRAY || (code >> 4) == 4) {
        return false; /* nested compounds and empty elements: nobody sends them, nothing needs them
                       */
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!pay(budget) || !take_body(inside, code, &body)) {
            return false;
        }
    }
    return inside->at == inside->end;
}

static bool skip_compound(struct codec_reader *r, enum codec_type type, unsigned depth,
                          uint32_t *budget)
{
    struct codec_reader inside;
    uint32_t count;

    if (depth >= CODEC_DEPTH || !read_compound(r, type, &inside, &count)) {
        return codec_fail(r);
    }
    if (type == CODEC_ARRAY ? !skip_array(&inside, count, depth + 1, budget)
                            : !skip_elements(&inside, count, depth + 1, budget)) {
        return codec_fail(r);
    }
    return type != CODEC_MAP || count % 2 == 0 || codec_fail(r);
}

static bool skip_value(struct codec_reader *r, unsigned depth, uint32_t *budget)
{
    enum codec_type type;
    unsigned char code;
    struct span body;

    if (!pay(budget) || !codec_peek(r, &type)) {
        return codec_fail(r);
    }
    if (type == CODEC_LIST || type == CODEC_MAP || type == CODEC_ARRAY) {
        return skip_compound(r, type, depth, budget);
    }
    code = *r->at++;
    if (type == CODEC_DESCRIBED) {
        return (depth < CODEC_DEPTH || codec_fail(r)) && skip_value(r, depth + 1, budget) &&
               skip_value(r, depth + 1, budget);
    }
    return take_body(r, code, &body);
}

bool codec_skip(struct codec_reader *r, struct span *value)
{
    const unsigned char *from = r->at;

    if (!skip_value(r, 0, NULL)) {
        return false;
    }
    if (value != NULL) {
        *value = span_of(from, (size_t)(r->at - from));
    }
    return true;
}

bool codec_skip_within(struct codec_reader *r, uint32_t *values)
{
    return skip_value(r, 0, values);
}

/* ---- writing ---- */

static void write_byte(struct buf *out, unsigned char byte)
{
    buf_add(out, &byte, 1);
}

static void write_u32(struct buf *out, uint32_t value)
{
    const unsigned char bytes[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                                    (unsigned char)(value >> 8), (unsigned char)value};

    buf_add(out, bytes, sizeof(bytes));
}

void codec_write_null(struct buf *out)
{
    write_byte(out, 0x40);
}

void codec_write_ubyte(struct buf *out, uint8_t value)
{
    write_byte(out, 0x50);
    write_byte(out, value);
}

static void write_u64(struct buf *out, uint64_t value)
{
    write_u32(out, (uint32_t)(value >> 32));
    write_u32(out, (uint32_t)value);
}

void codec_write_bool(struct buf *out, bool value)
{
    write_byte(out, value ? 0x41 : 0x42);
}

void codec_write_uint(struct buf *out, uint32_t value)
{
    write_byte(out, 0x70);
    write_u32(out, value);
}

void codec_write_long(struct buf *out, int64_t value)
{
    write_byte(out, 0x81);
    write_u64(out, (uint64_t)value);
}

void codec_write_double(struct buf *out, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    write_byte(out, 0x82);
    write_u64(out, bits);
}

void codec_write_timestamp(struct buf *out, int64_t value)
{
    write_byte(out, 0x83);
    write_u64(out, (uint64_t)value);
}

void codec_write_int(struct buf *out, int32_t value)
{
    write_byte(out, 0x71);
    write_u32(out, (uint32_t)value);
}

/* small: the constructor for up to 255 bytes; the wide one is 0x10 more. */
static void write_variable(struct buf *out, unsigned char small, struct span value)
{
    if (value.len <= 0xFF) {
        write_byte(out, small);
        write_byte(out, (unsigned char)value.len);
    } else {
        write_byte(out, (unsigned char)(small + 0x10));
        write_u32(out, (uint32_t)value.len);
    }
    buf_add_span(out, value);
}

void codec_write_string(struct buf *out, struct span value)
{
    write_variable(out, 0xA1, value);
}

void codec_write_symbol(struct buf *out, struct span value)
{
    write_variable(out, 0xA3, value);
}

void codec_write_binary(struct buf *out, struct span value)
{
    write_variable(out, 0xA0, value);
}

void codec_write_descriptor(struct buf *out, uint8_t descriptor)
{
    const unsigned char bytes[3] = {0x00, 0x53, descriptor};

    buf_add(out, bytes, sizeof(bytes));
}

static size_t begin_compound(struct buf *out, unsigned char code)
{
    write_byte(out, code);
    write_u32(out, 0);
    write_u32(out, 0);
    return out->len;
}

size_t codec_begin_list(struct buf *out)
{
    return begin_compound(out, 0xD0);
}

size_t codec_begin_map(struct buf *out)
{
    return begin_compound(out, 0xD1);
}

static void put_u32(char *at, uint32_t value)
{
    at[0] = (char)(value >> 24);
    at[1] = (char)(value >> 16);
    at[2] = (char)(value >> 8);
    at[3] = (char)value;
}

void codec_end_compound(struct buf *out, size_t begin, uint32_t count)
{
    if (out->overflow) {
        return;
    }
    assert(begin >= 8 && begin <= out->len);
    put_u32(out->ptr + begin - 8, (uint32_t)(out->len - begin + 4)); /* size counts the count */
    put_u32(out->ptr + begin - 4, count);
}
