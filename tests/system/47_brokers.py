"""Brokers that behave oddly, within the protocol or outside it: what holds all the same."""
import signal
import threading
import time
import unittest

from support.adapter import Adapter
from support.broker import Broker
from support.messaging import Messaging, ids, meeting_first
from support.server import LONG

ODDITIES = ("reject", "release", "modify", "undeliverable", "settle", "receive", "detach", "end", "close", "cut")


def is_event(address):
    return address.startswith("event/")


class Oddities(Messaging):
    """Over one link for all addresses; below, over a link for each."""

    def tenants(self, koseki, *names):
        for name in names:
            koseki.create_tenant(name, **{"trust-anchor-group": "g"})

    def wait_events(self, devices, tenant="T1"):
        address = f"event/{tenant}"
        self.broker.wait(lambda: set(ids(self.broker.of(address))) >= set(devices), 120)

    def without_broker(self, **settings):
        """A registry whose broker is down until start_broker."""
        port = self.broker.port
        self.stop_broker()
        self.port = port
        return self.open(messaging__urls=f"amqp://127.0.0.1:{port}", **settings)

    def start_broker(self, **options):
        """options: of the broker, then what it is told."""
        told = {key: options.pop(key) for key in ("judge", "refuse", "silent", "credit_of", "delay")
                if key in options}
        self.broker = Broker(relay=self.relay, port=self.port, told=told, **options)

    def check_sums(self, koseki, unseen=0):
        """What the figures say is what happened, once nothing is left. unseen: by the broker."""
        for name in ("events", "notifications"):
            self.wait_figure(koseki, name, 0)
        figures = self.messaging(koseki)
        made = {t.id for t in self.broker.seen}
        self.assertEqual(figures["sent"] + figures["newly-parked"], len(made) + unseen, figures)
        self.assertGreaterEqual(figures["resent"], len(self.broker.seen) - len(made), figures)
        return figures

    def test_a_backlog_of_rejected_notifications_holds_up_no_event(self):
        koseki = self.without_broker()
        self.tenants(koseki, "T1", "T2", "T3")
        for tenant in ("T1", "T2", "T3"):
            self.provision_many(koseki, 260, tenant)
        self.start_broker(credit=5000, judge=lambda address, message:
                          "accept" if is_event(address) else "release")
        self.broker.wait(lambda: len(self.broker.taken) >= 780, 60)
        self.wait_figure(koseki, "events", 0)
        with Adapter(koseki) as adapter:
            self.wait_events([self.provision(adapter)])
        self.broker.judge = lambda address, message: "accept"
        self.check_sums(koseki)

    def test_two_tenants_whose_events_are_released_hold_up_no_other(self):
        koseki = self.without_broker()
        self.tenants(koseki, "T1", "T2", "T3")
        for tenant in ("T1", "T2"):
            self.provision_many(koseki, 520, tenant)
        devices = self.provision_many(koseki, 5, "T3")
        self.start_broker(credit=5000, judge=lambda address, message:
                          "release" if address in ("event/T1", "event/T2") else "accept")
        self.wait_events(devices, "T3")
        self.broker.judge = lambda address, message: "accept"
        self.check_sums(koseki)

    def test_many_tenants_wait_and_are_drained(self):
        koseki = self.without_broker()
        names = [f"T{n}" for n in range(100)]
        self.tenants(koseki, *names)
        for _ in range(3):
            for name in names:
                self.provision_many(koseki, 3, name, connections=1)
        self.start_broker()
        self.broker.wait(lambda: len(self.broker.taken) >= 100 + 2700, 120)
        self.check_sums(koseki)

    def test_whatever_becomes_of_messages_all_arrive(self):
        """Each kind of outcome but the good one, each for another message; then all come, in order."""
        left = list(ODDITIES) * 2

        def judge(address, message):
            return left.pop() if left and is_event(address) else "accept"

        self.broker.judge = judge
        koseki = self.open(provisioning__event_wait="60s")
        self.tenants(koseki, "T1", "T2")
        with Adapter(koseki) as adapter:  # a login is answered whatever happens
            devices = {tenant: [self.provision(adapter, tenant) for _ in range(15)] for tenant in ("T1", "T2")}
        for tenant in ("T1", "T2"):
            self.wait_events(devices[tenant], tenant)
        figures = self.check_sums(koseki)
        self.assertEqual(figures["parked"], 0)
        self.assertEqual(figures["newly-parked"], 0)
        self.assertFalse(left)

    def poison(self, outcome):
        """The first event of T1 is always met with this outcome: it is parked, and all others arrive."""
        poison = []

        def judge(address, message):
            if not poison and address == "event/T1":
                poison.append(message.id)
            return outcome if message.id in poison else "accept"

        self.broker.judge = judge
        koseki = self.open()
        self.tenants(koseki, "T1", "T2")
        with Adapter(koseki) as adapter:
            devices = {tenant: [self.provision(adapter, tenant) for _ in range(10)] for tenant in ("T1", "T2")}
        self.wait_events(devices["T2"], "T2")
        self.wait_events(devices["T1"][1:], "T1")
        koseki.wait_for(lambda: self.messaging(koseki)["parked"] == 1, "parking", 120)
        return koseki

    def test_a_message_that_ends_its_link_is_parked_and_holds_up_nobody(self):
        self.assertEqual(self.check_sums(self.poison("detach"))["newly-parked"], 1)

    @unittest.skipUnless(LONG, "a minute, with --long")
    def test_an_event_that_ends_the_connection_is_parked_and_holds_up_nobody(self):
        self.assertIn('address=event/T1 why="the connection ends when it is sent"', self.poison("cut").log())

    def test_no_credit_costs_nothing(self):
        """Several tenants' events wait, and nothing is to be done about it."""
        koseki = self.without_broker()
        self.tenants(koseki, "T1", "T2", "T3")
        for tenant in ("T1", "T2", "T3"):
            self.provision_many(koseki, 3, tenant)
        self.start_broker(credit=0)
        koseki.wait_for(lambda: self.messaging(koseki)["connected"], "the connection")
        time.sleep(1)
        before = koseki.cpu_seconds()
        time.sleep(2)
        self.assertLess(koseki.cpu_seconds() - before, 0.5)

    def test_credit_that_is_to_be_used_at_once(self):
        self.stop_broker()
        self.broker = Broker(relay=self.relay, drain=True)
        koseki = self.open()
        self.tenants(koseki, "T1")
        with Adapter(koseki) as adapter:
            devices = [self.provision(adapter) for _ in range(10)]
        self.wait_events(devices)
        self.check_sums(koseki)

    def test_tiny_frames_and_one_channel(self):
        self.stop_broker()
        self.broker = Broker(relay=self.relay, max_frame=512, channel_max=0)
        koseki = self.open()
        koseki.create_tenant("T1", defaults={f"d{n}": "x" * 500 for n in range(20)})
        with Adapter(koseki) as adapter:
            devices = [self.provision(adapter) for _ in range(5)]
        self.wait_events(devices)
        self.assertEqual(self.broker.of("event/T1")[0].properties["d19"], "x" * 500)
        self.check_sums(koseki)

    def test_frames_as_long_as_can_be(self):
        self.stop_broker()
        self.broker = Broker(relay=self.relay, max_frame=0xFFFFFFFF, channel_max=0xFFFF)
        koseki = self.open()
        self.tenants(koseki, "T1")
        with Adapter(koseki) as adapter:
            devices = [self.provision(adapter) for _ in range(5)]
        self.wait_events(devices)
        self.check_sums(koseki)

    def test_brokers_that_close_at_once_are_not_called_in_a_row(self):
        self.stop_broker()
        brokers = [Broker(relay=self.relay, close_at_once=True) for _ in range(2)]
        for broker in brokers:
            self.addCleanup(broker.stop)
        koseki = self.open(messaging__urls=",".join(broker.url() for broker in brokers))
        self.tenants(koseki, "T1")
        brokers[0].wait(lambda: brokers[0].connections >= 2)
        begin = time.monotonic()
        brokers[0].wait(lambda: brokers[0].connections >= 4)
        self.assertGreater(time.monotonic() - begin, 1)  # 0.5 s at least, then 1 s
        with Adapter(koseki) as adapter:
            self.provision(adapter)

    def test_a_broker_by_its_name(self):
        port = self.broker.port
        koseki = self.open(messaging__urls=f"amqp://nowhere.invalid:1,amqp://localhost:{port}")
        self.tenants(koseki, "T1")
        with Adapter(koseki) as adapter:
            self.wait_events([self.provision(adapter)])
        self.assertEqual(self.messaging(koseki)["broker"], f"localhost:{port}")

    def test_each_brokers_trouble_is_told_once(self):
        self.stop_broker()
        koseki = self.open(messaging__urls="amqp://127.0.0.1:1,amqp://nowhere.invalid")
        koseki.wait_for(lambda: "broker=nowhere.invalid" in koseki.log(), "the second's trouble")
        for _ in range(3):  # it dials at once
            koseki.process.send_signal(signal.SIGHUP)
            time.sleep(0.2)
        self.assertEqual(koseki.log().count("event=broker-lost broker=127.0.0.1:1 "), 1, koseki.log())
        self.assertEqual(koseki.log().count("event=broker-lost broker=nowhere.invalid"), 1, koseki.log())

    def test_a_name_that_is_unknown_holds_up_nobody(self):
        koseki = self.open(messaging__urls="amqp://nowhere.invalid", provisioning__event_wait="60s")
        self.tenants(koseki, "T1")
        with Adapter(koseki) as adapter:
            self.provision(adapter)
        self.wait_trouble(koseki)
        self.assertIn("nowhere.invalid", self.messaging(koseki)["broker"])
        self.assertFalse(self.messaging(koseki)["connected"])


