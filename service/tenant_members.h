/*
 * tenant_members: constants and accessors of the members of a tenant (service/tenant.def) and of
 * its trusted CAs (service/ca.def); what they are is said in service/member_names.h.
 *
 * Threads: any; pure.
 */
#pragma once

#include "service/member_names.h"

#include "service/tenant.def"

#include "service/member_names.h"

#include "service/ca.def"
