"""Everything at once for a while: look-ups, first logins, writes, garbage, clients killed in the middle.

Ten seconds; twenty minutes with --long. Nothing may be found: no wrong answer, flat memory, a store that
verifies, a process that stops as it should.
"""
import os
import random
import socket
import threading
import time
import unittest

from support import raw
from support.adapter import Adapter, payload, status
from support.raw import Raw10
from support.server import SANITIZED, Koseki

LONG = os.environ.get("KOSEKI_TESTS_LONG") == "1"
SECONDS = (1200 if not SANITIZED else 300) if LONG else 8


class Mixed(unittest.TestCase):
    def setUp(self):
        self.wrong = []  # what workers found
        self.done = {}  # rounds, by worker

    def worker(self, name, body):
        """body(random) again and again until the time is over."""
        dice = random.Random(name)
        while time.monotonic() < self.until and not self.wrong:
            try:
                body(dice)
                self.done[name] = self.done.get(name, 0) + 1
            except Exception as error:  # told by the main thread
                self.wrong.append(f"{name}: {type(error).__name__} {error}")

    def look_up(self, dice):
        with Adapter(self.koseki) as adapter:
            for _ in range(dice.randrange(1, 60)):
                self.assertEqual(status(adapter.tenant("T1")), 200)
                self.assertEqual(status(adapter.credentials("T1", "hashed-password", "sensor")), 200)
                self.assertEqual(status(adapter.assert_device("T1", "sensor", "gateway")), 200)
                self.assertEqual(status(adapter.assert_device("T1", "ghost")), 404)

    def first_login(self, dice):
        """Devices log in, and now and then are deleted, so that they are new again."""
        number = dice.randrange(1, 20)
        with Adapter(self.koseki) as adapter:
            answer = adapter.credentials("T1", "x509-cert", f"CN=device-{number},O=Acme",
                                         certificate=f"device-{number}.pem")
            self.assertIn(status(answer), (200, 201))
            if dice.random() < 0.5:
                device = payload(answer)["device-id"]
                self.assertIn(self.koseki.http("DELETE", f"/v1/devices/T1/{device}").status, (204, 404))

    def write(self, dice):
        name = f"w{dice.randrange(20)}"
        self.assertIn(self.koseki.http("POST", f"/v1/tenants/{name}", {"alias": f"a-{name}"}).status, (201, 409))
        for n in range(dice.randrange(10)):
            self.assertIn(self.koseki.http("POST", f"/v1/devices/{name}/d{n}",
                                           {"memberOf": ["g"]}).status, (201, 409, 404))
        self.assertIn(self.koseki.http("DELETE", f"/v1/tenants/{name}").status, (204, 404))

    def killed(self, dice):
        """A client that goes away in the middle of whatever it does."""
        with Raw10(self.koseki) as peer:
            if dice.random() < 0.2:
                peer.send(dice.randbytes(dice.randrange(1, 3000)))
            else:
                peer.connect()
                reply = peer.request_links()
                for n in range(dice.randrange(100)):
                    data = raw.message("get", reply, f"m{n}", body=b'{"tenant-id":"T1"}')
                    cut = dice.randrange(len(data)) if dice.random() < 0.1 else None
                    peer.send(raw.transfer(1, n, data[:cut], more=cut is not None))
                    if cut is not None:
                        break
            if dice.random() < 0.7:  # a reset instead of an end
                peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def test_everything_at_once(self):
        with Koseki() as koseki:
            self.koseki = koseki
            koseki.create_tenant("T1")
            koseki.create_device("T1", "gateway")
            koseki.create_device("T1", "sensor", {"via": ["gateway"]}, [{
                "type": "hashed-password", "auth-id": "sensor", "secrets": [
                    {"hash-function": "sha-256", "salt": "c2FsdA==", "pwd-hash": "aGFzaA=="}]}])
            self.until = time.monotonic() + SECONDS
            threads = [threading.Thread(target=self.worker, args=(f"{body.__name__}-{n}", body))
                       for body in (self.look_up, self.first_login, self.write, self.killed) for n in (1, 2)]
            for thread in threads:
                thread.start()
            time.sleep(SECONDS / 4)
            warm = koseki.rss_kib()
            for thread in threads:
                thread.join()
            self.assertEqual(self.wrong, [])
            self.assertEqual(len(self.done), len(threads), self.done)  # each came to something
            if not SANITIZED:
                self.assertLess(koseki.rss_kib() - warm, 24 * 1024)
            self.assertEqual(koseki.stop(), 0)
            koseki.verify()
