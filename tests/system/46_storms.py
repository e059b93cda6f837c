"""Storms: brokers and Koseki killed in the middle of a fleet's first logins; an outbox that is full for long."""
import json
import os
import random
import threading
import time

from support.adapter import Adapter, payload, status
from support.broker import Broker
from support.fleet import Fleet
from support.messaging import DEVICES, Messaging, ids
from support.server import SANITIZED

LONG = os.environ.get("KOSEKI_TESTS_LONG") == "1"
LOGINS = 2000 if LONG else 100 if SANITIZED else 200
CONNECTIONS = 20
TWICE = 10  # of the certificates log in on two connections at once
KILLS = 5 if LONG else 2
BACKLOG = 100000 if LONG else 1600 if SANITIZED else 4000
TENANTS = 500 if LONG else 40  # each has 5 shares of the backlog


def number(taken):
    return int(taken.id.rsplit("-", 1)[1])


class Storm(Messaging):
    def setUp(self):
        super().setUp()
        self.brokers = [self.broker]
        self.unchecked = []
        self.orphans = []
        self.stopped = threading.Event()

    def judge(self, address, message):
        """On arrival: is the device in the store? While Koseki is down that is seen later."""
        if address.startswith("event/"):
            device = message.properties["device_id"]
            try:
                if not self.is_there(device):
                    self.orphans.append(device)
            except OSError:
                self.unchecked.append(device)
        return "accept"

    def is_there(self, device):
        answer = self.koseki.http("GET", f"/v1/devices/T1/{device}")
        return answer.status == 200

    def restart_broker(self):
        port = self.broker.port
        self.stop_broker()
        self.broker = Broker(port=port, relay=self.relay, told={"judge": self.judge})
        self.brokers.append(self.broker)

    def all_taken(self):
        return [taken for broker in self.brokers for taken in list(broker.taken)]

    def storm(self, disturb, **settings):
        """A fleet's first logins, disturbed again and again; then all that must hold."""
        made = [self.factory.make() for _ in range(LOGINS)]
        again = made[:TWICE]
        random.shuffle(made)
        self.broker.judge = self.judge
        self.koseki = self.open(**settings)
        for key, port in self.koseki.ports.items():  # the same after a restart
            self.koseki.settings[key] = f"127.0.0.1:{port}"
        self.koseki.create_tenant("T1")
        fleet = Fleet(self.koseki, made + again, connections=CONNECTIONS)
        for n in range(KILLS):
            fleet.wait_answered((n + 1) * LOGINS // (KILLS + 2), 120)
            disturb()
        fleet.join(600)
        devices = fleet.devices()
        self.check(devices)
        return fleet

    def check(self, devices):
        koseki = self.koseki
        koseki.wait_for(lambda: self.messaging(koseki)["events"] == 0, "all events to leave", 180)
        koseki.wait_for(lambda: self.messaging(koseki)["notifications"] == 0, "all notifications to leave", 180)
        taken = self.all_taken()
        events = [t for t in taken if t.address == "event/T1"]
        self.assertEqual(set(ids(events)), set(devices.values()))  # one device a certificate; each is told
        self.assertEqual(self.orphans, [])
        for device in self.unchecked:
            self.assertTrue(self.is_there(device), device)
        numbers = {}
        for t in events:  # twice perhaps, but the same event then
            self.assertEqual(numbers.setdefault(t.properties["device_id"], t.id), t.id)
        self.check_order(taken)
        figures = self.messaging(koseki)
        self.assertEqual((figures["parked"], figures["dropped"], figures["rejected"]), (0, 0, 0))
        some = random.sample(sorted(devices.values()), 20)
        self.assertTrue(all(self.notified(koseki, device) for device in some))
        koseki.stop()
        self.assertIn(f"\ndevices: {len(devices)}\n", koseki.verify())

    def check_order(self, taken):
        """The first word of each message on a device comes in the order in which they were written."""
        last = {}
        heard = set()
        for t in taken:
            if t.address != DEVICES or t.id in heard:
                continue
            heard.add(t.id)
            device = json.loads(bytes(t.body))["device-id"]
            self.assertGreater(number(t), last.get(device, 0), device)
            last[device] = number(t)

    def test_the_broker_is_killed(self):
        fleet = self.storm(self.restart_broker)
        self.assertEqual(fleet.cut, 0)  # no login was cut off

    def test_koseki_is_killed(self):
        def disturb():
            self.koseki.kill()
            self.koseki.start()

        self.assertGreater(self.storm(disturb).cut, 0)

    def test_both_are_killed(self):
        def disturb():
            port = self.broker.port
            self.stop_broker()
            self.koseki.kill()
            self.koseki.start()
            self.broker = Broker(port=port, relay=self.relay, told={"judge": self.judge})
            self.brokers.append(self.broker)

        self.storm(disturb)


class StormOverLinks(Storm):
    relay = False


class Outages(Messaging):
    def test_a_long_outage(self):
        """What would come together in a day: many tenants' events wait, then are taken in order; memory stays
        as it is, and look-ups are answered."""
        port = self.broker.port
        self.stop_broker()
        koseki = self.open(messaging__urls=f"amqp://127.0.0.1:{port}", messaging__max_events=str(BACKLOG),
                           store__map_size="4GiB")
        tenants = [f"T{n}" for n in range(TENANTS)]
        for tenant in tenants:
            koseki.create_tenant(tenant, **{"trust-anchor-group": "g"})
        devices = {tenant: [] for tenant in tenants}
        each = BACKLOG // TENANTS // 5
        for _ in range(5):
            for tenant in tenants:
                devices[tenant] += self.provision_many(koseki, each, tenant, connections=1, in_flight=32)
        self.wait_figure(koseki, "events", BACKLOG)
        with Adapter(koseki) as adapter:
            made = self.factory.make()
            answer = self.login(adapter, "T0", made)
            self.assertEqual((status(answer), payload(answer)["reason"]), (503, "outbox-full"))
            before = koseki.rss_kib()
            self.broker = Broker(port=port, credit=1000)
            asked = 0

            def look_up():
                nonlocal asked
                self.assertEqual(status(adapter.assert_device("T0", devices["T0"][0])), 200)
                asked += 1
                return self.messaging(koseki)["events"] == 0

            koseki.wait_for(look_up, "all events to leave", 600)
            self.assertGreater(asked, 0)
            grown = koseki.rss_kib() - before
            self.assertEqual(status(self.login(adapter, "T0", made)), 201)
        self.assertLess(grown, (64 if SANITIZED else 16) * 1024)
        self.wait_figure(koseki, "notifications", 0)
        for tenant in tenants:
            events = self.broker.of(f"event/{tenant}")
            self.assertEqual([number(t) for t in events], sorted({number(t) for t in events}))
            self.assertGreaterEqual(set(ids(events)), set(devices[tenant]))
        self.assertEqual(self.messaging(koseki)["resent"], 0)

    def test_a_broker_that_answers_late(self):
        """After 5 s: logins wait for `event-wait` and no longer, and everything is taken once."""
        late = 5.0 if LONG else 1.0
        koseki = self.open(provisioning__event_wait="100ms")
        koseki.create_tenant("T1")
        self.broker.wait_taken(1)
        self.broker.delay = late
        devices = self.provision_many(koseki, 40, connections=10)
        self.assertFalse(self.notified(koseki, devices[-1]))
        self.broker.wait(lambda: len(self.broker.of("event/T1")) >= 40, 120)
        koseki.wait_for(lambda: all(self.notified(koseki, d) for d in devices), "the flags")
        self.wait_figure(koseki, "events", 0)
        self.wait_figure(koseki, "notifications", 0)
        figures = self.messaging(koseki)
        self.assertEqual(figures["waits-out"], 40)
        self.assertEqual((figures["resent"], figures["sent"]), (0, 1 + 3 * 40))
        self.assertEqual(len(self.broker.seen), 1 + 3 * 40)
