#!/usr/bin/python3
"""Checks the OpenAPI document, and tries what it describes on the running service.

    tests/api/run.py --binary build/release/koseki

schemathesis makes requests of the document: its examples, every edge of every schema, random ones, and sequences.
Each operation is a test: no answer is a 5xx, and each is one that the document describes. What is installed for it
(tests/api/requirements.txt, from PyPI) lies in build/api. Closes with "N passed, N failed".
"""
import argparse
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VENV = ROOT / "build" / "api"
sys.path.insert(0, str(ROOT / "tests" / "system"))

# Not ensure_resource_availability: it does not see that a sequence has deleted the tenant meanwhile.
CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,"
          "response_headers_conformance,response_schema_conformance,unsupported_method,"
          "allow_header_conformance,ignored_auth,use_after_free")


class Api:
    def __init__(self, koseki, folder):
        self.koseki, self.folder = koseki, folder
        self.base = f"http://127.0.0.1:{koseki.port('http.listen')}"
        self.passed = self.failed = 0

    def check(self, name, ok, text=""):
        print(f"{'ok' if ok else 'FAILED'} api: {name} {'' if ok else text}".rstrip(), flush=True)
        self.passed += bool(ok)
        self.failed += not ok

    def tool(self, name, *arguments):
        return subprocess.run([str(VENV / "bin" / name), *arguments], cwd=self.folder, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def document(self):
        answer = self.koseki.http("GET", "/v1/openapi.json", user=None)
        self.check("read without login", answer.status == 200, answer.status)
        self.check("is JSON", answer.headers["content-type"].startswith("application/json"))
        (self.folder / "openapi.json").write_bytes(answer.body)
        run = self.tool("openapi-spec-validator", "openapi.json")
        self.check("is valid OpenAPI", run.returncode == 0, run.stdout[-3000:])
        return answer.json()

    def prepare(self):
        for name in ("schemathesis.toml", "hooks.py"):
            shutil.copy(HERE / name, self.folder)
        for tenant in ("acme", "changing"):
            assert self.koseki.http("POST", f"/v1/tenants/{tenant}", {}).status == 201
        assert self.koseki.http("POST", "/v1/devices/acme/sensor-1", {}).status == 201

    def schemathesis(self, name, *arguments):
        """One test for each operation, or sequence, that its report names."""
        report = self.folder / f"{name}.xml"
        run = self.tool("schemathesis", "run", f"{self.base}/v1/openapi.json", "--auth", "admin:admin-secret",
                        "--report-junit-path", str(report), *arguments)
        if not report.exists():
            self.check(name, False, run.stdout[-4000:])
            return
        cases = list(xml.etree.ElementTree.parse(report).iter("testcase"))
        for case in cases:
            faults = case.findall("failure") + case.findall("error")
            self.check(f"{name}: {case.get('name')}", not faults,
                       "\n".join((f.get("message") or "") + (f.text or "")[:3000] for f in faults))
        self.check(f"{name}: came to its end", run.returncode == 0 and cases or self.failed,
                   run.stdout[-4000:])

    def reached(self, document):
        """Every operation that changes something did change something: the requests were not all refused."""
        done = re.findall(r"event=registry-changed method=(\w+) status=20\d target=\"?([^ \"]+)", self.koseki.log())
        for path, item in document["paths"].items():
            pattern = re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) + "/?")
            for method in (m for m in ("post", "put", "delete") if m in item):
                count = sum(m == method.upper() and bool(pattern.fullmatch(target)) for m, target in done)
                self.check(f"{method.upper()} {path} succeeded", count > 0)

    def all(self):
        document = self.document()
        self.prepare()
        self.schemathesis("answers as described", "--checks", CHECKS)
        # A device's document has no more rules than its schema says: what fits it is taken.
        self.schemathesis("takes what fits", "--checks", "positive_data_acceptance", "--mode",
                          "positive", "--phases", "examples,coverage,fuzzing", "--max-examples", "60",
                          "--generation-allow-x00", "false", "--include-operation-id", "createDevice")
        self.reached(document)


def install():
    """Once for each version of the requirements."""
    wanted = (HERE / "requirements.txt").read_bytes()
    stamp = VENV / hashlib.sha256(wanted + sys.version.encode()).hexdigest()
    if stamp.exists():
        return
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run(["/usr/bin/python3", "-m", "venv", str(VENV)], check=True)
    subprocess.run([str(VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check",
                    "--requirement", str(HERE / "requirements.txt")], check=True)
    stamp.touch()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    options = parser.parse_args()
    os.environ["KOSEKI_BINARY"] = str(pathlib.Path(options.binary).resolve())
    os.environ["KOSEKI_SANITIZED"] = "0"
    install()
    from support import pki
    from support.server import Koseki

    folder = pathlib.Path(tempfile.mkdtemp(prefix="koseki-api-"))
    try:
        with pki.made(), Koseki(passwords__max_bcrypt_cost=4) as koseki:
            api = Api(koseki, folder)
            api.all()
            api.check("nothing failed inside", "event=request-failed" not in koseki.log(),
                      koseki.log()[-3000:])
            koseki.verify()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{api.passed} passed, {api.failed} failed")
    return 1 if api.failed or not api.passed else 0


if __name__ == "__main__":
    sys.exit(main())
