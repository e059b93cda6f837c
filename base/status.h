/*
 * status: the outcome of every operation that can fail, and the text that goes with it.
 *
 * Threads:   plain values; any thread.
 * Ownership: a ks_failure belongs to the caller, who passes it as the last parameter; NULL is
 *            accepted everywhere and means that the text is not wanted. `reason` points to a string
 *            literal.
 * Errors:    KS_NOT_FOUND, KS_EXISTS, KS_STALE and KS_NEEDS_WRITE are answers, not failures: they
 *            are never logged and their text is optional.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#define KS_MUST_CHECK       __attribute__((warn_unused_result))
#define KS_PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))

enum ks_status {
    KS_OK = 0,
    KS_NOT_FOUND,    /* nothing there, or not visible to this caller */
    KS_EXISTS,       /* the id, alias, DN or (type, auth-id) is taken */
    KS_STALE,        /* the version the caller named is not the stored one */
    KS_INVALID,      /* the input breaks a rule; the text names the member */
    KS_UNAUTHORIZED, /* who are you: login missing or wrong */
    KS_FORBIDDEN,    /* we know you, and you may not */
    KS_LIMIT,        /* a configured limit of the tenant or device is reached */
    KS_TOO_LARGE,    /* bigger than the edge accepts */
    KS_NEEDS_WRITE,  /* a read found that the writer must decide */
    KS_BUSY,         /* a bounded queue is full: try again */
    KS_FULL,         /* the store's map is full */
    KS_DISK_FULL,    /* the file system is below the watermark or out of space */
    KS_IO,           /* a system call failed; the text says which */
    KS_CORRUPT,      /* stored or configured data that cannot be what we wrote */
    KS_UNAVAILABLE,  /* shutting down, or the store is read-only after an I/O error */
};

/* Why an operation failed: a stable machine-readable code and a sentence for a person. */
struct ks_failure {
    const char *reason; /* kebab-case literal such as "unknown-tenant"; NULL if none was given */
    char text[256];     /* NUL-terminated, cut to fit, never holds secrets */
};

/* Fills *why (if any) and returns `status`, so that a failing function can `return ks_fail(…)`. */
enum ks_status ks_fail(struct ks_failure *why, enum ks_status status, const char *reason,
                       const char *format, ...) KS_PRINTF(4, 5);

/* What an errno means, from any thread (strerror is not for several). */
const char *ks_errno_text(int error);

/* The status in lower-case words, for logs and test output. */
const char *ks_status_name(enum ks_status status);
