"""kill -9 under a provisioning load. The oracle is the clients' own log of acknowledged answers."""
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from support import pki, raw
from support.adapter import Adapter, payload, status
from support.factory import Factory
from support.raw import Raw10
from support.server import SANITIZED, WAIT, Koseki

ROUNDS = 100 if os.environ.get("KOSEKI_TESTS_LONG") == "1" else 3 if SANITIZED else 10
CLIENTS = 4


def device_of(message):
    at, body = 0, None
    while at < len(message):
        value, at = raw.decode(message, at)
        if value.descriptor == 0x75:
            body = json.loads(value.value)
    return body["device-id"]


class Crash(unittest.TestCase):
    def load(self, koseki, factory, acknowledged, lock):
        """Provisions until the server is gone; notes each acknowledged device."""
        try:
            with Raw10(koseki) as peer:
                peer.connect()
                reply = peer.request_links("credentials/T1")
                for n in range(100000):
                    subject, certificate = factory.make()
                    body = json.dumps({"type": "x509-cert", "auth-id": subject,
                                       "client-certificate": certificate}).encode()
                    peer.send(raw.transfer(1, n, raw.message("get", reply, "m", body=body)))
                    fields = peer.expect(raw.TRANSFER)
                    device = device_of(peer.payload)
                    with lock:
                        acknowledged[subject] = device
                    peer.send(raw.frame(raw.DISPOSITION,
                                        [True, fields[1], fields[1], True, raw.Described(0x24, [])]) +
                              raw.flow(0, 100, delivery_count=n + 1, next_incoming=n + 1))
        except (raw.Closed, ConnectionError, OSError, socket.timeout):
            pass

    def test_nothing_acknowledged_is_lost(self):
        factory = Factory()
        acknowledged, lock = {}, threading.Lock()
        with Koseki() as koseki:
            koseki.create_tenant("T1")
            for number in range(ROUNDS):
                threads = [threading.Thread(target=self.load,
                                            args=(koseki, factory, acknowledged, lock))
                           for _ in range(CLIENTS)]
                before = len(acknowledged)
                for thread in threads:
                    thread.start()
                koseki.wait_for(lambda: len(acknowledged) > before, "the first device of the round")
                time.sleep(random.uniform(0.0, 0.3))
                koseki.kill()
                for thread in threads:
                    thread.join(30)
                koseki.verify()
                koseki.start()
                with Adapter(koseki) as adapter:
                    for subject, device in acknowledged.items():
                        answer = adapter.credentials("T1", "x509-cert", subject)
                        self.assertEqual(status(answer), 200, (number, subject))
                        self.assertEqual(payload(answer)["device-id"], device)
                    sample = random.sample(sorted(acknowledged.values()), min(20, len(acknowledged)))
                    for device in sample:
                        self.assertEqual(status(adapter.assert_device("T1", device)), 200)
            self.assertGreaterEqual(len(acknowledged), ROUNDS)


