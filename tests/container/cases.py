"""What holds of the image and of the containers made from it."""
import http.client
import os
import pathlib
import re
import shlex
import signal
import subprocess
import tempfile
import time
import unittest

import container
from container import Container
from engine import BASE, GRACE, IMAGE, TREE, free_port
from support.adapter import Adapter, payload, status
from support.factory import Factory
from support.server import WAIT

DEPLOY = TREE / "deploy"
SIZE_MAX = 60_000_000


def containerfile():
    return (DEPLOY / "container/Containerfile").read_text()


class Image(unittest.TestCase):
    def setUp(self):
        self.engine = container.ENGINE
        self.config = self.engine.inspect(IMAGE, "image")["Config"]

    def test_it_adds_less_than_60_MB_to_the_base(self):
        added = self.engine.size(IMAGE) - self.engine.size(BASE)
        print(f"the image adds {added / 1e6:.1f} MB to the base's {self.engine.size(BASE) / 1e6:.1f} MB", flush=True)
        self.assertGreater(added, 0)
        self.assertLess(added, SIZE_MAX)

    def test_what_it_says_of_itself(self):
        self.assertEqual(self.config["User"], "10001:10001")
        self.assertEqual(list(self.config["Volumes"]), ["/var/lib/koseki"])
        self.assertEqual(self.config["StopSignal"], "SIGTERM")
        self.assertEqual(set(self.config["ExposedPorts"]),
                         {f"{port}/tcp" for port in (5671, 5672, 8443, 8080, 8088)})
        self.assertEqual(self.engine.health_check()["Test"],
                         ["CMD", "koseki", "health", "--config", "/etc/koseki/koseki.yaml"])
        version = self.engine.run("--version").stdout
        self.assertEqual(version, f"koseki {self.config['Labels']['org.opencontainers.image.version']}\n")

    def test_nothing_of_the_build_is_in_it(self):
        found = self.engine.run(options=["--entrypoint=sh"], *["-c", "command -v cc gcc cmake ninja; ls /src /image"],
                                check=False).stdout
        self.assertEqual(found, "")

    def test_it_is_built_of_the_packages_of_the_quickstart(self):
        quickstart = re.search(r"packages=\((.*?)\)", (DEPLOY / "quickstart").read_text(), re.S).group(1).split()
        build = re.search(r"--no-install-recommends \\\n(.*?)\nWORKDIR", containerfile(), re.S).group(1)
        # what the quickstart needs for its demo
        self.assertEqual(set(build.replace("\\", " ").split()),
                         set(quickstart) - {"openssl", "curl", "ca-certificates"})

    def test_no_bad_habits(self):
        run = subprocess.run([os.environ["HADOLINT"], str(DEPLOY / "container/Containerfile")],
                             capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stdout + run.stderr), (0, ""))


