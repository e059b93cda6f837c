"""Peers that mean harm or cannot help it, each beside good clients that must not notice."""
import concurrent.futures
import os
import socket
import ssl
import struct
import subprocess
import time
import unittest

from support import pki, raw
from support.adapter import Adapter, Steady, status
from support.raw import Described, Raw, Raw10, frame
from support.server import SANITIZED, WAIT, Koseki

LONG = os.environ.get("KOSEKI_TESTS_LONG") == "1"
GET = b'{"tenant-id":"T1"}'


def get(n, reply, tenant=None, **options):
    body = GET if tenant is None else b'{"tenant-id":"%s"}' % tenant.encode()
    return raw.transfer(1, n, raw.message("get", reply, f"m-{n}", body=body), **options)


class Hard(unittest.TestCase):
    """Every test ends with a good client, connected before, that is still served."""

    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki(tls=True, **cls.settings)
        cls.koseki.create_tenant("T1")
        cls.good = Steady(cls.koseki)

    @classmethod
    def tearDownClass(cls):
        cls.good.close()
        cls.koseki.close()

    def tearDown(self):
        self.good.check()

    def connected(self, **options):
        peer = Raw10(self.koseki).connect(**options)
        self.addCleanup(peer.close)
        return peer

    def closed_with(self, peer):
        """The condition of the CLOSE at the end."""
        last = peer.until_end()[-1]
        self.assertEqual(last[1], raw.CLOSE, last)
        return last[2][0].value[0]


class Floods(Hard):
    def test_ten_thousand_links_are_cut_at_the_limit(self):
        peer = self.connected()
        peer.flood(b"".join(raw.attach(f"l{i}", i, True, f"tenant/{i}") for i in range(10000)))
        self.assertEqual(self.closed_with(peer), "amqp:resource-limit-exceeded")

    def test_attaching_and_detaching_without_end_is_cut_by_the_rate(self):
        with Koseki(amqp__max_links=100) as koseki, Raw10(koseki) as peer:
            peer.connect()
            peer.flood((raw.attach("l", 0, True, "tenant/x") + frame(raw.DETACH, [0, True])) * 30000)
            frames = peer.until_end()
            self.assertGreaterEqual([frame_[1] for frame_ in frames].count(raw.DETACH), 99)
            self.assertEqual(frames[-1][2][0].value[0], "amqp:resource-limit-exceeded")

    def test_deliveries_that_are_never_finished_are_bounded(self):
        peer = self.connected()
        before = self.koseki.rss_kib()
        for handle in range(60):
            peer.send(raw.attach(f"s{handle}", handle, False, "tenant"))
            for part in range(2):
                peer.send(raw.transfer(handle, handle if part == 0 else None, b"x" * 30000, more=True))
        conditions = []
        while len(conditions) < 60 - 17:
            conditions.append(peer.expect(raw.DETACH)[2].value[0])
        self.assertEqual(set(conditions), {"amqp:resource-limit-exceeded"})
        self.assertLess(self.koseki.rss_kib() - before, 16 * 1024)
        peer.send(raw.transfer(0, None, b"", aborted=True))
        peer.send(raw.attach("late", 100, False, "tenant") +
                  raw.transfer(100, 60, b"x" * 30000, more=True))
        self.assertNotIn(raw.DETACH, peer.kinds_within(0.3))

    def test_empty_frames_flows_and_dispositions_without_end_hold_nobody_up(self):
        peer = self.connected()
        reply = peer.request_links()
        flood = (struct.pack(">IBBH", 8, 2, 0, 0) * 50 + raw.flow(0, 10) * 50 +
                 frame(raw.DISPOSITION, [True, 0, 0x7FFFFFFF, True, None]) * 50)
        for i in range(100):
            peer.send(flood)
            if i % 20 == 0:
                self.good.check()
        peer.send(get(0, reply))
        peer.expect(raw.TRANSFER)

    def test_a_flood_of_requests_on_one_connection_starves_no_other(self):
        peer = self.connected()
        reply = peer.request_links(credit=0)
        n = 0
        for _ in range(20):  # as many as there is credit for
            peer.send(b"".join(get(n + i, reply) for i in range(20)))
            n += 20
            self.good.check()

    def test_connections_that_come_and_go_leave_nothing(self):
        self.koseki.http("GET", "/v1/tenants/T1")
        before = self.koseki.rss_kib()
        for i in range(300):
            with Raw10(self.koseki) as peer:
                if i % 3 == 0:
                    peer.send(raw.SASL_HEADER)
                elif i % 3 == 1:
                    peer.send(raw.sasl_plain() + raw.AMQP_HEADER + raw.open_frame() + raw.begin())
                else:
                    peer.connect()
                    peer.request_links()
        if not SANITIZED:
            self.assertLess(self.koseki.rss_kib() - before, 8 * 1024)


