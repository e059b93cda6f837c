"""A fleet's whole life over HTTP: loaded, found, changed, deleted; nothing of it stays."""
import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.parse

from support import crowd
from support.adapter import Adapter, payload, status
from support.server import SANITIZED, Koseki

LONG = os.environ.get("KOSEKI_TESTS_LONG") == "1" and not SANITIZED
DEVICES = 100000 if LONG else 300 if SANITIZED else 2000
SAMPLE = 50
MIB = 1 << 20
PAGE = 200


def name_of(number):
    return f"meter-{number:06}"


def body_of(number):
    body = {"ext": {"nr": number}, "defaults": {"ttl": 30}}
    if number % 3 == 0:
        body["via"] = [name_of(number + 1)]
    elif number % 3 == 1:
        body["memberOf"] = [f"group-{number % 7}"]
    return body


def credentials_of(number, change):
    """One credential of the device's kind; `change` tells its versions apart."""
    name = name_of(number)
    key = base64.b64encode(hashlib.sha256(f"{name} {change}".encode()).digest()).decode()
    return [[{"type": "psk", "auth-id": name, "secrets": [{"key": key}]}],
            [{"type": "x509-cert", "auth-id": f"CN={name},O=Acme", "comment": change, "secrets": [{}]}],
            [{"type": "hashed-password", "auth-id": name, "secrets": [
                {"hash-function": "sha-256", "pwd-hash": key, "salt": base64.b64encode(change.encode()).decode()}]}],
            ][number % 3]


class Fleet(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki(store__map_size="64GiB" if LONG else "1GiB", log__level="warn")
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="koseki-copies-"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)
        cls.koseki.close()

    def stage(self, name, work, numbers=None):
        begin = time.monotonic()
        crowd.each(self.koseki, range(DEVICES) if numbers is None else numbers, work)
        if LONG:
            print(f"     {name}: {DEVICES:,} devices in {time.monotonic() - begin:.0f} s", flush=True)

    def expect(self, client, code, *request):
        found, body = client.request(*request)
        self.assertEqual(found, code, (request, body))
        return body

    def load(self, client, number):
        self.expect(client, 201, "POST", f"/v1/devices/T/{name_of(number)}", body_of(number))
        self.expect(client, 204, "PUT", f"/v1/credentials/T/{name_of(number)}", credentials_of(number, "first"))

    def read(self, client, number):
        device = json.loads(self.expect(client, 200, "GET", f"/v1/devices/T/{name_of(number)}"))
        self.assertIn("created", device.pop("status"))
        wanted = body_of(number)
        self.assertEqual(device, wanted)
        credentials = json.loads(self.expect(client, 200, "GET", f"/v1/credentials/T/{name_of(number)}"))
        self.assertEqual([c["auth-id"] for c in credentials], [credentials_of(number, "")[0]["auth-id"]])

    def search(self, client, **parameters):
        answer = json.loads(self.expect(client, 200, "GET", "/v1/devices/T?" + urllib.parse.urlencode(parameters)))
        return answer["total"], [item["id"] for item in answer["result"]]

    def find(self, member):
        """Every device, once, in pages; those of a name; one by a member of its document."""
        found = []

        def page(client, number):
            total, ids = self.search(client, pageSize=PAGE, pageOffset=number)
            self.assertEqual(total, DEVICES)
            found.extend(ids)
        crowd.each(self.koseki, range(-(-DEVICES // PAGE)), page)
        self.assertEqual(sorted(found), [name_of(number) for number in range(DEVICES)])
        client = crowd.Client(self.koseki)
        some = DEVICES // 2
        total, ids = self.search(client, filterJson=json.dumps({"field": "/id", "value": name_of(some)[:-1] + "?"}))
        self.assertEqual((total, sorted(ids)), (10, [name_of(some // 10 * 10 + n) for n in range(10)]))
        total, ids = self.search(client, filterJson=json.dumps({"field": member, "value": some}))
        self.assertEqual((total, ids), (1, [name_of(some)]))
        client.close()

    def change(self, client, number):
        body = dict(body_of(number), ext={"changed": number})
        self.expect(client, 204, "PUT", f"/v1/devices/T/{name_of(number)}", body)
        self.expect(client, 204, "PUT", f"/v1/credentials/T/{name_of(number)}", credentials_of(number, "second"))

    def delete(self, client, number):
        self.expect(client, 204, "DELETE", f"/v1/devices/T/{name_of(number)}")

    def check_adapters(self, change):
        with Adapter(self.koseki) as adapter:
            for number in range(0, DEVICES, DEVICES // SAMPLE):
                wanted = credentials_of(number, change)[0]
                answer = adapter.credentials("T", wanted["type"], wanted["auth-id"])
                self.assertEqual(status(answer), 200)
                told = payload(answer)
                self.assertEqual(told["device-id"], name_of(number))
                self.assertEqual(told["secrets"], wanted["secrets"])
                self.assertEqual(status(adapter.assert_device("T", name_of(number))), 200)

    def stat(self):
        return {key: int(value) for key, value in re.findall(r"^([a-z-]+): (\d+)$", self.koseki.verify(), re.M)}

    def copy_size(self, name):
        """Bytes of a compact copy, which is a store that verifies."""
        to = self.folder / name
        for command, *more in (("backup", str(to)), ("stat", "--verify")):
            folder = to if command == "stat" else self.koseki.settings["data-dir"]
            run = subprocess.run([os.environ["KOSEKI_BINARY"], command, *more, "--set", f"data-dir={folder}", "--set",
                                  f"store.map-size={self.koseki.settings['store.map-size']}"], capture_output=True)
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        return (to / "data.mdb").stat().st_size

    def test_nothing_stays_of_a_fleet_that_came_and_went(self):
        fresh = self.copy_size("fresh")
        self.koseki.create_tenant("T", cas=())
        self.stage("loaded", self.load)
        loaded = self.stat()
        self.assertEqual((loaded["devices"], loaded["credentials"]), (DEVICES, DEVICES))
        self.check_adapters("first")
        self.stage("read", self.read)
        self.find("/ext/nr")
        self.stage("changed", self.change)
        self.check_adapters("second")
        self.find("/ext/changed")
        self.assertEqual(self.stat()["credentials"], DEVICES)
        self.stage("deleted", self.delete)
        client = crowd.Client(self.koseki)
        self.expect(client, 404, "GET", "/v1/devices/T")
        client.close()
        gone = self.stat()
        self.assertEqual([gone[key] for key in ("tenants", "devices", "credentials", "purging")], [1, 0, 0, 0])
        self.assertGreaterEqual(gone["bytes-used"], loaded["bytes-used"])  # the file does not shrink
        self.assertLess(gone["bytes-used"] - gone["bytes-free"], MIB)
        self.assertLess(self.copy_size("emptied"), MIB)
        # And again in what is free, which is all used before the file grows.
        self.stage("loaded again", self.load)
        self.assertLess(self.stat()["bytes-used"], 1.5 * gone["bytes-used"] + MIB)
        self.assertEqual(self.koseki.http("DELETE", "/v1/tenants/T").status, 204)
        self.koseki.wait_for(lambda: self.stat()["purging"] == 0, "the sweep behind the tenant", 1800 if LONG else 120)
        gone = self.stat()
        self.assertEqual([gone[key] for key in ("tenants", "devices", "credentials")], [0, 0, 0])
        self.assertLess(gone["bytes-used"] - gone["bytes-free"], MIB)
        self.assertEqual(self.copy_size("gone"), fresh)
