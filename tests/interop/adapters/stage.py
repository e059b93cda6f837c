"""The cast: Koseki, the broker and both adapters, started together and ready to be called."""
import json
import subprocess

from artemis import PASSWORD, PATIENCE, USER, Artemis
from parts import LIMITS, ProtocolAdapter
from processes import wait_until
from proton import Message
from proton.utils import BlockingConnection
from support import pki
from support.ports import keep_port
from support.server import PERMISSIONS, WAIT, Koseki

REQUEST = dict(LIMITS, requestTimeout=20000, responseCacheMinSize=0, responseCacheMaxSize=0)


def permissions():
    """The accounts of the system tests, and roles as Hono gives them to its adapters."""
    accounts = json.loads(json.dumps(PERMISSIONS))
    accounts["roles"]["adapter"] += [
        {"resource": "device_con/*", "activities": ["READ", "WRITE"]},
        {"operation": "device_con/*:*", "activities": ["EXECUTE"]}]
    return accounts


def server_certificate(folder):
    """A certificate of the test CA for the adapters' own ports."""
    key, request, extensions, cert = (folder / f"adapter.{end}" for end in ("key", "csr", "ext", "pem"))
    extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for command in (
            f"openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out {key}",
            f"openssl req -new -key {key} -subj /CN=localhost -out {request}",
            f"openssl x509 -req -in {request} -CA {pki.path('ca.pem')} -CAkey {pki.path('ca.key')}"
            f" -set_serial 77 -extfile {extensions} -out {cert} -days 30"):
        subprocess.run(command.split(), check=True, capture_output=True)
    return {"key": str(key), "cert": str(cert)}


class Consumer:
    """A tenant's back-end application: reads what the adapters forward, sends commands."""

    def __init__(self, port, tenant):
        self.tenant = tenant
        self.connection = BlockingConnection(
            f"amqp://127.0.0.1:{port}", timeout=WAIT, user=USER, password=PASSWORD,
            allowed_mechs="PLAIN")
        self.receivers = {kind: self.connection.create_receiver(f"{kind}/{tenant}", name=kind, credit=50)
                          for kind in ("telemetry", "event")}
        self.commands = self.connection.create_sender(f"command/{tenant}", name="command")

    def next(self, kind):
        """Device id and text of the next message."""
        message = self.next_message(kind)
        return message.properties.get("device_id"), bytes(message.body or b"").decode()

    def next_message(self, kind):
        message = self.receivers[kind].receive(timeout=WAIT)
        self.receivers[kind].accept()
        return message

    def wait_for_listener(self, kind):
        """Until an adapter tells that a device listens for commands; the device's id."""
        while True:
            message = self.next_message(kind)
            if message.properties.get("ttd", 0) != 0:
                return message.properties["device_id"]

    def command(self, device_id, name, text):
        """A one-way command."""
        self.commands.send(Message(
            address=f"command/{self.tenant}/{device_id}", subject=name, id=f"command-{name}",
            content_type="text/plain", body=text.encode(), inferred=True), timeout=WAIT)

    def close(self):
        self.connection.close()


class Stage:
    """Entering starts all of it and waits; leaving ends Koseki and checks its store."""

    def __init__(self, processes, out, home, folder):
        """out: of the adapters; home: of Artemis; folder: for all that is made."""
        self.processes, self.out, self.home, self.folder = processes, out, home, folder
        self.koseki = self.broker = self.http = self.mqtt = None

    def __enter__(self):
        data = self.folder / "koseki"
        data.mkdir()
        # ports that stay its own while it is restarted
        ports = {key: f"127.0.0.1:{keep_port()}" for key in (
            "amqp.listen", "amqp.tls-listen", "http.listen", "http.tls-listen", "ops.listen")}
        self.koseki = Koseki(tls=True, folder=data, permissions=permissions(), wait_ready=False, **ports)
        try:
            self.koseki.wait_ready()
            self.start()
        except BaseException:
            self.koseki.kill()
            raise
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.koseki.stop()
            self.koseki.verify()
        elif self.koseki.process is not None:
            self.koseki.kill()

    def start(self):
        tls = server_certificate(self.folder)
        # One adapter logs in with a password, the other with a certificate.
        plain = dict(REQUEST, name="http", host="127.0.0.1", port=self.koseki.port("amqp.listen"),
                     username="adapter@HONO", password="secret")
        external = dict(REQUEST, name="mqtt", host="localhost",
                        port=self.koseki.port("amqp.tls-listen"), trustStorePath=pki.path("ca.pem"),
                        certPath=pki.path("client.pem"), keyPath=pki.path("client.key"))
        self.broker = Artemis(self.processes, self.home, self.folder, {"amqp": ""})
        self.http, self.mqtt = (
            ProtocolAdapter(self.processes, self.out, self.folder, kind, registry, self.broker.port("amqp"), tls)
            for kind, registry in (("http", plain), ("mqtt", external)))
        self.broker.wait_ready()
        self.adapters_ready()

    def adapters_ready(self):
        self.http.wait_ready()
        self.mqtt.wait_ready()

    def consumer(self, tenant):
        return Consumer(self.broker.port("amqp"), tenant)

    def restart_koseki(self):
        """Ends it and starts it on the same ports."""
        self.koseki.stop()
        wait_until(lambda: not self.http.ready() and not self.mqtt.ready(),
                   "the adapters to notice that the registry is gone", PATIENCE)
        self.koseki.start()
        self.adapters_ready()
