"""The test certificates: made once a run by tests/certs/make.sh in a temporary folder."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

MAKE = pathlib.Path(__file__).resolve().parents[2] / "certs" / "make.sh"
DEVICES = 30


@contextlib.contextmanager
def made():
    folder = tempfile.mkdtemp(prefix="koseki-pki-")
    try:
        subprocess.run([str(MAKE), folder, str(DEVICES)], check=True, capture_output=True)
        os.environ["KOSEKI_TEST_PKI"] = folder
        yield pathlib.Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def path(name):
    return str(pathlib.Path(os.environ["KOSEKI_TEST_PKI"]) / name)


def pem(name):
    return pathlib.Path(path(name)).read_text()


def _base64(text, kind):
    return "".join(text.split(f"-----BEGIN {kind}-----")[1].split(f"-----END {kind}-----")[0].split())


def der_base64(name):
    """The Base64 DER of the first certificate in a PEM file."""
    return _base64(pem(name), "CERTIFICATE")


def public_key_base64(name):
    """The Base64 DER of its public key."""
    run = subprocess.run(["openssl", "x509", "-in", path(name), "-noout", "-pubkey"], capture_output=True,
                         text=True, check=True)
    return _base64(run.stdout, "PUBLIC KEY")