class Amplifiers(Hard):
    """Small frames that would cost the engine much."""

    def test_an_answer_decided_twice_at_once_is_let_go_once(self):
        peer = self.connected()
        reply = peer.request_links()
        for n in range(3):
            peer.send(get(n, reply))
        for _ in range(3):
            peer.expect(raw.TRANSFER)
        accepted, rejected = Described(0x24, []), Described(0x25, [])
        peer.send(b"".join(frame(raw.DISPOSITION, [True, 0, 2, settled, state]) for settled, state in (
            (False, accepted), (False, rejected), (True, accepted), (True, accepted), (True, None))))
        peer.send(get(3, reply))
        peer.expect(raw.TRANSFER)

    def test_a_half_sent_settled_answer_may_be_decided(self):
        peer = Raw10(self.koseki)
        self.addCleanup(peer.close)
        peer.login()
        peer.send(raw.AMQP_HEADER + raw.open_frame(max_frame=512) +
                  frame(raw.BEGIN, [None, 0, 1, 2048, 1023]))
        peer.header()
        peer.expect(raw.BEGIN)
        peer.send(raw.attach("s", 1, False, "tenant") + raw.attach("r", 0, True, "tenant/half", settle=1) +
                  frame(raw.FLOW, [0, 1, 0, 2048, 0, 0, 1000]))
        while peer.expect(raw.FLOW)[4] != 0:
            pass
        for n in range(3):
            peer.send(get(n, "tenant/half"))
        peer.expect(raw.TRANSFER)
        for _ in range(3):
            peer.send(frame(raw.DISPOSITION, [True, 0, 2, True, Described(0x24, [])]))
        peer.send(frame(raw.FLOW, [1, 1000, 3, 2048]))
        peer.expect(raw.TRANSFER)

    def test_frames_of_many_values_are_refused(self):
        nulls = Raw(b"\xd0" + struct.pack(">II", 30004, 30000) + b"\x40" * 30000)
        source = Described(0x28, ["tenant/x", None, None, None, None, None, None,
                                  {raw.Symbol("f"): nulls}])
        error = Described(0x1D, [raw.Symbol("x:y"), None, {raw.Symbol("i"): nulls}])
        for name, data in {
                "attach filter": frame(raw.ATTACH, ["l", 0, True, None, None, source, None]),
                "attach properties": frame(raw.ATTACH, ["l", 0, False] + [None] * 6 + [0, None, None, None,
                                                       {raw.Symbol("p"): nulls}]),
                "end error": frame(raw.END, [error]),
                "close error": frame(raw.CLOSE, [error]),
                "disposition state": frame(raw.DISPOSITION, [True, 0, 9, True, Described(0x25, [error])]),
                "begin properties": frame(raw.BEGIN, [None, 0, 1, 1, None, None, None,
                                                      {raw.Symbol("p"): nulls}], 1)}.items():
            with self.subTest(name):
                peer = self.connected()
                peer.send(data)
                self.assertEqual(self.closed_with(peer), "amqp:resource-limit-exceeded")

    def test_dispositions_of_the_same_answers_without_end_end_the_connection(self):
        peer = self.connected()
        reply = peer.request_links(credit=5000)
        for n in range(0, 900, 50):
            peer.send(b"".join(get(n + i, reply, settled=True) for i in range(50)))
            for _ in range(50):
                peer.expect(raw.TRANSFER)
        peer.flood(frame(raw.DISPOSITION, [True, 0, 0x7FFFFFFE, False, None]) * 500)
        self.assertEqual(self.closed_with(peer), "amqp:resource-limit-exceeded")

    def test_sessions_ended_with_their_links_leave_nothing(self):
        peer = self.connected()
        before = self.koseki.rss_kib()
        for session in range(100):
            peer.send(raw.begin(1) + b"".join(
                raw.attach(f"l{i}", i, True, f"tenant/{i}", channel=1) for i in range(40)) +
                frame(raw.END, [], 1))
            peer.expect(raw.END)
        if not SANITIZED:  # 4,000 links
            self.assertLess(self.koseki.rss_kib() - before, 2048)


