"""`koseki export` beside the service: its lines against what both APIs say, and exports that are cut."""
import json
import os
import subprocess
import threading
import unittest

from support import pki
from support.adapter import Adapter, payload, status
from support.server import WAIT, Koseki

BINARY = os.environ["KOSEKI_BINARY"]
BULK = 300  # devices of a tenant whose export is longer than a pipe holds (64 KiB)

CREDENTIALS = [
    {"type": "psk", "auth-id": "psk é\"", "secrets": [
        {"key": "c2VjcmV0", "comment": "first"}, {"key": "b3RoZXI=", "not-after": "2099-01-01T00:00:00Z"}]},
    {"type": "x509-cert", "auth-id": "CN=x,O=y", "secrets": [{}], "ext": {"a": {"b": [1, None, "c"]}}},
    {"type": "hashed-password", "auth-id": "plain", "secrets": [{"pwd-plain": "correct horse"}]},
    {"type": "hashed-password", "auth-id": "sha", "secrets": [
        {"hash-function": "sha-256", "salt": "c2FsdA==", "pwd-hash": "aGFzaA=="},
        {"hash-function": "sha-512", "pwd-hash": "aGFzaDI="}]},
    {"type": "rpk", "auth-id": "raw", "secrets": [{"cert": "device-1.pem"}]},
    {"type": "my-own", "auth-id": "own", "secrets": [{"anything": "goes"}]},
    {"type": "psk", "auth-id": "off", "enabled": False, "secrets": [{"key": "b2Zm"}]},
]


def by_name(credentials):
    return {(c["type"], c["auth-id"]): c for c in credentials}


