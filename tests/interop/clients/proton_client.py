"""Debian's Proton for Python. Arguments: port, (unused), "tls" or "-"."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "system"))
# pylint: disable=wrong-import-position
from proton import int32, ulong
from proton.utils import LinkDetached

from support.adapter import Adapter, payload, status

X509 = "x509-cert"


class Port:
    """In place of a process of the system tests."""

    def port(self, _):
        return int(sys.argv[1])


def equal(expected, actual):
    assert expected == actual, f"expected {expected!r}, got {actual!r}"


def main():
    passed = failed = 0

    def check(name, body):
        nonlocal passed, failed
        try:
            body()
            passed += 1
            print(f"ok {name}")
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f"FAILED {name}: {error!r}")

    adapter = Adapter(Port(), tls=sys.argv[3] == "tls")

    def answered(code, answer):
        equal(int32, type(status(answer)))  # an AMQP uint comes as another class
        equal(code, status(answer))
        return payload(answer)

    check("tenant", lambda: equal("T1", answered(200, adapter.tenant("T1"))["tenant-id"]))
    check("credentials", lambda: equal(
        "sensor", answered(200, adapter.credentials("T1", "hashed-password", "sensor"))["device-id"]))
    check("assert", lambda: equal(
        ["gateway"], answered(200, adapter.assert_device("T1", "sensor", "gateway"))["via"]))
    check("refusals", lambda: (answered(404, adapter.tenant("nobody")),
                               answered(400, adapter.call("tenant", "get", b"x")),
                               answered(403, adapter.assert_device("T1", "sensor", "stranger"))))

    def known():
        answer = adapter.call("tenant", "get", {"tenant-id": "T1"}, correlation=ulong(2 ** 40))
        equal("T1", answered(200, answer)["tenant-id"])

    def nowhere():
        try:
            adapter.connection.create_sender("nowhere")
        except LinkDetached as error:
            assert "no endpoint registered" in str(error), error
        else:
            raise AssertionError("was attached")

    check("a correlation id that is a number", known)
    check("a link to nowhere is refused", nowhere)
    check("the connection goes on", lambda: answered(200, adapter.tenant("T1")))
    adapter.close()
    print(f"{passed} passed, {failed} failed", flush=True)
    os._exit(0 if passed and not failed else 1)  # its destructors complain when the interpreter is half gone


main()