@unittest.skipUnless(LONG, "minutes, with --long")
class Silence(Messaging):
    def test_what_is_never_answered_is_sent_again(self):
        self.broker.judge = meeting_first(["ignore"] * 3, at=is_event)
        koseki = self.open()
        koseki.create_tenant("T1")
        with Adapter(koseki) as adapter:
            devices = [self.provision(adapter) for _ in range(5)]
        self.broker.wait(lambda: set(ids(self.broker.of("event/T1"))) == set(devices), 150)
        koseki.wait_for(lambda: all(self.notified(koseki, device) for device in devices), "the flags")
        self.assertGreaterEqual(self.messaging(koseki)["resent"], 3)
        self.assertEqual(len({taken.id for taken in self.broker.of("event/T1")}), 5)

    def test_a_broker_that_has_stopped_in_the_middle(self):
        """It holds its connection and says nothing, no heartbeat either: the next one is called."""
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        self.broker.judge = lambda address, message: "accept" if go_on.wait(300) else "ignore"
        second = Broker(relay=self.relay)
        self.addCleanup(second.stop)
        koseki = self.open(messaging__urls=f"{self.broker.url()},{second.url()}")
        koseki.create_tenant("T1")
        with Adapter(koseki) as adapter:
            device = self.provision(adapter)
        second.wait(lambda: ids(second.of("event/T1")) == [device], 120)
        koseki.wait_for(lambda: self.notified(koseki, device), "the flag")