class Export(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki()
        cls.koseki.create_tenant("T1")
        with Adapter(cls.koseki) as adapter:
            cls.provisioned = payload(adapter.credentials(
                "T1", "x509-cert", "CN=device-1,O=Acme", certificate="device-1.pem"))["device-id"]
        cls.koseki.create_tenant("T2", cas=(), alias="second", ext={"n": 1})
        cls.koseki.create_device("T2", "bare", {"memberOf": ["g"]})
        credentials = json.loads(json.dumps(CREDENTIALS))
        next(c for c in credentials if c["type"] == "rpk")["secrets"] = [
            {"cert": pki.der_base64("device-1.pem")}]
        cls.koseki.create_device("T2", "all", {"via": ["bare"], "viaGroups": ["g"],
                                               "defaults": {"ttl": 3}, "ext": {"ü": 1.5}}, credentials)

    @classmethod
    def tearDownClass(cls):
        cls.koseki.close()

    def arguments(self):
        return [BINARY, "export", "--set", f"data-dir={self.koseki.settings['data-dir']}",
                "--set", "store.map-size=1GiB"]

    def export(self):
        """The text; the header; lines of tenants by id; lines of devices by tenant and id."""
        out = subprocess.run(self.arguments(), capture_output=True, timeout=WAIT)
        self.assertEqual((out.returncode, out.stderr), (0, b""))
        text = out.stdout.decode()
        self.assertTrue(text.endswith("\n"))
        header, *rest = [json.loads(line) for line in text.split("\n")[:-1]]
        tenants = {line["tenant"]: line for line in rest if "device" not in line}
        devices = {(line["tenant"], line["device"]): line for line in rest if "device" in line}
        self.assertEqual(len(tenants) + len(devices), len(rest))
        self.assertEqual(header["koseki-export"], 1)
        self.assertEqual((header["tenants"], header["devices"], header["credentials"]),
                         (len(tenants), len(devices), sum(len(d["credentials"]) for d in devices.values())))
        order = [(line["tenant"], line.get("device", "")) for line in rest]
        self.assertEqual(order, sorted(order))
        return text, header, tenants, devices

    def test_it_says_what_the_management_api_says(self):
        _, _, tenants, devices = self.export()
        self.assertEqual(set(devices), {("T1", self.provisioned), ("T2", "all"), ("T2", "bare")})
        for tenant, line in tenants.items():
            answer = self.koseki.http("GET", f"/v1/tenants/{tenant}")
            self.assertEqual(line["document"], answer.json())
            self.assertEqual(line["version"], answer.headers["etag"])
        for (tenant, device), line in devices.items():
            answer = self.koseki.http("GET", f"/v1/devices/{tenant}/{device}")
            shown = answer.json()
            shown_status = shown.pop("status")
            self.assertEqual(line["document"], shown)
            self.assertEqual(line["version"], answer.headers["etag"])
            for flag in ("auto-provisioned", "auto-provisioning-notification-sent"):
                self.assertIs(line[flag], shown_status.get(flag, False))
            answer = self.koseki.http("GET", f"/v1/credentials/{tenant}/{device}")
            self.assertEqual(line["credentials-version"], answer.headers["etag"])
            self.assertEqual(len(line["credentials"]), len(answer.json()))
            for stored, seen in zip(line["credentials"], answer.json()):  # in the same order
                self.assertEqual([s["id"] for s in stored["secrets"]], [s["id"] for s in seen["secrets"]])
                for secret, public in zip(stored["secrets"], seen["secrets"]):
                    self.assertEqual({k: v for k, v in secret.items() if k in public}, public)
                rest = [{k: v for k, v in c.items() if k != "secrets"} for c in (stored, seen)]
                self.assertEqual(rest[0], rest[1])
        self.assertIs(devices["T1", self.provisioned]["auto-provisioned"], True)
        self.assertIs(devices["T2", "bare"]["auto-provisioned"], False)

    def test_it_holds_all_that_adapters_are_told(self):
        adapter = Adapter(self.koseki)
        self.addCleanup(adapter.close)
        _, _, _, devices = self.export()
        line = devices["T2", "all"]
        self.assertEqual([(c["type"], c["auth-id"]) for c in line["credentials"]],
                         [(c["type"], c["auth-id"]) for c in CREDENTIALS])
        for stored in line["credentials"]:
            with self.subTest(stored["auth-id"]):
                answer = adapter.credentials("T2", stored["type"], stored["auth-id"],
                                             **stored.get("ext", {}))
                if not stored.get("enabled", True):
                    self.assertEqual(status(answer), 404)
                    self.assertEqual(stored["secrets"][0]["key"], "b2Zm")
                    continue
                self.assertEqual(status(answer), 200)
                told = payload(answer)
                self.assertEqual(told["device-id"], "all")
                for secret, of_line in zip(told["secrets"], stored["secrets"], strict=True):
                    self.assertEqual({k: of_line.get(k) for k in secret}, secret)
        self.assertRegex(by_name(line["credentials"])["hashed-password", "plain"]["secrets"][0]["pwd-hash"],
                         r"^\$2a\$")
        told = payload(adapter.assert_device("T2", "all"))
        self.assertEqual(told["defaults"], line["document"]["defaults"])

    def test_two_exports_are_equal(self):
        self.assertEqual(self.export()[0], self.export()[0])

    def test_it_is_one_snapshot_while_devices_come_and_go(self):
        stop = threading.Event()
        codes = set()
        rounds = []

        def busy():
            while not stop.is_set():
                rounds.append(None)
                number = len(rounds)
                for verb, path, body in (("POST", f"/v1/devices/T1/busy-{number}", {}),
                                         ("PUT", f"/v1/credentials/T1/busy-{number}",
                                          [{"type": "psk", "auth-id": f"{number}", "secrets": [{"key": "AA=="}]}]),
                                         ("DELETE", f"/v1/devices/T1/busy-{number}", None)):
                    codes.add(self.koseki.http(verb, path, body).status)
        thread = threading.Thread(target=busy)
        thread.start()
        try:
            while len(rounds) < 20 and thread.is_alive():
                self.export()  # compares the header's numbers with the lines
        finally:
            stop.set()
            thread.join()
        self.assertEqual(codes, {201, 204})

    def test_what_cannot_be_written_fails(self):
        with open("/dev/full", "wb") as full:
            out = subprocess.run(self.arguments(), stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(out.returncode, 1)
        self.assertRegex(out.stderr, "^koseki export: cannot write to standard output: No space left on device")
        out = subprocess.run(self.arguments(), stderr=subprocess.PIPE, text=True, preexec_fn=lambda: os.close(1))
        self.assertEqual(out.returncode, 1)
        self.assertIn("cannot write to standard output", out.stderr)

    def test_a_reader_that_leaves_in_the_middle_is_told_of(self):
        self.koseki.create_tenant("T3", cas=())
        self.addCleanup(self.koseki.http, "DELETE", "/v1/tenants/T3")
        for number in range(BULK):
            self.koseki.create_device("T3", f"d{number}", {"ext": {"filler": "x" * 500}})
        whole = self.export()[0]
        self.assertGreater(len(whole), 2 * 65536)
        process = subprocess.Popen(self.arguments(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        head = process.stdout.read(70000)
        process.stdout.close()
        message = process.stderr.read().decode()
        process.stderr.close()
        self.assertEqual(process.wait(WAIT), 1)
        self.assertRegex(message, "^koseki export: cannot write to standard output: Broken pipe; the export is cut\n$")
        self.assertTrue(whole.encode().startswith(head))
        self.assertEqual(self.export()[0], whole)

    def test_a_folder_without_a_store_is_told_of(self):
        out = subprocess.run([BINARY, "export", "--set", f"data-dir={self.koseki.folder}/nowhere"],
                             capture_output=True, text=True)
        self.assertEqual((out.returncode, out.stdout), (1, ""))
        self.assertIn("nowhere", out.stderr)
        self.assertFalse(os.path.exists(f"{self.koseki.folder}/nowhere"))
