#include "certs/dn_types.h"

#define X520(last)                                                                                 \
    {                                                                                              \
        .ptr = "\x55\x04" last, .len = 3                                                           \
    }
#define UID_OID                                                                                    \
    {                                                                                              \
        .ptr = "\x09\x92\x26\x89\x93\xF2\x2C\x64\x01\x01", .len = 10                               \
    }
#define DC_OID                                                                                     \
    {                                                                                              \
        .ptr = "\x09\x92\x26\x89\x93\xF2\x2C\x64\x01\x19", .len = 10                               \
    }
#define EMAIL_OID                                                                                  \
    {                                                                                              \
        .ptr = "\x2A\x86\x48\x86\xF7\x0D\x01\x09\x01", .len = 9                                    \
    }
#define IP_OID                                                                                     \
    {                                                                                              \
        .ptr = "\x2B\x06\x01\x04\x01\x2A\x02\x0B\x02\x01", .len = 10                               \
    }

const struct dn_keyword dn_keywords[] = {
    {"CN", X520("\x03"), true},
    {"C", X520("\x06"), true},
    {"L", X520("\x07"), true},
    {"S", X520("\x08"), false},
    {"ST", X520("\x08"), true},
    {"O", X520("\x0A"), true},
    {"OU", X520("\x0B"), true},
    {"STREET", X520("\x09"), true},
    {"DC", DC_OID, true},
    {"UID", UID_OID, true},
    {"T", X520("\x0C"), false},
    {"IP", IP_OID, false},
    {"DNQUALIFIER", X520("\x2E"), false},
    {"DNQ", X520("\x2E"), false},
    {"SURNAME", X520("\x04"), false},
    {"GIVENNAME", X520("\x2A"), false},
    {"INITIALS", X520("\x2B"), false},
    {"GENERATION", X520("\x2C"), false},
    {"EMAIL", EMAIL_OID, false},
    {"EMAILADDRESS", EMAIL_OID, false},
    {"SERIALNUMBER", X520("\x05"), false},
};

const size_t dn_keyword_count = sizeof(dn_keywords) / sizeof(dn_keywords[0]);
