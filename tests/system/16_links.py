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

    def test_a_request_link_is_unsettled_and_first_whatever_was_asked(self):
        peer = self.connected()
        for handle, (sender, receiver) in enumerate(((None, None), (Ubyte(0), FIRST), (Ubyte(2), SECOND))):
            source = Described(0x28, ["mine", None, Symbol("never")])
            peer.send(frame(raw.ATTACH, [f"s{handle}", handle, False, sender, receiver, source,
                                         Described(0x29, ["tenant", 0]), None, None, 0, None, None,
                                         Symbol("wish"), {Symbol("p"): 1}]))
            attach = peer.expect(raw.ATTACH)
            self.assertEqual(attach[2:5], [True, 0, 0])
            self.assertEqual((attach[5].value[0], attach[6].value[0]), ("mine", "tenant"))
            self.assertEqual(attach[10], 65536)  # max-message-size
            self.assertEqual(attach[11:], [None] * 3)  # no capabilities, no properties
            self.assertEqual(peer.expect(raw.FLOW)[6], 500)

    def test_an_accepted_attach_gives_the_termini_back(self):
        """But for the source's default outcome, which the engine does not keep."""
        outcomes = ("amqp:accepted:list", "amqp:rejected:list")
        symbols = b"\xa3" + b"".join(bytes([len(s)]) + s.encode() for s in outcomes)
        source = ["tenant/back", 1, Symbol("never"), 7, True, {Symbol("p"): 1}, Symbol("copy"), {Symbol("f"): 1},
                  Described(0x26, []), raw.Raw(b"\xe0" + bytes([len(symbols) + 1, 2]) + symbols), Symbol("cap")]
        target = ["me", 2, Symbol("session-end"), 9, False, None, Symbol("cap")]
        peer = self.connected()
        peer.send(frame(raw.ATTACH, ["r", 0, True, None, None, Described(0x28, source), Described(0x29, target)]))
        attach = peer.expect(raw.ATTACH)
        told = attach[5].value
        self.assertEqual(told[:8] + told[10:], source[:8] + source[10:])
        for outcome in outcomes:
            self.assertIn(outcome.encode(), told[9])
        self.assertEqual(attach[6].value, target)

    def test_names_of_endpoints_have_their_letter_case(self):
        peer = self.connected()
        for handle, address in enumerate(("Tenant", "TENANT", "tenants", "tenan", " tenant")):
            peer.send(raw.attach(f"l{handle}", handle, False, address))
            self.assertEqual(peer.expect(raw.DETACH)[2].value[0], "amqp:not-found")

    def test_slashes_at_the_end_do_not_count(self):
        peer = self.connected()
        for handle, address in enumerate(("tenant/", "tenant//", "credentials/T1/")):
            peer.send(raw.attach(f"l{handle}", handle, False, address))
            self.assertEqual(peer.expect(raw.ATTACH)[6].value[0], address)  # as the client wrote it
            peer.expect(raw.FLOW)

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

    def test_a_request_names_an_open_reply_link_of_its_endpoint_and_connection(self):
        other = self.connected()
        other.request_links(reply="tenant/of-another")
        peer = self.connected()
        peer.send(raw.attach("c", 2, True, "credentials/T1/x") + raw.flow(2, 10))
        reply = peer.request_links(reply="tenant/mine")
        for n, wrong in enumerate(("tenant/of-another", "credentials/T1/x", "tenant/MINE", "tenant/min",
                                   "tenant/mine/", "tenant", "")):
            with self.subTest(wrong):
                self.refused(peer, n, wrong)
        self.serves(peer, 7, reply)
        self.assertFalse(other.has_input(0))

    def test_the_address_is_known_without_the_slashes_at_its_end(self):
        peer = self.connected()
        peer.send(raw.attach("r", 0, True, "tenant/x//") + raw.flow(0, 10) + raw.attach("s", 1, False, "tenant"))
        peer.expect(raw.FLOW)
        self.refused(peer, 0, "tenant/x//")
        self.serves(peer, 1, "tenant/x")
        peer.send(raw.attach("again", 2, True, "tenant/x/"))
        self.assertEqual(peer.expect(raw.DETACH)[2].value[:2], [
            "amqp:illegal-state", "reply-to address [tenant/x] is already subscribed"])

    def test_connections_may_use_the_same_address(self):
        peers = [self.connected() for _ in range(3)]
        for peer in peers:
            self.serves(peer, 0, peer.request_links(reply="tenant/same"))

    def test_the_tenant_of_a_reply_address_is_its_own_affair(self):
        peer = self.connected()
        reply = "registration/another/x"
        peer.request_links("registration/T1", reply)
        peer.send(raw.transfer(1, 0, raw.message("assert", reply, "m", properties={"device_id": "D1"})))
        peer.expect(raw.TRANSFER)
        self.assertEqual(raw.sections(peer.payload)[1].value["tenant_id"], "T1")

    def test_an_address_is_free_again_when_its_link_its_session_or_its_connection_has_ended(self):
        for end in (frame(raw.DETACH, [0, True], 1), frame(raw.DETACH, [0, False], 1), frame(raw.END, [], 1)):
            peer = self.connected()
            peer.send(raw.begin(1) + raw.attach("r", 0, True, "tenant/freed", channel=1) + end)
            peer.expect(raw.ATTACH)
            self.serves(peer, 0, peer.request_links(reply="tenant/freed"))
            peer.close()


