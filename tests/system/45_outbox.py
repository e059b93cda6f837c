"""Events and notifications: what a broker gets, and what holds whatever it does."""
import json
import signal
import socket
import threading
import time

from support import pki
from support.adapter import Adapter, payload, status
from support.broker import Broker
from support.messaging import DEVICES, EVENT, TENANTS, Messaging, ids, meeting_first, number


class Messages(Messaging):
    def test_an_event_is_as_hono_sends_it(self):
        koseki = self.open()
        koseki.create_tenant("T1", **{
            "defaults": {"ttl": 120, "content-type": "text/x", "content-encoding": "gzip", "n": 7,
                         "big": 5000000000, "real": 1.5, "flag": True, "none": None, "list": [1, "a"],
                         "map": {"k": "v"}, "device_id": "x", "gateway_id": "g", "qos": 9},
            "resource-limits": {"max-ttl": 60}})
        with Adapter(koseki) as adapter:
            device = self.provision(adapter)
        koseki.wait_for(lambda: self.notified(koseki, device), "the flag")
        event = self.broker.of("event/T1")[0]
        self.assertEqual(event.content_type, EVENT)
        self.assertIsNone(event.body)
        self.assertTrue(event.durable)
        self.assertEqual(event.ttl, 60)
        self.assertEqual(event.annotations, {"tenant_id": "T1", "device_id": device,
                                             "resource": f"event/T1/{device}"})
        self.assertEqual(event.properties, {
            "hono_registration_status": "NEW", "tenant_id": "T1", "device_id": device,
            "orig_adapter": "hono-device-registry", "orig_address": "event", "qos": 1,
            "JMS_AMQP_CONTENT_TYPE": EVENT, "JMS_AMQP_CONTENT_ENCODING": "gzip", "n": 7, "big": 5000000000,
            "real": 1.5, "flag": True, "list": [1, "a"], "map": {"k": "v"}, "gateway_id": "g"})
        self.assertEqual({k: type(event.properties[k]).__name__ for k in ("n", "big", "real", "qos")},
                         {"n": "int32", "big": "int", "real": "float", "qos": "int32"})
        stat = koseki.verify()
        instance = next(line.split()[1] for line in stat.splitlines() if line.startswith("instance:"))
        self.assertEqual(event.id, f"{instance}-2")
        self.assertLess(abs(event.creation_time - time.time()), 3600)

    def test_the_event_of_a_device_behind_a_gateway_names_it(self):
        koseki = self.open(provisioning__event_wait="60s")
        koseki.create_tenant("T1", cas=())
        koseki.create_device("T1", "gw", {"authorities": ["auto-provisioning-enabled"]})
        with Adapter(koseki) as adapter:
            self.assertEqual(status(adapter.assert_device("T1", "edge-1", "gw")), 200)
        koseki.wait_for(lambda: self.notified(koseki, "edge-1"), "the flag")
        event = self.broker.of("event/T1")[0]
        self.assertEqual((event.properties["device_id"], event.properties["gateway_id"]), ("edge-1", "gw"))
        self.broker.wait_taken(4)
        koseki.http("POST", "/v1/devices/T1/D2", {})
        self.broker.wait_taken(5)
        told = [json.loads(bytes(t.body)) for t in self.broker.of(DEVICES)]
        self.assertEqual([(t["type"], t["device-id"]) for t in told],
                         [("device-change-v1", "gw"), ("device-change-v1", "edge-1"), ("device-change-v1", "D2")])

    def test_defaults_that_take_too_much_room_are_left_out(self):
        """JSON of 3 bytes, 9 in the message: what was longer than a message came cut, and counted as sent."""
        koseki = self.open(provisioning__event_wait="60s")
        for tenant, count in (("T1", 3600), ("T2", 3700), ("T3", 14700)):
            koseki.create_tenant(tenant, defaults={"a": [[]] * count, "z": "x"}, **{"trust-anchor-group": "g"})
            with Adapter(koseki) as adapter:
                device = self.provision(adapter, tenant)
            self.broker.wait(lambda name=tenant: self.broker.of(f"event/{name}"))
            properties = self.broker.of(f"event/{tenant}")[0].properties
            self.assertEqual((properties["device_id"], properties["qos"]), (device, 1))
            self.assertEqual(len(properties.get("a", [])), count if tenant == "T1" else 0)
            self.assertEqual("z" in properties, tenant == "T1")

    def test_an_encoding_that_is_no_symbol_is_left_out(self):
        koseki = self.open(provisioning__event_wait="60s")
        koseki.create_tenant("T1", defaults={"content-encoding": "g\u00e9", "n": 1})
        with Adapter(koseki) as adapter:
            self.provision(adapter)
        properties = self.broker.of("event/T1")[0].properties
        self.assertEqual(properties["n"], 1)
        self.assertNotIn("JMS_AMQP_CONTENT_ENCODING", properties)

    def test_every_change_is_told(self):
        koseki = self.open()

        def told(count):
            self.broker.wait_taken(count)
            taken = self.broker.taken[count - 1]
            self.assertEqual(taken.content_type, "application/json")
            self.assertFalse(taken.durable)
            body = json.loads(bytes(taken.body))
            self.assertEqual(body.pop("source"), "device-registry")
            self.assertRegex(body.pop("creation-time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            return taken.address, body

        def tenant(change, enabled, invalidate):
            return TENANTS, {"type": "tenant-change-v1", "change": change, "tenant-id": "T1",
                             "enabled": enabled, "invalidate-cache-on-update": invalidate}

        def device(change, enabled):
            return DEVICES, {"type": "device-change-v1", "change": change, "tenant-id": "T1",
                             "device-id": "D1", "enabled": enabled}

        ca = {"trusted-ca": [{"id": "x", "cert": pki.der_base64("ca.pem")}]}
        steps = [
            (("POST", "/v1/tenants/T1", {}), tenant("CREATE", True, False)),
            (("PUT", "/v1/tenants/T1", {"ext": {"a": 1}}), tenant("UPDATE", True, False)),
            (("PUT", "/v1/tenants/T1", {"ext": {"invalidate-cache-on-update": True}}),
             tenant("UPDATE", True, True)),
            (("PUT", "/v1/tenants/T1", ca), tenant("UPDATE", True, True)),
            (("PUT", "/v1/tenants/T1", {**ca, "ext": {"b": 1}}), tenant("UPDATE", True, False)),
            (("PUT", "/v1/tenants/T1", {**ca, "enabled": False}), tenant("UPDATE", False, True)),
            (("PUT", "/v1/tenants/T1", {**ca, "ext": {"invalidate-cache-on-update": "yes"}}),
             tenant("UPDATE", True, True)),
            (("POST", "/v1/devices/T1/D1", {"enabled": False}), device("CREATE", False)),
            (("PUT", "/v1/credentials/T1/D1", []),
             (DEVICES, {"type": "credentials-change-v1", "tenant-id": "T1", "device-id": "D1"})),
            (("PUT", "/v1/devices/T1/D1", {}), device("UPDATE", True)),
            (("PUT", "/v1/devices/T1/D1", {"enabled": False}), device("UPDATE", False)),
            (("DELETE", "/v1/devices/T1/D1", None), device("DELETE", False)),
            (("DELETE", "/v1/devices/T1", None),
             (DEVICES, {"type": "all-devices-of-tenant-deleted-v1", "tenant-id": "T1"})),
            (("DELETE", "/v1/tenants/T1", None), tenant("DELETE", False, True)),
        ]
        for number, (request, expected) in enumerate(steps):
            answer = koseki.http(*request)
            self.assertLess(answer.status, 300, (request, answer.body))
            self.assertEqual(told(number + 1), expected, request)
        # what changed nothing is not told
        for request in (("DELETE", "/v1/tenants/T1", None), ("DELETE", "/v1/devices/T1/D1", None),
                        ("DELETE", "/v1/devices/T1", None), ("POST", "/v1/devices/T1/D1", {}),
                        ("PUT", "/v1/devices/T1/D1", {})):
            koseki.http(*request)
        koseki.create_tenant("T2", cas=())
        self.broker.wait_taken(len(steps) + 1)
        self.assertEqual(json.loads(bytes(self.broker.taken[-1].body))["tenant-id"], "T2")


class Links(Messages):
    """The same over links by address."""

    relay = False


class Faults(Messaging):
    def test_a_login_needs_no_broker(self):
        port = self.broker.port
        self.stop_broker()
        koseki = self.open(messaging__urls=f"amqp://127.0.0.1:{port}", provisioning__event_wait="30s")
        koseki.create_tenant("T1")
        with Adapter(koseki) as adapter:
            devices = [self.provision(adapter) for _ in range(5)]
        self.assertFalse(self.notified(koseki, devices[0]))
        self.wait_figure(koseki, "events", 5)
        self.assertFalse(self.messaging(koseki)["connected"])
        self.assertIn("note", self.messaging(koseki))
        self.assertIn("event=broker-lost", koseki.log())
        koseki.kill()  # what waits, waits in the store
        koseki.start()
        self.assertEqual(self.messaging(koseki)["events"], 5)
        self.assertFalse(self.notified(koseki, devices[0]))
        self.broker = Broker(port=port)
        self.broker.wait(lambda: len(self.broker.of("event/T1")) >= 5)
        self.assertEqual(ids(self.broker.of("event/T1")), devices)
        koseki.wait_for(lambda: all(self.notified(koseki, d) for d in devices), "the flags")
        self.wait_figure(koseki, "events", 0)
        self.assertTrue(self.messaging(koseki)["connected"])
        koseki.stop()
        koseki.start()
        self.assertTrue(self.notified(koseki, devices[0]))

    def test_the_answer_waits_for_acceptance(self):
        """Held back by the broker, the answer is not there; accepted, it is."""
        koseki = self.open(provisioning__event_wait="60s")
        koseki.create_tenant("T1")
        self.broker.wait_taken(1)
        self.broker.delay = 1.0
        with Adapter(koseki) as adapter:
            device = self.provision(adapter)
            self.assertIn(device, ids(self.broker.of("event/T1")))
            self.assertTrue(self.notified(koseki, device))

    def test_a_broker_that_accepts_nothing_holds_up_nobody(self):
        koseki = self.open(provisioning__event_wait="50ms")
        koseki.create_tenant("T1")
        self.broker.wait_taken(1)
        self.broker.judge = lambda address, message: "ignore"
        made = self.factory.make()
        with Adapter(koseki) as adapter:
            answer = self.login(adapter, made=made)
            self.assertEqual(status(answer), 201)
            device = payload(answer)["device-id"]
            for _ in range(3):  # a later login neither sends again nor waits
                self.assertEqual(status(self.login(adapter, made=made)), 200)
        self.assertFalse(self.notified(koseki, device))
        self.broker.wait(lambda: len([t for t in self.broker.seen if t.address == "event/T1"]) == 1)
        self.assertEqual(self.messaging(koseki)["waits-out"], 1)
        self.broker.judge = lambda address, message: "accept"
        self.broker.cut()  # unsettled: sent again over the next connection
        koseki.wait_for(lambda: self.notified(koseki, device), "the flag")
        self.assertGreater(self.messaging(koseki)["resent"], 0)
        self.assertEqual(len({t.id for t in self.broker.seen if t.address == "event/T1"}), 1)

    def test_one_credit_at_a_time(self):
        self.broker.credit = 1
        koseki = self.open()
        koseki.create_tenant("T1")
        with Adapter(koseki) as adapter:
            devices = [self.provision(adapter) for _ in range(20)]
        self.broker.wait(lambda: len(self.broker.of("event/T1")) >= 20)
        self.assertEqual(ids(self.broker.of("event/T1")), devices)

    def test_no_credit_holds_up_nobody(self):
        self.broker.credit = 0
        koseki = self.open(provisioning__event_wait="60s")
        koseki.create_tenant("T1")
        with Adapter(koseki) as adapter:
            device = self.provision(adapter)
        self.assertFalse(self.notified(koseki, device))
        self.broker.give_credit(50)
        koseki.wait_for(lambda: self.notified(koseki, device), "the flag")

    def test_a_connection_that_is_cut_after_each_message(self):
        self.broker.judge = meeting_first(["cut"] * 6)
        koseki = self.open()
        koseki.create_tenant("T1")
        with Adapter(koseki) as adapter:
            devices = [self.provision(adapter) for _ in range(4)]
        self.broker.wait(lambda: set(ids(self.broker.of("event/T1"))) == set(devices), 120)
        self.wait_figure(koseki, "events", 0)
        self.assertGreaterEqual(self.broker.connections, 2)

    def test_what_is_rejected_now_and_then_comes_in_order(self):
        self.broker.judge = meeting_first(["reject", "modify"] * 4, at=lambda address: address == DEVICES)
        koseki = self.open()
        koseki.create_tenant("T1", cas=())
        koseki.create_device("T1", "D1")
        for _ in range(6):
            koseki.http("PUT", "/v1/credentials/T1/D1", [])
        koseki.http("DELETE", "/v1/devices/T1/D1")
        self.broker.wait_taken(1)
        self.wait_figure(koseki, "notifications", 0)
        taken = self.broker.of(DEVICES)
        last = {}
        for t in taken:  # a consumer's view: the last word on the device is the last one written
            last[json.loads(bytes(t.body))["device-id"]] = number(t)
        self.assertEqual(json.loads(bytes(taken[-1].body))["change"], "DELETE")
        self.assertEqual(last["D1"], max(number(t) for t in taken))

    def test_one_bad_address_blocks_no_other(self):
        self.broker.judge = lambda address, message: "reject" if address == "event/bad" else "accept"
        self.broker.refuse = lambda address: address == "event/bad"
        koseki = self.open()
        for tenant in ("good", "bad"):
            koseki.create_tenant(tenant, **{"trust-anchor-group": "g"})
        with Adapter(koseki) as adapter:
            bad = [self.provision(adapter, "bad") for _ in range(3)]
            good = [self.provision(adapter, "good") for _ in range(3)]
        koseki.wait_for(lambda: all(self.notified(koseki, d, "good") for d in good), "the good ones")
        koseki.wait_for(lambda: self.messaging(koseki)["parked"] == 3, "parking", 120)
        self.assertGreaterEqual(self.messaging(koseki)["rejected"], 3)
        self.assertEqual(self.messaging(koseki)["newly-parked"], 3)
        self.assertFalse(any(self.notified(koseki, d, "bad") for d in bad))
        self.assertIn("event=events-parked", koseki.log())
        with Adapter(koseki) as adapter:
            good.append(self.provision(adapter, "good"))
        koseki.wait_for(lambda: self.notified(koseki, good[-1], "good"), "another good one")
        self.broker.judge = lambda address, message: "accept"  # somebody mends it
        self.broker.refuse = lambda address: False
        self.try_again(koseki)
        koseki.wait_for(lambda: all(self.notified(koseki, d, "bad") for d in bad), "the parked ones")
        self.assertEqual(sorted(ids(self.broker.of("event/bad"))), sorted(bad))
        self.wait_figure(koseki, "parked", 0)

    def try_again(self, koseki):
        """Parked events."""
        koseki.process.send_signal(signal.SIGHUP)

    def test_a_full_outbox_stops_new_devices_only(self):
        port = self.broker.port
        self.stop_broker()
        koseki = self.open(messaging__urls=f"amqp://127.0.0.1:{port}", messaging__max_events="5",
                           messaging__max_notifications="3")
        koseki.create_tenant("T1")
        known = self.factory.make()
        with Adapter(koseki) as adapter:
            self.assertEqual(status(self.login(adapter, made=known)), 201)
            for _ in range(4):
                self.provision(adapter)
            refused = self.factory.make()
            for _ in range(2):
                answer = self.login(adapter, made=refused)
                self.assertEqual((status(answer), payload(answer)["reason"]), (503, "outbox-full"))
            self.assertEqual(status(self.login(adapter, made=known)), 200)
        self.assertEqual(koseki.http("POST", "/v1/devices/T1/D1", {}).status, 201)  # managing goes on
        self.wait_figure(koseki, "events", 5)
        figures = self.messaging(koseki)
        self.assertEqual((figures["max-events"], figures["refused"]), (5, 2))
        self.assertIn("full: new devices are refused", figures["note"])
        self.assertEqual(koseki.log().count("event=outbox-full events=5 "), 1)
        self.assertNotIn("outbox-has-room", koseki.log())
        self.wait_figure(koseki, "notifications", 3)
        self.wait_figure(koseki, "dropped", 1 + 2 * 5 + 1 - 3)
        self.broker = Broker(port=port)
        self.broker.wait(lambda: len(self.broker.of("event/T1")) >= 5)
        self.wait_figure(koseki, "events", 0)
        koseki.wait_for(lambda: "event=outbox-has-room" in koseki.log(), "the log line")
        self.assertNotIn("note", self.messaging(koseki))
        with Adapter(koseki) as adapter:
            self.assertEqual(status(self.login(adapter, made=refused)), 201)
        self.assertEqual(koseki.log().count("event=outbox-has-room"), 1)

    def test_events_of_a_tenant_that_was_made_again_carry_nothing_of_the_new_one(self):
        port = self.broker.port
        self.stop_broker()
        koseki = self.open(messaging__urls=f"amqp://127.0.0.1:{port}")
        koseki.create_tenant("T1", defaults={"owner": "old"})
        with Adapter(koseki) as adapter:
            device = self.provision(adapter)
            koseki.http("DELETE", "/v1/tenants/T1")
            koseki.create_tenant("T1", defaults={"owner": "new", "ttl": 5})
            other = self.provision(adapter)
        self.broker = Broker(port=port)
        self.broker.wait(lambda: len(self.broker.of("event/T1")) >= 2)
        old, new = self.broker.of("event/T1")
        self.assertEqual((old.properties["device_id"], new.properties["device_id"]), (device, other))
        self.assertEqual((old.properties.get("owner"), old.ttl), (None, 0))
        self.assertEqual((new.properties.get("owner"), new.ttl), ("new", 5))

    def test_events_that_go_with_their_device_or_tenant_are_told_of(self):
        self.broker.judge = lambda address, message: "reject" if address.startswith("event/") else "accept"
        self.broker.refuse = lambda address: address.startswith("event/")
        koseki = self.open(provisioning__event_wait="0s")
        for tenant in ("T1", "T2"):
            koseki.create_tenant(tenant, **{"trust-anchor-group": "g"})
        with Adapter(koseki) as adapter:
            parked = [self.provision(adapter) for _ in range(3)]
            koseki.wait_for(lambda: self.messaging(koseki)["parked"] == 3, "parking", 120)
            koseki.http("DELETE", f"/v1/devices/T1/{parked[0]}")
            self.wait_figure(koseki, "discarded", 1)
            self.provision(adapter, "T2")
            koseki.http("DELETE", "/v1/tenants/T2")  # while it waits in the queue: it goes when it is to be parked
            koseki.wait_for(lambda: self.messaging(koseki)["discarded"] == 2, "its end", 120)
            koseki.http("DELETE", "/v1/devices/T1")
            self.wait_figure(koseki, "discarded", 4)
        self.wait_figure(koseki, "parked", 0)
        self.wait_figure(koseki, "events", 0)
        counts = [line.split("count=")[1].split()[0] for line in koseki.log().splitlines()
                  if "event=events-discarded" in line]
        self.assertEqual(counts, ["1", "1", "2"])

    def test_without_brokers_what_waits_is_told_of(self):
        """At a start, and by an export."""
        self.stop_broker()
        koseki = self.open()
        koseki.create_tenant("T1")
        with Adapter(koseki) as adapter:
            self.provision(adapter)
            self.provision(adapter)
        export = koseki.tool("export")
        self.assertEqual((export.returncode, export.stdout.count("\n")), (0, 4))
        self.assertEqual(export.stderr,
                         "koseki export: 2 events wait for the broker and are not part of an export\n")
        self.assertEqual(koseki.stop(), 0)
        koseki.settings["messaging.urls"] = None
        koseki.start()
        self.assertIn('event=events-wait events=2 parked=0 action="set messaging.urls: ', koseki.log())

    def test_brokers_in_turn(self):
        first = self.broker
        second = Broker()
        self.addCleanup(second.stop)
        koseki = self.open(messaging__urls=f"amqp://127.0.0.1:1,{first.url()},{second.url()}")
        koseki.create_tenant("T1", cas=())
        first.wait_taken(1)
        self.stop_broker()
        koseki.create_tenant("T2", cas=())
        second.wait_taken(1)

    def test_a_stop_waits_for_what_is_on_its_way(self):
        """A second at most: a machine that is slower may need another try."""
        koseki = self.open()
        for attempt in range(10):
            koseki.create_tenant(f"T{attempt}-1", cas=())
            self.broker.wait(lambda: any(f"T{attempt}-1".encode() in bytes(t.body) for t in self.broker.taken))
            self.wait_figure(koseki, "notifications", 0)
            before = len(self.broker.seen)
            self.broker.delay = 0.2
            koseki.create_tenant(f"T{attempt}-2", cas=())
            self.broker.wait(lambda: len(self.broker.seen) == before + 1)
            self.assertEqual(koseki.stop(), 0)
            self.broker.delay = 0
            koseki.start()
            koseki.create_tenant(f"T{attempt}-3", cas=())
            self.broker.wait(lambda: any(b"-3" in bytes(t.body) for t in self.broker.taken[before:]))
            if len(self.broker.seen) == before + 2:
                return  # nothing was sent twice
        self.fail(f"sent twice at every stop: {len(self.broker.seen)}")


class FaultsOfLinks(Faults):
    relay = False

    def try_again(self, koseki):
        self.broker.cut()  # the next connection does it


class Strangers(Messaging):
    """What listens there is no broker."""

    def serve(self, talk):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        self.met = 0

        def run():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                self.met += 1
                try:
                    talk(sock)
                    sock.settimeout(0.2)
                    while sock.recv(4096):
                        pass
                except OSError:
                    pass
                sock.close()

        threading.Thread(target=run, daemon=True).start()
        return f"amqp://127.0.0.1:{listener.getsockname()[1]}"

    def check(self, talk):
        url = self.serve(talk)
        koseki = self.open(messaging__urls=url)
        koseki.create_tenant("T1")
        koseki.wait_for(lambda: self.met >= 2, "another try")
        with Adapter(koseki) as adapter:
            self.provision(adapter)
        koseki.wait_for(lambda: "event=broker-lost" in koseki.log(), "the log line")
        self.assertFalse(self.messaging(koseki)["connected"])
        self.assertEqual(koseki.stop(), 0)

    def test_noise(self):
        self.check(lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(2000)))

    def test_a_server_that_closes(self):
        self.check(lambda sock: sock.shutdown(socket.SHUT_RDWR))

    def test_no_mechanism_for_us(self):
        mechanisms = bytes.fromhex("005340c00e01a30b") + b"SCRAM-SHA-1"
        frame = (8 + len(mechanisms)).to_bytes(4, "big") + b"\x02\x01\x00\x00" + mechanisms
        self.check(lambda sock: sock.sendall(b"AMQP\x03\x01\x00\x00" + frame))

    def test_a_transfer_from_the_broker(self):
        mechanisms = bytes.fromhex("005340c00c01a309") + b"ANONYMOUS"
        outcome = bytes.fromhex("005344c0030150 00".replace(" ", ""))
        opening = bytes.fromhex("005310c0040 1a10178".replace(" ", ""))
        transfer = bytes.fromhex("005314c0040343 4352".replace(" ", "")) + b"\x00"

        def frame(kind, body):
            return (8 + len(body)).to_bytes(4, "big") + bytes([2, kind, 0, 0]) + body

        self.check(lambda sock: sock.sendall(
            b"AMQP\x03\x01\x00\x00" + frame(1, mechanisms) + frame(1, outcome) +
            b"AMQP\x00\x01\x00\x00" + frame(0, opening) + frame(0, transfer)))
