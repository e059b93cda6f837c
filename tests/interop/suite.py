"""What the runs share: their options, what they need, and cases played on a stage."""
import argparse
import importlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from processes import Failed, Processes

TREE = pathlib.Path(__file__).resolve().parents[2]
# What may come of downloads, processes and the stage; anything else is a slip of ours and shows where.
TROUBLE = (Failed, AssertionError, OSError, subprocess.SubprocessError)


def parser(doc):
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--binary", default=str(TREE / "build/release/koseki"))
    return made


def begin(binary, tools):
    """Tells tests/system/support what is tested. Fails if a tool or the program is not there."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise Failed(f"not installed: {', '.join(missing)}")
    binary = pathlib.Path(binary).resolve()
    if not os.access(binary, os.X_OK):
        raise Failed(f"no program {binary}; tests/run build makes it")
    os.environ["KOSEKI_BINARY"] = str(binary)
    os.environ["KOSEKI_SANITIZED"] = "0"
    # A time-out of the caller ends this run by SIGTERM: leave by the with blocks, which end everything.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def end(passed, failed):
    """The closing line; ends the process."""
    print(f"{passed} passed, {failed} failed")
    sys.stdout.flush()
    os._exit(1 if failed or not passed else 0)  # as in tests/system/run.py


def run_cases(modules, pattern):
    """The result of the cases whose id contains pattern."""
    from run import Result, flatten

    loader = unittest.defaultTestLoader
    cases = unittest.TestSuite(
        test for module in modules for test in flatten(loader.loadTestsFromModule(importlib.import_module(module)))
        if pattern in test.id())
    result = Result()
    cases.run(result)
    for test, reason in result.skipped:
        print(f"skipped {test.id()}: {reason}")
    return result


def play(modules, pattern, stage):
    """Runs the cases of the modules inside of stage(processes, folder); how many passed, and failed."""
    from support import pki

    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="koseki-interop-", ignore_cleanup_errors=True) as name, \
            pki.made(), Processes(name) as processes:
        try:
            with stage(processes, pathlib.Path(name)):
                result = run_cases(modules, pattern)
                passed, failed = result.passed, len(result.failures) + len(result.errors)
        except TROUBLE as error:
            print(f"FAILED: {error}")
            failed += 1
        if failed:
            print(processes.tails())
    return passed, failed


def main(doc, tools, modules, stage):
    """A run of cases, to the end of the process. stage(processes, folder): the context in which they run, and in which
    their modules, given by name, are imported."""
    options = parser(doc)
    options.add_argument("-k", default="", help="cases whose id contains this")
    options = options.parse_args()
    try:
        begin(options.binary, tools)
    except Failed as error:
        print(error)
        end(0, 1)
    end(*play(modules, options.k, stage))
