"""`koseki import`: what export wrote comes back whole, however much it is, or not at all. `koseki backup`."""
import json
import os
import pathlib
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from support import killat, lines
from support.adapter import Adapter, payload, status
from support.server import SANITIZED, WAIT, Koseki

BINARY = os.environ["KOSEKI_BINARY"]
LONG = os.environ.get("KOSEKI_TESTS_LONG") == "1" and not SANITIZED
DEVICES = 1000000 if LONG else 2000
MEMORY_MAX_MIB = 160  # however many lines
# A process begins with the peak of who started it, so a small one starts it: it prints code, peak in MiB, CPU seconds.
MEASURE = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[2:], stdout=int(sys.argv[1]), stderr=int(sys.argv[1]))
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, used.ru_maxrss >> 10, used.ru_utime + used.ru_stime]))
"""
STEPS_MAX = 100       # of an import that change files: far more than it has


def arguments(command, folder, *more):
    return [BINARY, command, "--set", f"data-dir={folder}", "--set", f"store.map-size={'64GiB' if LONG else '1GiB'}", *more]


def run(command, folder, *more, **options):
    return subprocess.run(arguments(command, folder, *more), capture_output=True, timeout=1800 if LONG else 2 * WAIT,
                          **options)


def program_version():
    return subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]


class Folders(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="koseki-import-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.data = self.folder / "data"

    def make_lines(self, devices=20):
        path = self.folder / "lines.jsonl"
        lines.write(path, program_version(), devices)
        return path

    def done(self, out, code=0):
        self.assertEqual(out.returncode, code, out.stdout + out.stderr)
        return out

    def export(self, folder=None):
        return self.done(run("export", folder or self.data)).stdout

    def verify(self, folder=None):
        return self.done(run("stat", folder or self.data, "--verify")).stdout.decode()

    def refused(self, out, text):
        self.done(out, 1)
        self.assertEqual(out.stdout, b"")
        self.assertRegex(out.stderr.decode(), f"^koseki import: {text}")
        self.assertEqual(out.stderr.count(b"\n"), 1)


class RoundTrip(Folders):
    def test_it_is_the_same_byte_for_byte_and_bounded_in_memory(self):
        path = self.make_lines(DEVICES)
        begin = time.monotonic()
        with open(self.folder / "out", "wb") as out:
            measured = subprocess.run([sys.executable, "-c", MEASURE, str(out.fileno()),
                                       *arguments("import", self.data, str(path))],
                                      stdout=subprocess.PIPE, pass_fds=[out.fileno()])
        took = time.monotonic() - begin
        code, memory_mib, cpu_seconds = json.loads(measured.stdout)
        header = json.loads(path.open().readline())
        self.assertEqual((self.folder / "out").read_text(),
                         "imported {tenants} tenants, {devices} devices, {credentials} credentials\n".format(**header))
        self.assertEqual(code, 0)
        if not SANITIZED:
            self.assertLess(memory_mib, MEMORY_MAX_MIB)
        with open(self.folder / "again.jsonl", "wb") as again:
            subprocess.run(arguments("export", self.data), stdout=again, check=True)
        self.assertEqual(subprocess.run(["cmp", str(path), str(self.folder / "again.jsonl")]).returncode, 0)
        self.assertIn(f"devices: {DEVICES}\n", self.verify())
        if LONG:
            print(f"     {DEVICES:,} devices, {path.stat().st_size >> 20} MiB: {took:.1f} s, "
                  f"{cpu_seconds:.1f} s CPU, {memory_mib} MiB", flush=True)

    def test_the_order_of_devices_does_not_matter(self):
        path = self.make_lines()
        text = path.read_text()
        header, *rest = text.splitlines(keepends=True)
        blocks = [[]]
        for line in rest:  # each tenant with its devices, these reversed
            if '"device":' not in line:
                blocks.append([line])
            else:
                blocks[-1].insert(1, line)
        path.write_text(header + "".join(line for block in reversed(blocks) for line in block))
        self.assertNotEqual(path.read_text(), text)
        self.done(run("import", self.data, str(path)))
        self.assertEqual(self.export(), text.encode())

    def test_it_reads_standard_input_and_a_pipe(self):
        path = self.make_lines()
        with open(path, "rb") as file:
            self.done(run("import", self.data, "-", stdin=file))
        self.assertEqual(self.export(), path.read_bytes())
        export = subprocess.Popen(arguments("export", self.data), stdout=subprocess.PIPE)
        self.done(run("import", self.folder / "piped", "-", stdin=export.stdout))
        export.stdout.close()
        self.assertEqual(export.wait(WAIT), 0)
        self.assertEqual(self.export(self.folder / "piped"), path.read_bytes())

    def test_each_store_is_an_instance_of_its_own(self):
        path = self.make_lines()
        found = set()
        for name in ("a", "b"):
            self.done(run("import", self.folder / name, str(path)))
            found.add(re.search("^instance: (.*)$", self.verify(self.folder / name), re.M).group(1))
        self.assertEqual(len(found), 2)


CREDENTIALS = [
    {"type": "psk", "auth-id": "psk é\"", "secrets": [
        {"key": "c2VjcmV0", "comment": "first"}, {"key": "b3RoZXI=", "not-after": "2099-01-01T00:00:00Z"}]},
    {"type": "x509-cert", "auth-id": "CN=x,O=y", "secrets": [{}], "ext": {"a": {"b": [1, None, "c"]}}},
    {"type": "hashed-password", "auth-id": "plain", "secrets": [{"pwd-plain": "correct horse"}]},
    {"type": "my-own", "auth-id": "own", "secrets": [{"anything": "goes"}]},
    {"type": "psk", "auth-id": "off", "enabled": False, "secrets": [{"key": "b2Zm"}]},
]


class Served(Folders):
    def answers(self, koseki):
        """What adapters and operators are told."""
        told = {}
        with Adapter(koseki) as adapter:
            for tenant in ("T1", "T2"):
                told[tenant] = payload(adapter.tenant(tenant))
            told["by DN"] = payload(adapter.tenant(subject_dn="CN=Test CA,O=Acme"))
            for credential in CREDENTIALS:
                answer = adapter.credentials("T2", credential["type"], credential["auth-id"],
                                             **credential.get("ext", {}))
                told[credential["auth-id"]] = (status(answer), payload(answer) if status(answer) == 200 else None)
            for device in ("all", "bare"):
                told[device] = payload(adapter.assert_device("T2", device))
            told["behind"] = payload(adapter.assert_device("T2", "all", gateway="bare"))
        for path in ("tenants/T1", "tenants/T2", "devices/T2/all", "devices/T2/bare", "credentials/T2/all"):
            answer = koseki.http("GET", f"/v1/{path}")
            told[path] = (answer.status, answer.headers.get("etag"), answer.json())
        return told

    def fill(self, koseki):
        koseki.create_tenant("T1")
        koseki.create_tenant("T2", cas=(), alias="second", ext={"n": 1})
        koseki.create_device("T2", "bare", {"memberOf": ["g"]})
        koseki.create_device("T2", "all", {"via": ["bare"], "viaGroups": ["g"], "defaults": {"ttl": 3},
                                           "ext": {"ü": 1.5}}, CREDENTIALS)
        with Adapter(koseki) as adapter:
            return payload(adapter.credentials("T1", "x509-cert", "CN=device-1,O=Acme", certificate="device-1.pem"))

    def test_a_restored_registry_answers_as_before(self):
        with Koseki() as koseki:
            provisioned = self.fill(koseki)
            before = self.answers(koseki)
            text = self.export(koseki.settings["data-dir"])
        with Koseki(wait_ready=True) as koseki:  # makes an empty store, which is then filled
            data = koseki.settings["data-dir"]
            koseki.stop()
            self.done(run("import", data, "-", input=text))
            self.assertEqual(self.export(data), text)
            koseki.start()
            self.assertEqual(self.answers(koseki), before)
            with Adapter(koseki) as adapter:
                known = adapter.credentials("T1", "x509-cert", "CN=device-1,O=Acme", certificate="device-1.pem")
                self.assertEqual((status(known), payload(known)["device-id"]), (200, provisioned["device-id"]))
                new = adapter.credentials("T1", "x509-cert", "CN=device-2,O=Acme", certificate="device-2.pem")
                self.assertEqual(status(new), 201)
            self.assertEqual(koseki.http("DELETE", "/v1/tenants/T2").status, 204)
            koseki.stop()
            koseki.verify()
            koseki.start()

    def test_a_served_folder_is_left_alone(self):
        with Koseki() as koseki:
            koseki.create_tenant("T1")
            data = koseki.settings["data-dir"]
            before = sorted(os.listdir(data))
            self.refused(run("import", data, str(self.make_lines())), "the data folder .* is served by another process")
            self.assertEqual(sorted(os.listdir(data)), before)
            koseki.stop()
            self.refused(run("import", data, str(self.make_lines())),
                         "the store in .* holds 1 tenants, .*: name another data-dir, or move data.mdb away")
            koseki.start()
            self.assertEqual(koseki.http("GET", "/v1/tenants/T1").status, 200)


class Refusals(Folders):
    def changed(self, change, devices=20):
        """A file of lines after change(lines), which is given them as objects."""
        path = self.make_lines(devices)
        objects = [json.loads(line) for line in path.read_text().splitlines()]
        change(objects)
        path.write_text("".join(lines.text_of(line) + "\n" for line in objects))
        return path

    def test_what_is_wrong_is_named_by_its_line_and_nothing_changes(self):
        def of_device(at, change):
            return lambda objects: change([o for o in objects if "device" in o][at])
        wrong = {
            "line 1: koseki-export: the format is 2": lambda o: o[0].update({"koseki-export": 2}),
            "line 1: an export begins with its header": lambda o: o.pop(0),
            "line 24: the end is here, but the header tells of 3 tenants, 21 devices":
                lambda o: o[0].update(devices=21),
            "line 23: the end is here": lambda o: o.pop(),
            r"line 3: document: via\[0\]: ": of_device(0, lambda d: d["document"].update(via=[{}])),
            r"line 4: credentials: \[0\].secrets\[0\].key: ":
                of_device(1, lambda d: d.update(credentials=[{"type": "psk", "auth-id": "x", "secrets": [{"key": "?"}]}])),
            "line 5: version: must be a UUID": of_device(2, lambda d: d.update(version="x")),
            'line 3: there is no member "etag"': of_device(0, lambda d: d.update(etag="x")),
            "line 3: created: is missing": of_device(0, lambda d: d.pop("created")),
            "line 4: the tenant has a device with this id: see line 3":
                of_device(1, lambda d: d.update(device="00000000:0=")),
            "line 23: another tenant that is not in the same trust-anchor-group":
                lambda o: o[-3]["document"].update({"trust-anchor-group": "other"}),
        }
        self.done(run("import", self.data, str(self.make_lines())))
        for text, change in wrong.items():
            with self.subTest(text):
                shutil.rmtree(self.data)
                self.data.mkdir()
                out = run("import", self.data, str(self.changed(change)))
                if text.startswith("line 23: another"):  # either of the two
                    text = "line (2|22): another tenant that is not in the same trust-anchor-group"
                self.refused(out, text)
                self.assertEqual(os.listdir(self.data), ["koseki.lock"])

    def test_what_is_no_export_is_refused(self):
        path = self.folder / "x"
        for content, text in ((b"", "there is not even a header"), (b"\0" * 100, "line 1: not a JSON object"),
                              (os.urandom(5000).replace(b"\n", b"x"), "line 1: not a JSON object"),
                              (b'{"a":1}\n', 'line 1: there is no member "a"'),
                              (b" " * ((16 << 20) + 1), "line 1: more than 16 MiB"),
                              (b"[" * (16 << 20), "line 1: not a JSON object")):
            with self.subTest(text):
                path.write_bytes(content)
                self.refused(run("import", self.data, str(path)), text)
        self.refused(run("import", self.data, str(self.folder / "nowhere")), "cannot open .*nowhere: No such file")
        self.refused(run("import", self.data, str(self.folder)), "cannot read line 1: Is a directory")

    def test_the_cost_of_hashes_is_bounded_by_the_setting(self):
        path = self.make_lines()
        self.refused(run("import", self.data, str(path), "--set", "passwords.max-bcrypt-cost=9"),
                     r"line \d+: credentials: .*pwd-hash: a bcrypt hash must cost 4 to 9; this one costs 10")

    def test_a_map_or_a_disk_that_is_too_small_changes_nothing(self):
        path = self.make_lines(2000)
        self.refused(run("import", self.data, str(path), "--set", "store.map-size=1MiB"), ".*raise store.map-size")
        self.assertEqual(os.listdir(self.data), ["koseki.lock"])

        def bound():  # as a full disk: writes beyond it fail
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000))
        self.refused(run("import", self.data, str(path), preexec_fn=bound), "cannot write a temporary file")
        self.assertEqual(os.listdir(self.data), ["koseki.lock"])
        self.done(run("import", self.data, str(path)))

    def test_usage(self):
        for words in ((), ("a", "b"), ("",), ("--nonsense", "a")):
            for command in ("import", "backup"):
                self.assertEqual(run(command, self.data, *words).returncode, 64, (command, words))
        self.assertFalse(self.data.exists())


class Crash(Folders):
    def make_empty_store(self):
        """A folder with a store that holds nothing; its instance."""
        koseki = Koseki(data_dir=str(self.data))
        koseki.close()
        return re.search("^instance: (.*)$", self.verify(), re.M).group(1)

    def crash_at(self, step, path, library):
        """Whether the import ended before it got there."""
        out = run("import", self.data, str(path),
                  env=dict(os.environ, LD_PRELOAD=library, KOSEKI_KILL_AT=str(step)))
        self.assertIn(out.returncode, (0, -signal.SIGKILL))
        return out.returncode == 0

    def test_a_crash_at_any_step_leaves_all_or_nothing(self):
        library = killat.build(self.folder)
        path = self.make_lines()
        wanted = path.read_bytes()
        seen = set()
        instance = self.make_empty_store()
        shutil.copytree(self.data, self.folder / "empty")
        for step in range(1, STEPS_MAX):
            shutil.rmtree(self.data)
            shutil.copytree(self.folder / "empty", self.data)
            whole = self.crash_at(step, path, library)
            stat = self.verify()
            imported = "tenants: 3\n" in stat
            seen.add(imported)
            if not imported:
                self.assertIn(f"tenants: 0\n", stat)
                self.assertIn(instance, stat)
                self.done(run("import", self.data, str(path)))
            self.assertEqual(self.export(), wanted, step)
            if imported and not whole:  # another run only sweeps
                self.done(run("import", self.data, str(path)), 1)
            self.assertNotIn("import.tmp", os.listdir(self.data))
            if whole:
                break
        self.assertTrue(whole)
        self.assertEqual(seen, {False, True})
        self.assertGreater(step, 5)

    def test_one_that_is_killed_while_it_reads_is_restarted(self):
        path = self.make_lines()
        read, write = os.pipe()
        process = subprocess.Popen(arguments("import", self.data, "-"), stdin=read)
        os.close(read)
        os.write(write, path.read_bytes()[:3000])
        end = time.monotonic() + WAIT
        while not (self.data / "import.tmp" / "data.mdb").exists():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        self.refused(run("import", self.data, str(path)), "the data folder .* is served by another process")
        process.kill()
        process.wait()
        os.close(write)
        self.assertIn("import.tmp", os.listdir(self.data))
        self.done(run("import", self.data, str(path)))
        self.assertEqual(self.export(), path.read_bytes())


class Terminal(Folders):
    def test_a_terminal_sees_how_far_it_is(self):
        path = self.make_lines()
        master, slave = pty.openpty()
        read, write = os.pipe()
        process = subprocess.Popen(arguments("import", self.data, "-"), stdin=read, stdout=subprocess.PIPE, stderr=slave)
        os.close(read)
        os.close(slave)
        seen = b""
        content = path.read_bytes()
        os.write(write, content[:-2000])
        while b"lines" not in seen:
            seen += os.read(master, 4096)
        os.write(write, content[-2000:])
        os.close(write)
        out, _ = process.communicate(timeout=2 * WAIT)
        self.assertEqual(process.returncode, 0)
        try:
            while True:
                more = os.read(master, 4096)
                seen += more
        except OSError:  # its other side is closed
            pass
        os.close(master)
        text = seen.decode()
        self.assertRegex(text, r"^\rreading \d+\.\d MiB  \d+ lines, \d+/s")
        self.assertTrue(text.endswith("\r\x1b[K"), text)  # nothing of it stays
        self.assertRegex(out.decode(), r"^imported 3 tenants, 20 devices, \d+ credentials\n$")


class Backup(Folders):
    def test_a_copy_beside_the_service_is_whole_and_can_be_copied_back(self):
        copy = self.folder / "copy"
        with Koseki() as koseki:
            koseki.create_tenant("T1", cas=())
            for number in range(20):
                koseki.create_device("T1", f"d{number}")
            stop = threading.Event()
            codes = set()

            def busy():
                while True:
                    for verb in ("POST", "DELETE"):
                        codes.add(koseki.http(verb, "/v1/devices/T1/busy", {} if verb == "POST" else None).status)
                    if stop.is_set():
                        return
            thread = threading.Thread(target=busy)
            thread.start()
            try:
                self.done(run("backup", koseki.settings["data-dir"], str(copy)))
            finally:
                stop.set()
                thread.join()
            self.assertEqual(codes, {201, 204})
            self.assertRegex(self.verify(copy), r"devices: 2[01]\n")
            again = run("backup", koseki.settings["data-dir"], str(copy))
            self.done(again, 1)
            self.assertRegex(again.stderr.decode(), "^koseki backup: .*copy is there already")
            saved = self.export(copy)
            self.assertEqual(koseki.http("DELETE", "/v1/tenants/T1").status, 204)
            koseki.stop()
            shutil.copy(copy / "data.mdb", koseki.settings["data-dir"])
            self.assertEqual(self.export(koseki.settings["data-dir"]), saved)
            koseki.start()
            self.assertEqual(koseki.http("GET", "/v1/devices/T1/d7").status, 200)

    def test_what_cannot_be_copied_leaves_nothing(self):
        out = run("backup", self.folder / "nowhere", str(self.folder / "copy"))
        self.done(out, 1)
        self.assertRegex(out.stderr.decode(), "^koseki backup: .*nowhere")
        self.done(run("import", self.data, str(self.make_lines(500))))
        self.done(run("backup", self.data, str(self.folder / "no" / "such")), 1)

        def bound():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
        self.done(run("backup", self.data, str(self.folder / "copy"), preexec_fn=bound), 1)
        self.assertEqual(sorted(os.listdir(self.folder)), ["data", "lines.jsonl"])
