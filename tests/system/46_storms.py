"""Storms: brokers and Koseki killed in the middle of a fleet's first logins; an outbox that is full for long."""
from support.adapter import Adapter, payload, status
from support.broker import Broker
from support.messaging import Messaging, ids, number
from support.server import LONG, SANITIZED
from support.storm import Storm

BACKLOG = 100000 if LONG else 1600 if SANITIZED else 4000
TENANTS = 500 if LONG else 40  # each has 5 shares of the backlog


class Storms(Storm, Messaging):
    """With a broker that is told what to do: each message is accepted, and its device looked for, as it comes."""

    def setUp(self):
        super().setUp()
        self.brokers = [self.broker]
        self.broker.judge = self.judge

    def judge(self, address, message):
        self.look(address, message)
        return "accept"

    def start_broker(self, port):
        self.broker = Broker(port=port, relay=self.relay, told={"judge": self.judge})
        self.brokers.append(self.broker)

    def arrived(self):
        return [taken for broker in self.brokers for taken in list(broker.taken)]

    def test_the_broker_is_killed(self):
        def disturb():
            port = self.broker.port
            self.stop_broker()
            self.start_broker(port)

        self.assertEqual(self.storm(disturb), 0)  # no login was cut off

    def test_koseki_is_killed(self):
        def disturb():
            self.koseki.kill()
            self.koseki.start()

        self.assertGreater(self.storm(disturb), 0)

    def test_both_are_killed(self):
        def disturb():
            port = self.broker.port
            self.koseki.kill()
            self.stop_broker()
            self.koseki.start()
            self.start_broker(port)

        self.assertGreater(self.storm(disturb), 0)


class StormsOverLinks(Storms):
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
