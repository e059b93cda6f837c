"""What devices meet at Hono's adapters when Koseki is the registry; each case over HTTP and over MQTT."""
import base64
import concurrent.futures
import hashlib
import itertools
import re
import subprocess
import unittest
import uuid

from devices import HttpDevice, MqttDevice
from support import pki

STAGE = None  # set by run
X509 = "x509-cert"
NUMBERS = itertools.count(1)


def subject(certificate):
    run = subprocess.run(["openssl", "x509", "-in", pki.path(certificate + ".pem"), "-noout",
                          "-subject", "-nameopt", "RFC2253"],
                         capture_output=True, text=True, check=True)
    return run.stdout.strip().removeprefix("subject=")


def password(auth_id, plain, **members):
    return dict({"type": "hashed-password", "auth-id": auth_id, "secrets": [{"pwd-plain": plain}]},
                **members)


def salted(auth_id, plain):
    """The same as a SHA-256 that was made elsewhere."""
    salt = b"a salt"
    return {"type": "hashed-password", "auth-id": auth_id, "secrets": [{
        "hash-function": "sha-256", "salt": base64.b64encode(salt).decode(),
        "pwd-hash": base64.b64encode(hashlib.sha256(salt + plain.encode()).digest()).decode()}]}


class Case(unittest.TestCase):
    """Helpers. Each case has a tenant of its own, which goes with it: its CA is free for the next."""

    def setUp(self):
        self.koseki = STAGE.koseki
        self.tenant = self.consumer = None

    def new_tenant(self, **members):
        self.tenant = f"tenant-{next(NUMBERS)}"
        self.koseki.create_tenant(self.tenant, **members)
        self.addCleanup(self.koseki.http, "DELETE", f"/v1/tenants/{self.tenant}")
        self.consumer = STAGE.consumer(self.tenant)
        self.addCleanup(self.consumer.close)

    def manage(self, method, path, body=None, status=204):
        answer = self.koseki.http(method, path, body)
        self.assertEqual(answer.status, status, answer.body)
        return answer.json() if answer.body else None

    def devices(self):
        """How many the registry holds, every record cross-checked."""
        return int(re.search(r"^devices: (\d+)$", self.koseki.verify(), re.M).group(1))

    def accepted(self, device, kind="telemetry", behind=None):
        """Sends a message, has it accepted; the id of the device that the application sees with it."""
        text = f"message-{next(NUMBERS)}"
        outcome = device.publish(kind, text, behind)
        self.assertTrue(outcome.accepted, str(outcome))
        device_id, seen = self.consumer.next(kind)
        self.assertEqual(seen, text)
        return device_id

    def refused(self, device, kind="telemetry", behind=None):
        outcome = device.publish(kind, "nobody is to see this", behind)
        self.assertTrue(outcome.refused, str(outcome))


