#!/usr/bin/python3
"""Runs what the README tells its reader to run, taken from the README itself.

    tests/readme/run.py --binary build/release/koseki

The examples' placeholders (registry.example, file names) are filled in; a block that this file does not know makes
it fail, so that no example goes untried. Closes with "N passed, N failed".
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "system"))


def blocks():
    """(language, text) of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)


class Readme:
    def __init__(self, binary, folder, pki):
        self.binary, self.folder, self.pki = binary, folder, pki
        self.passed = self.failed = 0

    def check(self, name, ok, text=""):
        print(f"{'ok' if ok else 'FAILED'} readme: {name} {'' if ok else text}".rstrip())
        self.passed += bool(ok)
        self.failed += not ok

    def run(self, command, **options):
        return subprocess.run(command, capture_output=True, text=True, cwd=self.folder, timeout=120,
                              **options)

    def prepare(self):
        """The files that the examples name."""
        for source, target in (("server.pem", "server-cert.pem"), ("server.key", "server-key.pem"),
                               ("ca.pem", "adapters-ca.pem"), ("ca.pem", "ca.pem"),
                               ("ca.pem", "device-ca.pem"), ("device-1.pem", "device.pem")):
            shutil.copy(self.pki / source, self.folder / target)
        (self.folder / "pw").write_text("probe-secret\n")
        (self.folder / "build" / "release").mkdir(parents=True)
        (self.folder / "build" / "release" / "koseki").symlink_to(self.binary)

    def hash(self, password):
        return self.run([self.binary, "hash-password"], input=password + "\n").stdout.strip()

    def permissions(self, text):
        accounts = json.loads(text)
        for name, user in accounts["users"].items():
            user["password-hash"] = self.hash(f"{name}-secret")
        accounts["users"]["probe@HONO"] = {"mechanism": "PLAIN", "password": "probe-secret",
                                           "authorities": ["adapter"]}
        (self.folder / "permissions.json").write_text(json.dumps(accounts))
        self.check("permissions.json", set(accounts) == {"roles", "users"})

    def yaml(self, text):
        """The configuration as printed passes check-config, but for paths and ports of this machine."""
        text = text.replace("/var/lib/koseki", "data").replace("0.0.0.0:5671", "127.0.0.1:0")
        text = text.replace("0.0.0.0:8443", "127.0.0.1:0").replace("127.0.0.1:8088", "127.0.0.1:0")
        (self.folder / "koseki.yaml").write_text(text)

    def serve(self, check, serve):
        run = self.run(shlex.split(check))
        self.check("check-config", run.returncode == 0, run.stdout + run.stderr)
        log = open(self.folder / "log", "w")
        # should this be killed, the kernel ends it too
        command = ["setpriv", "--pdeathsig", "KILL", "--", *shlex.split(serve)]
        self.process = subprocess.Popen(command, stderr=log, stdout=log, cwd=self.folder)
        for _ in range(1200):  # a minute
            ready = re.search(r"^event=ready (.*)$", (self.folder / "log").read_text(), re.M)
            if ready or self.process.poll() is not None:
                break
            self.process_wait()
        self.check("serve", ready is not None, (self.folder / "log").read_text())
        if ready is None:
            raise SystemExit("0 passed, 1 failed")
        self.ports = dict(pair.split("=") for pair in ready.group(1).split())

    def process_wait(self):
        try:
            self.process.wait(0.05)
        except subprocess.TimeoutExpired:
            pass

    def ready_line(self, text):
        printed = re.findall(r"([a-z.-]+)=\d", text)
        self.check("the ready line names the same ports", printed == list(self.ports), self.ports)

    def curl(self, name, text, *expected):
        """A block of commands, each of which must succeed; together they print what is expected."""
        commands = text.replace("registry.example:8443", "localhost:" + self.ports["http.tls-listen"].split(":")[1])
        script = 'set -eu\ncurl() { command curl -sS --fail-with-body --cacert ca.pem "$@"; }\n' + commands
        run = self.run(["bash", "-c", script], env={**os.environ, "PASSWORD": "admin-secret"})
        missing = [part for part in expected if part not in run.stdout]
        self.check(name, run.returncode == 0 and not missing, f"{missing} {run.stdout} {run.stderr}")
        return run.stdout

    def manage(self, text):
        shown = self.curl("curl manages tenants, devices, credentials", text, '{"id":"plant"}', '{"id":"sensor-1"}',
                          '"via":["gateway-1"]', '"type":"hashed-password"', '"type":"psk"', '"total":1')
        self.check("no secret is shown", not any(secret in shown for secret in ("horse", "$2a$", "a2V5")), shown)

    def probe(self, text):
        port = self.ports["amqp.tls-listen"].split(":")[1]
        command = text.replace("registry.example:5671", "localhost:" + port)
        command = command.replace("koseki", "build/release/koseki", 1)
        run = self.run(shlex.split(command))
        self.check("probe logs a device in", run.returncode == 0, run.stdout + run.stderr)

    def unit(self, text):
        """The unit, and what it needs, are installed to where it looks for them."""
        unit = (ROOT / "deploy/koseki.service").read_text()
        settings = dict(re.findall(r"^(\w+)=(.*)$", unit, re.M))
        program = settings["ExecStart"].split()
        self.check("systemd: program", f"install -m 755 build/release/koseki {program[0]}\n" in text, text)
        self.check("systemd: configuration", program[-1].startswith("/etc/koseki/") and " /etc/koseki\n" in text, text)
        self.check("systemd: user", f"--no-create-home --home /var/lib/{settings['StateDirectory']} {settings['User']}\n" in text)
        self.check("systemd: unit", "install -m 644 deploy/koseki.service /etc/systemd/system/koseki.service\n" in text)

    def inline(self):
        """Commands and settings in running text."""
        text = (ROOT / "README.md").read_text()
        run = self.run([self.binary, "--help"])
        for key in set(re.findall(r"`([a-z]+(?:\.[a-z-]+)+)(?:: [^`]*)?`", text)):
            if not re.search(r"\.(json|yaml|pem|md|key)$", key):
                self.check(f"setting {key} exists", f"  {key} " in run.stdout)
        for path in set(re.findall(r"\]\((?!http)([^)#]+)\)", text)):
            self.check(f"link {path}", (ROOT / path).exists())
        run = self.run([self.binary, "stat", "--verify", "--config", "koseki.yaml"])
        self.check("stat --verify", run.returncode == 0, run.stdout + run.stderr)
        self.copies(re.findall(r"^\| `koseki ((?:backup|export|import) [^`]*)`", text, re.M))

    def copies(self, commands):
        """Backup, export and import as the table of commands names them; each gives the same export again."""
        self.check("backup, export, import are there", [c.split()[0] for c in commands] == ["backup", "export", "import"])
        exports = []
        for command in commands:
            at = "restored" if command.startswith("import") else "data"
            line = f"{self.binary} " + command.replace("FILE", "lines").replace("DEST", "saved")
            run = self.run(["bash", "-c", f"{line} --config koseki.yaml --set data-dir={at}"])
            self.check(command, run.returncode == 0, run.stdout + run.stderr)
        for at in ("data", "saved", "restored"):
            exports.append(self.run([self.binary, "export", "--set", f"data-dir={at}"]).stdout)
        self.check("all copies are equal", exports[0] and len(set(exports)) == 1, "\n".join(exports))

    def quickstart(self, text):
        commands = text.split()
        self.check("the two commands are there",
                   all(os.access(ROOT / command, os.X_OK) for command in commands), text)

    def all(self):
        self.prepare()
        found = blocks()
        known = [b for b in found if b[0] == "json"]
        for _, text in known:
            self.permissions(text)
        for _, text in (b for b in found if b[0] == "yaml"):
            self.yaml(text)
        for language, text in found:
            if language in ("json", "yaml"):
                continue
            if text.startswith("deploy/quickstart"):
                self.quickstart(text)
            elif text.startswith("build/release/koseki check-config"):
                self.serve(*text.strip().split("\n"))
            elif text.startswith("event=ready"):
                self.ready_line(text)
            elif text.startswith("docker ") or "deploy/local" in text:
                continue  # tests/container runs these
            elif text.startswith("curl ") and "openapi.json" in text:
                self.curl("curl reads the description", text, '"openapi":"3.0.3"')
            elif text.startswith("curl ") and " -G " in text:
                self.curl("curl finds the device that came by certificate", text, '"total":1')
            elif text.startswith("curl "):
                self.curl("curl creates a tenant", text, '"id":"acme"')
            elif text.startswith("api="):
                self.manage(text)
            elif text.startswith("koseki probe"):
                self.probe(text)
            elif text.startswith("install "):
                self.unit(text)
            else:
                self.check("known block", False, text)
        self.inline()
        self.process.terminate()
        self.check("SIGTERM exits 0", self.process.wait(60) == 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    options = parser.parse_args()
    from support import pki

    folder = pathlib.Path(tempfile.mkdtemp(prefix="koseki-readme-"))
    readme = None
    try:
        with pki.made() as made:
            readme = Readme(str(pathlib.Path(options.binary).resolve()), folder, made)
            readme.all()
    finally:
        if readme is not None and getattr(readme, "process", None) is not None:
            if readme.process.poll() is None:
                readme.process.kill()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{readme.passed} passed, {readme.failed} failed")
    return 1 if readme.failed or not readme.passed else 0


if __name__ == "__main__":
    sys.exit(main())
