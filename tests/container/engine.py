"""podman with everything it makes in one place: images and volumes in a folder of the tree, the rest in a tmpfs.

It runs in namespaces of its own (see run): mounts and processes of containers end with the run, whatever happens.
"""
import json
import os
import pathlib
import resource
import shutil
import socket
import subprocess

TREE = pathlib.Path(__file__).resolve().parents[2]
BASE = "docker.io/library/debian:12-slim"
IMAGE = "localhost/koseki"
CGROUP = "/koseki-container-tests"
GRACE = 10  # seconds that docker gives after SIGTERM
# What Debian leaves out of its slim images.
SLIM = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/lintian/*", "/usr/share/linda/*", "/usr/share/locale/*",
        "/usr/share/man/*", "/usr/share/groff/*")
CONFIGURATION = """
[containers]
log_driver = "k8s-file"
[engine]
lock_type = "file"
events_logger = "none"
[network]
network_config_dir = "{folder}/networks"
"""


class Failed(Exception):
    """The run cannot go on; the text says why."""


def tail(text, lines=40):
    return "\n".join(text.splitlines()[-lines:])


def limit(name, most):
    """At or below the hard limit here: runc refuses more."""
    hard = resource.getrlimit(name)[1]
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Engine:
    """folder: of the tree, images and volumes go to folder/store. short: an empty tmpfs with a short path."""

    def __init__(self, folder, short):
        self.folder, self.short = pathlib.Path(folder), pathlib.Path(short)
        configuration = self.short / "containers.conf"
        configuration.write_text(CONFIGURATION.format(folder=self.short))
        (self.short / "networks").mkdir()
        self.environment = dict(os.environ, CONTAINERS_CONF=str(configuration), DISABLE_HC_SYSTEMD="true",
                                TMPDIR=str(self.folder / "store"))
        self.podman = ["podman", "--root", f"{self.short}/store", "--runroot", f"{self.short}/run",
                       "--tmpdir", f"{self.short}/tmp", "--storage-driver=overlay",
                       "--cgroup-manager=cgroupfs", "--runtime=runc"]
        # The network of the host: its ports are those of the tests, and no bridge is made.
        self.network = ["--network=host"]
        self.options = [f"--cgroup-parent={CGROUP}", "--pull=never",
                        f"--ulimit=nofile={(n := limit(resource.RLIMIT_NOFILE, 32768))}:{n}",
                        f"--ulimit=nproc={(n := limit(resource.RLIMIT_NPROC, 1000))}:{n}"]
        # As the README and compose.yaml run it; no tmpfs is put over /tmp and /run either.
        self.hardened = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL",
                         "--security-opt=no-new-privileges"]

    def call(self, *arguments, check=True, **options):
        """One podman command to its end."""
        run = subprocess.run([*self.podman, *arguments], capture_output=True, text=True, env=self.environment,
                             timeout=1200, **options)
        if check and run.returncode != 0:
            raise Failed(f"podman {' '.join(map(str, arguments))}: exit {run.returncode}\n"
                         f"{tail(run.stdout + run.stderr)}")
        return run

    def run(self, *arguments, options=(), **more):
        """One container to its end: koseki ARGUMENTS."""
        return self.call("run", "--rm", *self.network, *self.options, *self.hardened, *options, IMAGE, *arguments,
                         **more)

    def health_check(self):
        """The image's."""
        image = self.inspect(IMAGE, "image")
        return image.get("Healthcheck") or image.get("HealthCheck")

    def inspect(self, name, kind="container"):
        return json.loads(self.call(kind, "inspect", name).stdout)[0]

    # --- the images ---

    def import_base(self):
        """A stand-in for the base image, of the same packages, as nothing can be pulled."""
        archive = self.folder / "base.tar"
        if not archive.exists():
            part = self.folder / "base.part.tar"
            command = ["mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io",
                       *(f"--dpkgopt=path-exclude={path}" for path in SLIM), "bookworm", str(part)]
            run = subprocess.run(command, capture_output=True, text=True, timeout=900, env=self.environment)
            if run.returncode != 0:
                raise Failed(f"{' '.join(command)}: exit {run.returncode}\n{tail(run.stderr)}")
            part.rename(archive)
        self.call("import", "--quiet", str(archive), BASE)

    def check(self):
        """Whether this machine can run containers at all."""
        run = self.call("run", "--rm", "--network=none", *self.options, BASE, "true", check=False)
        if run.returncode != 0:
            raise Failed("this machine cannot run containers: podman as root, with runc and overlay, cannot run "
                         f"'true' in a Debian image:\n{tail(run.stdout + run.stderr)}")

    def build(self, tree):
        self.call("build", "--quiet", "--format=docker", "--isolation=chroot", "--pull=never", "--network=host",
                  "--file", str(tree / "deploy/container/Containerfile"), "--tag", IMAGE, str(tree))

    def size(self, image):
        return self.inspect(image, "image")["Size"]

    # --- the end ---

    def close(self):
        """Containers are ended by their namespace, mounts too; what is left are files and empty cgroups."""
        self.call("rm", "--all", "--force", "--time=0", check=False)
        for root in pathlib.Path("/sys/fs/cgroup").glob(f"**{CGROUP}"):
            for folder, _, _ in os.walk(root, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    pass


def remove_store(folder):
    shutil.rmtree(pathlib.Path(folder) / "store", ignore_errors=True)