class AnyOrder(Links):
    def test_a_reply_link_may_come_after_the_request_link(self):
        peer = self.connected()
        peer.send(raw.attach("s", 1, False, "tenant"))
        peer.expect(raw.FLOW)
        peer.send(get(0, "tenant/late"))
        self.assertEqual(self.outcome(peer), (REJECTED, "amqp:precondition-failed"))
        peer.send(raw.attach("r", 0, True, "tenant/late") + raw.flow(0, 10))
        self.serves(peer, 1, "tenant/late")

    def test_channels_and_handles_are_the_clients_choice(self):
        peer = self.peer()
        peer.login()
        peer.send(raw.AMQP_HEADER + raw.open_frame() + raw.begin(31) + raw.begin(7))
        peer.header()
        peer.send(raw.attach("r", 65535, True, "tenant/r", channel=7) + raw.flow(65535, 10, channel=7) +
                  raw.attach("s", 4711, False, "tenant", channel=31))
        peer.expect(raw.FLOW)
        self.serves(peer, 0, "tenant/r", handle=4711, channel=31)

    def test_a_link_left_open_is_closed_and_may_be_attached_again(self):
        """closed=false: a client that wants to resume. Nothing is kept to be resumed; the link is new."""
        peer = self.connected()
        for n in range(3):
            reply = peer.request_links()
            self.serves(peer, n, reply)
            error = Described(0x1D, [Symbol("amqp:internal-error"), "as you like"])
            for handle in (1, 0):
                peer.send(frame(raw.DETACH, [handle, False, error]))
                self.assertEqual(peer.expect(raw.DETACH)[1:2], [True])

    def test_either_link_may_go_first(self):
        for first, second in ((0, 1), (1, 0)):
            peer = self.connected()
            peer.request_links()
            peer.send(frame(raw.DETACH, [first, True]) + frame(raw.DETACH, [second, True]))
            peer.expect(raw.DETACH)
            peer.expect(raw.DETACH)
            self.serves(peer, 0, peer.request_links())

    def test_a_session_may_end_with_an_error_and_begin_again(self):
        peer = self.connected()
        for n in range(3):
            peer.send(raw.begin(1) + raw.attach("r", 0, True, "tenant/s", channel=1) +
                      raw.flow(0, 10, channel=1) + raw.attach("s", 1, False, "tenant", channel=1))
            while peer.expect(raw.FLOW)[4] != 1:
                pass
            self.serves(peer, 0, "tenant/s", channel=1)
            peer.send(frame(raw.END, [Described(0x1D, [Symbol("amqp:internal-error"), "bye"])], 1))
            ended = peer.expect(raw.END)
            self.assertFalse(any(ended))

    def test_sessions_end_in_any_order_and_leave_the_others_alone(self):
        peer = self.connected()
        peer.send(b"".join(raw.begin(n) for n in range(1, 6)))
        for n in range(1, 6):
            peer.expect(raw.BEGIN)
        for n in range(1, 6):
            peer.send(raw.attach("r", 0, True, f"tenant/{n}", channel=n) + raw.flow(0, 10, channel=n) +
                      raw.attach("s", 1, False, "tenant", channel=n))
        for turn, (alive, ended) in enumerate((((1, 2, 4, 5), 3), ((2, 4, 5), 1), ((2, 4), 5))):
            peer.send(frame(raw.END, [], ended))
            peer.expect(raw.END)
            for n in alive:
                self.serves(peer, turn, f"tenant/{n}", channel=n)

    def test_the_reply_link_may_be_in_a_session_that_began_later_and_end_first(self):
        peer = self.connected()
        peer.send(raw.attach("s", 0, False, "tenant"))
        peer.expect(raw.FLOW)
        for n in range(2):
            peer.send(raw.begin(1) + raw.attach("r", 0, True, "tenant/r", channel=1) + raw.flow(0, 10, channel=1))
            peer.expect(raw.ATTACH)
            self.serves(peer, 2 * n, "tenant/r", handle=0)
            peer.send(frame(raw.END, [], 1))
            peer.expect(raw.END)
            peer.send(get(2 * n + 1, "tenant/r", handle=0))
            while (outcome := self.outcome(peer))[0] == ACCEPTED:  # of the request before
                pass
            self.assertEqual(outcome, (REJECTED, "amqp:precondition-failed"))


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