class NoCredit(Hard):
    settings = {"http__max_payload": 1 << 20}

    def test_answers_without_credit_are_bounded_and_cost_the_reply_link(self):
        answer = self.koseki.http("POST", "/v1/tenants/BIG", {"ext": {"filler": "x" * 60000}})
        self.assertEqual(answer.status, 201)
        peer = self.connected()
        reply = peer.request_links(credit=0)
        before = self.koseki.rss_kib()
        for i in range(300):  # 18 MB of answers
            peer.send(get(i, reply, "BIG"))
        detach = peer.expect(raw.DETACH)
        self.assertEqual(detach[0], 0)
        self.assertEqual(detach[2].value[0], "amqp:resource-limit-exceeded")
        if not SANITIZED:
            self.assertLess(self.koseki.rss_kib() - before, 16 * 1024)
        # the connection and its request link go on
        peer.send(frame(raw.DETACH, [0, True]) + raw.attach("again", 5, True, "tenant/again") +
                  raw.flow(5, 10))
        peer.expect(raw.ATTACH)
        peer.send(get(300, "tenant/again"))
        peer.expect(raw.TRANSFER)

    def test_many_connections_together_hold_a_bounded_amount(self):
        if self.koseki.http("GET", "/v1/tenants/BIG2").status == 404:
            self.koseki.http("POST", "/v1/tenants/BIG2", {"ext": {"filler": "x" * 60000}})
        before = self.koseki.rss_kib()
        peers = [self.connected() for _ in range(20)]
        for peer in peers:
            reply = peer.request_links(credit=0)
            for i in range(60):  # 3.6 MB each, 72 MB together
                peer.send(get(i, reply, "BIG2"))
        detached, until = set(), time.monotonic() + WAIT
        while len(detached) <= 5 and time.monotonic() < until:
            detached |= {peer for peer in peers if raw.DETACH in peer.kinds_within(0.01)}
        self.assertGreater(len(detached), 5)
        if not SANITIZED:
            self.assertLess(self.koseki.rss_kib() - before, 96 * 1024)


