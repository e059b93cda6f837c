"""Hono's protocol adapters: their configuration and their processes."""
import http.client
import json

from artemis import HEAP, PASSWORD, PATIENCE, USER
from support.ports import keep_port

# 127.0.0.1 counts as "not configured" for the adapters' health port.
HEALTH_HOST = "127.0.0.2"
# Of the adapters' connections, to the registry and to the broker; Hono's own are a second and less.
LIMITS = {"connectTimeout": 20000, "linkEstablishmentTimeout": 20000, "flowLatency": 10000}


class ProtocolAdapter:
    """Hono's adapter for one protocol: its configuration file and its process."""

    def __init__(self, processes, out, folder, kind, registry, broker_port, tls):
        self.processes, self.kind = processes, kind
        self.port = keep_port()
        self.health_port = keep_port(HEALTH_HOST)
        config = folder / kind
        config.mkdir()
        network = dict(LIMITS, host="127.0.0.1", port=broker_port, username=USER,
                       password=PASSWORD, sendMessageTimeout=20000)
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
