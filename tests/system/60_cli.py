"""The command line: exit codes, messages, probe, stat beside the service."""
import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import threading
import unittest

from support import pki
from support.server import PERMISSIONS, WAIT, Koseki

BINARY = os.environ["KOSEKI_BINARY"]


def run(*arguments, text=None, **options):
    return subprocess.run([BINARY, *arguments], input=text, capture_output=True, text=True,
                          timeout=WAIT, **options)


def target(link):
    try:
        return os.readlink(link)
    except FileNotFoundError:  # closed meanwhile
        return None


class Commands(unittest.TestCase):
    def test_help_and_version(self):
        self.assertEqual(run("--help").returncode, 0)
        self.assertIn("amqp.listen", run("--help").stdout)
        self.assertRegex(run("--version").stdout, r"^koseki \d+\.\d+\.\d+\n$")
        for command in ("serve", "check-config", "probe", "hash-password", "stat", "export", "import",
                        "backup", "health"):
            self.assertEqual(run(command, "--help").returncode, 0)

    def test_usage_errors_are_64(self):
        for arguments in ((), ("nonsense",), ("serve", "--nonsense"), ("serve", "extra"),
                          ("stat", "--json"), ("probe",), ("serve", "--set"),
                          ("health", "--check", "mood"), ("health", "--connect", "8088"), ("health", "--json"),
                          ("probe", "--connect", "x:1", "--username", "u", "--password-file", "f")):
            self.assertEqual(run(*arguments).returncode, 64, arguments)

    def test_usage_errors_name_the_option(self):
        for arguments, text in ((("--bogus",), "there is no option '--bogus'"), (("-x",), "there is no option '-x'"),
                                (("--config",), "--config takes a value"), (("--verify=1",), "--verify takes no value"),
                                (("--json",), "it has no option --json"), (("--ca", "f"), "it has no option --ca")):
            self.assertIn(text, run("stat", *arguments).stderr)

    def test_hash_password(self):
        out = run("hash-password", text="secret\n")
        self.assertRegex(out.stdout, r"^\$2a\$10\$[./A-Za-z0-9]{53}\n$")
        self.assertNotEqual(out.stdout, run("hash-password", text="secret\n").stdout)
        for bad in ("", "\n", "x" * 73 + "\n"):
            self.assertEqual(run("hash-password", text=bad).returncode, 1)

    def test_hash_password_takes_its_cost_from_the_settings(self):
        for source in (["--set", "passwords.max-bcrypt-cost=5"], []):
            out = run("hash-password", *source, text="secret\n",
                      env=dict(os.environ, KOSEKI_PASSWORDS_MAX_BCRYPT_COST="6"))
            self.assertTrue(out.stdout.startswith("$2a$05$" if source else "$2a$06$"), out.stdout)

    def test_hash_password_prompts_on_a_terminal_and_does_not_show_what_is_typed(self):
        ours, theirs = os.openpty()
        with subprocess.Popen([BINARY, "hash-password"], stdin=theirs, stderr=theirs,
                              stdout=subprocess.PIPE) as process:
            shown = b""
            while b"Password: " not in shown:
                shown += os.read(ours, 100)
            os.write(ours, b"typed-secret\n")
            self.assertRegex(process.stdout.read(), rb"^\$2a\$10\$")
            self.assertEqual(process.wait(WAIT), 0)
        os.close(theirs)
        with contextlib.suppress(OSError):  # at its end
            while more := os.read(ours, 100):
                shown += more
        os.close(ours)
        self.assertNotIn(b"typed-secret", shown)

    def test_output_that_cannot_be_written_is_a_failure(self):
        with tempfile.TemporaryDirectory() as folder, open("/dev/full", "w") as full:
            accounts = pathlib.Path(folder) / "p.json"
            accounts.write_text('{"users": {"u": {"mechanism": "PLAIN", "password": "p", "authorities": []}}}')
            for arguments in (["--version"], ["--help"], ["stat", "--help"], ["hash-password"],
                              ["check-config", "--set", "amqp.listen=127.0.0.1:0", "--set", f"accounts={accounts}"]):
                out = subprocess.run([BINARY, *arguments], input="secret\n", stdout=full, stderr=subprocess.PIPE,
                                     text=True, timeout=WAIT)
                self.assertEqual(out.returncode, 1, arguments)
                self.assertRegex(out.stderr, "cannot write to standard output: No space left on device", arguments)

    def test_a_port_that_is_taken_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as taken, tempfile.TemporaryDirectory() as folder:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            accounts = pathlib.Path(folder) / "p.json"
            accounts.write_text('{"users": {"u": {"mechanism": "PLAIN", "password": "p", "authorities": []}}}')
            for key in ("amqp.listen", "http.listen", "ops.listen"):
                listeners = {"amqp.listen": "127.0.0.1:0", key: address}
                out = run("serve", "--set", f"accounts={accounts}", "--set", f"data-dir={folder}/data", "--set",
                          "store.map-size=1GiB", *[f"--set={k}={v}" for k, v in listeners.items()])
                self.assertEqual(out.returncode, 1)
                self.assertIn(f"cannot listen on {address}: Address already in use", out.stderr)
                self.assertNotIn("event=ready", out.stderr)

    def test_every_command_takes_config_and_set_and_minds_what_is_wrong_there(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "k.yaml"
            path.write_text("nonsense: 1\n")
            for wrong, says in ((["--config", str(path)], f"{path}:1: there is no setting 'nonsense'"),
                                (["--set", "nonsense=1"], "--set nonsense: there is no setting 'nonsense'"),
                                (["--config", f"{folder}/nowhere"], "nowhere: No such file")):
                for command, code in ((["serve"], 1), (["check-config"], 1), (["hash-password"], 1), (["stat"], 1),
                                      (["export"], 1), (["probe", "--connect", "127.0.0.1:1", "--username", "u",
                                                         "--password-file", "f", "--cert", "c"], 64)):
                    out = run(*command, *wrong, text="secret\n")
                    self.assertEqual(out.returncode, code, (command, wrong))
                    self.assertIn(says, out.stderr, command)
                    self.assertEqual(out.stdout, "", command)

    def test_serve_without_a_listener_names_the_settings(self):
        out = run("serve")
        self.assertEqual(out.returncode, 1)
        self.assertIn("amqp.listen", out.stderr)
        self.assertIn("http.listen", out.stderr)

    def test_check_config_shows_everything_that_is_wrong_at_once(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            (path / "p.json").write_text('{"roles": {}, "users": {"u": {"mechanism": "PLAIN",\n'
                                         '"authorities": "x"}}}')
            (path / "k.yaml").write_text("amqp:\n  listen: 127.0.0.1\n  nonsense: 1\n"
                                         "tls: {cert: nowhere.pem, key: nowhere.key}\n"
                                         "accounts: p.json\n")
            out = run("check-config", "--config", str(path / "k.yaml"))
            self.assertEqual(out.returncode, 1)
            self.assertIn("k.yaml:2", out.stderr)
            self.assertIn("k.yaml:3", out.stderr)
            self.assertIn("nowhere.pem", out.stderr)
            self.assertIn("p.json", out.stderr)
            self.assertEqual(run("check-config", "--config", "/nowhere").returncode, 1)

    def test_unusable_accounts_and_certificates_stop_the_start(self):
        broken = {
            "not json": "{", "no users": "[]", "duplicate": '{"users":{},"users":{}}',
            "authorities": '{"users":{"u":{"mechanism":"PLAIN","password":"x"}}}',
            "activity": '{"roles":{"r":[{"resource":"x","activities":["FLY"]}]},"users":{}}',
            "hash": '{"users":{"u":{"mechanism":"PLAIN","password-hash":"x","authorities":[]}}}',
        }
        for name, text in broken.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                accounts = pathlib.Path(folder) / "p.json"
                accounts.write_text(text)
                sets = ["--set", "amqp.listen=127.0.0.1:0", "--set", f"accounts={accounts}", "--set",
                        f"data-dir={folder}/data", "--set", "store.map-size=1GiB"]
                out = run("check-config", *sets)
                self.assertEqual(out.returncode, 1, out.stdout)
                self.assertIn("p.json", out.stderr)
                out = run("serve", *sets)
                self.assertEqual(out.returncode, 1)

    def test_accounts_that_are_hardly_meant_are_doubted(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "permissions.json"
            for accounts, doubt in (
                    ({}, "names no user"), ({"users": {"u": {"authorities": []}}}, "no mechanism"),
                    ({"users": {"u": {"mechanism": "PLAN", "password": "p", "authorities": []}}}, "no mechanism"),
                    ({"users": {"u": {"mechanism": "PLAIN", "passwordhash": "p", "authorities": []}}},
                     "neither password nor"),
                    ({"users": {"u": {"mechanism": "EXTERNAL", "authorities": ["ghost"]}}}, "a role that")):
                with self.subTest(doubt):
                    path.write_text(json.dumps(accounts))
                    out = run("check-config", "--set", f"accounts={path}", "--set", "amqp.listen=127.0.0.1:0")
                    self.assertEqual(out.returncode, 0, out.stderr)
                    self.assertIn("accounts-doubtful", out.stderr)
                    self.assertIn(doubt, out.stderr)

    def check_config(self, folder):
        """What is enough for it."""
        accounts = pathlib.Path(folder) / "p.json"
        accounts.write_text('{"users": {"u": {"mechanism": "PLAIN", "password": "p", "authorities": []}}}')
        return ["check-config", "--set", "amqp.listen=127.0.0.1:0", "--set", f"accounts={accounts}"]

    def test_brokers_that_hear_a_password_in_clear_are_doubted(self):
        with tempfile.TemporaryDirectory() as folder:
            password = pathlib.Path(folder) / "pw"
            password.write_text("secret\n")
            login = ["--set", "messaging.username=u", "--set", f"messaging.password-file={password}"]

            def doubts(urls, *sets):
                out = run(*self.check_config(folder), "--set", f"messaging.urls={urls}", *sets)
                self.assertEqual(out.returncode, 0, out.stderr)
                return re.findall(r'event=messaging-doubtful broker="([^"]*)" doubt="([^"]*)"', out.stderr)

            for here in ("localhost", "127.0.0.1", "127.9.9.9:1", "[::1]:5672"):
                self.assertEqual(doubts(f"amqp://{here}", *login), [])
            self.assertEqual(doubts("amqps://b.example,amqps://c.example", *login), [])
            self.assertEqual(doubts("amqp://b.example"), [])
            found = doubts("amqp://b.example,amqp://localhost,amqp://128.0.0.1:1", *login)
            self.assertEqual([broker for broker, _ in found], ["b.example:5672", "128.0.0.1:1"])
            self.assertIn("the password goes over the network in clear", found[0][1])
            for sets, lost in ((login, "password"), ([], "events")):
                found = doubts("amqps://b.example,amqp://c.example", *sets)
                self.assertEqual([broker for broker, _ in found], ["c.example:5672"])
                self.assertIn(f"reads its {lost} here", found[0][1])
            out = run("serve", *self.check_config(folder)[1:], "--set", "messaging.urls=amqp://b.example", *login,
                      "--set", f"data-dir={folder}/data", "--set", "store.map-size=1GiB", "--set",
                      "http.listen=192.0.2.1:1")
            self.assertEqual(out.returncode, 1)
            self.assertIn("event=messaging-doubtful", out.stderr)

    def test_what_is_wrong_with_messaging_names_the_setting(self):
        with tempfile.TemporaryDirectory() as folder:
            empty = pathlib.Path(folder) / "empty"
            empty.write_text("")
            check = [*self.check_config(folder), "--set", "messaging.urls=amqps://b.example"]
            for sets, text in (
                    ({"ca": "/nowhere.pem"}, "messaging.ca: cannot use CA file /nowhere.pem"),
                    ({"ca": pki.path("ca.pem"), "cert": "/nowhere.pem", "key": pki.path("client.key")},
                     "messaging.cert, messaging.key: cannot use certificate /nowhere.pem"),
                    ({"cert": pki.path("client.pem"), "key": pki.path("server.key")},
                     "messaging.cert, messaging.key: cannot use key"),
                    ({"username": "u", "password-file": folder}, f"messaging.password-file: {folder}: Is a directory"),
                    ({"username": "u", "password-file": str(empty)},
                     f"messaging.password-file: {empty} holds no password")):
                with self.subTest(text):
                    out = run(*check, *(word for key, value in sets.items()
                                        for word in ("--set", f"messaging.{key}={value}")))
                    self.assertEqual(out.returncode, 1)
                    self.assertIn(text, out.stderr)
            out = run(*check, "--set", f"messaging.cert={pki.path('client.pem')}", "--set",
                      f"messaging.key={pki.path('client.key')}")
            self.assertEqual(out.returncode, 0, out.stderr)

    def test_an_expired_certificate_and_a_locked_key_are_told_of(self):
        def check(cert, key):
            return run("check-config", "--set", f"tls.cert={cert}", "--set", f"tls.key={key}")

        out = check(pki.path("device-expired.pem"), pki.path("device-expired.key"))
        self.assertIn("certificate-expired", out.stderr)
        self.assertNotIn("certificate-exp", check(pki.path("server.pem"), pki.path("server.key")).stderr)
        with tempfile.TemporaryDirectory() as folder:
            locked = pathlib.Path(folder) / "locked.key"
            subprocess.run(["openssl", "pkcs8", "-topk8", "-in", pki.path("server.key"), "-out", locked, "-passout",
                            "pass:secret"], check=True, capture_output=True)
            for key in (locked, pki.path("client.key")):
                out = check(pki.path("server.pem"), key)
                self.assertEqual(out.returncode, 1)
                self.assertIn("does it belong to the certificate", out.stderr)

    def test_a_file_that_is_not_there_is_said_so(self):
        for key, rest in (("tls.cert", {"tls.key": pki.path("server.key")}),
                          ("tls.key", {"tls.cert": pki.path("server.pem")}),
                          ("tls.client-ca", {"tls.cert": pki.path("server.pem"), "tls.key": pki.path("server.key")})):
            sets = [word for name, value in {key: "/nowhere.pem", **rest}.items()
                    for word in ("--set", f"{name}={value}")]
            self.assertIn("/nowhere.pem: No such file or directory", run("check-config", *sets).stderr, key)

    def test_stat_of_no_store(self):
        out = run("stat", "--set", "data-dir=/nowhere")
        self.assertEqual(out.returncode, 1)
        self.assertIn("/nowhere", out.stderr)


class WithService(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki(tls=True)
        cls.koseki.create_tenant("T1")
        cls.koseki.create_device("T1", "D1", {}, [
            {"type": "hashed-password", "auth-id": "sensor1", "secrets": [{"pwd-plain": "x"}]}])
        cls.folder = tempfile.TemporaryDirectory()
        cls.password = pathlib.Path(cls.folder.name) / "pw"
        cls.password.write_text("secret\n")
        cls.wrong = pathlib.Path(cls.folder.name) / "wrong"
        cls.wrong.write_text("nonsense\n")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()
        cls.koseki.close()

    def probe(self, *arguments, tls=False, password=None):
        port = self.koseki.port("amqp.tls-listen" if tls else "amqp.listen")
        base = ["probe", "--connect", f"localhost:{port}", "--username", "adapter@HONO",
                "--password-file", str(password or self.password)]
        if tls:
            base += ["--tls", "--ca", pki.path("ca.pem")]
        return run(*base, *arguments)

    def test_probe_with_a_certificate(self):
        first = self.probe("--cert", pki.path("device-20.pem"), "--json", tls=True)
        self.assertEqual(first.returncode, 0, first.stdout + first.stderr)
        answer = json.loads(first.stdout)
        self.assertEqual(set(answer), {"result", "provisioned", "tenant", "device", "steps"})
        self.assertEqual((answer["result"], answer["provisioned"], answer["tenant"]),
                         ("logged-in", True, "T1"))
        self.assertEqual([step["status"] for step in answer["steps"]], [200, 200, 201, 200])
        for step in answer["steps"]:
            self.assertEqual(set(step), {"name", "status", "reason", "ms"})
        again = json.loads(self.probe("--cert", pki.path("device-20.pem"), "--json").stdout)
        self.assertEqual((again["provisioned"], again["device"]), (False, answer["device"]))

    def test_probe_with_a_password_device(self):
        out = self.probe("--tenant", "T1", "--type", "hashed-password", "--auth-id", "sensor1")
        self.assertEqual(out.returncode, 0)
        self.assertIn("device D1", out.stdout)

    def test_probe_refused(self):
        out = self.probe("--cert", pki.path("device-expired.pem"), "--json")
        self.assertEqual(out.returncode, 1)
        answer = json.loads(out.stdout)
        self.assertEqual((answer["result"], answer["steps"][-1]["status"],
                          answer["steps"][-1]["reason"]), ("refused", 404, "expired"))
        out = self.probe("--cert", pki.path("device-1.pem"), "--json", password=self.wrong)
        self.assertEqual((out.returncode, json.loads(out.stdout)["result"]), (1, "refused"))

    def test_probe_unreachable(self):
        out = run("probe", "--connect", "127.0.0.1:1", "--username", "u", "--password-file",
                  str(self.password), "--cert", pki.path("device-1.pem"), "--json")
        self.assertEqual((out.returncode, json.loads(out.stdout)["result"]), (2, "unreachable"))
        port = self.koseki.port("amqp.tls-listen")
        out = run("probe", "--connect", f"localhost:{port}", "--tls", "--ca", pki.path("ca-foreign.pem"),
                  "--username", "u", "--password-file", str(self.password), "--cert",
                  pki.path("device-1.pem"))
        self.assertEqual(out.returncode, 2)
        self.assertIn("certificate", out.stdout)

    def test_probe_does_not_talk_to_a_server_of_another_name(self):
        folder, key = self.folder.name, pki.path("server.key")
        pathlib.Path(folder, "other.ext").write_text("subjectAltName=DNS:other.example\n")
        for command in (f"openssl req -new -key {key} -subj /CN=other.example -out {folder}/other.csr",
                        f"openssl x509 -req -in {folder}/other.csr -CA {pki.path('ca.pem')} -CAkey {pki.path('ca.key')}"
                        f" -set_serial 7 -extfile {folder}/other.ext -out {folder}/other.pem"):
            subprocess.run(command.split(), check=True, capture_output=True)
        with Koseki(tls=True, **{"tls.cert": f"{folder}/other.pem"}) as koseki:
            out = run("probe", "--connect", f"localhost:{koseki.port('amqp.tls-listen')}", "--tls", "--ca",
                      pki.path("ca.pem"), "--username", "adapter@HONO", "--password-file", str(self.password),
                      "--cert", pki.path("device-1.pem"))
            self.assertEqual(out.returncode, 2, out.stdout)
            self.assertRegex(out.stdout, "(?i)host ?name mismatch")
            self.assertNotIn("event=login", koseki.log())

    def test_stat_beside_the_service(self):
        out = run("stat", "--verify", "--set", f"data-dir={self.koseki.settings['data-dir']}",
                  "--set", "store.map-size=1GiB")
        self.assertEqual(out.returncode, 0, out.stdout + out.stderr)
        self.assertIn("tenants: 1\n", out.stdout)

    def test_closed_standard_streams_become_no_file_of_the_store(self):
        def close():
            os.close(1)
            os.close(2)
        with tempfile.TemporaryDirectory() as folder:
            arguments = [BINARY, "serve"]
            for key, value in {**self.koseki.settings, "data-dir": f"{folder}/data"}.items():
                arguments += ["--set", f"{key}={value}"]
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, preexec_fn=close)
            open_files = pathlib.Path(f"/proc/{process.pid}/fd")
            lock = f"{folder}/data/lock.mdb"
            try:
                self.koseki.wait_for(lambda: lock in map(target, open_files.iterdir()), "the store to be open")
                self.assertEqual([target(open_files / n) for n in "12"], ["/dev/null"] * 2)
            finally:
                process.terminate()
                process.wait(WAIT)
            for name in os.listdir(f"{folder}/data"):
                self.assertNotIn(b"event=", pathlib.Path(folder, "data", name).read_bytes())

    def test_the_ready_line_names_every_port(self):
        ready = re.search(r"^event=ready (.*)$", self.koseki.log(), re.M).group(1)
        self.assertEqual([pair.split("=")[0] for pair in ready.split()],
                         ["amqp.listen", "amqp.tls-listen", "http.listen", "http.tls-listen",
                          "ops.listen"])

    def test_secrets_are_not_logged(self):
        log = self.koseki.log()
        for user in PERMISSIONS["users"].values():
            if user.get("password"):
                self.assertNotRegex(log, rf"\b{re.escape(user['password'])}\b")  # an answer has "secrets"


class Health(unittest.TestCase):
    """koseki health against ports of all moods."""

    def health(self, *arguments, code=0, tries=1, **environment):
        """tries: a service on a busy machine may take longer to answer than the check waits."""
        for _ in range(tries):
            out = run("health", *arguments, env={**os.environ, **environment})
            if out.returncode == code:
                break
        self.assertEqual(out.returncode, code, out.stdout + out.stderr)
        return out

    def test_up_and_down(self):
        with Koseki() as koseki:
            koseki.create_tenant("T1")
            port = koseki.port("ops.listen")
            for check in ("readiness", "liveness", "started"):
                out = self.health("--check", check, "--connect", f"localhost:{port}", tries=10)
                self.assertEqual(json.loads(out.stdout)["checks"][0]["name"], check)
            # without --connect the settings say where; who listens everywhere is asked on loopback
            self.health("--set", f"ops.listen=0.0.0.0:{port}", tries=10)
            self.health(tries=10, KOSEKI_OPS_LISTEN=f"127.0.0.1:{port}")
            koseki.wait_for(lambda: "answered 40" in self.health(
                "--connect", f"127.0.0.1:{koseki.port('http.listen')}", code=1).stderr, "another port's answer")
            self.health("--connect", f"127.0.0.1:{koseki.port('amqp.listen')}", code=1)
        out = self.health("--connect", f"127.0.0.1:{port}", code=1)
        self.assertIn("cannot connect", out.stderr)

    def test_not_ready_but_alive(self):
        with Koseki(store__min_free="900TiB") as koseki:
            address = f"127.0.0.1:{koseki.port('ops.listen')}"
            koseki.wait_for(lambda: "disk-full" in run("health", "--connect", address).stdout, "disk-full")
            self.health("--connect", address, code=1)
            self.health("--check", "liveness", "--connect", address, tries=10)

    def test_no_port_to_ask(self):
        self.assertIn("ops.listen", self.health(code=1).stderr)
        self.assertIn("--connect", self.health("--set", "ops.listen=127.0.0.1:0", code=1).stderr)

    def test_strange_answers(self):
        """From whatever listens there: none makes the check succeed, or wait for ever."""
        for answer, code in ((b"", 1), (b"\r\n\r\n", 1), (b"nonsense\r\n\r\n", 1), (b"HTTP/1.1 2", 1),
                             (b"HTTP/1.1 200 OK\r\n", 1), (b"HTTP/1.1 200 OK\r\n\r\n{}", 0),
                             (b"HTTP/1.0 200 OK\r\ncontent-LENGTH: 2\r\n\r\n{}", 0),
                             (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", 1),
                             (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}", 1),
                             (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100000, 1),
                             (b"x" * 100000, 1), (b"HTTP/1.1 503 x\r\n\r\n", 1)):
            with self.subTest(answer[:60]), socket.create_server(("127.0.0.1", 0)) as server:
                def serve():
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(4096)
                        with contextlib.suppress(OSError):  # it may have seen enough
                            connection.sendall(answer)

                thread = threading.Thread(target=serve, daemon=True)
                thread.start()
                self.health("--connect", f"127.0.0.1:{server.getsockname()[1]}", code=code)
                thread.join(WAIT)

    def test_a_service_that_says_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            out = self.health("--connect", f"127.0.0.1:{server.getsockname()[1]}", code=1)
            self.assertIn("timed out", out.stderr)


class Templates(unittest.TestCase):
    def test_probe_makes_the_auth_id_as_an_adapter_does(self):
        with Koseki() as koseki, tempfile.TemporaryDirectory() as folder:
            password = pathlib.Path(folder, "password")
            password.write_text("secret\n")
            for tenant, ca, template in (("T2", "ed25519-ca.pem", "a-{{subject-cn}}"),
                                         ("T3", "rsa-ca.pem", "{{subject-ou}}")):
                koseki.create_tenant(tenant, cas=(ca,), ca_members={"auth-id-template": template})
            base = ["probe", "--connect", f"127.0.0.1:{koseki.port('amqp.listen')}", "--username",
                    "adapter@HONO", "--password-file", str(password)]
            out = run(*base, "--cert", pki.path("ed25519-device.pem"), "--json")
            answer = json.loads(out.stdout)
            self.assertEqual((out.returncode, answer["provisioned"]), (0, True), out.stdout)
            shown = koseki.http("GET", f"/v1/credentials/T2/{answer['device']}").json()
            self.assertEqual(shown[0]["auth-id"], "a-ed25519 device")
            out = run(*base, "--cert", pki.path("rsa-device.pem"))
            self.assertEqual(out.returncode, 1)
            self.assertIn("organizational unit", out.stdout)


class Json(unittest.TestCase):
    def test_log_lines_are_json_objects(self):
        koseki = Koseki(wait_ready=False, log__format="json", log__level="error")
        koseki.wait_for(lambda: '"event":"ready"' in koseki.log(), "the ready line")
        ready = json.loads(koseki.log().splitlines()[-1])
        self.assertEqual(list(ready), ["event", "amqp.listen", "http.listen", "ops.listen"])
        koseki.close()
