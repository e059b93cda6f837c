"""Brokers that mean harm, or are broken: what they can make us spend is bounded, and we say what is wrong."""
import socket
import ssl
import struct
import threading
import time

from support import pki
from support.adapter import Adapter
from support.messaging import Messaging
from support.raw import (AMQP_HEADER, ATTACH, BEGIN, CLOSE, DETACH, DISPOSITION, END, FLOW, OPEN, SASL_HEADER, SASL_INIT,
                         SASL_MECHANISMS, SASL_OUTCOME, TRANSFER, Closed, Described, Raw, Raw10, Symbol, Ubyte, Ushort, frame)

EMPTY = struct.pack(">IBBH", 8, 2, 0, 0)
RECEIVED = Described(0x23, [0, 0])
FOREVER = 1000.0


def opening(idle=None):
    return AMQP_HEADER + frame(OPEN, ["hostile", None, None, None, idle, None, None, Symbol("ANONYMOUS-RELAY")])


def begin(answers=0, channel=0, window=100000):
    return frame(BEGIN, [None if answers is None else Ushort(answers), 0, window, window, 65535], channel)


def attach(name, handle=0, receives=True):
    return frame(ATTACH, [name, handle, receives, None, None, Described(0x28, [None]), Described(0x29, [None])] +
                 ([] if receives else [None, None, 0]))


def flow(credit, handle=0):
    return frame(FLOW, [0, 100000, 0, 2048, handle, 0, credit])


def disposition(first, last, state=RECEIVED):
    return frame(DISPOSITION, [True, first, last, False, state])


def closing(name, text):
    return frame(CLOSE, [Described(0x1D, [name, text])])


def begun(peer):
    """Up to an open session."""
    assert peer.header() == AMQP_HEADER
    peer.send(opening() + begin())
    peer.expect(BEGIN)


def attached(peer, credit=0):
    """Up to a link; its name."""
    begun(peer)
    name = peer.expect(ATTACH)[0]
    peer.send(attach(name) + (flow(credit) if credit else b""))
    return name


