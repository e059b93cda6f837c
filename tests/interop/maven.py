"""Downloads by Maven, kept in build/interop: again only when what asks for them has changed."""
import pathlib
import subprocess

from processes import Failed

OUT = pathlib.Path(__file__).resolve().parents[2] / "build/interop"


def fetch(pom, out):
    """What the pom fetches, below the folder `out`, which it knows as -Dout."""
    done = out / f"fetched-by-{pom.name}"
    if done.exists() and done.read_bytes() == pom.read_bytes():
        return
    out.mkdir(parents=True, exist_ok=True)
    arguments = ["mvn", "-q", "-B", "-ntp", "-f", str(pom), f"-Dmaven.repo.local={OUT / 'm2'}", f"-Dout={out}",
                 "generate-resources"]
    for _ in (1, 2):  # a download may break off; Maven goes on where it was
        run = subprocess.run(arguments, capture_output=True, text=True, timeout=400)
        if run.returncode == 0:
            done.write_bytes(pom.read_bytes())
            return
    raise Failed(f"{' '.join(arguments)}\n{(run.stdout + run.stderr)[-3000:]}")