class Start(unittest.TestCase):
    """What a user sees who has configured too little, or all of it in the environment."""

    def test_without_configuration_it_names_what_is_missing(self):
        run = container.ENGINE.run(check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn("amqp.tls-listen", run.stderr)

    def test_the_environment_is_enough(self):
        class Environment(Container):
            options = [f"--env=KOSEKI_{port}_LISTEN=127.0.0.1:0" for port in ("AMQP", "HTTP", "OPS")]

            def mounts(self):
                return [f"--volume={self.folder}/permissions.json:/etc/koseki/permissions.json:ro"]

        with Environment() as koseki:
            koseki.create_tenant("T1")
            with Adapter(koseki) as adapter:
                self.assertEqual(status(adapter.tenant("T1")), 200)

    def test_a_volume_that_is_not_its_users(self):
        with tempfile.TemporaryDirectory() as folder:
            run = container.ENGINE.run(
                options=[f"--volume={folder}:/var/lib/koseki", "--env=KOSEKI_HTTP_LISTEN=127.0.0.1:0",
                         "--env=KOSEKI_OPS_LISTEN=127.0.0.1:0", "--env=KOSEKI_HTTP_AUTHENTICATION=false",
                         "--env=KOSEKI_ACCOUNTS=/dev/null"], check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn("/var/lib/koseki", run.stderr)
        self.assertIn("Permission denied", run.stderr)


class Running(unittest.TestCase):
    def provision(self, koseki, factory, count):
        """Devices that were acknowledged, by subject."""
        known = {}
        with Adapter(koseki) as adapter:
            for _ in range(count):
                subject, certificate = factory.make()
                answer = adapter.call("credentials/T1", "get", {"type": "x509-cert", "auth-id": subject,
                                                                "client-certificate": certificate})
                self.assertEqual(status(answer), 201)
                known[subject] = payload(answer)["device-id"]
        return known

    def check_known(self, koseki, known):
        with Adapter(koseki) as adapter:
            for subject, device in known.items():
                answer = adapter.credentials("T1", "x509-cert", subject)
                self.assertEqual((status(answer), payload(answer)["device-id"]), (200, device))
                self.assertEqual(status(adapter.assert_device("T1", device)), 200)

    def test_it_has_no_rights(self):
        with Container() as koseki:
            facts = pathlib.Path(f"/proc/{container.ENGINE.inspect(koseki.name)['State']['Pid']}/status").read_text()
            for line in (r"Uid:\s10001\s10001\s10001\s10001", r"Gid:\s10001\s10001\s10001\s10001", r"Groups:\s10001 ?",
                         r"CapEff:\s0+", r"CapPrm:\s0+", r"CapBnd:\s0+", r"NoNewPrivs:\s1", r"NSpid:.*\s1"):
                self.assertRegex(facts, rf"(?m)^{line}$")
            for path in ("/x", "/etc/koseki/x", "/tmp/x", "/run/x"):
                run = container.ENGINE.call("exec", koseki.name, "touch", path, check=False)
                self.assertNotEqual(run.returncode, 0, path)

    def test_an_upgrade_keeps_everything(self):
        """SIGTERM, exit code 0 within the grace time, and a new container with the same volume."""
        factory = Factory()
        with Container() as koseki:
            koseki.create_tenant("T1")
            known = self.provision(koseki, factory, 20)
            self.assertIn("verified", koseki.tool("stat", "--verify").stdout)  # beside the service
            with Adapter(koseki) as adapter:
                adapter.tenant("T1")
                begun = time.monotonic()
                container.ENGINE.call("stop", f"--time={GRACE}", koseki.name)
                self.assertEqual(koseki.process.wait(WAIT), 0)  # 137: the engine's SIGKILL
                print(f"stopped in {time.monotonic() - begun:.1f} s", flush=True)
            self.assertIn("event=stopped", koseki.log())
            koseki.stop()
            koseki.verify()
            koseki.start()
            self.check_known(koseki, known)

    def test_a_kill_loses_nothing(self):
        factory = Factory()
        with Container() as koseki:
            koseki.create_tenant("T1")
            known = {}
            for _ in range(2):
                known.update(self.provision(koseki, factory, 20))
                koseki.kill()
                koseki.verify()
                koseki.start()
                self.check_known(koseki, known)

    def test_healthy_and_unhealthy(self):
        check = container.ENGINE.health_check()

        class Checked(Container):
            """The check as in the image, but that it counts from the start, and is run by this test alone."""
            options = [f"--health-cmd={shlex.join(check['Test'][1:])}", "--health-start-period=0s",
                       f"--health-retries={check['Retries']}", "--health-interval=disable"]

        with Checked(store__min_free="900TiB", ops__listen=f"127.0.0.1:{free_port()}") as koseki:
            koseki.http("POST", "/v1/tenants/T1", {})  # is refused: from now on it is not ready
            koseki.wait_for(lambda: koseki.health()[0] == 1, "a failing health check")
            log = container.ENGINE.inspect(koseki.name)["State"]["Health"]["Log"]
            self.assertIn("disk-full", log[-1]["Output"])
            koseki.stop()
            koseki.settings["store.min-free"] = "1MiB"
            koseki.start()
            koseki.wait_for(lambda: koseki.health() == (0, "healthy"), "healthy")
            koseki.process.send_signal(signal.SIGSTOP)
            koseki.wait_for(lambda: koseki.health() == (1, "unhealthy"), "unhealthy")
            koseki.process.send_signal(signal.SIGCONT)
            koseki.wait_for(lambda: koseki.health() == (0, "healthy"), "healthy again")


DOCKER = """#!/bin/bash
# podman for docker: no network but the host's, and the image has been built
case $1 in
    build) exit ;;
    run) shift; exec {run} "$@" ;;
esac
exec {podman} "$@"
"""


class Readme(unittest.TestCase):
    """The commands of README.md, "As a container", with podman."""

    def commands(self):
        section = (TREE / "README.md").read_text().split("## As a container\n")[1].split("\n## ")[0]
        return [text for text in re.findall(r"^```\n(.*?)^```", section, re.M | re.S) if "compose" not in text and
                text.startswith("docker ")]

    def test_as_written(self):
        engine = container.ENGINE
        with tempfile.TemporaryDirectory(prefix="koseki-readme-") as name:
            folder = pathlib.Path(name)
            (folder / "etc").mkdir()
            (folder / "etc/koseki.yaml").write_text(
                f"http: {{listen: 127.0.0.1:{(port := free_port())}, authentication: false}}\n"
                f"ops: {{listen: 127.0.0.1:{free_port()}}}\n")
            (folder / "password").write_text("secret\n")
            (folder / "docker").write_text(DOCKER.format(
                podman=shlex.join(engine.podman),
                run=shlex.join([*engine.podman, "run", *engine.network, *engine.options])))
            (folder / "docker").chmod(0o755)
            environment = dict(engine.environment, PATH=f"{folder}:{os.environ['PATH']}")
            commands = self.commands()
            self.assertEqual(len(commands), 4, commands)
            output = ""
            for number, command in enumerate(commands):
                run = subprocess.run(["bash", "-ec", command], cwd=folder, env=environment, capture_output=True,
                                     text=True, timeout=120)
                self.assertEqual(run.returncode, 0, command + run.stdout + run.stderr)
                output += run.stdout
                if number == 0:
                    self.create_tenant(port)
            self.assertIn("verified", output)
            self.assertRegex(output, r"\$2a\$10\$")
            self.assertIn('"acme"', (folder / "registry.jsonl").read_text())
            restored = engine.run("stat", "--verify", options=["--volume=koseki-restored:/var/lib/koseki"]).stdout
            self.assertIn("tenants: 1\n", restored)
            engine.call("rm", "--force", "koseki")

    def create_tenant(self, port):
        end = time.monotonic() + WAIT
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
            try:
                connection.request("POST", "/v1/tenants/acme", headers={"content-type": "application/json"})
                self.assertEqual(connection.getresponse().status, 201)
                return
            except ConnectionRefusedError:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
            finally:
                connection.close()