class Credit(Links):
    """Four at a time: who is not given back what a request took is stuck soon."""

    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki(amqp__link_credit=4)
        cls.koseki.create_tenant("T1")

    def setUp(self):
        self.link = self.connected()
        self.reply = self.link.request_links(credit=1000)
        self.sent, self.credit = 0, self.link.granted

    def send(self, payload, settled=False):
        while self.credit <= 0:
            flow = self.link.expect(raw.FLOW)
            if flow[4] == 1:  # the request link's
                self.credit = flow[5] + flow[6] - self.sent
        self.link.send(raw.transfer(1, self.sent, payload, settled=settled))
        self.sent += 1
        self.credit -= 1

    def test_it_comes_back_whatever_becomes_of_a_request(self):
        body = b'{"tenant-id":"T1"}'
        for case, payload in {
                "answered": raw.message("get", self.reply, "m", body=body),
                "refused": raw.message("put", self.reply, "m"), "rejected": raw.message("get", None, "m"),
                "no reply link": raw.message("get", "tenant/none", "m", body=body),
                "modified": b"\xff" * 9, "empty": b""}.items():
            for settled in (False, True):
                with self.subTest((case, settled)):
                    for _ in range(10):
                        self.send(payload, settled)

    def test_it_comes_back_when_answers_find_nobody(self):
        """They wait for credit when their link detaches."""
        for n in range(10):
            self.link.send(raw.attach("gone", 7, True, "tenant/gone"))
            for _ in range(2):
                self.send(raw.message("get", "tenant/gone", f"m{n}", body=b'{"tenant-id":"T1"}'))
            self.link.send(frame(raw.DETACH, [7, True]))


class Delivery(Links):
    def test_answers_have_tags_and_ids_that_count(self):
        peer = self.connected()
        reply = peer.request_links()
        peer.send(raw.attach("r2", 2, True, "tenant/second") + raw.flow(2, 10))
        for n, (to, tag) in enumerate(((reply, 1), (reply, 2), ("tenant/second", 1), (reply, 3))):
            peer.send(get(n, to))
            transfer = peer.expect(raw.TRANSFER)
            self.assertEqual(transfer[1:4], [n, struct.pack(">I", tag), 0])  # ids of the session, tags of the link

    def test_accepted_does_not_mean_authorized(self):
        """A request is accepted before it is looked at; what became of it is told by its answer."""
        peer = self.connected(user="one@HONO")
        peer.request_links("tenant", "tenant/r")
        peer.send(raw.transfer(1, 0, raw.message("get", "tenant/r", "m", body=b'{"tenant-id":"T2"}')))
        kinds = {}
        while len(kinds) < 2:
            _, kind, fields, payload = peer.read()
            kinds[kind] = (fields, payload)
        self.assertEqual(kinds[raw.DISPOSITION][0][4].descriptor, ACCEPTED)
        self.assertEqual(raw.sections(kinds[raw.TRANSFER][1])[1].value["status"], 403)

    def test_echo_asks_for_nothing(self):
        peer = self.connected()
        reply = peer.request_links()
        peer.send(frame(raw.FLOW, [0, 2048, 0, 2048, 0, 0, 10, None, False, True]))
        peer.send(get(0, reply))
        self.assertNotEqual(peer.read()[1], raw.FLOW)  # the outcome or the answer comes next

    def test_drain_answers_at_once_when_nothing_waits_and_again(self):
        peer = self.connected()
        peer.request_links(credit=0)
        for n in range(1, 4):
            peer.send(raw.flow(0, 10, delivery_count=10 * (n - 1), drain=True))
            fields = peer.expect(raw.FLOW)
            self.assertEqual((fields[4], fields[5], fields[6]), (0, 10 * n, 0))

    def test_a_drained_link_goes_on_with_new_credit(self):
        peer = self.connected()
        reply = peer.request_links(credit=0)
        peer.send(raw.flow(0, 5, drain=True))
        peer.expect(raw.FLOW)
        peer.send(get(0, reply))
        self.outcome(peer)
        peer.send(raw.flow(0, 1, delivery_count=5))
        peer.expect(raw.TRANSFER)


del Links  # the base has no tests
