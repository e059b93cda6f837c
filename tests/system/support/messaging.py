"""What tests of messaging share: a registry with a broker that can be told how to behave."""
import unittest

from support.adapter import payload, status
from support.broker import Broker
from support.factory import Factory
from support.fleet import Fleet
from support.server import Koseki

EVENT = "application/vnd.eclipse-hono-device-provisioning-notification"
TENANTS = "notification/registry-tenant"
DEVICES = "notification/registry-device"


def ids(taken):
    return [t.properties["device_id"] for t in taken]


def number(taken):
    """Of its entry in the outbox."""
    return int(taken.id.rsplit("-", 1)[1])


def meeting_first(outcomes, at=lambda address: True):
    """A judge: as many messages at such addresses meet one of the outcomes each, once; everything else is accepted."""
    left = list(outcomes)
    met = set()

    def judge(address, message):
        if not left or message.id in met or not at(address):
            return "accept"
        met.add(message.id)
        return left.pop(0)

    return judge


class Messaging(unittest.TestCase):
    """Each test has a broker and a registry of its own."""

    relay = True

    def setUp(self):
        self.factory = Factory()
        self.broker = Broker(relay=self.relay)
        self.addCleanup(self.stop_broker)

    def stop_broker(self):
        if self.broker is not None:
            self.broker.stop()
            self.broker = None

    def open(self, **settings):
        if "messaging__urls" not in settings:
            settings["messaging__urls"] = self.broker.url() if self.broker else "amqp://127.0.0.1:1"
        koseki = Koseki(**settings)
        self.addCleanup(self.close, koseki)
        return koseki

    def close(self, koseki):
        if koseki.process is not None:
            self.assertEqual(koseki.stop(), 0)
        koseki.verify()
        koseki.close()

    def login(self, adapter, tenant="T1", made=None):
        subject, certificate = made or self.factory.make()
        return adapter.call(f"credentials/{tenant}", "get",
                            {"type": "x509-cert", "auth-id": subject, "client-certificate": certificate})

    def provision(self, adapter, tenant="T1"):
        answer = self.login(adapter, tenant)
        self.assertEqual(status(answer), 201, answer.body)
        return payload(answer)["device-id"]

    def provision_many(self, koseki, count, tenant="T1", **options):
        """The devices of so many certificates."""
        fleet = Fleet(koseki, [self.factory.make() for _ in range(count)], tenant, **{"connections": 2, **options})
        fleet.join()
        return list(fleet.devices().values())

    def notified(self, koseki, device, tenant="T1"):
        return koseki.http("GET", f"/v1/devices/{tenant}/{device}").json()["status"].get(
            "auto-provisioning-notification-sent", False)

    def messaging(self, koseki):
        answer = koseki.http("GET", "/readiness", user=None, listener="ops.listen")
        self.assertEqual(answer.status, 200)
        return next(c for c in answer.json()["checks"] if c["name"] == "messaging")["data"]

    def wait_trouble(self, koseki):
        """What keeps it from the broker."""
        return koseki.wait_for(lambda: self.messaging(koseki).get("trouble", "").replace("connecting", ""),
                               "the trouble")

    def wait_figure(self, koseki, name, value):
        koseki.wait_for(lambda: self.messaging(koseki)[name] == value, f"{name} to be {value}")
