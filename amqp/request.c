#include "amqp/request.h"

#include "amqp/codec.h"
#include "base/utf8.h"

enum section {
    SECTION_HEADER = 0x70,
    SECTION_DELIVERY_ANNOTATIONS = 0x71,
    SECTION_MESSAGE_ANNOTATIONS = 0x72,
    SECTION_PROPERTIES = 0x73,
    SECTION_APPLICATION_PROPERTIES = 0x74,
    SECTION_DATA = 0x75,
    SECTION_SEQUENCE = 0x76,
    SECTION_VALUE = 0x77,
    SECTION_FOOTER = 0x78,
};

/* A message-id or correlation-id in its encoding. Of any type without elements: more than the four
 * that the standard allows, as Hono takes them. Empty: absent. */
static bool read_id(struct codec_reader *r, struct span *out)
{
    enum codec_type type;

    if (codec_take_null(r)) {
        return true;
    }
    if (!codec_peek(r, &type) || !codec_skip(r, out)) {
        return false;
    }
    return type != CODEC_LIST && type != CODEC_MAP && type != CODEC_ARRAY &&
           type != CODEC_DESCRIBED;
}

static bool read_text(struct codec_reader *r, struct span *out)
{
    return codec_take_null(r) || (codec_read_string(r, out) && utf8_valid(*out));
}

static bool pass_over(struct codec_reader *r, enum codec_type type)
{
    enum codec_type got;

    return codec_take_null(r) || (codec_peek(r, &got) && got == type && codec_skip(r, NULL));
}

/* Section 3.2.4. */
static bool read_properties(struct codec_reader *r, struct request *out)
{
    static const enum codec_type types[] = {
        CODEC_NULL,      /* message-id: read_id */
        CODEC_BINARY,    /* user-id */
        CODEC_STRING,    /* to */
        CODEC_STRING,    /* subject */
        CODEC_STRING,    /* reply-to */
        CODEC_NULL,      /* correlation-id: read_id */
        CODEC_SYMBOL,    /* content-type */
        CODEC_SYMBOL,    /* content-encoding */
        CODEC_TIMESTAMP, /* absolute-expiry-time */
        CODEC_TIMESTAMP, /* creation-time */
        CODEC_STRING,    /* group-id */
        CODEC_UINT,      /* group-sequence */
        CODEC_STRING,    /* reply-to-group-id */
    };
    struct codec_reader in;
    struct span message_id = {0};
    struct span correlation = {0};
    uint32_t count;

    if (!codec_read_list(r, &in, &count) || count > sizeof(types) / sizeof(types[0])) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        bool ok;

        switch (i) {
        case 0:
            ok = read_id(&in, &message_id);
            break;
        case 3:
            ok = read_text(&in, &out->subject);
            break;
        case 4:
            ok = read_text(&in, &out->reply_to);
            break;
        case 5:
            ok = read_id(&in, &correlation);
            break;
        default:
            ok = pass_over(&in, types[i]);
            break;
        }
        if (!ok) {
            return false;
        }
    }
    out->correlation = correlation.len > 0 ? correlation : message_id;
    return in.at == in.end;
}

/* Nothing in them is looked at; their keys must be symbols (section 3.2.10). */
static bool read_annotations(struct codec_reader *r)
{
    struct codec_reader in;
    uint32_t count;

    if (codec_take_null(r)) {
        return true;
    }
    if (!codec_read_map(r, &in, &count)) {
        return false;
    }
    for (uint32_t i = 0; i < count; i += 2) {
        struct span key;

        if (!codec_read_symbol(&in, &key) || !codec_skip(&in, NULL)) {
            return false;
        }
    }
    return in.at == in.end;
}

static bool read_application_property(struct codec_reader *in, struct request *out)
{
    const struct {
        struct span name;
        struct span *value;
        bool *has;
    } wanted[] = {
        {SPAN("tenant_id"), &out->tenant_id, &out->has_tenant_id},
        {SPAN("device_id"), &out->device_id, &out->has_device_id},
        {SPAN("gateway_id"), &out->gateway_id, &out->has_gateway_id},
        {SPAN("adapter_instance_id"), &out->adapter_instance_id, &out->has_adapter_instance_id},
    };
    struct span key;
    struct span value;
    enum codec_type type;

    if (!codec_read_string(in, &key) || !codec_peek(in, &type)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (!span_eq(key, wanted[i].name)) {
            continue;
        }
        /* The last one of a name wins; one of another type counts as absent. */
        *wanted[i].has = type == CODEC_STRING;
        *wanted[i].value = span_of(NULL, 0);
        if (type == CODEC_STRING) {
            return codec_read_string(in, wanted[i].value) && utf8_valid(*wanted[i].value);
        }
    }
    if (span_eq(key, SPAN("lifespan"))) {
        struct codec_reader integer = *in;

        out->has_lifespan = codec_read_integer(&integer, &out->lifespan_s);
    }
    return codec_skip(in, &value);
}