class Cases:
    """Every case, for a subclass that says how its device() talks."""

    def test_a_certificate_that_nobody_registered_is_provisioned_once(self):
        self.new_tenant()
        before = self.devices()
        for certificate in ("device-1", "device-2"):
            device = self.device(certificate=certificate)
            device_id = self.accepted(device)
            uuid.UUID(device_id)
            for kind in ("event", "telemetry"):
                self.assertEqual(self.accepted(device, kind), device_id)
            shown = self.manage("GET", f"/v1/devices/{self.tenant}/{device_id}", status=200)
            self.assertIs(shown["status"]["auto-provisioned"], True)
            shown = self.manage("GET", f"/v1/credentials/{self.tenant}/{device_id}", status=200)
            self.assertEqual([(entry["type"], entry["auth-id"]) for entry in shown],
                             [(X509, subject(certificate))])
        self.assertEqual(self.devices(), before + 2)

    def test_an_rsa_certificate_is_provisioned_once_the_tenant_allows_it(self):
        self.new_tenant(cas=("rsa-ca.pem",), provisioning=False)
        before = self.devices()
        device = self.device(certificate="rsa-device")
        self.refused(device)
        self.assertEqual(self.devices(), before)
        self.manage("PUT", f"/v1/tenants/{self.tenant}", {"trusted-ca": [
            {"cert": pki.der_base64("rsa-ca.pem"), "auto-provisioning-enabled": True}]})
        self.accepted(device)
        self.assertEqual(self.devices(), before + 1)

    def test_a_certificate_of_an_untrusted_ca_is_refused(self):
        self.new_tenant()
        before = self.devices()
        for certificate in ("client-foreign", "device-self-signed"):
            self.refused(self.device(certificate=certificate))
        # issued under the name of the trusted CA, signed by another key
        self.refused(self.device(certificate="device-bad-signature"))
        self.assertEqual(self.devices(), before)
        self.accepted(self.device(certificate="device-1"))

    def test_a_registered_certificate_keeps_its_device(self):
        self.new_tenant(provisioning=False)
        self.koseki.create_device(self.tenant, "known", {}, [
            {"type": X509, "auth-id": subject("device-4"), "secrets": [{}]}])
        self.assertEqual(self.accepted(self.device(certificate="device-4")), "known")
        self.refused(self.device(certificate="device-5"))

    def test_passwords(self):
        self.new_tenant()
        self.koseki.create_device(self.tenant, "clear", {}, [password("one", "first-secret")])
        self.koseki.create_device(self.tenant, "salted", {}, [salted("two", "second-secret")])
        for kind in ("telemetry", "event"):
            self.assertEqual(self.accepted(self.user("one", "first-secret"), kind), "clear")
            self.assertEqual(self.accepted(self.user("two", "second-secret"), kind), "salted")
        self.refused(self.user("one", "second-secret"))
        self.refused(self.user("two", "first-secret"))
        self.refused(self.user("three", "first-secret"))
        self.refused(self.device(login=(f"one@{self.tenant}-unknown", "first-secret")))

    def test_a_changed_password_is_the_one_that_counts(self):
        self.new_tenant()
        self.koseki.create_device(self.tenant, "d", {}, [password("user", "old-secret")])
        self.accepted(self.user("user", "old-secret"))
        self.manage("PUT", f"/v1/credentials/{self.tenant}/d", [password("user", "new-secret")])
        self.refused(self.user("user", "old-secret"))
        self.assertEqual(self.accepted(self.user("user", "new-secret")), "d")

    # MQTT says "not authorised" of many errors: a sibling that gets in shows that all else is well.

    def test_a_disabled_device_is_refused(self):
        self.new_tenant()
        for name, enabled in (("on", True), ("off", False)):
            self.koseki.create_device(self.tenant, name, {"enabled": enabled},
                                      [password(name, "secret")])
        self.refused(self.user("off", "secret"))
        self.assertEqual(self.accepted(self.user("on", "secret")), "on")

    def test_disabled_credentials_are_refused(self):
        self.new_tenant()
        self.koseki.create_device(self.tenant, "d", {}, [
            password("off", "secret", enabled=False), password("on", "secret")])
        self.refused(self.user("off", "secret"))
        self.assertEqual(self.accepted(self.user("on", "secret")), "d")

    def test_a_banned_certificate_does_not_come_back(self):
        self.new_tenant()
        device = self.device(certificate="device-6")
        path = f"/v1/credentials/{self.tenant}/{self.accepted(device)}"
        entries = self.manage("GET", path, status=200)
        before = self.devices()
        self.manage("PUT", path, [dict(entries[0], enabled=False)])
        self.refused(device)
        self.refused(device)
        self.assertEqual(self.devices(), before)

    def test_a_disabled_tenant_is_refused(self):
        self.new_tenant()
        self.koseki.create_device(self.tenant, "d", {}, [password("user", "secret")])
        self.accepted(self.user("user", "secret"))
        self.manage("PUT", f"/v1/tenants/{self.tenant}", {
            "enabled": False,
            "trusted-ca": [{"cert": pki.der_base64("ca.pem"), "auto-provisioning-enabled": True}]})
        self.refused(self.user("user", "secret"))
        self.refused(self.device(certificate="device-7"))

    def test_a_gateway_acts_for_the_devices_that_name_it(self):
        self.new_tenant()
        self.koseki.create_device(self.tenant, "gateway", {}, [password("gw", "secret")])
        self.koseki.create_device(self.tenant, "behind", {"via": ["another", "gateway"]})
        self.koseki.create_device(self.tenant, "elsewhere", {"via": ["another"]})
        gateway = self.user("gw", "secret")
        for kind in ("telemetry", "event"):
            self.assertEqual(self.accepted(gateway, kind, (self.tenant, "behind")), "behind")
        self.assertEqual(self.accepted(gateway), "gateway")
        self.not_taken(gateway, (self.tenant, "elsewhere"))
        self.not_taken(gateway, (self.tenant, "nobody"))


class OverHttp(Cases, Case):
    def device(self, **how):
        return HttpDevice(STAGE.http.port, **how)

    def user(self, auth_id, secret):
        return self.device(login=(f"{auth_id}@{self.tenant}", secret))

    def not_taken(self, device, behind):
        self.refused(device, behind=behind)


class OverMqtt(Cases, Case):
    def device(self, **how):
        return MqttDevice(STAGE.mqtt.port, **how)

    def user(self, auth_id, secret):
        return self.device(login=(f"{auth_id}@{self.tenant}", secret))

    def not_taken(self, device, behind):
        """The gateway is let in; a message it must not send is not acknowledged."""
        outcome = device.publish("telemetry", "nobody is to see this", behind)
        self.assertFalse(outcome.accepted, str(outcome))


class BothAdapters(Case):
    def both(self, certificate):
        return (HttpDevice(STAGE.http.port, certificate=certificate),
                MqttDevice(STAGE.mqtt.port, certificate=certificate))

    def test_first_messages_at_the_same_time_make_one_device(self):
        self.new_tenant()
        before = self.devices()
        senders = self.both("device-3") * 3
        with concurrent.futures.ThreadPoolExecutor(len(senders)) as pool:
            outcomes = list(pool.map(lambda device: device.publish("event", "hello"), senders))
        self.assertEqual([str(outcome) for outcome in outcomes if not outcome.accepted], [])
        seen = {self.consumer.next("event") for _ in outcomes}
        self.assertEqual(len(seen), 1, seen)
        self.assertEqual(self.devices(), before + 1)

    def test_adapters_come_back_to_a_registry_that_was_restarted(self):
        """They reconnect by themselves; provisioned devices are still there."""
        self.new_tenant()
        device_id = self.accepted(self.both("device-8")[0])
        STAGE.restart_koseki()
        for device in self.both("device-8"):
            self.assertEqual(self.accepted(device), device_id)
