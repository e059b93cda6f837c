"""Connect and authenticate: SASL, TLS, what garbage gets, deadlines, limits."""
import re
import socket
import ssl
import struct
import time
import unittest

from proton import ConnectionException

from support import pki, raw
from support.adapter import Adapter, Steady, status
from support.raw import Raw10, Symbol, frame
from support.server import WAIT, Koseki


class Login(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki(tls=True)
        cls.koseki.create_tenant()

    @classmethod
    def tearDownClass(cls):
        cls.koseki.close()

    def outcome(self, *login):
        with Raw10(self.koseki) as peer:
            return peer.login(*login)

    def test_plain_login_gets_outcome_ok(self):
        self.assertEqual(self.outcome("adapter@HONO", "secret"), 0)

    def test_hashed_password_logs_in(self):
        self.assertEqual(self.outcome("hashed@HONO", "hashed-secret"), 0)
        self.assertEqual(self.outcome("hashed@HONO", "hashed-secret"), 0)
        self.assertEqual(self.outcome("hashed@HONO", "wrong"), 1)

    def test_wrong_password_and_unknown_user_get_outcome_auth(self):
        self.assertEqual(self.outcome("adapter@HONO", "wrong"), 1)
        self.assertEqual(self.outcome("nobody", "secret"), 1)
        self.assertEqual(self.outcome("adapter@HONO", ""), 1)
        self.assertEqual(self.outcome("", "secret"), 1)

    def test_a_refused_login_is_logged_with_its_user_and_never_the_password(self):
        self.assertEqual(self.outcome("mallory@HONO", "hunter2-hunter2"), 1)
        line = 'event=login-refused .*mechanism=PLAIN user="mallory@HONO" why="'
        self.koseki.wait_for(lambda: re.search(line, self.koseki.log()), line)  # a container's log lags behind
        self.assertNotIn("hunter2", self.koseki.log())

    def test_after_a_failed_login_the_connection_ends_without_open(self):
        with Raw10(self.koseki) as peer:
            self.assertEqual(peer.login("adapter@HONO", "wrong"), 1)
            with self.assertRaises(raw.Closed):
                peer.read()

    def test_unknown_mechanism_is_refused(self):
        for mechanism in ("ANONYMOUS", "SCRAM-SHA-256", "plain", ""):
            with Raw10(self.koseki) as peer:
                peer.send(raw.SASL_HEADER + frame(raw.SASL_INIT, [Symbol(mechanism), b""], kind=1))
                self.assertEqual(peer.header(), raw.SASL_HEADER)
                peer.expect(raw.SASL_MECHANISMS)
                self.assertEqual(peer.expect(raw.SASL_OUTCOME)[0], 1)

    def test_null_mechanism_does_no_harm(self):
        with Raw10(self.koseki) as peer:
            peer.send(raw.SASL_HEADER + frame(raw.SASL_INIT, [None, b"x"], kind=1))
            peer.until_end()
        self.assertEqual(self.outcome("adapter@HONO", "secret"), 0)

    def test_external_is_offered_only_with_a_client_certificate(self):
        def offered(**options):
            with Raw10(self.koseki, **options) as peer:
                peer.send(raw.SASL_HEADER)
                peer.header()
                mechanisms = peer.expect(raw.SASL_MECHANISMS)[0]
                # one symbol, or an array of them
                return bytes(mechanisms) if isinstance(mechanisms, raw.Raw) else mechanisms.encode()

        self.assertNotIn(b"EXTERNAL", offered())
        self.assertNotIn(b"EXTERNAL", offered(tls=True))
        both = offered(tls=True, certificate="client")
        self.assertIn(b"EXTERNAL", both)
        self.assertIn(b"PLAIN", both)

    def test_external_without_certificate_is_refused(self):
        with Raw10(self.koseki, tls=True) as peer:
            peer.send(raw.SASL_HEADER + frame(raw.SASL_INIT, [Symbol("EXTERNAL"), b""], kind=1))
            peer.header()
            peer.expect(raw.SASL_MECHANISMS)
            self.assertEqual(peer.expect(raw.SASL_OUTCOME)[0], 1)

    def test_plain_over_tls(self):
        with Adapter(self.koseki, tls=True) as adapter:
            self.assertEqual(status(adapter.tenant("T1")), 200)

    def test_external_over_tls(self):
        with Adapter(self.koseki, external="client") as adapter:
            self.assertEqual(status(adapter.tenant("T1")), 200)

    def test_wrong_password_is_an_exception_for_a_client(self):
        with self.assertRaises(ConnectionException):
            Adapter(self.koseki, password="wrong")

    def test_no_certificate_of_a_foreign_ca_gets_in(self):
        with self.assertRaises((ssl.SSLError, ConnectionError, raw.Closed)):
            with Raw10(self.koseki, tls=True, certificate="client-foreign") as peer:
                peer.login()


class Garbage(unittest.TestCase):
    """Every test ends with a good client that is served: the process and its other clients go on."""

    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki(tls=True)
        cls.koseki.create_tenant()
        cls.good = Steady(cls.koseki)

    @classmethod
    def tearDownClass(cls):
        cls.good.close()
        cls.koseki.close()

    def tearDown(self):
        self.good.check()

    def throw(self, data, **options):
        """Sends bytes on a fresh connection and reads to its end."""
        with Raw10(self.koseki, **options) as peer:
            peer.send(data)
            seen = b""
            try:
                while True:
                    more = peer.sock.recv(65536)
                    if not more:
                        return seen
                    seen += more
            except (ConnectionError, ssl.SSLError):
                return seen

    def test_http_and_noise_are_answered_with_the_sasl_header_and_the_end(self):
        for noise in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 64, b"\xff" * 5000,
                      raw.AMQP_HEADER + raw.open_frame()):
            seen = self.throw(noise)
            self.assertEqual(seen[:8], raw.SASL_HEADER)
            self.assertTrue(seen.endswith(b"\x05PLAIN"), seen)  # the mechanisms, and no outcome

    def test_noise_on_the_tls_port_ends_the_connection(self):
        sock = socket.create_connection(("127.0.0.1", self.koseki.port("amqp.tls-listen")), WAIT)
        sock.sendall(b"AMQP\x03\x01\x00\x00" * 10)
        try:
            while sock.recv(4096):
                pass
        except ConnectionError:
            pass
        sock.close()

    def test_oversized_sasl_frame_is_refused(self):
        self.throw(raw.SASL_HEADER + struct.pack(">IBBH", 1 << 30, 2, 1, 0) + b"x" * 4096)

    def test_wrong_header_after_sasl_gets_open_and_close(self):
        with Raw10(self.koseki) as peer:
            self.assertEqual(peer.login(), 0)
            peer.send(b"AMQP\x00\x02\x00\x00")
            self.assertEqual(peer.header(), raw.AMQP_HEADER)
            frames = peer.until_end()
            self.assertEqual([f[1] for f in frames], [raw.OPEN, raw.CLOSE])
            self.assertEqual(frames[1][2][0].value[0], "amqp:connection:framing-error")

    def closes_with(self, data, connected=True):
        """The condition of the CLOSE that answers data."""
        with Raw10(self.koseki) as peer:
            if connected:
                peer.connect()
            else:
                self.assertEqual(peer.login(), 0)
                data = raw.AMQP_HEADER + data
            peer.send(data)
            if not connected:
                peer.header()
            frames = peer.until_end()
            closes = [f for f in frames if f[1] == raw.CLOSE]
            self.assertEqual(len(closes), 1, frames)
            self.assertEqual(frames[-1][1], raw.CLOSE)
            return closes[0][2][0].value[0]

    def test_frames_that_break_the_rules_close_the_connection(self):
        framing, decode = "amqp:connection:framing-error", "amqp:decode-error"
        unattached, limit = "amqp:session:unattached-handle", "amqp:resource-limit-exceeded"
        link = raw.attach("x", 1, True, "tenant/x")
        cases = {
            "oversized frame": (struct.pack(">IBBH", 1 << 24, 2, 0, 0), framing),
            "doff of 1": (struct.pack(">IBBH", 8, 1, 0, 0), framing),
            "sasl frame": (frame(raw.SASL_INIT, [Symbol("PLAIN"), b""], kind=1), framing),
            "unknown performative": (frame(0x30, []), decode),
            "cut performative": (struct.pack(">IBBH", 12, 2, 0, 0) + b"\x00\x53\x12\xc0", decode),
            "not a list": (struct.pack(">IBBH", 12, 2, 0, 0) + b"\x00\x53\x12\x41", decode),
            "a field of another type": (frame(raw.FLOW, ["0", 2048, 0, 2048]), decode),
            "a mandatory field left out": (frame(raw.ATTACH, ["x", 1]), decode),
            "second open": (raw.open_frame(), "amqp:illegal-state"),
            "close on another channel": (frame(raw.CLOSE, [], 3), framing),
            "begin on a used channel": (raw.begin(0), "amqp:illegal-state"),
            "begin that answers none of ours": (frame(raw.BEGIN, [raw.Ushort(0), 0, 9, 9], 1), "amqp:invalid-field"),
            "attach on a channel without session": (raw.attach("x", 1, True, "tenant/x", channel=5), "amqp:not-found"),
            "flow on a channel without session": (raw.flow(0, 1, channel=5), "amqp:not-found"),
            "end on a channel without session": (frame(raw.END, [], 5), "amqp:not-found"),
            "attach on a used handle": (link + raw.attach("y", 1, True, "tenant/y"), "amqp:session:handle-in-use"),
            "a handle above 65535": (raw.attach("x", 65536, True, "tenant/x"), limit),
            "transfer on no handle": (raw.transfer(7, 0, b"x"), unattached),
            "flow on no handle": (raw.flow(7, 1), unattached),
            "detach of no handle": (frame(raw.DETACH, [9, True]), unattached),
            "detach twice": (link + 2 * frame(raw.DETACH, [1, True]), unattached),
        }
        for name, (data, condition) in cases.items():
            with self.subTest(name):
                self.assertEqual(self.closes_with(data), condition)

    def test_frames_before_open_close_the_connection(self):
        for name, (data, condition) in {
                "begin": (raw.begin(), "amqp:illegal-state"),
                "attach": (raw.attach("x", 0, True, "tenant/x"), "amqp:illegal-state"),
                "empty": (struct.pack(">IBBH", 8, 2, 0, 0), "amqp:illegal-state"),
                "open without container": (frame(raw.OPEN, [None]), "amqp:decode-error"),
                "open on another channel": (frame(raw.OPEN, ["x"], 1), "amqp:connection:framing-error"),
                "open with a tiny frame": (raw.open_frame(max_frame=511), "amqp:invalid-field")}.items():
            with self.subTest(name):
                self.assertEqual(self.closes_with(data, connected=False), condition)

    def test_first_transfer_without_delivery_id_is_refused(self):
        """The engine of Debian 12 would abort on it (PROTON-2853)."""
        with Raw10(self.koseki) as peer:
            peer.connect()
            peer.request_links()
            peer.send(raw.transfer(1, None, b"abc", more=True) + raw.transfer(1, None, b"def"))
            frames = peer.until_end()
            self.assertEqual(frames[-1][1], raw.CLOSE)

    def test_transfer_on_a_reply_link_is_refused(self):
        with Raw10(self.koseki) as peer:
            peer.connect()
            peer.request_links()
            peer.send(raw.transfer(0, 0, b"abc"))
            self.assertEqual(peer.until_end()[-1][1], raw.CLOSE)

    def test_a_frame_cut_at_each_byte_is_put_together(self):
        with Raw10(self.koseki) as peer:
            self.assertEqual(peer.login(), 0)
            for byte in raw.AMQP_HEADER + raw.open_frame() + raw.begin():
                peer.send(bytes([byte]))
            self.assertEqual(peer.header(), raw.AMQP_HEADER)
            peer.expect(raw.OPEN)
            peer.expect(raw.BEGIN)

    def test_everything_pipelined_in_one_write(self):
        with Raw10(self.koseki) as peer:
            body = raw.message("get", "tenant/p", "id-1", body=b'{"tenant-id":"T1"}')
            peer.send(raw.sasl_plain() + raw.AMQP_HEADER + raw.open_frame() + raw.begin() +
                      raw.attach("r", 0, True, "tenant/p") + raw.flow(0, 10) +
                      raw.attach("s", 1, False, "tenant"))
            self.assertEqual(peer.header(), raw.SASL_HEADER)
            peer.expect(raw.SASL_OUTCOME)
            self.assertEqual(peer.header(), raw.AMQP_HEADER)
            peer.expect(raw.FLOW)
            peer.send(raw.transfer(1, 0, body))
            peer.expect(raw.TRANSFER)
            self.assertIn(b'"tenant-id":"T1"', peer.payload)

    CONVERSATION = [
        raw.sasl_plain(), raw.AMQP_HEADER, raw.open_frame(), raw.begin(), raw.attach("r", 0, True, "tenant/c"),
        raw.flow(0, 10), raw.attach("s", 1, False, "tenant"),
        raw.transfer(1, 0, raw.message("get", "tenant/c", "id", body=b'{"tenant-id":"T1"}')),
        frame(raw.DISPOSITION, [True, 0, 0, True, raw.Described(0x24, [])]), frame(raw.DETACH, [1, True]),
        frame(raw.END, []), frame(raw.CLOSE, [])]

    def test_a_conversation_with_any_frame_doubled_ends_in_order(self):
        for number, doubled in enumerate(self.CONVERSATION):
            with self.subTest(number), Raw10(self.koseki) as peer:
                frames = list(self.CONVERSATION)
                frames.insert(number, doubled)
                peer.flood(b"".join(frames))
                peer.header()
                peer.expect(raw.SASL_OUTCOME)
                peer.header()
                last = peer.until_end()[-1]
                self.assertEqual(last[1], raw.CLOSE)
                if number != 11:  # behind a CLOSE nothing needs to be looked at
                    # a flow or an outcome may be said twice
                    self.assertEqual(last[2][0] is None if last[2] else True, number in (5, 8), last)

    def test_a_conversation_cut_anywhere_harms_nobody(self):
        whole = b"".join(self.CONVERSATION)
        for at in range(len(whole)):
            with Raw10(self.koseki) as peer:
                peer.send(whole[:at])
                if at % 3 == 0:
                    peer.sock.shutdown(socket.SHUT_WR)
                    peer.flood(b"")
                elif at % 3 == 1:  # a reset
                    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Deadlines(unittest.TestCase):
    def test_half_done_handshakes_are_dropped(self):
        """10 s, as documented: silent, in the middle of SASL, and without OPEN."""
        with Koseki() as koseki:
            start = time.monotonic()
            stages = [b"", raw.SASL_HEADER, raw.SASL_HEADER + b"\x00\x00"]
            peers = [Raw10(koseki) for _ in range(len(stages) + 1)]
            for peer, data in zip(peers, stages):
                peer.send(data)
            self.assertEqual(peers[-1].login(), 0)
            for peer in peers:
                peer.sock.settimeout(WAIT)
                try:
                    while peer.sock.recv(4096):
                        pass
                except ConnectionError:
                    pass
                peer.close()
            self.assertGreater(time.monotonic() - start, 5)  # it was the deadline


