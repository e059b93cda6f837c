"""deploy/compose.yaml: its broker cannot be pulled here, so it is checked by its schema, and then part by part."""
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import time
import unittest

import container
import yaml
from artemis import HEAP, PATIENCE, fetch_artemis
from engine import GRACE, IMAGE, TREE, free_port
from processes import Processes, listening
from support import pki
from support.server import WAIT

DEPLOY = TREE / "deploy"


class Compose(unittest.TestCase):
    """On a copy, beside which prepare makes its files."""

    @classmethod
    def setUpClass(cls):
        cls.deploy = pathlib.Path(tempfile.mkdtemp(prefix="koseki-compose-")) / "deploy"
        cls.addClassCleanup(shutil.rmtree, cls.deploy.parent)
        cls.deploy.mkdir()
        for name in ("compose.yaml", "container", "events"):
            source = DEPLOY / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, cls.deploy / name)
        cls.files = cls.deploy / "local"
        engine = container.ENGINE
        command = [*engine.podman, "run", "--rm", "-i", "--network=none", *engine.options, IMAGE]
        run = subprocess.run([str(cls.deploy / "container/prepare"), "registry.example", "192.0.2.1"],
                             capture_output=True, text=True, env=dict(engine.environment, KOSEKI=shlex.join(command)))
        assert run.returncode == 0, run.stdout + run.stderr
        cls.services = cls.config()["services"]

    @classmethod
    def config(cls):
        run = subprocess.run(["docker-compose", "-f", str(cls.deploy / "compose.yaml"), "config"], capture_output=True,
                             text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        assert not run.stderr, run.stderr  # variables that are not set
        return yaml.safe_load(run.stdout)

    def test_the_schema_and_what_it_asks_for(self):
        config = self.config()
        self.assertEqual(set(self.services), {"koseki", "broker"})
        for name, service in self.services.items():
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            self.assertIn("healthcheck", service)
            for secret in service["secrets"]:
                self.assertTrue(pathlib.Path(config["secrets"][secret["source"]]["file"]).is_file())
        self.assertRegex(self.services["broker"]["image"], r"^docker\.io/apache/activemq-artemis:\d+\.\d+\.\d+$")
        self.assertTrue(self.services["koseki"]["read_only"])
        self.assertEqual(self.services["koseki"]["image"], IMAGE)
        self.assertIn("broker", self.services["koseki"]["depends_on"])
        self.assertEqual(set(config["volumes"]), {"koseki-data", "broker-instance"})

    def test_secrets_are_closed_to_other_users_of_the_host(self):
        self.assertEqual(self.files.stat().st_mode & 0o777, 0o700)
        text = (self.files / "koseki/permissions.json").read_text()
        for user in ("admin", "adapter"):
            self.assertNotIn((self.files / f"{user}.password").read_text().strip(), text)
        self.assertNotIn("@admin@", text)

    def test_files_that_are_there_are_kept(self):
        before = (self.files / "admin.password").read_text()
        run = subprocess.run([str(self.deploy / "container/prepare")], capture_output=True, text=True,
                             env=dict(os.environ, KOSEKI="false"))
        self.assertEqual(run.returncode, 1)
        self.assertIn("is there already", run.stderr)
        self.assertEqual((self.files / "admin.password").read_text(), before)

    def options(self):
        """What compose would give the engine for Koseki, but for the network: ports and the broker are this test's."""
        service = self.services["koseki"]
        options = [f"--volume={v.replace('koseki-data:', 'compose-data:')}" for v in service["volumes"]]
        secrets = self.config()["secrets"]
        options += [f"--volume={secrets[name]['file']}:/run/secrets/{name}:ro"
                    for name in (secret["source"] for secret in service["secrets"])]
        options += [f"--env={key}={value}" for key, value in service["environment"].items()]
        options += [f"--cap-drop={cap}" for cap in service["cap_drop"]]
        options += [f"--security-opt={option.replace(':true', '')}" for option in service["security_opt"]]
        return options + ["--read-only"] * service["read_only"]

    def broker(self, processes, folder):
        """Artemis from its distribution, started as the service's command does in the image."""
        home = fetch_artemis()
        version = self.services["broker"]["image"].rpartition(":")[2]
        self.assertTrue(home.name.endswith(version), f"{home.name} is not the version of compose.yaml, {version}")
        instance = pathlib.Path(folder) / "instance"
        shutil.copytree(self.files / "broker", instance / "etc-override")
        password = (self.files / "secrets/broker-password").read_text().strip()
        environment = self.services["broker"]["environment"]
        subprocess.run([home / "bin/artemis", "create", "--user", environment["ARTEMIS_USER"], "--password", password,
                        "--silent", "--require-login", *environment["EXTRA_ARGS"].split(), "."], cwd=instance,
                       check=True, capture_output=True, timeout=PATIENCE)
        port = free_port()
        text = (instance / "etc-override/broker.xml").read_text()
        self.assertIn("tcp://0.0.0.0:5672?", text)
        (instance / "etc/broker.xml").write_text(text.replace("tcp://0.0.0.0:5672?", f"tcp://127.0.0.1:{port}?"))
        profile = instance / "etc/artemis.profile"
        profile.write_text(re.sub(r"-Xms\w+ -Xmx\w+", " ".join(HEAP[:2]), profile.read_text()))
        processes.start("broker", [instance / "bin/artemis", "run"])
        processes.wait_for("broker", lambda: listening("127.0.0.1", port), "its port", PATIENCE)
        return port, environment["ARTEMIS_USER"]

    def test_the_pair_runs(self):
        """The prepared files, the container's options as written, the broker with its broker.xml: an event arrives."""
        engine = container.ENGINE
        with tempfile.TemporaryDirectory(prefix="koseki-broker-") as folder, Processes(folder) as processes:
            port, user = self.broker(processes, folder)
            ports = {"AMQP_TLS_LISTEN": free_port(), "HTTP_TLS_LISTEN": free_port(), "OPS_LISTEN": free_port()}
            own = [f"--env=KOSEKI_{key}=127.0.0.1:{number}" for key, number in ports.items()]
            own.append(f"--env=KOSEKI_MESSAGING_URLS=amqp://127.0.0.1:{port}")
            engine.call("run", "--detach", "--name=composed", *engine.network, *engine.options, *self.options(),
                        *own, IMAGE)
            try:
                self.use(ports, port, user)
                engine.call("stop", f"--time={GRACE}", "composed")
                self.assertEqual(engine.inspect("composed")["State"]["ExitCode"], 0)
            except BaseException:
                print(engine.call("logs", "composed", check=False).stderr)
                raise
            finally:
                engine.call("rm", "--force", "composed")

    def use(self, ports, broker_port, user):
        written = re.search(r"^curl --cacert deploy/local.*$", (TREE / "README.md").read_text(), re.M).group()
        curl = written.replace(":8443/", f":{ports['HTTP_TLS_LISTEN']}/") + " -sS --fail-with-body"
        run = self.until(lambda: self.shell(curl))
        self.assertIn('"acme"', run.stdout)
        run = self.shell(curl.replace("POST", "PUT") + " -H 'content-type: application/json' -d @-", json.dumps(
            {"trusted-ca": [{"cert": pki.der_base64("ca.pem"), "auto-provisioning-enabled": True}]}))
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        run = self.shell(f"{os.environ['KOSEKI_BINARY']} probe --connect localhost:{ports['AMQP_TLS_LISTEN']} "
                         "--tls --ca deploy/local/ca.pem --username adapter@HONO "
                         f"--password-file deploy/local/adapter.password --cert {pki.path('device-1.pem')} --json")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        device = json.loads(run.stdout)["device"]
        written = re.search(r"^deploy/events .*deploy/local.*$", (TREE / "README.md").read_text(), re.M).group()
        self.assertIn(f" --username {user} ", written)
        events = written.replace(":5672 ", f":{broker_port} ") + f" --count 1 --timeout {WAIT / 2}"
        run = self.shell(events)
        self.assertIn(f"device {device} of tenant acme was provisioned\n", run.stdout, run.stderr)

    def shell(self, command, text=None):
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=WAIT, input=text,
                              cwd=self.deploy.parent)

    def until(self, what):
        end = time.monotonic() + WAIT
        while True:
            run = what()
            if run.returncode == 0 or time.monotonic() > end:
                self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
                return run
            time.sleep(0.1)
