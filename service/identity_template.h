/*
 * identity_template: ids made from the subject of a device's certificate, by a text with
 * placeholders that the tenant's trusted CA brings: the auth-id that adapters ask for, the id of a
 * device that is provisioned.
 *
 * {{subject-dn}} stands for the whole name, {{subject-cn}}, {{subject-ou}} and {{subject-o}} for
 * one attribute's value (docs/names.md says which). A placeholder is what stands between "{{" and
 * the next "}}"; other braces are text. Filled in one pass, literally: what a certificate brings is
 * never read as a template.
 *
 * Threads:   any; pure.
 * Errors:    KS_INVALID; "template-unfilled" and "bad-device-id" for a subject that does not do.
 * Source:    Hono's IdentityTemplate, but for its regular expressions.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

/* The name of a certificate's holder, both ways. */
struct identity_subject {
    struct span dn;  /* text */
    struct span der; /* the Name */
};

/* Whether a tenant may have this template: there is a placeholder, and no unknown one; literal text
 * fits a device id and leaves room in it. */
KS_MUST_CHECK enum ks_status identity_template_check_device_id(struct span template,
                                                               struct ks_failure *why);
/* The same; and it gives no distinguished name in another spelling than the one that is kept. */
KS_MUST_CHECK enum ks_status identity_template_check_auth_id(struct span template,
                                                             struct ks_failure *why);

/* Appends the filled template; `out` may run over its bound. */
KS_MUST_CHECK enum ks_status identity_template_fill(struct span template,
                                                    const struct identity_subject *subject,
                                                    struct buf *out, struct ks_failure *why);
/* The same as the id of a device, in the arena. */
KS_MUST_CHECK enum ks_status identity_template_device_id(struct span template,
                                                         const struct identity_subject *subject,
                                                         struct arena *arena, struct span *id,
                                                         struct ks_failure *why);
