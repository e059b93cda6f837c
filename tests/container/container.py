"""A Koseki whose process is in a container: what the system tests' Koseki is, for the same tests."""
import itertools
import json
import pathlib
import shutil
import subprocess

from engine import IMAGE, Failed
from support import server

NAMES = itertools.count(1)
ENGINE = None  # set by run


class ContainerProcess(subprocess.Popen):
    """podman in the foreground; signals go to the container, whose exit code is podman's."""

    def __init__(self, name, arguments, **options):
        self.container = name
        super().__init__([*ENGINE.podman, *arguments], env=ENGINE.environment, **options)

    def send_signal(self, number):
        if self.poll() is not None:
            return
        run = ENGINE.call("kill", "--signal", str(int(number)), self.container, check=False)
        if run.returncode != 0:  # it has ended meanwhile, or there is something wrong
            try:
                self.wait(server.WAIT)
            except subprocess.TimeoutExpired:
                raise Failed(f"podman kill {self.container}: {run.stderr}") from None

    def kill(self):
        self.send_signal(9)


class Container(server.Koseki):
    """Its folder is /etc/koseki, its data are in a volume; every start is a new container with the same volume."""

    options = ()  # of podman run, beside those of all

    def mounts(self):
        if not hasattr(self, "volume"):
            self.volume = f"data-{next(NAMES)}"
        return [f"--volume={self.volume}:/var/lib/koseki", f"--volume={self.folder}:/etc/koseki:ro"]

    def configure(self):
        """The settings as koseki.yaml, files that they name beside it, readable for the user of the image."""
        self.folder.chmod(0o755)
        lines = []
        for key, value in self.settings.items():
            path = pathlib.Path(str(value))
            if value is None or key == "data-dir":
                continue  # the image's own
            if path.is_absolute() and path.is_file():
                if path.parent != self.folder:
                    path = pathlib.Path(shutil.copy(path, self.folder))
                path.chmod(0o644)
                value = path.name
            lines.append(f"{key}: {json.dumps(str(value))}\n")
        (self.folder / "koseki.yaml").write_text("".join(lines))

    def launch(self):
        self.configure()
        self.name = f"koseki-{next(NAMES)}"
        return ContainerProcess(
            self.name, ["run", "--rm", "--name", self.name, *ENGINE.network, *ENGINE.options, *ENGINE.hardened,
                        *self.mounts(), *self.options, IMAGE],
            stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file)

    def tool(self, *arguments):
        if self.process is not None:
            return ENGINE.call("exec", self.name, "koseki", *arguments, "--config", "/etc/koseki/koseki.yaml",
                               check=False)
        return ENGINE.run(*arguments, "--config", "/etc/koseki/koseki.yaml", options=self.mounts(), check=False)

    def health(self):
        """The exit code of the image's health check, and the status it led to."""
        code = ENGINE.call("healthcheck", "run", self.name, check=False).returncode
        return code, ENGINE.inspect(self.name)["State"]["Health"]["Status"]
