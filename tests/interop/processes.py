"""Processes of an interop run: started with a log of their own, waited for with a limit, ended by their id."""
import os
import pathlib
import signal
import socket
import subprocess
import time


class Failed(Exception):
    """The run cannot go on; the text says why."""


def wait_until(what, text, seconds):
    """Polls what() until it is true; its value."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {seconds} s for {text}")
        time.sleep(0.05)


def listening(host, port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


class Processes:
    """Everything that was started, so that leaving the block ends it, whatever happened inside."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.started = []  # (name, Popen)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _, process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for _, process in self.started:
            self.end(process)

    @staticmethod
    def end(process):
        """By SIGTERM, and after 10 s by force."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self, name):
        self.end(dict(self.started)[name])

    def log_path(self, name):
        return self.folder / f"{name}.log"

    def start(self, name, arguments, environment=None):
        """Starts it. Should this process be killed, the kernel ends the started one too."""
        with open(self.log_path(name), "ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *map(str, arguments)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(os.environ, **(environment or {})), start_new_session=True)
        self.started.append((name, process))
        return process

    def wait_for(self, name, what, text, seconds):
        """Polls what() until it is true, or the process of that name ends."""
        process = dict(self.started)[name]

        def check():
            if process.poll() is not None:
                raise Failed(f"{name} ended with {process.returncode}")
            return what()

        return wait_until(check, f"{name}: {text}", seconds)

    def tails(self, lines=30):
        """The ends of all logs in the folder, and of Koseki's."""
        text = []
        for path in sorted([*self.folder.glob("*.log"), *self.folder.glob("koseki/log-*")]):
            last = path.read_text(errors="replace").splitlines()[-lines:]
            text += [f"--- {path.name}", *(line[:400] for line in last)]
        return "\n".join(text)
