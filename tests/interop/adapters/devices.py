"""Devices: messages and commands over HTTP by curl, over MQTT by mosquitto's clients."""
import re
import subprocess

from support import pki

SECONDS = 60  # a limit, for a machine with much else to do
MQTT_CODES = {1: "protocol version", 2: "identifier rejected", 3: "server unavailable",
              4: "bad user name or password", 5: "not authorised"}


class Outcome:
    """accepted: the adapter took the message. refused: it turned the device away, as against an error."""

    def __init__(self, accepted, refused, detail):
        self.accepted, self.refused, self.detail = accepted, refused, detail

    def __str__(self):
        return self.detail


class HttpDevice:
    """A device of the HTTP adapter: POST of its own message, PUT of one for a device behind it."""

    def __init__(self, port, certificate=None, login=None):
        self.port, self.certificate, self.login = port, certificate, login

    def command(self, kind, text, behind):
        tenant_and_device = f"/{behind[0]}/{behind[1]}" if behind else ""
        arguments = ["curl", "--silent", "--show-error", "--max-time", str(SECONDS), "--noproxy", "*",
                     "--cacert", pki.path("ca.pem"), "--output", "/dev/stderr",
                     "--write-out", "%{http_code}", "--request", "PUT" if behind else "POST",
                     "--header", "content-type: text/plain", "--data", text,
                     f"https://localhost:{self.port}/{kind}{tenant_and_device}"]
        if self.certificate:
            arguments += ["--cert", pki.path(self.certificate + ".pem"),
                          "--key", pki.path(self.certificate + ".key")]
        if self.login:
            arguments += ["--user", ":".join(self.login)]
        return arguments

    def publish(self, kind, text, behind=None):
        run = subprocess.run(self.command(kind, text, behind), capture_output=True, text=True,
                             timeout=2 * SECONDS)
        return Outcome(run.stdout == "202", run.stdout in ("401", "403", "404"),
                       f"HTTP {run.stdout} {run.stderr.strip()}")

    def listen(self):
        """Sends a message and waits for a command with its answer: a started process."""
        command = self.command("telemetry", "is there work?", None)
        command += ["--header", f"hono-ttd: {SECONDS // 2}", "--include"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    @staticmethod
    def heard(process):
        """Name and text of the command that came."""
        _, text = process.communicate(timeout=2 * SECONDS)
        name = re.search(r"(?mi)^hono-command: *(\S+)", text)
        return name and name.group(1), text.rpartition("\n\n")[2]


class MqttDevice:
    """A device of the MQTT adapter: one message at least once, so that the adapter has to answer."""

    def __init__(self, port, certificate=None, login=None):
        self.port, self.certificate, self.login = port, certificate, login

    def connection(self):
        arguments = ["-h", "localhost", "-p", str(self.port), "--cafile", pki.path("ca.pem")]
        if self.certificate:
            arguments += ["--cert", pki.path(self.certificate + ".pem"),
                          "--key", pki.path(self.certificate + ".key")]
        if self.login:
            arguments += ["-u", self.login[0], "-P", self.login[1]]
        return arguments

    def publish(self, kind, text, behind=None):
        tenant_and_device = f"/{behind[0]}/{behind[1]}" if behind else ""
        run = subprocess.run(["mosquitto_pub", *self.connection(), "-t", kind + tenant_and_device,
                              "-m", text, "-q", "1"],
                             capture_output=True, text=True, timeout=SECONDS)
        code = run.returncode
        return Outcome(code == 0, code in (4, 5),
                       f"MQTT {code} {MQTT_CODES.get(code, '')} {run.stdout}{run.stderr}".strip())

    def listen(self, topic="command///req/#"):
        """Subscribes to commands until one comes: a started process."""
        command = ["mosquitto_sub", *self.connection(), "-t", topic, "-q", "1", "-C", "1",
                   "-W", str(SECONDS), "-F", "%t\\n%p"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    @staticmethod
    def heard(process):
        """Name and text of the command that came."""
        text, _ = process.communicate(timeout=2 * SECONDS)
        topic, _, payload = text.partition("\n")
        return topic.rpartition("/")[2], payload.rstrip("\n")
