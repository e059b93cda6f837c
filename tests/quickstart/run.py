#!/usr/bin/python3
"""Runs deploy/quickstart as a person would: once, the commands it names, again, with --once, and with a broker.
And deploy/events, where things go wrong.

    tests/quickstart/run.py

Uses build/release and demo/ of this tree, and leaves nothing running. Closes with "N passed, N failed".
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
KOSEKI = ROOT / "build/release/koseki"
PID = ROOT / "demo/koseki.pid"
BROKER_PID = ROOT / "demo/broker.pid"
BROKER = f"-Dartemis.instance={ROOT}/demo/broker"
EVENT = "application/vnd.eclipse-hono-device-provisioning-notification"
WAIT = 60


def run(command):
    """By a shell, in the tree."""
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=900,
                          stdin=subprocess.DEVNULL)


def running():
    """Processes of this tree's program, whatever has become of its file, and of the demo's broker."""
    pids = [int(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit()]
    return {pid for pid in pids if is_koseki(pid) or is_broker(pid)}


def is_koseki(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)") == str(KOSEKI)
    except OSError:
        return False


def is_broker(pid):
    try:
        return BROKER.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def provisioned(text):
    """The device of the one event that is shown."""
    found = re.findall(r"^ *device (\S+) of tenant demo was provisioned$", text, re.M)
    return found[0] if len(found) == 1 else None


def wait_until(what):
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.1)
    return False


def restarts(text):
    """The commands to stop what runs, and to start each again."""
    stop = re.search(r"Stop (?:it|them) with: (kill \$\(.*?\))\.", text)
    return stop and stop[1], re.findall(r"^  (\S+ .* & echo \$! >demo/\w+\.pid)$", text, re.M)


def commands(text):
    """Those to try next: {the remark above it: the command}."""
    text = text.partition("Three commands to try next:")[2]
    found = re.findall(r"^  # (.*)\n((?:  [^#\n].*\n?)+)", text, re.M)
    return {remark: re.sub(r"\\\n *", " ", command).strip() for remark, command in found}


class Quickstart:
    def __init__(self):
        self.passed = self.failed = 0
        self.others = running()

    def check(self, name, ok, text=""):
        print(f"{'ok' if ok else 'FAILED'} quickstart: {name} {'' if ok else text}".rstrip(), flush=True)
        self.passed += bool(ok)
        self.failed += not ok
        return ok

    def usage(self):
        out = run("deploy/quickstart --help")
        self.check("--help", out.returncode == 0 and "--once" in out.stdout and "--with-broker" in out.stdout, out.stdout + out.stderr)
        out = run("deploy/quickstart --nonsense")
        self.check("unknown options are refused", out.returncode == 64 and "--nonsense" in out.stderr, out.stderr)

    def left_running(self):
        """Its process."""
        out = run("deploy/quickstart")
        text = out.stdout + out.stderr
        if not self.check("it runs", out.returncode == 0, text):
            return None
        self.check("a device is provisioned", re.search(r"credentials .*\b201\b", text), text)
        self.check("and logs in again", re.search(r"credentials .*\b200\b", text), text)
        self.check("and is shown", '"auto-provisioned":true' in text, text)
        pid = int(PID.read_text())
        self.check("the service is left running", is_koseki(pid))
        self.check("its folder is its owner's alone", (ROOT / "demo").stat().st_mode & 0o077 == 0)
        secrets = [p for p in (ROOT / "demo").iterdir() if p.is_file() and p.stat().st_mode & 0o077]
        self.check("and so are its files", not secrets, secrets)
        found = commands(out.stdout)
        self.check("three commands to try next", len(found) == 3, out.stdout)
        for remark, command in found.items():
            tried = run(command)
            self.check(remark, tried.returncode == 0, f"{command}\n{tried.stdout}{tried.stderr}")
            if "curl" in command:
                self.check("which says so", tried.stdout == "204\n", tried.stdout)
        self.started_again(text, 1)
        pid = int(PID.read_text())
        second = next((c for c in found.values() if "device-2.pem" in c), "false")
        banned = run(second.replace("device-2.pem", "device-1.pem"))
        self.check("the banned device is refused", banned.returncode == 1, banned.stdout)
        return pid

    def started_again(self, text, count):
        """By the commands that are printed: all that is written down about its ports still holds."""
        stop, starts = restarts(text)
        if not self.check("how to stop and to start again", stop and len(starts) == count, text):
            return
        before = running() - self.others
        out = run(stop)
        self.check("it stops", len(before) == count and wait_until(lambda: not running() & before), out.stderr)
        for start in starts:
            out = run(f"({start}) >demo/started 2>&1")
            self.check("a start again", out.returncode == 0, f"{start}\n{out.stderr}")
        health = "build/release/koseki health --config demo/koseki.yaml"
        self.check("it is up again, where its configuration says", wait_until(lambda: run(health).returncode == 0),
                   run(f"{health}; tail demo/koseki.log demo/broker.log").stdout)
        self.check("as many run", len(running() - self.others) == count, running())

    def nothing_runs(self):
        left = running() - self.others
        self.check("nothing is left running", not left and not PID.exists() and not BROKER_PID.exists(), left)

    def with_broker(self, before):
        """While a demo runs, whose program has been built anew meanwhile."""
        shutil.copy2(KOSEKI, f"{KOSEKI}.new")
        os.replace(f"{KOSEKI}.new", KOSEKI)
        out = run("umask 077; deploy/quickstart --with-broker")
        text = out.stdout + out.stderr
        if not self.check("--with-broker, with a demo from before", out.returncode == 0, text):
            return
        self.check("which was stopped", before is None or not is_koseki(before))
        self.check("both are left running",
                   is_koseki(int(PID.read_text())) and is_broker(int(BROKER_PID.read_text())))
        device = self.event(text)
        found = commands(out.stdout)
        self.check("three commands to try next", len(found) == 3, out.stdout)
        self.started_again(text, 2)
        for remark, command in found.items():
            if "device-2.pem" in command:
                self.handler_fails(command)
            tried = run(command)
            self.check(remark, tried.returncode == 0, f"{command}\n{tried.stdout}{tried.stderr}")
            if "device-2.pem" in command:
                self.check("its event arrives", provisioned(tried.stdout) not in (None, device), tried.stdout)
                self.login_is_refused(command.partition("&&")[2])

    def handler_fails(self, command):
        """On the event, which stays."""
        probe, take = re.split(r"\s*&&\s*", command)
        out = run(probe)
        self.check("the second device logs in", out.returncode == 0, out.stdout + out.stderr)
        begun = time.monotonic()
        out = run(f"{take} >/dev/full")
        self.check("an error of the handler ends deploy/events", out.returncode != 0 and time.monotonic() - begun < 50
                   and re.search("^OSError: .*No space left", out.stderr, re.M)
                   and not re.search("trying again.*No space left", out.stderr), out.stderr)

    def login_is_refused(self, take):
        take = take.replace("--timeout 60", "--timeout 5")
        out = run(take.replace("demo/application.password", "demo/admin.password"))
        said = out.stderr.splitlines()
        self.check("a refused login says once what to do", out.returncode == 1 and len(said) > 1
                   and "see to --username and --password-file" in said[0]
                   and not any("see to" in line for line in said[1:]), out.stderr)
        out = run(take.replace("demo/server-ca.pem", "demo/device-ca.pem"))
        self.check("so does the certificate of another CA", out.returncode == 1 and "see to --ca" in out.stderr,
                   out.stderr)

    def events(self):
        """deploy/events without a broker."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            port = silent.getsockname()[1]
            for scheme in ("amqp", "amqps"):
                begun = time.monotonic()
                out = run(f"deploy/events --broker {scheme}://127.0.0.1:{port} --tenant demo --timeout 3")
                took = time.monotonic() - begun
                self.check(f"--timeout holds where nobody answers over {scheme}", out.returncode == 1 and 2 < took < 6,
                           f"{took:.1f} s {out.stderr}")
        for option, more in (("--ca", ""), ("--password-file", "--username application")):
            out = run(f"deploy/events --broker amqps://localhost:1 --tenant demo {more} {option} no/such/file")
            last = out.stderr.splitlines()[-1]
            self.check(f"a missing file of {option} is named", out.returncode == 2
                       and last.startswith(f"events: error: {option} no/such/file: "), out.stderr)

    def without_random(self):
        """Where openssl makes no more passwords, nothing is started with empty ones."""
        for passwords, options in ((1, "--once"), (3, "--once --with-broker")):
            with tempfile.TemporaryDirectory(prefix="koseki-quickstart-") as folder:
                fake = pathlib.Path(folder) / "openssl"
                fake.write_text(f"""#!/bin/sh
if [ "$*" = "rand -hex 12" ]; then
    echo >>{folder}/asked
    [ "$(wc -l <{folder}/asked)" -lt {passwords} ] || exit 1
fi
exec {shutil.which("openssl")} "$@"
""")
                fake.chmod(0o755)
                out = run(f"PATH={folder}:$PATH deploy/quickstart {options}")
                self.check(f"it ends where password {passwords} fails", out.returncode == 1
                           and out.stdout.rstrip().endswith("failed:"), out.stdout + out.stderr)
                self.nothing_runs()


    def event(self, text):
        """As it arrives at the application; its device."""
        device = provisioned(text)
        self.check("an event arrives", device and f"device {device} (provisioned just now)" in text, text)
        shown = [r"message-id +\S+-\d+", f"content-type +{EVENT}", r"creation-time +20\d\d-",
                 'hono_registration_status = "NEW"', 'properties.* tenant_id = "demo".* qos = 1',
                 f'annotations.* resource = "event/demo/{device}"']
        missing = [pattern for pattern in shown if not re.search(pattern, text, re.S)]
        self.check("with its properties and annotations", not missing, f"{missing} {text}")
        self.check("the device is marked as told", '"auto-provisioning-notification-sent":true' in text, text)
        return device

    def once(self):
        """Over a demo with a broker; then with one again."""
        out = run("deploy/quickstart --once")
        self.check("--once, with a demo from before", out.returncode == 0, out.stdout + out.stderr)
        self.check("a device is provisioned again", re.search(r"credentials .*\b201\b", out.stdout), out.stdout)
        self.check("without an event", provisioned(out.stdout) is None, out.stdout)
        self.nothing_runs()
        fetched = self.fetched()
        out = run("deploy/quickstart --once --with-broker")
        self.check("--once --with-broker", out.returncode == 0, out.stdout + out.stderr)
        self.event(out.stdout)
        self.check("nothing is fetched again", fetched == self.fetched())
        self.nothing_runs()

    def fetched(self):
        return {p: p.stat().st_ctime_ns for p in (ROOT / "build/artemis").glob("*")}

    def interrupted(self):
        """By ctrl-C, which all processes of the terminal get, while both run."""
        process = subprocess.Popen(["deploy/quickstart", "--with-broker"], stdout=subprocess.PIPE, text=True, cwd=ROOT,
                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
        started = False
        for line in process.stdout:
            if line.startswith("Creating the tenant"):
                started = len(running() - self.others) == 2
                os.killpg(process.pid, signal.SIGINT)
        self.check("it is interrupted", process.wait() != 0 and started, running())
        self.nothing_runs()


def main():
    quickstart = Quickstart()
    quickstart.usage()
    quickstart.events()
    quickstart.with_broker(quickstart.left_running())
    quickstart.once()
    quickstart.without_random()
    quickstart.interrupted()
    for left in running() - quickstart.others:
        os.kill(left, signal.SIGTERM)
    print(f"{quickstart.passed} passed, {quickstart.failed} failed")
    return 1 if quickstart.failed else 0


if __name__ == "__main__":
    sys.exit(main())
