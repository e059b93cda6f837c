"""Files in the form of `koseki export`, as it would write them, of any size."""
import base64
import hashlib
import json
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from support import pki

BCRYPT = "$2a$10$0FLEAiH6u1tIBAdxhh4Ijetll71EKidV8fh400sqOL/F/y/1l2dee"


def text_of(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def uuid_of(name):
    return str(uuid.UUID(bytes=hashlib.md5(name.encode()).digest()))


def public_key(name="ca.pem"):
    certificate = x509.load_pem_x509_certificate(pki.pem(name).encode())
    return base64.b64encode(certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).decode()


def credential(number, device, key):
    """One of every kind, in turn."""
    secret = {"id": uuid_of(f"{device} secret")}
    user = device.replace(":", "_")
    digest = base64.b64encode(hashlib.sha512(device.encode()).digest()).decode()
    return [
        lambda: {"type": "psk", "auth-id": f"psk é\" {device}", "secrets": [{"key": digest, "comment": "first", **secret}]},
        lambda: {"type": "x509-cert", "auth-id": f"CN={device},O=Ümlaut", "enabled": True,
                 "comment": "c", "secrets": [{**secret, "not-after": "2036-01-01T00:00:00Z"}]},
        lambda: {"type": "hashed-password", "auth-id": user, "secrets": [
            {"hash-function": "sha-256", "pwd-hash": digest, "salt": "c2FsdA==", **secret}]},
        lambda: {"type": "hashed-password", "auth-id": user, "enabled": False, "secrets": [
            {**secret, "hash-function": "sha-512", "pwd-hash": digest},
            {"id": "2", "hash-function": "bcrypt", "pwd-hash": BCRYPT, "enabled": False}]},
        lambda: {"type": "rpk", "auth-id": device, "secrets": [{"key": key, "algorithm": "EC", **secret}]},
        lambda: {"type": "my-own", "auth-id": device, "ext": {"ü": [1.5, None, {}]},
                 "secrets": [{"anything": "goes", **secret, "nested": {"日本": [True]}}]},
    ][number % 6]()


def credentials_of(number):
    """How many a device has."""
    return (number % 10 != 9) + (number % 4 == 1)


def device_line(tenant, device, number, key):
    """Some are gateways, some stand behind them; some have no credentials, some two."""
    document = {"enabled": number % 11 != 0, "ext": {"nr": number, "名": "計器"}}
    if number % 5 == 0:
        document.update({"viaGroups": ["red"], "via": ["gateway-1", device, "gateway-1"]})
    elif number % 7 == 0:
        document["memberOf"] = ["red", f"group-{number % 13}"]
    credentials = [credential(number + n, f"{device}-{n}", key) for n in range(credentials_of(number))]
    return {"tenant": tenant, "device": device, "version": uuid_of(device),
            "credentials-version": uuid_of(device + " credentials"), "created": 1795514400000 + number,
            "updated": 0 if number % 3 else 1795514500000 + number, "auto-provisioned": number % 6 == 1,
            "auto-provisioning-notification-sent": number % 12 == 1,
            "document": document, "credentials": credentials}


def tenant_line(tenant, document):
    return {"tenant": tenant, "version": uuid_of(tenant), "created": 1795514400000, "updated": 0,
            "document": document}


def write(path, version, devices):
    """Three tenants, one with nearly all of the devices."""
    key = public_key()
    ca = {"subject-dn": "CN=shared", "public-key": key, "algorithm": "EC",
          "not-before": "2026-01-01T00:00:00Z", "not-after": "2036-01-01T00:00:00Z",
          "auto-provisioning-enabled": True, "auto-provision-as-gateway": False, "id": "1"}
    shared = {"trust-anchor-group": "all", "trusted-ca": [ca, dict(ca, id="2")]}
    tenants = (("A", {"alias": "first", **shared}, 3),
               ("bulk", {"enabled": True, "registration-limits": {
                   "max-devices": -1, "max-credentials-per-device": -1}}, devices - 5),
               ("z.Z_-", shared, 2))
    with open(path, "w") as file:
        def put(line):
            file.write(text_of(line) + "\n")
        put({"koseki-export": 1, "version": version, "tenants": len(tenants), "devices": devices,
             "credentials": sum(credentials_of(n) for *_, count in tenants for n in range(count))})
        for tenant, document, count in tenants:
            put(tenant_line(tenant, document))
            for number, device in enumerate(sorted(f"{n * 2654435761 % 2 ** 32:08x}:{n}=" for n in range(count))):
                put(device_line(tenant, device, number, key))