class Tls(Hard):
    def test_handshakes_left_half_done_or_resumed_halfway_hold_nobody_up(self):
        context = ssl.create_default_context(cafile=pki.path("ca.pem"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # its session is there after the handshake
        address = ("127.0.0.1", self.koseki.port("amqp.tls-listen"))
        first = context.wrap_socket(socket.create_connection(address, WAIT), server_hostname="localhost")
        session = first.session
        first.close()
        stalled = []
        for i in range(100):
            out = ssl.MemoryBIO()
            hello = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost",
                                     session=session if i % 2 else None)
            with self.assertRaises(ssl.SSLWantReadError):
                hello.do_handshake()
            data = out.read()
            sock = socket.create_connection(address, WAIT)
            sock.sendall(data if i % 3 else data[:len(data) // 2])
            stalled.append(sock)
        again = context.wrap_socket(socket.create_connection(address, WAIT),
                                    server_hostname="localhost", session=session)
        again.close()
        with Adapter(self.koseki, tls=True) as adapter:
            self.assertEqual(status(adapter.tenant("T1")), 200)
        for sock in stalled:
            sock.close()

    def test_old_versions_are_not_taken(self):
        """By a client that would: the server says so, and why."""
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            context = ssl.create_default_context(cafile=pki.path("ca.pem"))
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
            for port in ("amqp.tls-listen", "http.tls-listen"):
                sock = socket.create_connection(("127.0.0.1", self.koseki.port(port)), WAIT)
                with self.assertRaisesRegex(ssl.SSLError, "PROTOCOL_VERSION"):
                    context.wrap_socket(sock, server_hostname="localhost")
                sock.close()

    def test_renegotiation_is_not_taken(self):
        """It would let a peer burn our CPU on one connection."""
        for port in ("amqp.tls-listen", "http.tls-listen"):
            with subprocess.Popen(
                    ["openssl", "s_client", "-connect", f"localhost:{self.koseki.port(port)}", "-tls1_2", "-CAfile",
                     pki.path("ca.pem")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    text=True) as client:
                client.stdin.write("R\n")
                client.stdin.flush()
                said = client.stdout.read()  # it ends when it is refused
                self.assertIn("RENEGOTIATING", said)
                self.assertIn("no renegotiation", said)


class SlowClients(unittest.TestCase):
    """Clients that never read, and that read a byte a second, beside ten good ones."""

    def clients(self):
        return 1000 if LONG and not SANITIZED else 150

    def slow(self, koseki):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", koseki.port("amqp.listen")))
        peer = Raw10(koseki, sock=sock).connect()
        reply = peer.request_links(credit=400)
        for n in range(0, 400, 50):
            peer.send(b"".join(get(n + i, reply) for i in range(50)))
        return peer

    def test_slow_clients_cost_bounded_memory_and_nobody_else(self):
        with Koseki() as koseki:
            koseki.create_tenant("T1", ext={"filler": "x" * 2000})
            good = [Steady(koseki) for _ in range(10)]
            for client in good:
                client.check()
            idle = koseki.rss_kib()
            count = self.clients()
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                never = list(pool.map(lambda _: self.slow(koseki), range(count)))
                dribble = list(pool.map(lambda _: self.slow(koseki), range(count)))
            peak = 0
            for _ in range(60 if LONG else 5):
                time.sleep(1)
                for client in good:
                    client.check()
                for peer in dribble:
                    try:
                        peer.sock.recv(1, socket.MSG_DONTWAIT)
                    except (BlockingIOError, ConnectionError):
                        pass
                peak = max(peak, koseki.rss_kib())
            for peer in never + dribble:
                peer.close()
            for client in good:
                client.check()
                client.close()
            if not SANITIZED:
                self.assertLess(peak, idle + 96 * 1024 + 40 * 2 * count)

    def test_a_client_that_takes_nothing_for_twenty_seconds_is_ended(self):
        if SANITIZED:
            self.skipTest("release only")
        with Koseki(amqp__link_credit=500) as koseki:
            # 7 MB of answers: more than the kernel takes, less than would cost the reply link
            koseki.create_tenant("T1", cas=(), ext={"filler": "x" * 24000})
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", koseki.port("amqp.listen")))
            with Raw10(koseki, sock=sock) as peer:
                start = time.monotonic()
                peer.connect()
                peer.send(raw.attach("reply", 0, True, "tenant/raw-reply", settle=1) + raw.flow(0, 500) +
                          raw.attach("request", 1, False, "tenant"))
                peer.expect(raw.FLOW)
                silent, beating = Raw10(koseki).connect(), Raw10(koseki).connect()
                self.addCleanup(silent.close)
                self.addCleanup(beating.close)
                for i in range(300):
                    peer.send(get(i, "tenant/raw-reply"))
                beat = struct.pack(">IBBH", 8, 2, 0, 0)
                with self.assertRaises(ConnectionError):
                    while time.monotonic() - start < 3 * WAIT:
                        beating.send(beat)
                        peer.send(beat)  # alive, but reading nothing
                        time.sleep(0.5)
                self.assertGreater(time.monotonic() - start, 10)
                until = time.monotonic() + 2 * WAIT
                while not silent.has_input(0.5) and time.monotonic() < until:
                    beating.send(beat)
                close = silent.until_end()[-1]
                self.assertEqual(close[1], raw.CLOSE)
                self.assertEqual(close[2][0].value[:2],
                                 ["amqp:resource-limit-exceeded", "local-idle-timeout expired"])
                beating.request_links()
                beating.send(get(0, "tenant/raw-reply"))
                beating.expect(raw.TRANSFER)
