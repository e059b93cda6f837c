"""ActiveMQ Artemis as the message network, configured as deploy/container/example/broker.xml shows it: on loopback,
with persistence, one user and no guests."""
import pathlib
import re
import signal
import subprocess

from maven import OUT, fetch
from processes import Failed, listening
from support.ports import keep_port

HERE = pathlib.Path(__file__).resolve().parent
DEPLOY = HERE.parents[1] / "deploy"
COMPOSE = DEPLOY / "compose.yaml"  # names the version
EXAMPLE = DEPLOY / "container/example/broker.xml"
USER = "koseki"
PASSWORD = "broker-secret"
PATIENCE = 120
HEAP = ["-Xms32m", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
# Who comes with a certificate is whom its subject says, by the file certificates.properties.
LOGIN = """
certificates {
    org.apache.activemq.artemis.spi.core.security.jaas.TextFileCertificateLoginModule required
        org.apache.activemq.jaas.textfiledn.user="certificates.properties"
        org.apache.activemq.jaas.textfiledn.role="artemis-roles.properties";
};
"""


def fetch_artemis():
    """Its home folder."""
    versions = re.findall(r"(?m)activemq-artemis:([0-9.]+)$", COMPOSE.read_text())
    if len(versions) != 1:
        raise Failed(f"{COMPOSE} names no single version of Artemis: {versions}")
    out = OUT / "artemis"
    fetch(HERE / "artemis.xml", out, f"-Dartemis.version={versions[0]}")
    return out / f"apache-artemis-{versions[0]}"


def replace(path, pattern, new):
    text, count = re.subn(pattern, lambda _: new, path.read_text())
    if count != 1:
        raise Failed(f"{path.name} has no single {pattern} to replace")
    path.write_text(text)


class Artemis:
    """acceptors: name -> further parameters of it, as ";sslEnabled=true"; each has a port that stays its own.
    subject: of the one certificate that may come in as USER, as Java writes it."""

    def __init__(self, processes, home, folder, acceptors, subject=None):
        self.processes = processes
        self.ports = {name: keep_port() for name in acceptors}
        self.instance = folder / "broker"
        self.process = None
        run = subprocess.run(
            [home / "bin/artemis", "create", "--user", USER, "--password", PASSWORD, "--require-login", "--host",
             "127.0.0.1", "--no-web", "--no-autotune", "--nio", "--silent", self.instance],
            capture_output=True, text=True, timeout=PATIENCE)
        if run.returncode != 0:
            raise Failed(f"artemis create: {run.stdout}{run.stderr}")
        self.configure(acceptors, subject)
        self.start()

    def configure(self, acceptors, subject):
        etc = self.instance / "etc"
        replace(etc / "artemis.profile", r"(?m)^    JAVA_ARGS=.*$",
                f'    JAVA_ARGS="{" ".join(HEAP)} --add-opens java.base/jdk.internal.misc=ALL-UNNAMED"')
        (etc / "broker.xml").write_text(EXAMPLE.read_text())
        replace(etc / "broker.xml", r"(?s)<acceptors>.*</acceptors>", "<acceptors>" + "".join(
            f'<acceptor name="{name}">tcp://127.0.0.1:{self.ports[name]}?protocols=AMQP{parameters}</acceptor>'
            for name, parameters in acceptors.items()) + "</acceptors>")
        if subject is not None:
            (etc / "certificates.properties").write_text(f"{USER}={subject}\n")
            with open(etc / "login.config", "a") as config:
                config.write(LOGIN)

    def port(self, name):
        return self.ports[name]

    def start(self):
        self.process = self.processes.start("broker", [self.instance / "bin/artemis", "run"])

    def wait_ready(self):
        for port in self.ports.values():
            self.processes.wait_for("broker", lambda: listening("127.0.0.1", port), "its port", PATIENCE)

    def kill(self):
        """By SIGKILL: what the kernel has of its files stays. `artemis run` has become its JVM."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
