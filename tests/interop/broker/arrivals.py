"""What Koseki tells arrives at real consumers by way of a real broker, over each kind of connection."""
import json
import time

from stage import Case
from support import pki
from support.adapter import Adapter, status
from support.messaging import DEVICES, EVENT, TENANTS, ids
from support.server import WAIT

FLEET = 30  # devices


class Arrivals(Case):
    url = "plain"
    settings = {}

    def told(self, consumer, address):
        """The notifications about this case's tenant, in order, without what tells its time."""
        found = []
        for taken in consumer.of(address):
            body = json.loads(bytes(taken.body))
            if body["tenant-id"] == self.tenant:
                self.assertEqual(taken.content_type, "application/json")
                self.assertFalse(taken.durable)
                self.assertEqual(body.pop("source"), "device-registry")
                self.assertRegex(body.pop("creation-time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
                found.append(body)
        return found

    def steps(self):
        """Changes of each kind: (request, the notification that tells of it)."""
        tenant = self.tenant

        def of_tenant(change, enabled=True, invalidate=False):
            return {"type": "tenant-change-v1", "change": change, "tenant-id": tenant, "enabled": enabled,
                    "invalidate-cache-on-update": invalidate}

        def of_device(change, enabled=True):
            return {"type": "device-change-v1", "change": change, "tenant-id": tenant, "device-id": "D1",
                    "enabled": enabled}

        ca = {"trusted-ca": [{"cert": pki.der_base64("ca.pem"), "auto-provisioning-enabled": True}],
              "trust-anchor-group": "g"}
        return [
            (("POST", f"/v1/tenants/{tenant}", ca), of_tenant("CREATE")),
            (("PUT", f"/v1/tenants/{tenant}", {**ca, "ext": {"a": 1}}), of_tenant("UPDATE")),
            (("PUT", f"/v1/tenants/{tenant}", {**ca, "enabled": False}), of_tenant("UPDATE", False, True)),
            (("PUT", f"/v1/tenants/{tenant}", ca), of_tenant("UPDATE", True, True)),
            (("POST", f"/v1/devices/{tenant}/D1", {}), of_device("CREATE")),
            (("PUT", f"/v1/credentials/{tenant}/D1", []),
             {"type": "credentials-change-v1", "tenant-id": tenant, "device-id": "D1"}),
            (("PUT", f"/v1/devices/{tenant}/D1", {"enabled": False}), of_device("UPDATE", False)),
            (("DELETE", f"/v1/devices/{tenant}/D1", None), of_device("DELETE", False)),
            (("DELETE", f"/v1/devices/{tenant}", None),
             {"type": "all-devices-of-tenant-deleted-v1", "tenant-id": tenant}),
            (("DELETE", f"/v1/tenants/{tenant}", None), of_tenant("DELETE", False, True)),
        ]

    def request(self, koseki, steps):
        for request, _ in steps:
            answer = koseki.http(*request)
            self.assertLess(answer.status, 300, (request, answer.body))

    def provision_fleet(self, koseki, tenant):
        """Devices by certificate, then the device "edge" by its gateway."""
        devices = self.provision_many(koseki, FLEET, tenant)
        koseki.create_device(tenant, "gw", {"authorities": ["auto-provisioning-enabled"]})
        with Adapter(koseki) as adapter:
            self.assertEqual(status(adapter.assert_device(tenant, "edge", "gw")), 200)
        koseki.wait_for(lambda: self.notified(koseki, "edge", tenant), "acceptance of the edge device's event")
        return devices

    def test_everything_arrives(self):
        """A queue gives each message to one consumer: Hono's application has a tenant of its own."""
        consumer = self.consumer(self.tenant)
        other = f"{self.tenant}-hono"
        hono = self.hono(other)
        hono.wait(lambda lines: {"type": "ready"} in lines, "its links")
        koseki = self.open(self.url, **self.settings)
        steps = self.steps()
        self.request(koseki, steps[:-2])
        devices = self.provision_fleet(koseki, self.tenant)
        self.request(koseki, steps[-2:])
        koseki.create_tenant(other)
        of_hono = self.provision_fleet(koseki, other)
        self.check_notifications(consumer, [notification for _, notification in steps], devices)
        self.check_events(consumer, devices)
        self.check_hono(hono, consumer, other, of_hono)

    def check_notifications(self, consumer, told, devices):
        of_all = told[-2]
        of_tenant = [t for t in told if t["type"] == "tenant-change-v1"]
        consumer.wait(lambda: of_all in self.told(consumer, DEVICES), "the deletion of all devices", WAIT)
        consumer.wait(lambda: len(self.told(consumer, TENANTS)) >= len(of_tenant), "the tenant's notifications", WAIT)
        self.assertEqual(self.told(consumer, TENANTS), of_tenant)
        of_devices = self.told(consumer, DEVICES)
        self.assertEqual(of_devices[-1], of_all)
        of_d1 = [t for t in told if t.get("device-id") == "D1"]
        self.assertEqual([t for t in of_devices if t.get("device-id") == "D1"], of_d1)
        for device in devices:
            self.assertEqual([t for t in of_devices if t.get("device-id") == device], [
                {"type": "device-change-v1", "change": "CREATE", "tenant-id": self.tenant, "device-id": device,
                 "enabled": True},
                {"type": "credentials-change-v1", "tenant-id": self.tenant, "device-id": device}])

    def check_events(self, consumer, devices):
        address = f"event/{self.tenant}"
        consumer.wait(lambda: len(consumer.of(address)) >= len(devices) + 1, "events", WAIT)
        events = consumer.of(address)
        self.assertEqual(sorted(ids(events)), sorted([*devices, "edge"]))
        self.assertEqual(len({event.id for event in events}), len(events))
        for event in events:
            device = event.properties["device_id"]
            expected = {"hono_registration_status": "NEW", "tenant_id": self.tenant, "device_id": device,
                        "orig_adapter": "hono-device-registry", "orig_address": "event", "qos": 1,
                        "JMS_AMQP_CONTENT_TYPE": EVENT}
            if device == "edge":
                expected["gateway_id"] = "gw"
            self.assertEqual(event.properties, expected)
            self.assertTrue(event.durable)
            self.assertEqual(event.content_type, EVENT)
            self.assertIsNone(event.body)
            self.assertTrue(0 <= time.time() - event.creation_time < 3600, event.creation_time)
            own = {key: value for key, value in event.annotations.items() if not key.startswith("x-opt-")}
            self.assertEqual(own, {"tenant_id": self.tenant, "device_id": device,
                                   "resource": f"event/{self.tenant}/{device}"})

    def check_hono(self, hono, consumer, tenant, devices):
        """What Hono's classes make of the notifications about this case's tenant, and of the other one's events."""
        def notifications(lines, kind):
            return [n for n in lines if kind in n["type"] and n.get("tenant-id") == self.tenant]

        def events(lines):
            return [line for line in lines if line["type"] == EVENT]

        of_tenant, of_devices = self.told(consumer, TENANTS), self.told(consumer, DEVICES)
        hono.wait(lambda lines: len(events(lines)) >= len(devices) + 1, "events", WAIT)
        hono.wait(lambda lines: of_tenant[-1] in lines and of_devices[-1] in lines, "notifications", WAIT)
        lines = hono.lines()
        self.assertEqual(notifications(lines, "tenant-change"), of_tenant)
        self.assertEqual([n for n in notifications(lines, "") if "tenant-change" not in n["type"]], of_devices)
        self.assertEqual(sorted(events(lines), key=lambda event: event["device-id"]), [
            {"type": EVENT, "tenant-id": tenant, "device-id": device, "qos": "AT_LEAST_ONCE", "status": "NEW",
             "payload": 0} for device in sorted([*devices, "edge"])])


class ArrivalsOverTls(Arrivals):
    url = "good"


class ArrivalsByName(Arrivals):
    """The broker's certificate names a host and no address."""

    url = "of-the-name-only"
    settings = {"host": "localhost"}


class ArrivalsByCertificate(Arrivals):
    """SASL EXTERNAL: Koseki comes with a certificate, and without a password."""

    url = "external"

    def setUp(self):
        super().setUp()
        pem = self.stage.path("koseki.pem")
        self.settings = {"messaging__username": None, "messaging__password_file": None, "messaging__cert": pem,
                         "messaging__key": pem}


class Persistence(Case):
    def test_what_the_broker_has_accepted_survives_its_death(self):
        """Nobody consumes; the broker is killed and started again; then all events are there."""
        koseki = self.open()
        koseki.create_tenant(self.tenant)
        devices = self.provision_many(koseki, FLEET, self.tenant)
        koseki.wait_for(lambda: all(self.notified(koseki, d, self.tenant) for d in devices), "the flags")
        self.broker.kill()
        self.broker.start()
        self.broker.wait_ready()
        consumer = self.consumer(self.tenant)
        address = f"event/{self.tenant}"
        consumer.wait(lambda: len(consumer.of(address)) >= len(devices), "events", WAIT)
        self.assertEqual(sorted(ids(consumer.of(address))), sorted(devices))