class Stop(unittest.TestCase):
    def test_sigterm_closes_connections_and_exits_0(self):
        koseki = Koseki()
        koseki.create_tenant("T1")
        with Raw10(koseki) as peer:
            peer.connect()
            peer.request_links()
            koseki.process.send_signal(signal.SIGTERM)
            frames = peer.until_end()
            self.assertEqual(frames[-1][1], raw.CLOSE)
            self.assertEqual(frames[-1][2][0].value[0], "amqp:connection:forced")
        koseki.close()

    def test_sigterm_during_the_start_is_kept(self):
        """As process 1 of a container: what is not blocked or handled would be dropped."""
        with tempfile.TemporaryDirectory() as folder:
            koseki = Koseki(folder=folder)
            self.assertEqual(koseki.stop(), 0)
            config = pathlib.Path(folder) / "koseki.yaml"
            os.mkfifo(config)  # the start waits for a writer
            process = subprocess.Popen([os.environ["KOSEKI_BINARY"], "serve", "--config", str(config)],
                                       stderr=subprocess.PIPE, text=True)
            try:
                status = pathlib.Path(f"/proc/{process.pid}/status")

                def blocked():
                    mask = re.search(r"^SigBlk:\s*(\w+)$", status.read_text(), re.M)
                    return int(mask.group(1), 16) >> (signal.SIGTERM - 1) & 1

                koseki.wait_for(blocked, "SIGTERM to be blocked")
                process.send_signal(signal.SIGTERM)
                config.write_text("\n".join(f"{key}: {value}" for key, value in koseki.settings.items()))
                log = process.communicate(timeout=WAIT)[1]
            finally:
                process.kill()
            self.assertEqual(process.returncode, 0, log)
            self.assertIn("event=stopped", log)

    def test_sighup_reads_accounts_again(self):
        with Koseki() as koseki:
            koseki.create_tenant("T1")
            permissions = pathlib.Path(koseki.settings["accounts"])
            accounts = json.loads(permissions.read_text())
            accounts["users"]["late@HONO"] = {"mechanism": "PLAIN", "password": "secret",
                                              "authorities": ["adapter"]}
            permissions.write_text(json.dumps(accounts))
            koseki.process.send_signal(signal.SIGHUP)

            def gets_in():
                with Raw10(koseki) as peer:
                    return peer.login("late@HONO") == 0

            koseki.wait_for(gets_in, "the new account")
            permissions.write_text("{ broken")
            koseki.process.send_signal(signal.SIGHUP)
            koseki.wait_for(lambda: "event=reload-failed what=accounts" in koseki.log(), "a complaint")
            self.assertTrue(gets_in())


