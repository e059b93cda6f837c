"""Lets most generated requests meet a tenant and a device that are there, so that more than 404s come of them."""
import re

import schemathesis

TENANT = re.compile(r"[a-zA-Z0-9_.-]{1,200}")
DEVICE = re.compile(r"[a-zA-Z0-9_.:=-]{1,200}")

# What other requests need is never deleted, nor filled with limits of all kinds: that happens to others.
OWN_TENANT = {"getTenant": "changing", "updateTenant": "changing"}
UNTOUCHED = ("createTenantWithId", "deleteTenant", "deleteDevices")


@schemathesis.hook
def before_call(context, case, kwargs):
    """In the stateful phase ids are those of what was created before."""
    if case.meta is not None and case.meta.phase.name.value == "stateful":
        return
    ids = case.path_parameters or {}
    operation = case.operation.definition.raw.get("operationId")
    if operation in UNTOUCHED:
        if ids.get("tenantId") in ("acme", "changing"):
            ids["tenantId"] = "another"
        return
    if TENANT.fullmatch(str(ids.get("tenantId", ""))):
        ids["tenantId"] = OWN_TENANT.get(operation, "acme")
    if operation not in ("createDeviceWithId", "deleteDevice"):
        if DEVICE.fullmatch(str(ids.get("deviceId", ""))):
            ids["deviceId"] = "sensor-1"
    elif ids.get("deviceId") == "sensor-1":
        ids["deviceId"] = "another"


def fits(value):
    """Are all integers of 64 bits? Others are refused (docs/compatibility.md), which no schema of free members says."""
    if isinstance(value, dict):
        return all(map(fits, value.values()))
    if isinstance(value, list):
        return all(map(fits, value))
    return not isinstance(value, int) or -2**63 <= value < 2**63


@schemathesis.hook
def filter_body(context, body):
    return fits(body)