class Limits(unittest.TestCase):
    def test_connections_beyond_the_cap_are_closed_and_the_others_are_served(self):
        with Koseki(amqp__max_connections=3) as koseki:
            koseki.create_tenant()
            first = [Adapter(koseki) for _ in range(3)]
            with self.assertRaises((raw.Closed, ConnectionError)):
                with Raw10(koseki) as peer:
                    peer.login()
            self.assertEqual(status(first[0].tenant("T1")), 200)
            for adapter in first:
                adapter.close()
            koseki.wait_for(lambda: self.gets_in(koseki), "room for one more")

    @staticmethod
    def gets_in(koseki):
        try:
            with Raw10(koseki) as peer:
                return peer.login() == 0
        except (raw.Closed, ConnectionError):
            return False

    def test_links_beyond_the_limit_end_the_connection(self):
        with Koseki(amqp__max_links=10) as koseki:
            with Raw10(koseki) as peer:
                peer.connect()
                for i in range(11):
                    peer.send(raw.attach(f"l{i}", i, True, f"tenant/{i}"))
                frames = peer.until_end()
                self.assertEqual(frames[-1][1], raw.CLOSE)
                self.assertEqual(frames[-1][2][0].value[0], "amqp:resource-limit-exceeded")

    def test_a_message_over_the_limit_detaches_its_link_only(self):
        with Koseki(amqp__max_message_size=4096) as koseki:
            koseki.create_tenant()
            with Raw10(koseki) as peer:
                peer.connect()
                peer.request_links()
                peer.send(raw.transfer(1, 0, b"x" * 3000, more=True) +
                          raw.transfer(1, None, b"x" * 3000, more=True))
                detach = peer.expect(raw.DETACH)
                self.assertEqual(detach[2].value[0], "amqp:link:message-size-exceeded")
                peer.send(raw.frame(raw.DETACH, [1, True]) + raw.attach("s2", 2, False, "tenant"))
                peer.expect(raw.FLOW)
                peer.send(raw.transfer(2, 1, raw.message("get", "tenant/raw-reply", "i",
                                                          body=b'{"tenant-id":"T1"}')))
                peer.expect(raw.TRANSFER)

    def test_more_transfers_than_credit_detach_the_link(self):
        with Koseki(amqp__link_credit=5) as koseki:
            with Raw10(koseki) as peer:
                peer.connect()
                peer.request_links()
                self.assertEqual(peer.granted, 5)
                peer.send(b"".join(raw.transfer(1, i, b"", more=False) for i in range(200)))
                detach = peer.expect(raw.DETACH)
                self.assertEqual(detach[2].value[0], "amqp:link:transfer-limit-exceeded")


