#include "base/status.h"

#include <stdio.h>
#include <string.h>

enum ks_status ks_fail(struct ks_failure *why, enum ks_status status, const char *reason,
                       const char *format, ...)
{
    va_list args;

    if (why == NULL) {
        return status;
    }
    why->reason = reason;
    va_start(args, format);
    (void)vsnprintf(why->text, sizeof(why->text), format, args);
    va_end(args);
    return status;
}

const char *ks_errno_text(int error)
{
    const char *text = strerrordesc_np(error);

    return text != NULL ? text : "unknown error";
}

const char *ks_status_name(enum ks_status status)
{
    static const char *const names[] = {
        [KS_OK] = "ok",
        [KS_NOT_FOUND] = "not found",
        [KS_EXISTS] = "exists",
        [KS_STALE] = "stale",
        [KS_INVALID] = "invalid",
        [KS_UNAUTHORIZED] = "unauthorized",
        [KS_FORBIDDEN] = "forbidden",
        [KS_LIMIT] = "limit",
        [KS_TOO_LARGE] = "too large",
        [KS_NEEDS_WRITE] = "needs write",
        [KS_BUSY] = "busy",
        [KS_FULL] = "full",
        [KS_DISK_FULL] = "disk full",
        [KS_IO] = "i/o error",
        [KS_CORRUPT] = "corrupt",
        [KS_UNAVAILABLE] = "unavailable",
    };

    return (size_t)status < sizeof(names) / sizeof(names[0]) ? names[status] : "unknown";
}