static bool read_application_properties(struct codec_reader *r, struct request *out)
{
    struct codec_reader in;
    uint32_t count;

    if (codec_take_null(r)) {
        return true;
    }
    if (!codec_read_map(r, &in, &count)) {
        return false;
    }
    for (uint32_t i = 0; i < count; i += 2) {
        if (!read_application_property(&in, out)) {
            return false;
        }
    }
    return in.at == in.end;
}

static bool read_data(struct codec_reader *r, struct request *out)
{
    if (!codec_read_binary(r, &out->body)) {
        return false;
    }
    out->has_body = out->body.len > 0;
    return true;
}

/* A string, or an array of byte; anything else counts as no body. */
static bool read_value(struct codec_reader *r, struct request *out)
{
    struct codec_reader whole = *r;
    enum codec_type type;

    if (!codec_peek(r, &type) || !codec_skip(r, NULL)) {
        return false;
    }
    if (type == CODEC_STRING) {
        if (!codec_read_string(&whole, &out->body)) {
            return false;
        }
        out->has_body = out->body.len > 0;
    } else if (type == CODEC_ARRAY) {
        struct codec_reader in;
        uint32_t count;

        if (codec_read_array(&whole, &in, &count) && count > 0 && *in.at == 0x51) {
            out->body = span_of(in.at + 1, count);
            out->has_body = true;
        }
    }
    return true;
}

static bool read_section(enum section section, struct codec_reader *r, struct request *out)
{
    switch (section) {
    case SECTION_PROPERTIES:
        return read_properties(r, out);
    case SECTION_APPLICATION_PROPERTIES:
        return read_application_properties(r, out);
    case SECTION_DATA:
        return read_data(r, out);
    case SECTION_VALUE:
        return read_value(r, out);
    case SECTION_DELIVERY_ANNOTATIONS:
    case SECTION_MESSAGE_ANNOTATIONS:
    case SECTION_FOOTER:
        return read_annotations(r);
    case SECTION_HEADER:
    case SECTION_SEQUENCE:
        return pass_over(r, CODEC_LIST);
    }
    return false;
}

/* A section's descriptor, as number or by its symbolic name. */
static bool read_section_descriptor(struct codec_reader *r, uint64_t *section)
{
    static const struct {
        uint64_t section;
        const char *name;
    } names[] = {
        {SECTION_HEADER, "amqp:header:list"},
        {SECTION_DELIVERY_ANNOTATIONS, "amqp:delivery-annotations:map"},
        {SECTION_MESSAGE_ANNOTATIONS, "amqp:message-annotations:map"},
        {SECTION_PROPERTIES, "amqp:properties:list"},
        {SECTION_APPLICATION_PROPERTIES, "amqp:application-properties:map"},
        {SECTION_DATA, "amqp:data:binary"},
        {SECTION_SEQUENCE, "amqp:amqp-sequence:list"},
        {SECTION_VALUE, "amqp:amqp-value:*"},
        {SECTION_FOOTER, "amqp:footer:map"},
    };
    struct codec_reader by_name = *r;
    struct span name;

    if (!codec_read_symbolic_descriptor(&by_name, &name)) {
        return codec_read_descriptor(r, section);
    }
    *r = by_name;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (span_eq(name, span_cstr(names[i].name))) {
            *section = names[i].section;
            return true;
        }
    }
    return false;
}

enum request_verdict request_parse(struct span message, struct request *out)
{
    struct codec_reader r = codec_reader_of(message);
    uint64_t last = 0;

    *out = (struct request){0};
    while (r.at < r.end) {
        uint64_t section;

        if (!read_section_descriptor(&r, &section) || section < SECTION_HEADER ||
            section > SECTION_FOOTER) {
            return REQUEST_UNDECODABLE;
        }
        if (section <= last || (section < SECTION_FOOTER && last >= SECTION_DATA)) {
            break; /* out of order: the rest does not count */
        }
        if (!read_section((enum section)section, &r, out)) {
            return REQUEST_UNDECODABLE;
        }
        last = section;
    }
    if (out->correlation.len == 0 || out->correlation.len > REQUEST_ID_MAX ||
        out->subject.ptr == NULL || out->reply_to.ptr == NULL) {
        return REQUEST_MALFORMED;
    }
    return REQUEST_OK;
}