class Hostile(Messaging):
    def setUp(self):
        super().setUp()
        self.stop_broker()
        self.over = threading.Event()
        self.addCleanup(self.over.set)

    def serve(self, talk, tls=None, buffer=None):
        """The address of a broker that does `talk` with each connection after the login, then reads to the end."""
        listener = socket.create_server(("127.0.0.1", 0))
        if buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.addCleanup(listener.close)

        def meet(sock):
            try:
                sock.settimeout(30)
                peer = Raw10(None, sock=tls.wrap_socket(sock, server_side=True) if tls else sock)
                peer.header()
                peer.send(SASL_HEADER + frame(SASL_MECHANISMS, [Symbol("ANONYMOUS")], kind=1))
                peer.expect(SASL_INIT)
                peer.send(frame(SASL_OUTCOME, [Ubyte(0)], kind=1))
                if talk(peer) is None:
                    peer.until_end()
                peer.close()
            except (OSError, Closed):  # what was wrong is seen at the other end
                sock.close()

        def run():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=meet, args=(sock,), daemon=True).start()

        threading.Thread(target=run, daemon=True).start()
        return f"{'amqps' if tls else 'amqp'}://127.0.0.1:{listener.getsockname()[1]}"

    def against(self, talk, tenant=None, **options):
        """A registry with such a broker."""
        served = {key: options.pop(key) for key in ("tls", "buffer") if key in options}
        koseki = self.open(messaging__urls=self.serve(talk, **served), **options)
        koseki.create_tenant("T1", **(tenant or {}))
        return koseki

    def wait_trouble(self, koseki, words, seconds=60):
        koseki.wait_for(lambda: words in koseki.log(), f"trouble: {words}", seconds)

    def memory(self, koseki):
        """Resident, in MiB."""
        with open(f"/proc/{koseki.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) >> 10

    def flood(self, peer, data):
        while not self.over.is_set():
            peer.send(data)


class Time(Hostile):
    """Deadlines hold whatever comes."""

    def check_login(self, data):
        flooding = threading.Event()

        def talk(peer):
            attached(peer, credit=100)
            flooding.set()
            self.flood(peer, data)

        koseki = self.against(talk, provisioning__event_wait="200ms")
        self.assertTrue(flooding.wait(30))
        with Adapter(koseki) as adapter:
            start = time.monotonic()
            for _ in range(3):
                self.provision(adapter)  # as no event is accepted, each waits for as long as it may
            self.assertLess(time.monotonic() - start, 10)
        self.assertTrue(self.messaging(koseki)["connected"])
        self.assertGreaterEqual(self.messaging(koseki)["waits-out"], 3)

    def test_heartbeats_without_end_hold_up_no_login(self):
        self.check_login(EMPTY * 4000)

    def test_flows_without_end_hold_up_no_login(self):
        self.check_login(frame(FLOW, [0, 100000, 0, 2048]) * 1000)

    def test_an_open_that_never_ends(self):
        start = time.monotonic()

        def talk(peer):
            peer.send(AMQP_HEADER + struct.pack(">IBBH", 32768, 2, 0, 0))
            while not self.over.is_set():
                peer.send(b"\0")
                time.sleep(0.001)

        self.wait_trouble(self.against(talk), "the broker did not answer the login and OPEN in time")
        self.assertLess(time.monotonic() - start, 20)

    def test_silence(self):
        self.wait_trouble(self.against(lambda peer: begun(peer) or self.over.wait(FOREVER)),
                          "the broker was silent for 10 s")

    def test_a_broker_that_takes_nothing(self):
        def talk(peer):
            attached(peer, credit=5000)
            while not self.over.wait(0.5):
                peer.send(EMPTY)

        koseki = self.against(talk, buffer=4096, tenant={"defaults": {"x": "x" * 30000}},
                              provisioning__event_wait="10ms")
        self.provision_many(koseki, 200)
        self.wait_trouble(koseki, "the broker took nothing for 10 s")


class Frames(Hostile):
    """One frame too many ends the connection; memory stays what it was."""

    def check(self, frames, words, until=begun):
        def talk(peer):
            name = until(peer)
            peer.send(frames(name) if callable(frames) else frames)

        koseki = self.against(talk)
        self.wait_trouble(koseki, words)
        self.assertLess(self.memory(koseki), 400)

    def test_before_the_opening(self):
        for frames, words in ((EMPTY, "an empty frame before OPEN"), (begin(), "a frame before OPEN"),
                              (opening(idle=1)[8:], "idle-time-out is below 100 ms"),
                              (struct.pack(">IBBH", 40000, 2, 0, 0), "a frame of 40000 bytes")):
            with self.subTest(words):
                self.check(AMQP_HEADER + frames, words, until=lambda peer: peer.header())
        self.check(b"AMQP\0\0\x09\1", "does not speak AMQP 1.0.0", until=lambda peer: peer.header())

    def test_a_second_opening(self):
        self.check(opening()[8:], "a second OPEN")

    def test_sessions_that_answer_none(self):
        self.check(opening() + begin(answers=77), "a session that we did not begin", until=lambda peer: peer.header())
        for frames in (begin(answers=None, channel=1), begin(answers=1, channel=1)):
            self.check(frames, "a session that we did not begin")
        self.check(begin(channel=1), "too many sessions")
        self.check(begin(), "a channel that has a session")
        self.check(begin(channel=32), "above the channel-max")
        self.check(frame(END, []), "the broker ended the session")

    def test_links_that_answer_none(self):
        self.check(attach("mine", 1), "a link that we did not open", until=attached)
        self.check(lambda name: attach(name, 1), "a link of this name", until=attached)
        self.check(lambda name: attach(name, 1, receives=False), "a link on which the peer sends", until=attached)
        self.check(lambda name: attach("other", 0), "a handle that is in use", until=attached)
        self.check(lambda name: frame(DETACH, [0, True]) + attach(name), "a link that we did not open",
                   until=attached)
        self.check(flow(1, handle=7), "a handle without a link")
        self.check(frame(DETACH, [7, True]), "a handle without a link")
        self.check(frame(TRANSFER, [0, 0, b"t", 0], payload=b"\0"), "TRANSFER on a link", until=attached)

    def test_dispositions_again_and_again(self):
        """Of all that is on its way; and of much more."""
        taken = []

        def talk(peer):
            attached(peer, credit=5000)
            count = 0
            while count < 150:
                count += peer.read()[1] == TRANSFER
            taken.append(count)
            peer.send(disposition(0, count - 1) * 3000)

        koseki = self.against(talk, provisioning__event_wait="10ms")
        self.provision_many(koseki, 100)
        self.wait_trouble(koseki, "the broker names the same deliveries again and again")
        self.assertTrue(taken)
        self.assertLess(self.memory(koseki), 400)
        self.check(disposition(0, 70000), "the same deliveries again and again")

    def test_a_long_reason_counts_as_many_deliveries(self):
        state = Described(0x25, [Described(0x1D, [Symbol("amqp:internal-error"), "x" * 30000])])
        self.check(disposition(0, 4095, state), "the same deliveries again and again")


class Words(Hostile):
    """What a broker says reaches whoever looks, and breaks nothing."""

    def trouble(self, frames):
        koseki = self.against(lambda peer: begun(peer) or peer.send(frames))
        koseki.wait_for(lambda: self.messaging(koseki).get("trouble"), "the reason")
        return self.messaging(koseki)["trouble"]

    def test_characters_that_are_cut(self):
        self.assertEqual(self.trouble(closing(Symbol("amqp:connection:redirect"), "é" * 200)),
                         "the broker closed the connection: amqp:connection:redirect, " + "é" * 97 + "?")

    def test_bytes_that_are_no_characters(self):
        self.assertEqual(self.trouble(closing(Raw(b"\xa3\x03a\xff\n"), Raw(b"\xa1\x04\xc3\x28\"\x80"))),
                         "the broker closed the connection: a?\n, ?(\"?")

    def test_a_peculiar_opening_is_taken(self):
        """Capabilities as a list, properties that are none, an idle time-out as short as can be."""
        fields = ["x", "y", 1 << 20, Ushort(9), 100, "en", ["de"], [Symbol("ANONYMOUS-RELAY")], None, {7: "z\0"}]

        def talk(peer):
            peer.header()
            peer.send(AMQP_HEADER + frame(OPEN, fields) + begin(channel=9 % 4))
            peer.expect(ATTACH)

        koseki = self.against(talk)
        koseki.wait_for(lambda: self.messaging(koseki)["connected"], "the connection")

    def test_a_broker_behind_tls_that_dies(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki.path("server.pem"), pki.path("server.key"))
        koseki = self.against(lambda peer: attached(peer), tls=context, messaging__ca=pki.path("ca.pem"))
        self.wait_trouble(koseki, "the broker ended the connection")
        self.assertNotIn("TLS failed", koseki.log())
