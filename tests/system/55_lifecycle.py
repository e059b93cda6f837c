"""Start, reload and stop of the service, and what the threads make of connections that come and go."""
import base64
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import unittest

from support import pki, raw, slowdisk
from support.adapter import Adapter, status
from support.raw import Raw10
from support.server import SANITIZED, WAIT, Koseki

PRELOAD = "a preload and a sanitizer do not go together"


def first_login(reply, name="device-1.pem", message_id="m"):
    """A request that the writer has to answer; CN of the certificate as in tests/certs/make.sh."""
    subject = f"CN={name.removesuffix('.pem')},O=Acme"
    body = json.dumps({"type": "x509-cert", "auth-id": subject, "client-certificate": pki.der_base64(name)})
    return raw.transfer(1, 0, raw.message("get", reply, message_id, body=body.encode()))


class Stop(unittest.TestCase):
    @unittest.skipIf(SANITIZED, PRELOAD)
    def test_what_is_under_way_is_answered_and_nothing_new_is_taken(self):
        with slowdisk.made() as disk, Koseki(**disk.options) as koseki:
            koseki.create_tenant("T1")
            disk.steer("sync-hold=1 ")
            peer = Raw10(koseki).connect()
            self.addCleanup(peer.close)
            peer.send(first_login(peer.request_links("credentials/T1")))
            koseki.wait_for(lambda: disk.steps("sync-hold"), "the commit")
            peer.expect(raw.DISPOSITION)
            post = socket.create_connection(("127.0.0.1", koseki.port("http.listen")), WAIT)
            self.addCleanup(post.close)
            login = base64.b64encode(b"admin:admin-secret").decode()
            post.sendall(f"POST /v1/tenants/T2 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n"
                         "Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
            for _ in range(2):  # in a later turn of its loop the server has seen the POST
                koseki.http("GET", "/v1/tenants/T2")
            koseki.process.send_signal(signal.SIGTERM)
            koseki.wait_for(lambda: "event=stopping" in koseki.log(), "the stop")
            koseki.wait_for(lambda: not self.connects(koseki), "the port to be closed")
            disk.steer("")
            frames = peer.until_end()
            self.assertEqual([frame[1] for frame in frames if frame[1] != raw.FLOW], [raw.TRANSFER, raw.CLOSE])
            self.assertIn(b"\xa1\x06status\x71\x00\x00\x00\xc9", frames[0][3])  # 201
            self.assertTrue(post.makefile("rb").read().startswith(b"HTTP/1.1 201 "))
            self.assertEqual(koseki.stop(), 0)
            koseki.start()
            self.assertEqual(koseki.http("GET", "/v1/tenants/T2").status, 200)
            self.assertRegex(koseki.stat(), r"(?m)^devices: 1$")

    @staticmethod
    def connects(koseki):
        try:
            socket.create_connection(("127.0.0.1", koseki.port("amqp.listen")), WAIT).close()
            return True
        except ConnectionError:
            return False

    def test_idle_clients_and_half_done_logins_do_not_hold_it_up(self):
        with Koseki(tls=True) as koseki:
            idle = [Raw10(koseki).connect() for _ in range(5)] + [Raw10(koseki) for _ in range(5)]
            http = [socket.create_connection(("127.0.0.1", koseki.port(key)), WAIT)
                    for key in ("http.listen", "http.tls-listen", "ops.listen", "amqp.tls-listen")]
            self.assertEqual(koseki.stop(), 0)
            for peer in idle:
                peer.close()
            for sock in http:
                sock.close()

    def test_an_interrupt_stops_it_as_well(self):
        with Koseki() as koseki:
            koseki.process.send_signal(signal.SIGINT)
            self.assertEqual(koseki.process.wait(WAIT), 0)


class Reload(unittest.TestCase):
    def presented(self, koseki, key):
        """The certificate that a new connection is shown."""
        sock = socket.create_connection(("127.0.0.1", koseki.port(key)), WAIT)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(sock) as tls:
            return tls.getpeercert(True)

    def test_sighup_reads_certificates_again_and_keeps_the_old_ones_if_it_cannot(self):
        with Koseki(tls=True, wait_ready=False) as first:  # its folder is used for the files
            first.wait_ready()
            folder = first.folder
            cert, key = folder / "cert.pem", folder / "key.pem"

            def use(name):
                shutil.copy(pki.path(name + ".key"), key)
                shutil.copy(pki.path(name + ".pem"), cert)

            use("server")
            settings = {"tls.cert": str(cert), "tls.key": str(key), "data-dir": f"{folder}/data-2"}
            with Koseki(tls=True, **settings) as koseki:
                koseki.create_tenant("T1")
                before = {port: self.presented(koseki, port) for port in ("amqp.tls-listen", "http.tls-listen")}
                with Adapter(koseki, tls=True) as adapter:
                    use("client")
                    koseki.process.send_signal(signal.SIGHUP)
                    koseki.wait_for(lambda: "event=reloaded what=certificates" in koseki.log(), "the reload")
                    after = {port: self.presented(koseki, port) for port in before}
                    for port in before:
                        self.assertNotEqual(after[port], before[port], port)
                    self.assertEqual(status(adapter.tenant("T1")), 200)  # open connections go on
                cert.write_text("no certificate")
                koseki.process.send_signal(signal.SIGHUP)
                koseki.wait_for(lambda: "event=reload-failed what=certificates" in koseki.log(), "a complaint")
                self.assertIn("cert.pem", koseki.log().partition("reload-failed what=certificates")[2])
                self.assertEqual({port: self.presented(koseki, port) for port in before}, after)


class Files(unittest.TestCase):
    def test_the_limit_of_open_files_is_raised_and_connections_stay_below_it(self):
        with Koseki(prefix=["prlimit", "--nofile=64:400", "--"], threads=2) as koseki:
            limits = pathlib.Path(f"/proc/{koseki.process.pid}/limits").read_text()
            self.assertRegex(limits, r"Max open files +400 +400 ")
            cap = int(re.search(r"event=connections-capped amqp.max-connections=20000 cap=(\d+)",
                                koseki.log()).group(1))
            self.assertGreater(cap, 100)
            koseki.create_tenant("T1")
            peers = []
            try:
                while len(peers) < 500:
                    peers.append(Raw10(koseki))
                    peers[-1].login()
            except (raw.Closed, ConnectionError):
                pass
            self.assertEqual(len(peers) - 1, cap)
            self.assertEqual(koseki.http("GET", "/v1/tenants/T1").status, 200)
            self.assertNotIn("accept-failed", koseki.log())
            for peer in peers:
                peer.close()
            self.assertRegex(koseki.stat(), r"(?m)^tenants: 1$")


class Threads(unittest.TestCase):
    @staticmethod
    def watched(koseki):
        """How many descriptors each event loop of the process watches."""
        counts = collections.Counter()
        folder = pathlib.Path(f"/proc/{koseki.process.pid}")
        for link in (folder / "fd").iterdir():
            if os.readlink(link) == "anon_inode:[eventpoll]":
                counts[link.name] = (folder / "fdinfo" / link.name).read_text().count("tfd:")
        return counts

    def test_connections_are_spread_evenly_over_the_reactors(self):
        with Koseki(threads=3) as koseki:
            before = self.watched(koseki)
            self.assertEqual(len(before), 4)  # and the management's
            peers = [Raw10(koseki).connect() for _ in range(30)]
            added = sorted((self.watched(koseki) - before).values())
            self.assertEqual(added, [10, 10, 10])
            for peer in peers:
                peer.close()

    @unittest.skipIf(SANITIZED, PRELOAD)
    def test_an_answer_finds_its_own_connection_and_link_or_nobody(self):
        """Places of connections and links are given away again: who comes to one must not get the answer of who was
        there before."""
        with slowdisk.made() as disk, Koseki(threads=1, **disk.options) as koseki:
            koseki.create_tenant("T1")
            for number, goes in enumerate(("connection", "reply link", "session")):
                with self.subTest(goes):
                    name = f"device-{number + 1}.pem"
                    disk.steer("sync-hold=1 ")
                    held = disk.steps("sync-hold")
                    peer = Raw10(koseki).connect()
                    reply = peer.request_links("credentials/T1", "credentials/T1/same")
                    peer.send(first_login(reply, name))
                    peer.expect(raw.DISPOSITION)
                    koseki.wait_for(lambda before=held: disk.steps("sync-hold") > before, "the commit")
                    if goes == "connection":
                        peer.close()
                        peer = Raw10(koseki).connect()
                        peer.request_links("credentials/T1", reply)
                    elif goes == "reply link":
                        peer.send(raw.frame(raw.DETACH, [0, True]))
                        peer.expect(raw.DETACH)
                        peer.send(raw.attach("again", 0, True, reply) + raw.flow(0, 10))
                        peer.expect(raw.ATTACH)
                    else:
                        peer.send(raw.frame(raw.END, []))
                        peer.expect(raw.END)
                        peer.send(raw.begin())
                        peer.expect(raw.BEGIN)
                        peer.request_links("credentials/T1", reply)
                    disk.steer("")
                    with Adapter(koseki) as other:  # by its answer the first one is decided
                        subject = f"CN=device-{number + 1},O=Acme"
                        koseki.wait_for(lambda who=subject, by=other: status(
                            by.credentials("T1", "x509-cert", who)) == 200, "the device")
                    self.assertNotIn(raw.TRANSFER, peer.kinds_within(0.3))
                    peer.close()
