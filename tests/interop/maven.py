"""Downloads by Maven, kept in build/interop: again only when what asks for them has changed."""
import pathlib
import shutil
import subprocess

from processes import Failed

OUT = pathlib.Path(__file__).resolve().parents[2] / "build/interop"


def fetch(pom, out, *definitions):
    """What the pom fetches, below the folder `out`, which it knows as -Dout and has to itself: before anything is
    fetched anew the folder is emptied, so that nothing of before is taken for it. definitions: -Dname=value."""
    done = out / f"fetched-by-{pom.name}"
    asked = "\n".join([pom.read_text(), *definitions])
    if done.exists() and done.read_text() == asked:
        return
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    arguments = ["mvn", "-q", "-B", "-ntp", "-f", str(pom), f"-Dmaven.repo.local={OUT / 'm2'}", f"-Dout={out}",
                 *definitions, "generate-resources"]
    for _ in (1, 2):  # a download may break off; Maven goes on where it was
        run = subprocess.run(arguments, capture_output=True, text=True, timeout=400)
        if run.returncode == 0:
            done.write_text(asked)
            return
    raise Failed(f"{' '.join(arguments)}\n{(run.stdout + run.stderr)[-3000:]}")
