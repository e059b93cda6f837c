#!/usr/bin/python3
"""Runs deploy/quickstart as a person would: once, the commands it names, again, and with --once.

    tests/quickstart/run.py

Uses build/release and demo/ of this tree, and leaves nothing running. Closes with "N passed, N failed".
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
KOSEKI = ROOT / "build/release/koseki"
PID = ROOT / "demo/koseki.pid"
WAIT = 60


def run(command):
    """By a shell, in the tree."""
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=900,
                          stdin=subprocess.DEVNULL)


def running():
    """Processes of this tree's program, whatever has become of its file."""
    return {int(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit() and is_koseki(p.name)}


def is_koseki(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)") == str(KOSEKI)
    except OSError:
        return False


def ended(pid):
    until = time.monotonic() + WAIT
    while is_koseki(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not is_koseki(pid)


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
        self.check("--help", out.returncode == 0 and "--once" in out.stdout, out.stdout + out.stderr)
        out = run("deploy/quickstart --nonsense")
        self.check("unknown options are refused", out.returncode == 64 and "--nonsense" in out.stderr, out.stderr)

    def once_and_left_running(self):
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
        second = next((c for c in found.values() if "device-2.pem" in c), "false")
        banned = run(second.replace("device-2.pem", "device-1.pem"))
        self.check("the banned device is refused", banned.returncode == 1, banned.stdout)
        return pid

    def again(self, pid):
        """While it runs, and its program has been built anew meanwhile."""
        shutil.copy2(KOSEKI, f"{KOSEKI}.new")
        os.replace(f"{KOSEKI}.new", KOSEKI)
        out = run("deploy/quickstart --once")
        self.check("--once, with a demo from before", out.returncode == 0, out.stdout + out.stderr)
        self.check("a device is provisioned again", re.search(r"credentials .*\b201\b", out.stdout), out.stdout)
        self.check("the demo from before was stopped", ended(pid))
        left = running() - self.others
        self.check("nothing is left running", not left and not PID.exists(), left)


def main():
    quickstart = Quickstart()
    quickstart.usage()
    pid = quickstart.once_and_left_running()
    if pid is not None:
        quickstart.again(pid)
    elif PID.exists() and is_koseki(PID.read_text().strip()):
        os.kill(int(PID.read_text()), 15)
    print(f"{quickstart.passed} passed, {quickstart.failed} failed")
    return 1 if quickstart.failed else 0


if __name__ == "__main__":
    sys.exit(main())
