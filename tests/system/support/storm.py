"""A storm: a fleet's first logins, disturbed again and again; then all that must hold."""
import http.client
import json
import random

from support.fleet import Fleet
from support.messaging import DEVICES, ids, number
from support.server import LONG, SANITIZED

LOGINS = 2000 if LONG else 100 if SANITIZED else 200
CONNECTIONS = 20
TWICE = 10  # of the certificates log in on two connections at once
KILLS = 5 if LONG else 2


class Storm:
    """Of a test beside Messaging, which says in arrived() what came at a consumer, in order and however often, and
    calls look() for each as it comes."""

    tenant = "T1"

    def setUp(self):
        super().setUp()
        self.koseki = None
        self.unchecked = []  # devices whose event came while Koseki was down
        self.orphans = []  # whose event came before they were in the store

    def arrived(self):
        raise NotImplementedError

    def look(self, address, message):
        """On arrival: is the device in the store? While Koseki is down that is seen later."""
        if address.startswith("event/"):
            device = message.properties["device_id"]
            try:
                if not self.is_there(device):
                    self.orphans.append(device)
            except (OSError, http.client.HTTPException):  # killed before its answer, or in the middle
                self.unchecked.append(device)

    def is_there(self, device):
        return self.koseki.http("GET", f"/v1/devices/{self.tenant}/{device}").status == 200

    def storm(self, disturb, waves=1, **settings):
        """In waves, each when the broker is back from the disturbance of the last; how often a login was cut off."""
        self.koseki = self.open(**settings)
        for key, port in self.koseki.ports.items():  # the same after a restart
            self.koseki.settings[key] = f"127.0.0.1:{port}"
        self.koseki.create_tenant(self.tenant)
        devices = {}
        cut = 0
        for _ in range(waves):
            made = [self.factory.make() for _ in range(LOGINS // waves)]
            again = made[:TWICE]
            random.shuffle(made)
            self.koseki.wait_for(lambda: self.messaging(self.koseki)["connected"], "the connection", 60)
            fleet = Fleet(self.koseki, made + again, self.tenant, CONNECTIONS)
            kills = max(1, KILLS // waves)
            for n in range(kills):
                fleet.wait_answered((n + 1) * len(made) // (kills + 2), 120)
                disturb()
            fleet.join(600)
            devices.update(fleet.devices())
            cut += fleet.cut
        self.check(devices)
        return cut

    def events(self):
        return [taken for taken in self.arrived() if taken.address == f"event/{self.tenant}"]

    def check(self, devices):
        koseki = self.koseki
        koseki.wait_for(lambda: self.messaging(koseki)["events"] == 0, "all events to leave", 180)
        koseki.wait_for(lambda: self.messaging(koseki)["notifications"] == 0, "all notifications to leave", 180)
        koseki.wait_for(lambda: len(set(ids(self.events()))) >= len(devices), "all events to arrive", 180)
        events = self.events()
        self.assertEqual(set(ids(events)), set(devices.values()))  # one device a certificate; each is told
        self.assertEqual(self.orphans, [])
        for device in self.unchecked:
            self.assertTrue(self.is_there(device), device)
        numbers = {}
        for taken in events:  # twice perhaps, but the same event then
            self.assertEqual(numbers.setdefault(taken.properties["device_id"], taken.id), taken.id)
        self.check_order(self.arrived())
        figures = self.messaging(koseki)
        self.assertEqual((figures["parked"], figures["dropped"], figures["rejected"]), (0, 0, 0))
        some = random.sample(sorted(devices.values()), 20)
        self.assertTrue(all(self.notified(koseki, device, self.tenant) for device in some))
        koseki.stop()
        self.assertIn(f"\ndevices: {len(devices)}\n", koseki.verify())

    def check_order(self, arrived):
        """The first word of each message on a device comes in the order in which they were written. Only a reconnect
        could change it: what one connection carries stays in order by itself."""
        last = {}
        heard = set()
        for taken in arrived:
            if taken.address != DEVICES or taken.id in heard:
                continue
            heard.add(taken.id)
            device = json.loads(bytes(taken.body))["device-id"]
            self.assertGreater(number(taken), last.get(device, 0), device)
            last[device] = number(taken)
