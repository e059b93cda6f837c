/*
 * device_members: constants and accessors of the members of a device (service/device.def); what
 * they are is said in service/member_names.h.
 *
 * Threads: any; pure.
 */
#pragma once

#include "service/member_names.h"

#include "service/device.def"
