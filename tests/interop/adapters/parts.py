"""What the adapters need around them: the downloads, the broker, the adapters' configuration."""
import http.client
import json
import pathlib
import re
import subprocess

from processes import Failed, listening
from support.ports import keep_port

HERE = pathlib.Path(__file__).resolve().parent
# 127.0.0.1 counts as "not configured" for the adapters' health port.
HEALTH_HOST = "127.0.0.2"
BROKER_USER = "adapter"
BROKER_PASSWORD = "broker-secret"
PATIENCE = 120
# Of the adapters' connections, to the registry and to the broker; Hono's own are a second and less.
LIMITS = {"connectTimeout": 20000, "linkEstablishmentTimeout": 20000, "flowLatency": 10000}
HEAP = ["-Xms32m", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]


def fetch(out, repository):
    """Hono's adapters and Artemis below out, by Maven; again only when the pom has changed."""
    pom = HERE / "pom.xml"
    done = out / "fetched-by.xml"
    if done.exists() and done.read_bytes() == pom.read_bytes():
        return
    out.mkdir(parents=True, exist_ok=True)
    arguments = ["mvn", "-q", "-B", "-ntp", "-f", str(pom), f"-Dmaven.repo.local={repository}",
                 f"-Dout={out}", "generate-resources"]
    for attempt in (1, 2):  # a download may break off; Maven goes on where it was
        run = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
        if run.returncode == 0:
            break
    if run.returncode != 0:
        raise Failed(f"{' '.join(arguments)}\n{(run.stdout + run.stderr)[-3000:]}")
    done.write_bytes(pom.read_bytes())


class Broker:
    """ActiveMQ Artemis as the messaging network: addresses with slashes, one user, no guests."""

    def __init__(self, processes, out, folder):
        self.processes = processes
        self.port = keep_port()
        home = next(iter(out.glob("apache-artemis-*")))
        instance = folder / "broker"
        run = subprocess.run(
            [home / "bin/artemis", "create", "--user", BROKER_USER, "--password", BROKER_PASSWORD,
             "--require-login", "--host", "127.0.0.1", "--no-web", "--no-autotune", "--nio",
             "--silent", instance], capture_output=True, text=True, timeout=PATIENCE)
        if run.returncode != 0:
            raise Failed(f"artemis create: {run.stdout}{run.stderr}")
        self.configure(instance)
        processes.start("broker", [instance / "bin/artemis", "run"])

    def configure(self, instance):
        profile = instance / "etc/artemis.profile"
        text, count = re.subn(
            r"(?m)^    JAVA_ARGS=.*$",
            f'    JAVA_ARGS="{" ".join(HEAP)} --add-opens java.base/jdk.internal.misc=ALL-UNNAMED"',
            profile.read_text())
        if count == 0:
            raise Failed("artemis.profile has no line JAVA_ARGS to replace")
        profile.write_text(text)
        broker = instance / "etc/broker.xml"
        text = broker.read_text()
        # Each message to one receiver, whoever attaches first: else every adapter gets every command.
        for pattern, new in (
                (r"(?s)<acceptors>.*</acceptors>",
                 f'<acceptors><acceptor name="amqp">tcp://127.0.0.1:{self.port}?protocols=AMQP'
                 "</acceptor></acceptors><wildcard-addresses><routing-enabled>true"
                 "</routing-enabled><delimiter>/</delimiter></wildcard-addresses>"),
                (r'<address-setting match="#">',
                 '<address-setting match="#">'
                 "<default-queue-routing-type>ANYCAST</default-queue-routing-type>"
                 "<default-address-routing-type>ANYCAST</default-address-routing-type>")):
            text, count = re.subn(pattern, new, text)
            if count != 1:
                raise Failed(f"broker.xml has no single {pattern} to replace")
        broker.write_text(text)

    def wait_ready(self):
        self.processes.wait_for("broker", lambda: listening("127.0.0.1", self.port), "its port",
                                PATIENCE)


class ProtocolAdapter:
    """Hono's adapter for one protocol: its configuration file and its process."""

    def __init__(self, processes, out, folder, kind, registry, broker_port, tls):
        self.processes, self.kind = processes, kind
        self.port = keep_port()
        self.health_port = keep_port(HEALTH_HOST)
        config = folder / kind
        config.mkdir()
        network = dict(LIMITS, host="127.0.0.1", port=broker_port, username=BROKER_USER,
                       password=BROKER_PASSWORD, sendMessageTimeout=20000)
        endpoint = {"bindAddress": "127.0.0.1", "port": self.port, "keyPath": tls["key"],
                    "certPath": tls["cert"], "insecurePortEnabled": False}
        if kind == "http":
            endpoint["realm"] = "Hono"
        # YAML reads JSON
        (config / "application.yml").write_text(json.dumps({
            "hono": {
                "app": {"maxInstances": 1, "startupTimeout": PATIENCE},
                "healthCheck": {"insecurePortBindAddress": HEALTH_HOST,
                                "insecurePort": self.health_port},
                kind: endpoint,
                "tenant": registry, "registration": registry, "credentials": registry,
                "deviceConnection": registry,
                "messaging": network, "command": network,
            },
            "spring": {"jmx": {"enabled": False}}, "management": {"port": -1},
            "server": {"port": -1},
        }))
        opens = [part for package in ("java.lang", "java.util")
                 for part in ("--add-opens", f"java.base/{package}=ALL-UNNAMED")]
        processes.start(f"adapter-{kind}", [
            "java", *HEAP, *opens, "-Dio.netty.tryReflectionSetAccessible=true", "-cp", out / "lib/*",
            f"org.eclipse.hono.adapter.{kind}.impl.Application", "--spring.profiles.active=prod",
            f"--spring.config.location=file:{config}/"])

    def ready(self):
        connection = http.client.HTTPConnection(HEALTH_HOST, self.health_port, timeout=5)
        try:
            connection.request("GET", "/readiness")
            return 200 <= connection.getresponse().status < 300
        except OSError:
            return False
        finally:
            connection.close()

    def wait_ready(self):
        self.processes.wait_for(f"adapter-{self.kind}", self.ready, "readiness", PATIENCE)
