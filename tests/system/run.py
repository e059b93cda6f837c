#!/usr/bin/python3
"""Runs the system tests: every [0-9]*.py beside this file, against a real koseki process.

    tests/system/run.py --binary build/release/koseki [--sanitized] [--only 20_] [-k NAME]

Closes with "N passed, N failed, N skipped". With --sanitized, tests marked `release_only` are left out.
"""
import argparse
import faulthandler
import importlib.util
import os
import pathlib
import resource
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
# A test that takes so long hangs: where is printed, and the run ends, the servers with it.
HANGS_AFTER = 3600 if os.environ.get("KOSEKI_TESTS_LONG") == "1" else 600
sys.path.insert(0, str(HERE))


class Result(unittest.TestResult):
    """One line per test; the text of a failure as it happens."""

    def __init__(self):
        super().__init__()
        self.passed = 0
        self.started = 0.0

    def startTest(self, test):
        super().startTest(test)
        faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
        self.started = time.monotonic()

    def line(self, word, test, text=""):
        took = time.monotonic() - self.started
        print(f"{word} {test.id()} ({took:.1f} s) {text}".rstrip(), flush=True)

    def addSuccess(self, test):
        self.passed += 1
        self.line("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.line("FAILED", test, "\n" + self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self.started = self.started or time.monotonic()
        self.line("ERROR", test, "\n" + self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.line("FAILED", subtest, "\n" + (self.failures + self.errors)[-1][1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)


def load(path):
    spec = importlib.util.spec_from_file_location("t" + path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return unittest.defaultTestLoader.loadTestsFromModule(module)


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--sanitized", action="store_true")
    parser.add_argument("--only", default="", help="files whose name starts so")
    parser.add_argument("-k", default="", help="tests whose id contains this")
    options = parser.parse_args()

    # more than a thousand sockets at a time
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.environ["KOSEKI_BINARY"] = str(pathlib.Path(options.binary).resolve())
    os.environ["KOSEKI_SANITIZED"] = "1" if options.sanitized else "0"
    from support import pki

    with pki.made():
        suite = unittest.TestSuite()
        for path in sorted(HERE.glob("[0-9]*.py")):
            if path.name.startswith(options.only):
                suite.addTest(load(path))
        if options.k:
            suite = unittest.TestSuite(t for t in flatten(suite) if options.k in t.id())
        result = Result()
        suite.run(result)
    failed = len(result.failures) + len(result.errors)
    print(f"{result.passed} passed, {failed} failed, {len(result.skipped)} skipped")
    return 1 if failed or not result.passed else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # Proton's Python destructors complain when the interpreter is half gone
