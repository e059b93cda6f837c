"""A real koseki process in a temporary folder, on ports of its own."""
import base64
import http.client
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

from support import pki

SANITIZED = os.environ.get("KOSEKI_SANITIZED") == "1"
LONG = os.environ.get("KOSEKI_TESTS_LONG") == "1"  # tests/run --long
# Everything is slower under sanitizers; waits are limits, not measurements.
WAIT = 60 if SANITIZED else 30

PERMISSIONS = {
    "roles": {
        "adapter": [
            {"resource": "tenant", "activities": ["READ", "WRITE"]},
            {"operation": "tenant/*:*", "activities": ["EXECUTE"]},
            {"operation": "tenant:*", "activities": ["EXECUTE"]},
            {"resource": "registration/*", "activities": ["READ", "WRITE"]},
            {"operation": "registration/*:*", "activities": ["EXECUTE"]},
            {"resource": "credentials/*", "activities": ["READ", "WRITE"]},
            {"operation": "credentials/*:*", "activities": ["EXECUTE"]},
            {"resource": "device_con/*", "activities": ["READ", "WRITE"]},
            {"operation": "device_con/*:*", "activities": ["EXECUTE"]},
        ],
        "one-tenant": [
            {"resource": "tenant", "activities": ["READ", "WRITE"]},
            {"operation": "tenant/T1:*", "activities": ["EXECUTE"]},
            {"resource": "registration/T1", "activities": ["READ", "WRITE"]},
            {"operation": "registration/T1:*", "activities": ["EXECUTE"]},
            {"resource": "credentials/T1", "activities": ["READ", "WRITE"]},
            {"operation": "credentials/T1:*", "activities": ["EXECUTE"]},
        ],
        "manager": [{"resource": "management/*", "activities": ["READ", "WRITE"]}],
        "reader": [{"resource": "management/*", "activities": ["READ"]}],
        "manager-T1": [{"resource": "management/T1", "activities": ["READ", "WRITE"]}],
    },
    "users": {
        "adapter@HONO": {"mechanism": "PLAIN", "password": "secret", "authorities": ["adapter"]},
        "one@HONO": {"mechanism": "PLAIN", "password": "secret", "authorities": ["one-tenant"]},
        "none@HONO": {"mechanism": "PLAIN", "password": "secret", "authorities": []},
        # bcrypt of "hashed-secret", cost 4
        "hashed@HONO": {"mechanism": "PLAIN", "authorities": ["adapter"], "password-hash": ""},
        "adapter-1": {"mechanism": "EXTERNAL", "authorities": ["adapter"]},
        "admin": {"mechanism": "PLAIN", "password": "admin-secret", "authorities": ["manager"]},
        "viewer": {"mechanism": "PLAIN", "password": "viewer-secret", "authorities": ["reader"]},
        "admin-T1": {"mechanism": "PLAIN", "password": "t1-secret", "authorities": ["manager-T1"]},
    },
}