class SilenceOverLinks(Silence):
    relay = False


class OdditiesOfLinks(Oddities):
    relay = False

    def test_an_attach_that_is_never_answered_holds_up_nobody(self):
        koseki = self.without_broker()
        self.tenants(koseki, "T1", "T2")
        with Adapter(koseki) as adapter:
            lost = [self.provision(adapter, "T1") for _ in range(3)]
            devices = [self.provision(adapter, "T2") for _ in range(3)]
        self.start_broker(silent=lambda address: address == "event/T1")
        self.wait_events(devices, "T2")
        with Adapter(koseki) as adapter:
            lost.append(self.provision(adapter, "T1"))
            self.wait_events([self.provision(adapter, "T2")], "T2")
        self.broker.silent = lambda address: False
        self.wait_events(lost)
        self.check_sums(koseki)

    def test_no_credit_for_one_tenant(self):
        self.broker.credit_of = lambda address: 0 if address == "event/T1" else 50
        koseki = self.open(provisioning__event_wait="60s")
        self.tenants(koseki, "T1", "T2")
        with Adapter(koseki) as adapter:
            waiting = [self.provision(adapter, "T1") for _ in range(3)]
            devices = [self.provision(adapter, "T2") for _ in range(3)]
        self.wait_events(devices, "T2")
        self.assertFalse(self.broker.of("event/T1"))
        self.broker.give_credit(50)
        self.wait_events(waiting)
        self.check_sums(koseki)

    def test_more_tenants_than_links(self):
        koseki = self.without_broker()
        names = [f"T{n}" for n in range(90)]
        self.tenants(koseki, *names)
        with Adapter(koseki) as adapter:
            devices = {name: self.provision(adapter, name) for name in names}
        bad = set(names[:75])  # more than there are links
        refused = []

        def refuse(address):
            refuses = address.removeprefix("event/") in bad
            refused.extend([address] if refuses else [])
            return refuses

        self.start_broker(refuse=refuse)
        for name in names[75:]:
            self.wait_events([devices[name]], name)
        koseki.wait_for(lambda: self.messaging(koseki)["parked"] == 75, "parking", 120)
        self.assertLess(len(refused), 75 * 8)  # each is called again after a pause that grows
        self.assertEqual(self.check_sums(koseki, unseen=75)["newly-parked"], 75)
