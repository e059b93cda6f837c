"""The preload that holds, delays and fails the steps of a commit (slowdisk.c)."""
import contextlib
import os
import pathlib
import subprocess
import tempfile


class SlowDisk:
    """options: what a Koseki is made with. It begins fast; see slowdisk.c for the words."""

    def __init__(self, folder):
        self.file = pathlib.Path(folder) / "steer"
        self.steer("")
        library = pathlib.Path(folder) / "slowdisk.so"
        source = pathlib.Path(__file__).with_name("slowdisk.c")
        subprocess.run(["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", str(library), str(source)],
                       check=True)
        self.options = {"preload": str(library), "environment": {"KOSEKI_SLOWDISK": str(self.file)}}

    def steer(self, words):
        """In one step: the process may be reading it."""
        new = self.file.with_suffix(".new")
        new.write_text(words)
        os.replace(new, self.file)

    def steps(self, word):
        """How many steps of a commit this word has stopped, slowed or failed so far."""
        log = pathlib.Path(f"{self.file}.log")
        return log.read_text().count(word) if log.exists() else 0


@contextlib.contextmanager
def made():
    with tempfile.TemporaryDirectory(prefix="koseki-slowdisk-") as folder:
        yield SlowDisk(folder)