class Folder(unittest.TestCase):
    def run_serve(self, *arguments):
        return subprocess.run([os.environ["KOSEKI_BINARY"], "serve", *arguments],
                              capture_output=True, text=True, timeout=60)

    def arguments(self, koseki):
        out = []
        for key, value in koseki.settings.items():
            out += ["--set", f"{key}={value}"]
        return out

    def test_a_folder_in_use_is_refused(self):
        with Koseki() as koseki:
            run = self.run_serve(*self.arguments(koseki))
            self.assertEqual(run.returncode, 1)
            self.assertIn(koseki.settings["data-dir"], run.stderr)

    def test_foreign_and_damaged_stores_are_refused(self):
        koseki = Koseki()
        koseki.create_tenant("T1")
        koseki.stop()
        data = pathlib.Path(koseki.settings["data-dir"]) / "data.mdb"
        good = data.read_bytes()
        damaged = {"cut": good[:5000], "noise": os.urandom(len(good)), "text": b"hello\n",
                   "zeros": bytes(len(good)), "half": good[:len(good) // 2 // 4096 * 4096]}
        for name, content in damaged.items():
            with self.subTest(name):
                data.write_bytes(content)
                run = self.run_serve(*self.arguments(koseki))
                self.assertEqual(run.returncode, 1, run.stderr)
                self.assertIn("data.mdb", run.stderr)
        data.write_bytes(good)
        koseki.start()
        self.assertEqual(koseki.http("GET", "/v1/tenants/T1").status, 200)
        koseki.close()

    def test_folders_that_cannot_be_used_are_named(self):
        with tempfile.TemporaryDirectory(prefix="koseki-folder-") as name:
            folder = pathlib.Path(name)
            (folder / "file").write_text("")
            (folder / "link").symlink_to("/nowhere/at/all")
            for case, make in (("store-is-a-folder", "data.mdb"), ("lock-is-a-folder", "lock.mdb")):
                (folder / case / make).mkdir(parents=True)
            accounts = folder / "permissions.json"
            accounts.write_text('{"users": {"u": {"mechanism": "PLAIN", "password": "p", "authorities": []}}}')
            for data in ("file", "link", "store-is-a-folder", "lock-is-a-folder", "no/such/parent"):
                with self.subTest(data):
                    run = self.run_serve("--set", "amqp.listen=127.0.0.1:0", "--set", f"accounts={accounts}", "--set",
                                         f"data-dir={folder / data}", "--set", "store.map-size=1GiB")
                    self.assertEqual(run.returncode, 1, run.stderr)
                    self.assertIn(f"{folder / data}", run.stderr)
                    self.assertNotIn("event=ready", run.stderr)

    def test_an_inconsistent_store_is_told_of(self):
        """The id of a device in a credential's record is changed in the file: it reads well, and is wrong."""
        with Koseki() as koseki:
            koseki.create_tenant("T1")
            koseki.create_device("T1", "victim-1", {}, [
                {"type": "psk", "auth-id": "auth-of-victim", "secrets": [{"key": "AA=="}]}])
            koseki.verify()
            koseki.stop()
            data = pathlib.Path(koseki.settings["data-dir"]) / "data.mdb"
            good = data.read_bytes()
            self.assertIn(b"auth-of-victimvictim-1", good)
            data.write_bytes(good.replace(b"auth-of-victimvictim-1", b"auth-of-victimvictim-2"))
            run = subprocess.run([os.environ["KOSEKI_BINARY"], "stat", "--verify", "--set", f"data-dir={data.parent}",
                                  "--set", "store.map-size=1GiB"], capture_output=True, text=True)
            self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
            self.assertRegex(run.stdout, "(?m)^inconsistent: .*(auth-of-victim|victim-1)")
            data.write_bytes(good)
            koseki.verify()

    def test_a_full_map_is_answered_503_and_reads_go_on(self):
        factory = Factory()
        with Koseki(store__map_size="1MiB") as koseki:
            koseki.create_tenant("T1")
            codes = set()
            for n in range(3000):
                answer = koseki.http("POST", f"/v1/devices/T1/D{n}",
                                     {"ext": {"fill": "x" * 2000}})
                codes.add(answer.status)
                if answer.status != 201:
                    break
            self.assertEqual(codes, {201, 503})
            self.assertEqual(answer.json()["reason"], "store-full")
            ready = koseki.http("GET", "/readiness", listener="ops.listen")
            self.assertEqual(ready.status, 503)
            self.assertIn("store-full", koseki.log())
            with Adapter(koseki) as adapter:
                self.assertEqual(status(adapter.assert_device("T1", "D0")), 200)
                answer, made = None, 0
                while answer is None or status(answer) == 201:  # small ones may still fit
                    subject, certificate = factory.make()
                    answer = adapter.call("credentials/T1", "get", {
                        "type": "x509-cert", "auth-id": subject, "client-certificate": certificate})
                    made += status(answer) == 201
                self.assertEqual((status(answer), payload(answer)["reason"]), (503, "store-full"))
                self.assertRegex(koseki.stat(), rf"(?m)^devices: {n + made}$")
            koseki.stop()
            koseki.verify()
            koseki.settings["store.map-size"] = "2MiB"  # what the answer and the log say to do
            koseki.start()
            self.assertEqual(koseki.http("POST", "/v1/tenants/T2", {}).status, 201)

    def test_below_the_watermark_writes_are_refused(self):
        with Koseki(store__min_free="900TiB") as koseki:
            answer = koseki.http("POST", "/v1/tenants/T1", {})
            self.assertEqual(answer.status, 503)
            self.assertEqual(answer.json()["reason"], "disk-full")
            ready = koseki.http("GET", "/readiness", listener="ops.listen")
            self.assertEqual((ready.status, ready.json()["checks"][0]["data"]["reason"]), (503, "disk-full"))
            self.assertEqual(koseki.http("GET", "/liveness", listener="ops.listen").status, 200)
            self.assertEqual(koseki.http("GET", "/v1/tenants/T1").status, 404)
