"""What the cases share: a real broker with a port for each way to reach it, and consumers at it."""
import certificates
from artemis import PASSWORD, USER, Artemis
from consumer import Consumer, HonoConsumers
from support import pki
from support.factory import Factory
from support.messaging import DEVICES, TENANTS, Messaging

WRONG_PASSWORD = "wrong-secret"
# certificates that the broker shows: file -> how it is made
SHOWN = {
    "good": {"host": "localhost", "address": "127.0.0.1"},
    "of-another-ca": {"host": "localhost", "address": "127.0.0.1", "ca": "ca-foreign"},
    "expired": {"host": "localhost", "address": "127.0.0.1", "begins": -48, "ends": -24},
    "not-yet-valid": {"host": "localhost", "address": "127.0.0.1", "begins": 24, "ends": 48},
    "of-another-host": {"host": "elsewhere.example", "address": "127.0.0.9"},
    "of-the-name-only": {"host": "localhost"},
}


class Stage:
    """The broker, one for all cases: each has tenants, and so addresses of events, of its own."""

    def __init__(self, processes, home, folder, class_path):
        self.processes, self.folder, self.class_path = processes, folder, class_path
        (folder / "broker-password").write_text(PASSWORD + "\n")
        (folder / "wrong-password").write_text(WRONG_PASSWORD + "\n")
        acceptors = {"plain": ""}
        for name, options in SHOWN.items():
            certificates.make(folder / f"{name}.pem", "broker", **options)
            acceptors[name] = f";sslEnabled=true;keyStoreType=PEM;keyStorePath={folder}/{name}.pem"
        certificates.make(folder / "koseki.pem", USER)
        certificates.make(folder / "stranger.pem", "stranger")
        acceptors["external"] = (
            f"{acceptors['good']};needClientAuth=true;trustStoreType=PEMCA;trustStorePath={pki.path('ca.pem')};"
            "saslMechanisms=EXTERNAL;securityDomain=certificates")
        self.broker = Artemis(processes, home, folder, acceptors, subject=f"CN={USER}")
        self.broker.wait_ready()

    def path(self, name):
        return str(self.folder / name)


class Case(Messaging):
    """Each has a registry and a tenant of its own."""

    stage = None  # set by the run
    count = 0

    def setUp(self):
        self.factory = Factory()
        self.broker = self.stage.broker
        Case.count += 1
        self.tenant = f"tenant-{Case.count}"

    def open(self, url="plain", host="127.0.0.1", **settings):
        scheme = "amqp" if url == "plain" else "amqps"
        defaults = {"messaging__urls": f"{scheme}://{host}:{self.broker.port(url)}", "messaging__username": USER,
                    "messaging__password_file": self.stage.path("broker-password")}
        if scheme == "amqps":
            defaults["messaging__ca"] = pki.path("ca.pem")
        return super().open(**{**defaults, **settings})

    def consumer(self, *tenants, look=None):
        consumer = Consumer(self.broker.port("plain"), [TENANTS, DEVICES, *(f"event/{t}" for t in tenants)], look)
        self.addCleanup(consumer.stop)
        return consumer

    def hono(self, tenant):
        consumers = HonoConsumers(self.stage.processes, self.broker.port("plain"), tenant, self.stage.class_path)
        self.addCleanup(consumers.stop)
        return consumers
