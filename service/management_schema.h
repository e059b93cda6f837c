/*
 * management_schema: the schemas of the management API's documents, from the tables that read them.
 *
 * Tenant, Device and Credentials are bodies and answers; TenantItem and DeviceItem are what a
 * search answers of each.
 *
 * Threads: any; pure.
 */
#pragma once

#include "base/buf.h"

/* Appends the members of an object of schemas. */
void management_schemas_add(struct buf *out);