def hash_password(password, cost=4):
    run = subprocess.run(
        [os.environ["KOSEKI_BINARY"], "hash-password", "--set", f"passwords.max-bcrypt-cost={cost}"],
        input=password + "\n", capture_output=True, text=True, check=True)
    return run.stdout.strip()


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Koseki:
    """Koseki(**settings): keys with '_' for '-' and '__' for '.', as amqp__max_links=10.

    prefix: a command that runs it. folder: to keep it in; it is not removed at the end."""

    def __init__(self, tls=False, preload=None, environment=None, wait_ready=True, permissions=None,
                 folder=None, prefix=(), **settings):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="koseki-system-"))
        self.own_folder = folder is None
        self.environment = dict(os.environ, **(environment or {}))
        if preload:
            self.environment["LD_PRELOAD"] = preload
        accounts = json.loads(json.dumps(permissions or PERMISSIONS))
        if "hashed@HONO" in accounts.get("users", {}):
            accounts["users"]["hashed@HONO"]["password-hash"] = hash_password("hashed-secret")
        (self.folder / "permissions.json").write_text(json.dumps(accounts))
        self.settings = {
            "data-dir": str(self.folder / "data"),
            "accounts": str(self.folder / "permissions.json"),
            "amqp.listen": "127.0.0.1:0",
            "http.listen": "127.0.0.1:0",
            "ops.listen": "127.0.0.1:0",
            "store.map-size": "1GiB",
            "store.min-free": "1MiB",
        }
        if tls:
            self.settings.update({
                "amqp.tls-listen": "127.0.0.1:0", "http.tls-listen": "127.0.0.1:0",
                "tls.cert": pki.path("server.pem"), "tls.key": pki.path("server.key"),
                "tls.client-ca": pki.path("ca.pem")})
        for key, value in settings.items():
            self.settings[key.replace("__", ".").replace("_", "-")] = value
        self.prefix = list(prefix)
        self.process = None
        self.ports = {}
        self.start(wait_ready)

    def start(self, wait_ready=True):
        self.log_path = self.folder / f"log-{time.monotonic_ns()}"
        self.log_file = open(self.log_path, "wb")
        self.process = self.launch()
        if wait_ready:
            try:
                self.wait_ready()
            except BaseException:
                self.kill()
                raise
        return self

    def launch(self):
        """The running `koseki serve`, its output in log_file. Tests of a container have their own."""
        # should the tests be killed, the kernel ends it too
        arguments = ["setpriv", "--pdeathsig", "KILL", "--", *self.prefix, os.environ["KOSEKI_BINARY"], "serve"]
        for key, value in self.settings.items():
            if value is not None:
                arguments += ["--set", f"{key}={value}"]
        return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=self.log_file,
                                stderr=self.log_file, env=self.environment)

    def tool(self, *arguments):
        """A sub-command on the data folder, to its end."""
        return subprocess.run(
            [os.environ["KOSEKI_BINARY"], *arguments, "--set", f"data-dir={self.settings['data-dir']}",
             "--set", f"store.map-size={self.settings['store.map-size']}"],
            capture_output=True, text=True)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_for(self, what, text="", seconds=WAIT):
        """Polls until what() is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = what()
            if value:
                return value
            time.sleep(0.01)
        raise AssertionError(f"waited {seconds} s for {text or what}; log:\n{self.log()[-4000:]}")

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"koseki ended with {self.process.returncode}:\n{self.log()}")
            return re.search(r"^event=ready (.*)$", self.log(), re.M)

        line = self.wait_for(ready, "the ready line")
        ports = {}
        for pair in line.group(1).split():
            key, _, address = pair.partition("=")
            ports[key] = int(address.rsplit(":", 1)[1])
        self.ports = ports  # at once: other threads ask for them while it is restarted

    def port(self, key):
        return self.ports[key]

    def stop(self, seconds=WAIT):
        """SIGTERM; the exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not stop within {seconds} s; log:\n{self.log()[-4000:]}")
        finally:
            self.log_file.close()
        self.process = None
        return code

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log_file.close()
        self.process = None

    def close(self):
        """Stops, checks that the process was well to the end, removes the folder."""
        code = self.stop() if self.process is not None else 0
        text = self.log() if self.log_path.exists() else ""
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        assert code == 0, f"koseki ended with {code}:\n{text[-6000:]}"
        assert "ERROR: AddressSanitizer" not in text and "runtime error:" not in text, text[-6000:]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.close()
        else:
            if self.process is not None:
                print(self.log()[-4000:])
                self.kill()
            if self.own_folder:
                shutil.rmtree(self.folder, ignore_errors=True)

    def stat(self, *options):
        """`koseki stat` of the data folder, also while it is served."""
        run = self.tool("stat", *options)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def verify(self):
        return self.stat("--verify")

    def rss_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def cpu_seconds(self):
        """Used since its start."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    # --- management API ---

    def http(self, method, path, body=None, user=("admin", "admin-secret"), headers=None,
             listener="http.listen"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port(listener), timeout=WAIT)
        send = dict(headers or {})
        if user is not None:
            token = base64.b64encode(f"{user[0]}:{user[1]}".encode()).decode()
            send["Authorization"] = f"Basic {token}"
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        if body is not None:
            send.setdefault("Content-Type", "application/json")
        connection.request(method, path, body=body, headers=send)
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()},
                        response.read())
        connection.close()
        return answer

    def create_tenant(self, tenant="T1", cas=("ca.pem",), provisioning=True, ca_members=None,
                      **members):
        """ca_members: what each trusted CA has besides."""
        body = dict(members)
        if cas:
            body["trusted-ca"] = [{"cert": pki.der_base64(ca),
                                   "auto-provisioning-enabled": provisioning, **(ca_members or {})}
                                  for ca in cas]
        answer = self.http("POST", f"/v1/tenants/{tenant}", body)
        assert answer.status == 201, (answer.status, answer.body)
        return answer

    def create_device(self, tenant="T1", device="D1", body=None, credentials=None):
        answer = self.http("POST", f"/v1/devices/{tenant}/{device}", body or {})
        assert answer.status == 201, (answer.status, answer.body)
        if credentials is not None:
            answer = self.http("PUT", f"/v1/credentials/{tenant}/{device}", credentials)
            assert answer.status == 204, (answer.status, answer.body)



def readable(sock, seconds):
    return bool(select.select([sock], [], [], seconds)[0])
