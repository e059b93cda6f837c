"""The preload that delays and fails the steps of a commit (slowdisk.c)."""
import pathlib
import subprocess


def build(folder):
    source = pathlib.Path(__file__).with_name("slowdisk.c")
    library = pathlib.Path(folder) / "slowdisk.so"
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", str(library), str(source)],
                   check=True)
    return str(library)
