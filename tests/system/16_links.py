"""Links, sessions and what is on them: in any order, refused, taken up again, with any reply address."""
import struct
import unittest

from support import raw
from support.raw import Described, Raw10, Symbol, Ubyte, frame
from support.server import Koseki

GET = b'{"tenant-id":"T1"}'
ACCEPTED, REJECTED = 0x24, 0x25
FIRST, SECOND = Ubyte(0), Ubyte(1)


def get(n, reply, handle=1, **options):
    return raw.transfer(handle, n, raw.message("get", reply, f"m{n}", body=GET), **options)


class Links(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki(tls=True)
        cls.koseki.create_tenant("T1")
        cls.koseki.create_device("T1", "D1")

    @classmethod
    def tearDownClass(cls):
        cls.koseki.close()

    def peer(self, **options):
        peer = Raw10(self.koseki, **options)
        self.addCleanup(peer.close)
        return peer

    def connected(self, **options):
        return self.peer().connect(**options)

    def outcome(self, peer):
        """(descriptor, condition or None) of the next outcome of a request."""
        state = peer.expect(raw.DISPOSITION)[4]
        return state.descriptor, state.value[0].value[0] if state.descriptor == REJECTED else None

    def serves(self, peer, n, reply, **options):
        peer.send(get(n, reply, **options))
        peer.expect(raw.TRANSFER)
        self.assertIn(b"m%d" % n, peer.payload)


class Attach(Links):
    def test_a_refused_attach_has_no_terminus_and_no_credit(self):
        peer = self.connected()
        for handle, data in enumerate((
                raw.attach("a", 0, False, "nowhere"), raw.attach("b", 1, True, "nowhere/x"),
                raw.attach("c", 2, False, "tenant", settle=1), raw.attach("d", 3, True, "tenant"),
                raw.attach("e", 4, False, None), raw.attach("f", 5, True, None))):
            with self.subTest(handle):
                peer.send(data)
                attach = peer.expect(raw.ATTACH)
                self.assertEqual(attach[3:7], [0, 0, None, None])  # settle modes, source, target
                _, kind, detach, _ = peer.read()
                self.assertEqual((kind, detach[0], detach[1]), (raw.DETACH, attach[1], True))
                peer.send(frame(raw.DETACH, [handle, True]))

    def test_a_segment_behind_the_tenant_names_no_device(self):
        """Nor does one behind `tenant` name a tenant."""
        peer = self.connected()
        peer.send(raw.attach("r", 0, True, "registration/T1/r") + raw.flow(0, 10) +
                  raw.attach("s", 1, False, "registration/T1/ghost") +
                  raw.attach("t", 2, True, "tenant/r") + raw.flow(2, 10) +
                  raw.attach("u", 3, False, "tenant/ghost"))
        while peer.expect(raw.FLOW)[4] != 3:
            pass
        peer.send(raw.transfer(1, 0, raw.message("assert", "registration/T1/r", "m0",
                                                 properties={"device_id": "D1"})))
        peer.expect(raw.TRANSFER)
        self.assertIn(b'{"device-id":"D1"', peer.payload)
        for n, (body, to, tenant) in enumerate((
                (b'{"subject-dn":"CN=nobody"}', "tenant", None), (b"nonsense", "tenant", None),
                (b'{"tenant-id":"T2"}', "tenant/T2", "T2"))):
            peer.send(raw.transfer(3, n + 1, raw.message("get", "tenant/r", "m", body=body)))
            peer.expect(raw.TRANSFER)
            (properties, application, _) = raw.sections(peer.payload)
            self.assertEqual(properties.value[2], to)
            self.assertEqual(application.value.get("tenant_id"), tenant)


class ReplyAddresses(Links):
    def refused(self, peer, n, reply):
        peer.send(get(n, reply))
        self.assertEqual(self.outcome(peer), (REJECTED, "amqp:precondition-failed"))

    def test_the_address_is_known_without_the_slashes_at_its_end(self):
        peer = self.connected()
        peer.send(raw.attach("r", 0, True, "tenant/x//") + raw.flow(0, 10) + raw.attach("s", 1, False, "tenant"))
        peer.expect(raw.FLOW)
        self.refused(peer, 0, "tenant/x//")
        self.serves(peer, 1, "tenant/x")
        peer.send(raw.attach("again", 2, True, "tenant/x/"))
        self.assertEqual(peer.expect(raw.DETACH)[2].value[:2], [
            "amqp:illegal-state", "reply-to address [tenant/x] is already subscribed"])


class Pipelined(Links):
    def everything(self, peer, user, password, end=b""):
        """From the SASL header to requests in one write, as a client that trusts its login may do."""
        peer.send(raw.sasl_plain(user, password) + raw.AMQP_HEADER + raw.open_frame() + raw.begin() +
                  raw.attach("r", 0, True, "tenant/p") + raw.flow(0, 10) + raw.attach("s", 1, False, "tenant") +
                  get(0, "tenant/p") + get(1, "tenant/p") + end)
        self.assertEqual(peer.header(), raw.SASL_HEADER)
        peer.expect(raw.SASL_MECHANISMS)
        return peer.expect(raw.SASL_OUTCOME)[0]

    def test_what_comes_behind_the_login_waits_for_its_outcome(self):
        for options in ({}, {"tls": True}):
            for user, password in (("adapter@HONO", "secret"), ("hashed@HONO", "hashed-secret")):
                with self.subTest((options, user)):
                    peer = self.peer(**options)
                    self.assertEqual(self.everything(peer, user, password), 0)
                    self.assertEqual(peer.header(), raw.AMQP_HEADER)
                    for n in range(2):
                        peer.expect(raw.TRANSFER)
                        self.assertIn(b"m%d" % n, peer.payload)

    def test_behind_a_refused_login_it_is_thrown_away(self):
        for user, password in (("adapter@HONO", "wrong"), ("hashed@HONO", "wrong")):
            with self.subTest(user):
                peer = self.peer()
                self.assertEqual(self.everything(peer, user, password), 1)
                self.assertEqual(peer.until_end(), [])

    def test_a_close_behind_requests_is_answered(self):
        peer = self.peer()
        self.assertEqual(self.everything(peer, "hashed@HONO", "hashed-secret", frame(raw.CLOSE, [])), 0)
        peer.header()
        last = peer.until_end()[-1]
        self.assertEqual((last[1], last[2]), (raw.CLOSE, []))


del Links  # the base has no tests
