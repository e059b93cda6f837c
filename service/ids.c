#include "service/ids.h"

#include <string.h>

#include "store/store.h"

/* Letters, digits and `besides`. */
static bool consists_of(struct span text, const char *besides)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            (c == '\0' || strchr(besides, c) == NULL)) {
            return false;
        }
    }
    return true;
}

/* In a URL's path `.` and `..` are steps, also where they are escaped (RFC 3986, section 6.2.2): to
 * delete a device of such a name would be to delete all devices of its tenant. */
static bool is_step(struct span id)
{
    return span_eq(id, SPAN(".")) || span_eq(id, SPAN(".."));
}

static bool fits(struct span id)
{
    return id.len > 0 && id.len <= STORE_ID_MAX && !is_step(id);
}

bool ids_is_tenant(struct span id)
{
    return fits(id) && consists_of(id, "-_.");
}

bool ids_is_device(struct span id)
{
    return fits(id) && ids_fits_device(id);
}

bool ids_fits_device(struct span text)
{
    return consists_of(text, "-_.:=");
}
