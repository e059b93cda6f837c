"""The connection level of the AMQP side, rule by rule: SASL, open, sessions, links, flow, delivery."""
import struct
import unittest
import uuid

from support import raw
from support.raw import Described, Int, Raw, Raw10, Symbol, Ubyte, Ulong, frame
from support.server import Koseki

GET = b'{"tenant-id":"T1"}'


def request(reply="tenant/raw-reply", message_id="m", **parts):
    return raw.message("get", reply, message_id, body=GET, **parts)


class Connections(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki(tls=True)
        cls.koseki.create_tenant("T1")

    @classmethod
    def tearDownClass(cls):
        cls.koseki.close()

    def peer(self, **options):
        peer = Raw10(self.koseki, **options)
        self.addCleanup(peer.close)
        return peer

    def connected(self, **options):
        return self.peer().connect(**options)


class Sasl(Connections):
    def test_the_server_is_silent_until_the_client_has_spoken(self):
        peer = self.peer()
        self.assertFalse(peer.has_input(0.3))
        peer.send(raw.SASL_HEADER)
        self.assertEqual(peer.header(), raw.SASL_HEADER)

    def test_mechanisms_are_external_then_plain(self):
        peer = self.peer(tls=True, certificate="client")
        peer.send(raw.SASL_HEADER)
        peer.header()
        self.assertEqual(bytes(peer.expect(raw.SASL_MECHANISMS)[0])[1:],
                         b"\xa3\x08EXTERNAL\x05PLAIN")

    def test_the_amqp_header_follows_the_outcome_unasked(self):
        peer = self.peer()
        self.assertEqual(peer.login(), 0)
        self.assertEqual(peer.header(), raw.AMQP_HEADER)

    def test_the_init_may_come_in_pieces(self):
        peer = self.peer()
        for byte in raw.sasl_plain():
            peer.send(bytes([byte]))
        peer.header()
        self.assertEqual(peer.expect(raw.SASL_OUTCOME)[0], 0)

    def test_the_host_name_of_the_init_is_ignored(self):
        peer = self.peer()
        peer.send(raw.SASL_HEADER + frame(raw.SASL_INIT, [
            Symbol("PLAIN"), b"\0adapter@HONO\0secret", "elsewhere.example"], kind=1))
        peer.header()
        self.assertEqual(peer.expect(raw.SASL_OUTCOME)[0], 0)

    def test_plain_has_exactly_three_fields_of_utf8(self):
        for response in (b"", b"adapter@HONO", b"\0adapter@HONO", b"\0adapter@HONO\0secret\0",
                         b"\0adapter@HONO\0", b"\0\0secret", b"\0adapter@HONO\0\xff", None):
            with self.subTest(response):
                peer = self.peer()
                peer.send(raw.SASL_HEADER + frame(raw.SASL_INIT, [Symbol("PLAIN"), response], kind=1))
                peer.header()
                self.assertEqual(peer.expect(raw.SASL_OUTCOME)[0], 1)
                self.assertEqual(peer.until_end(), [])

    def test_an_authzid_counts_only_with_the_right_to_act_for_others(self):
        permissions = {
            "roles": {"all": [{"resource": "*", "activities": ["READ", "WRITE"]}]},
            "users": {
                "plain": {"mechanism": "PLAIN", "password": "p", "authorities": []},
                "proxy": {"mechanism": "PLAIN", "password": "p", "authorities": ["hono-component"]},
                "target": {"mechanism": "EXTERNAL", "authorities": ["all"]},
            }}
        with Koseki(permissions=permissions, http__listen=None) as koseki:
            for user, authzid, condition in (("proxy", "target", None),
                                             ("proxy", "nobody", "amqp:unauthorized-access"),
                                             ("plain", "target", "amqp:unauthorized-access")):
                with self.subTest((user, authzid)), Raw10(koseki) as peer:
                    peer.connect(user, "p", authzid=authzid)
                    peer.send(raw.attach("s", 0, False, "tenant"))
                    peer.expect(raw.ATTACH)
                    if condition is None:
                        self.assertEqual(peer.expect(raw.FLOW)[4], 0)
                    else:
                        self.assertEqual(peer.expect(raw.DETACH)[2].value[0], condition)


class Opening(Connections):
    def test_open_says_what_the_server_is(self):
        peer = self.peer()
        peer.login()
        peer.send(raw.AMQP_HEADER + raw.open_frame())
        peer.header()
        fields = peer.expect(raw.OPEN)
        self.assertTrue(fields[0].endswith(str(self.koseki.port("amqp.listen"))) or
                        fields[0].endswith(str(self.koseki.port("amqp.tls-listen"))))
        self.assertIsNone(fields[1])  # hostname
        self.assertEqual(fields[2], 32768)  # max-frame-size
        self.assertEqual(fields[3], 31)  # channel-max
        self.assertEqual(fields[4], 10000)  # idle-time-out
        self.assertEqual(len(fields) > 7 and fields[7], None)  # nothing offered
        self.assertEqual(fields[9]["product"], "koseki")

    def test_host_capabilities_and_properties_of_the_client_are_ignored(self):
        peer = self.peer()
        peer.login()
        peer.send(raw.AMQP_HEADER + frame(raw.OPEN, [
            "", "elsewhere.example", None, None, None, Symbol("de-DE"), None, Symbol("X"),
            Symbol("ANONYMOUS-RELAY"), {Symbol("product"): "x", Symbol("more"): [1, {"a": b"b"}]}]))
        peer.header()
        peer.expect(raw.OPEN)

    def test_nothing_is_opened_before_the_client_opens(self):
        peer = self.peer()
        peer.login()
        peer.send(raw.AMQP_HEADER)
        peer.header()
        self.assertFalse(peer.has_input(0.3))
        peer.send(raw.open_frame())
        peer.expect(raw.OPEN)
        self.assertFalse(peer.has_input(0.3))
        peer.send(raw.begin())
        # remote-channel, next-outgoing-id, windows; no handle-max
        self.assertEqual(peer.expect(raw.BEGIN), [0, 0, 2048, 0x7FFFFFFF])

    def test_close_is_answered_and_the_socket_ended(self):
        peer = self.connected()
        peer.send(frame(raw.CLOSE, []))
        frames = peer.until_end()
        self.assertEqual([f[1] for f in frames], [raw.CLOSE])
        self.assertIsNone(frames[0][2][0] if frames[0][2] else None)

    def test_close_with_an_error_is_answered_all_the_same(self):
        peer = self.connected()
        peer.send(frame(raw.CLOSE, [Described(0x1D, [Symbol("amqp:internal-error"), "bye"])]))
        self.assertEqual([f[1] for f in peer.until_end()], [raw.CLOSE])

    def test_an_idle_time_out_that_would_be_nothing_but_heartbeats_is_refused(self):
        for idle in (1, 99):
            peer = self.peer()
            peer.login()
            peer.send(raw.AMQP_HEADER + raw.open_frame(idle=idle))
            peer.header()
            self.assertEqual(peer.until_end()[-1][2][0].value[:2], [
                "amqp:invalid-field", "idle-time-out is below 100 ms"])
        for idle in (0, 100, 0xFFFFFFFF):
            self.connected(idle=idle).request_links()

    def test_heartbeats_come_and_go_on_coming(self):
        """Many idle peers for many beats: a beat whose timer is lost is the last of its connection."""
        peers = [self.connected(idle=400) for _ in range(50)]
        for _ in range(10):
            for peer in peers:
                peer.send(struct.pack(">IBBH", 8, 2, 0, 0))
                self.assertIsNone(peer.read(empty=True)[1])

    def test_frames_keep_to_the_clients_max_frame_size(self):
        self.koseki.http("POST", "/v1/tenants/BIG", {"ext": {"filler": "x" * 3000}})
        peer = self.connected(max_frame=512)
        reply = peer.request_links()
        peer.send(raw.transfer(1, 0, raw.message("get", reply, "m", body=b'{"tenant-id":"BIG"}')))
        sizes = []
        body = b""
        while True:
            fields = peer.expect(raw.TRANSFER)
            sizes.append(peer.frame_size)
            body += peer.payload
            if len(fields) < 6 or not fields[5]:
                break
        self.assertLessEqual(max(sizes), 512)
        self.assertGreater(len(sizes), 5)
        self.assertIn(b"x" * 3000, body)

    def test_a_client_that_names_no_frame_size_gets_an_answer_in_one_frame(self):
        self.koseki.http("POST", "/v1/tenants/LARGE", {"ext": {"filler": "x" * 50000}})
        for max_frame in (None, 0xFFFFFFFF, 60000):
            peer = self.connected(max_frame=max_frame)
            reply = peer.request_links()
            peer.send(raw.transfer(1, 0, raw.message("get", reply, "m", body=b'{"tenant-id":"LARGE"}')))
            self.assertFalse(any(peer.expect(raw.TRANSFER)[5:6]))  # more
            self.assertIn(b"x" * 50000, peer.payload)

    def test_answers_keep_to_the_clients_session_window(self):
        peer = self.peer()
        peer.login()
        peer.send(raw.AMQP_HEADER + raw.open_frame() + frame(raw.BEGIN, [None, 0, 3, 2048, 1023]))
        peer.header()
        peer.expect(raw.BEGIN)
        peer.send(raw.attach("r", 0, True, "tenant/w") +
                  frame(raw.FLOW, [0, 3, 0, 2048, 0, 0, 100]) + raw.attach("s", 1, False, "tenant"))
        while peer.expect(raw.FLOW)[4] != 1:
            pass
        for i in range(8):
            peer.send(raw.transfer(1, i, request("tenant/w", f"m{i}")))
        for _ in range(3):
            peer.expect(raw.TRANSFER)
        self.assertEqual(peer.kinds_within(0.3).count(raw.TRANSFER), 0)
        peer.send(frame(raw.FLOW, [3, 3, 8, 2048]))
        for _ in range(3):
            peer.expect(raw.TRANSFER)
        self.assertEqual(peer.kinds_within(0.3).count(raw.TRANSFER), 0)


class Sessions(Connections):
    def test_links_of_one_request_may_be_in_two_sessions(self):
        peer = self.connected()
        peer.send(raw.begin(1))
        peer.expect(raw.BEGIN)
        peer.send(raw.attach("r", 0, True, "tenant/two", channel=1) +
                  raw.flow(0, 10, channel=1) + raw.attach("s", 0, False, "tenant"))
        peer.expect(raw.FLOW)
        peer.send(raw.transfer(0, 0, request("tenant/two")))
        peer.expect(raw.TRANSFER)

    def test_an_ended_session_frees_its_reply_addresses(self):
        peer = self.connected()
        for _ in range(3):
            peer.send(raw.begin(1) + raw.attach("r", 0, True, "tenant/freed", channel=1))
            self.assertEqual(peer.expect(raw.ATTACH)[5].value[0], "tenant/freed")
            peer.send(frame(raw.END, [], 1))
            peer.expect(raw.END)

    def test_a_session_ended_with_links_and_answers_harms_no_other(self):
        peer = self.connected()
        reply = peer.request_links()
        peer.send(raw.begin(1) + raw.attach("r1", 0, True, "tenant/other", channel=1) +
                  raw.attach("s1", 1, False, "tenant", channel=1))
        peer.expect(raw.ATTACH)
        peer.expect(raw.ATTACH)
        for i in range(20):  # the answers wait for credit that never comes
            peer.send(raw.transfer(1, i, request("tenant/other"), channel=1))
        peer.send(frame(raw.END, [], 1))
        peer.expect(raw.END)
        peer.send(raw.transfer(1, 0, request(reply)))
        peer.expect(raw.TRANSFER)

    def test_more_sessions_than_the_limit_in_a_connections_life_end_it(self):
        peer = self.connected()
        peer.flood((raw.begin(1) + frame(raw.END, [], 1)) * 1100)
        close = peer.until_end()[-1]
        self.assertEqual(close[1], raw.CLOSE)
        self.assertEqual(close[2][0].value[0], "amqp:resource-limit-exceeded")

    def test_a_channel_above_channel_max_ends_the_connection(self):
        peer = self.connected()
        peer.send(raw.begin(32))
        self.assertEqual(peer.until_end()[-1][2][0].value[0], "amqp:resource-limit-exceeded")


class Links(Connections):
    def attach_refused(self, data):
        """(our attach, the detach's error); they come back to back."""
        peer = self.connected()
        peer.send(data)
        attach = peer.expect(raw.ATTACH)
        _, kind, detach, _ = peer.read()
        self.assertEqual(kind, raw.DETACH)
        self.assertIs(detach[1], True)
        return attach, detach[2].value[:2]

    def test_anonymous_dynamic_and_coordinator_targets_are_not_allowed(self):
        source = Described(0x28, [None])
        for name, target in {
                "no target": None, "no address": Described(0x29, [None]),
                "empty address": Described(0x29, [""]),
                "dynamic": Described(0x29, [None, None, None, None, True]),
                "coordinator": Described(0x30, [None])}.items():
            with self.subTest(name):
                attach, error = self.attach_refused(
                    frame(raw.ATTACH, ["l", 0, False, None, None, source, target, None, None, 0]))
                self.assertEqual(error, ["amqp:not-allowed", "anonymous relay not supported"])
                self.assertIsNone(attach[6])

    def test_dynamic_and_missing_sources_are_not_found(self):
        for name, source in {
                "no source": None, "no address": Described(0x28, [None]),
                "dynamic": Described(0x28, [None, None, None, None, True])}.items():
            with self.subTest(name):
                attach, error = self.attach_refused(
                    frame(raw.ATTACH, ["l", 0, True, None, None, source, Described(0x29, [None])]))
                self.assertEqual(error, ["amqp:not-found", "no endpoint registered for address null"])
                self.assertIsNone(attach[5])

    def test_a_dynamic_source_with_an_address_goes_by_its_address(self):
        peer = self.connected()
        peer.send(frame(raw.ATTACH, ["l", 0, True, None, None, Described(
            0x28, ["tenant/chosen", None, None, None, True]), Described(0x29, [None])]))
        self.assertEqual(peer.expect(raw.ATTACH)[5].value[0], "tenant/chosen")

    def test_refusals_have_honos_words(self):
        reply = "reply-to address must have the following format {}/<tenant>/<reply-address>"
        for data, error in (
                (raw.attach("l", 0, False, "nowhere/x"),
                 ["amqp:not-found", "no endpoint registered for address nowhere/x"]),
                (raw.attach("l", 0, True, "/tenant"),
                 ["amqp:not-found", "no endpoint registered for address /tenant"]),
                (raw.attach("l", 0, False, "tenant", settle=1),
                 ["amqp:precondition-failed", "endpoint requires AT_LEAST_ONCE QoS"]),
                (raw.attach("l", 0, True, "tenant"), ["amqp:invalid-field", reply.format("tenant")]),
                (raw.attach("l", 0, True, "registration/T1"),
                 ["amqp:invalid-field", reply.format("registration")]),
                (raw.attach("l", 0, True, "credentials/T1/"),
                 ["amqp:invalid-field", reply.format("credentials")])):
            with self.subTest(error[0]):
                self.assertEqual(self.attach_refused(data)[1], error)

    def test_an_empty_tenant_segment_needs_a_grant_of_the_whole_endpoint(self):
        for data in (raw.attach("l", 0, True, "registration//x"),
                     raw.attach("l", 0, True, "credentials//x"),
                     raw.attach("l", 0, False, "registration")):
            self.assertEqual(self.attach_refused(data)[1], ["amqp:unauthorized-access", "unauthorized"])

    def test_more_segments_than_needed_are_accepted(self):
        peer = self.connected()
        for handle, (receiver, address) in enumerate((
                (False, "tenant/x/y"), (False, "registration/T1/dev"), (True, "registration/T1/a/b/c"),
                (True, "tenant/x/y/z"))):
            peer.send(raw.attach(f"l{handle}", handle, receiver, address))
            self.assertEqual(peer.expect(raw.ATTACH)[5 if receiver else 6].value[0], address)

    def test_an_accepted_attach_echoes_termini_and_says_unsettled_and_first(self):
        source = Described(0x28, ["tenant/echo", None, None, None, None, None, None, None,
                                  Described(0x26, []), Symbol("amqp:accepted:list")])
        peer = self.connected()
        peer.send(frame(raw.ATTACH, ["r", 0, True, Ubyte(2), Ubyte(1), source, Described(0x29, ["me"])]))
        attach = peer.expect(raw.ATTACH)
        self.assertEqual(attach[0], "r")
        self.assertIs(attach[2], False)
        self.assertEqual(attach[3] or 0, 0)
        self.assertEqual(attach[4] or 0, 0)
        self.assertEqual(attach[5].value[0], "tenant/echo")
        self.assertEqual(attach[6].value[0], "me")
        self.assertEqual(attach[9], 0)  # initial-delivery-count

    def test_credit_comes_with_the_attach_of_a_request_link(self):
        peer = self.connected()
        peer.send(raw.attach("s", 0, False, "tenant"))
        peer.expect(raw.ATTACH)
        self.assertEqual(peer.read()[1], raw.FLOW)

    def test_the_null_source_of_a_sender_is_accepted(self):
        peer = self.connected()
        peer.send(frame(raw.ATTACH, ["s", 0, False, None, None, None, Described(0x29, ["tenant"]),
                                     None, None, 0]))
        peer.expect(raw.FLOW)

    def test_one_name_serves_both_roles(self):
        peer = self.connected()
        peer.send(raw.attach("same", 0, True, "tenant/n") + raw.attach("same", 1, False, "tenant"))
        peer.expect(raw.ATTACH)
        peer.expect(raw.ATTACH)
        peer.expect(raw.FLOW)

    def test_detach_is_answered_closed_whatever_was_asked(self):
        for closed in (True, False, None):
            peer = self.connected()
            peer.request_links()
            for handle in (0, 1):
                peer.send(frame(raw.DETACH, [handle, closed]))
                self.assertIs(peer.expect(raw.DETACH)[1], True)

    def test_links_detach_and_attach_again_under_the_same_name_and_handle(self):
        peer = self.connected()
        for i in range(50):
            reply = peer.request_links()
            peer.send(raw.transfer(1, i, request(reply, f"m{i}")) )
            fields = peer.expect(raw.TRANSFER)
            self.assertEqual(fields[2], struct.pack(">I", 1))  # tags begin again with the link
            peer.send(frame(raw.DETACH, [0, True]) + frame(raw.DETACH, [1, True]))
            peer.expect(raw.DETACH)
            peer.expect(raw.DETACH)

    def test_a_request_received_before_its_link_detaches_is_answered(self):
        peer = self.connected()
        reply = peer.request_links()
        peer.send(raw.transfer(1, 0, request(reply)) + frame(raw.DETACH, [1, True]))
        peer.expect(raw.TRANSFER)

    def test_answers_for_a_detached_reply_link_are_dropped(self):
        peer = self.connected()
        reply = peer.request_links(credit=0)
        peer.send(raw.transfer(1, 0, request(reply)))
        peer.expect(raw.DISPOSITION)
        peer.send(frame(raw.DETACH, [0, True]))
        peer.expect(raw.DETACH)
        peer.send(raw.attach("again", 0, True, reply) + raw.flow(0, 10))
        peer.expect(raw.ATTACH)
        self.assertEqual(peer.kinds_within(0.3).count(raw.TRANSFER), 0)

    def test_a_transfer_behind_its_attach_is_served_and_on_a_refused_link_ignored(self):
        peer = self.connected()
        peer.send(raw.attach("r", 0, True, "tenant/p") + raw.flow(0, 10) +
                  raw.attach("bad", 1, False, "nowhere") + raw.transfer(1, 0, request("tenant/p", "bad")) +
                  raw.attach("s", 2, False, "tenant") + raw.transfer(2, 1, request("tenant/p", "good")))
        peer.expect(raw.TRANSFER)
        self.assertIn(b"good", peer.payload)
        self.assertEqual(peer.kinds_within(0.3).count(raw.TRANSFER), 0)

    def test_a_name_attached_twice_ends_the_connection(self):
        """The engine would end it as well; two links of one name cannot be told apart."""
        peer = self.connected()
        peer.send(raw.attach("twin", 0, False, "tenant") + raw.attach("twin", 1, False, "tenant"))
        self.assertEqual(peer.until_end()[-1][2][0].value[0], "amqp:illegal-state")


class Deliveries(Connections):
    def test_a_request_is_accepted_and_settled_and_its_answer_unsettled(self):
        peer = self.connected()
        reply = peer.request_links()
        peer.send(raw.transfer(1, 0, request(reply)))
        kinds = []
        while raw.TRANSFER not in kinds or raw.DISPOSITION not in kinds:
            _, kind, fields, _ = peer.read()
            kinds.append(kind)
            if kind == raw.DISPOSITION:
                self.assertIs(fields[0], True)  # our role: receiver
                self.assertIs(fields[3], True)  # settled
                self.assertEqual(fields[4].descriptor, 0x24)
            if kind == raw.TRANSFER:
                self.assertEqual(fields[1], 0)  # delivery-id
                self.assertEqual(fields[2], b"\0\0\0\1")
                self.assertFalse(any(fields[4:5]))  # unsettled
    def test_a_settled_request_is_answered_without_disposition(self):
        peer = self.connected()
        reply = peer.request_links()
        peer.send(raw.transfer(1, 0, request(reply), settled=True))
        kinds = [frame_[1] for frame_ in peer.until(raw.TRANSFER)] + peer.kinds_within(0.3)
        self.assertEqual(kinds.count(raw.TRANSFER), 1)
        self.assertNotIn(raw.DISPOSITION, kinds)

    def test_a_request_in_many_frames_is_put_together(self):
        peer = self.connected()
        reply = peer.request_links()
        data = request(reply)
        for i in range(len(data) - 1):
            peer.send(raw.transfer(1, 0 if i == 0 else None, data[i:i + 1], more=True))
        peer.send(raw.transfer(1, None, data[-1:]))
        peer.expect(raw.TRANSFER)

    def test_an_aborted_request_is_forgotten_and_its_credit_comes_back(self):
        with Koseki(amqp__link_credit=4) as koseki, Raw10(koseki) as peer:
            koseki.create_tenant("T1")
            peer.connect()
            reply = peer.request_links()
            credit = peer.granted
            for i in range(20):
                while credit == 0:
                    fields = peer.expect(raw.FLOW)
                    credit = fields[5] + fields[6] - i
                peer.send(raw.transfer(1, i, b"half", more=True) +
                          raw.transfer(1, None, b"", aborted=True))
                credit -= 1
            while credit == 0:
                fields = peer.expect(raw.FLOW)
                credit = fields[5] + fields[6] - 20
            peer.send(raw.transfer(1, 20, request(reply)))
            peer.expect(raw.TRANSFER)

    def test_deliveries_of_several_links_may_interleave(self):
        peer = self.connected()
        reply = peer.request_links()
        peer.send(raw.attach("other", 2, False, "tenant"))
        peer.expect(raw.FLOW)
        one, two = request(reply, "one"), request(reply, "two")
        peer.send(raw.transfer(1, 0, one[:10], more=True) + raw.transfer(2, 1, two[:20], more=True) +
                  raw.transfer(1, None, one[10:]) + raw.transfer(2, None, two[20:]))
        peer.expect(raw.TRANSFER)
        peer.expect(raw.TRANSFER)

    def test_the_clients_outcome_of_an_answer_changes_nothing(self):
        peer = self.connected()
        reply = peer.request_links()
        states = [Described(0x24, []), Described(0x25, []), Described(0x26, []),
                  Described(0x27, [True, True]), None]
        for i, state in enumerate(states):
            peer.send(raw.transfer(1, i, request(reply, f"m{i}")))
            fields = peer.expect(raw.TRANSFER)
            peer.send(frame(raw.DISPOSITION, [True, fields[1], None, True, state]))
        peer.send(raw.transfer(1, len(states), request(reply)))
        self.assertEqual(peer.expect(raw.TRANSFER)[1], len(states))
        self.assertEqual(peer.kinds_within(0.2).count(raw.TRANSFER), 0)  # nothing is sent again

    def test_an_outcome_without_settlement_is_settled_by_the_server(self):
        peer = self.connected()
        reply = peer.request_links()
        peer.send(raw.transfer(1, 0, request(reply)))
        fields = peer.expect(raw.TRANSFER)
        peer.send(frame(raw.DISPOSITION, [True, fields[1], None, False, Described(0x24, [])]))
        disposition = peer.expect(raw.DISPOSITION)
        while disposition[0]:  # of the request
            disposition = peer.expect(raw.DISPOSITION)
        self.assertIs(disposition[3], True)

    def test_unsettled_answers_are_bounded_and_settling_lets_them_flow(self):
        peer = self.connected()
        reply = peer.request_links(credit=5000)
        for sent in range(0, 1000, 100):
            for n in range(sent, sent + 100):
                peer.send(raw.transfer(1, n, request(reply), settled=True))
            for _ in range(100):
                peer.expect(raw.TRANSFER)
        for n in range(1000, 1200):
            peer.send(raw.transfer(1, n, request(reply), settled=True))
        self.assertNotIn(raw.TRANSFER, peer.kinds_within(0.5))
        peer.send(frame(raw.DISPOSITION, [True, 0, 999, True, Described(0x24, [])]))
        for _ in range(200):
            peer.expect(raw.TRANSFER)

    def test_ttl_expiry_and_message_format_are_ignored(self):
        peer = self.connected()
        reply = peer.request_links()
        header = raw.encode(Described(0x70, [True, Ubyte(9), 1]))
        properties = raw.encode(Described(0x73, [
            "m", b"user", "tenant", "get", reply, None, Symbol("text/plain"), Symbol("gzip"),
            Raw(b"\x83" + struct.pack(">Q", 1)), Raw(b"\x83" + struct.pack(">Q", 1)), "g", 7, "rg"]))
        body = raw.encode(Described(0x75, GET))
        peer.send(frame(raw.TRANSFER, [1, 0, b"t", 4711, False, False],
                        payload=header + properties + body))
        peer.expect(raw.TRANSFER)
        self.assertIn(b"\x71" + struct.pack(">i", 200), peer.payload)

    def test_drain_takes_the_credit_back_behind_the_answers(self):
        peer = self.connected()
        reply = peer.request_links(credit=0)
        for i in range(3):
            peer.send(raw.transfer(1, i, request(reply)))
        peer.send(raw.flow(0, 10, drain=True))
        for _ in range(3):
            peer.expect(raw.TRANSFER)
        fields = peer.expect(raw.FLOW)
        while fields[4] != 0:  # the request link's
            fields = peer.expect(raw.FLOW)
        self.assertEqual((fields[5], fields[6]), (10, 0))

    def test_credit_taken_away_holds_the_answers(self):
        peer = self.connected()
        reply = peer.request_links(credit=100)
        peer.send(raw.flow(0, 0))
        for i in range(3):
            peer.send(raw.transfer(1, i, request(reply)))
        self.assertEqual(peer.kinds_within(0.3).count(raw.TRANSFER), 0)
        peer.send(raw.flow(0, 3))
        for _ in range(3):
            peer.expect(raw.TRANSFER)


class Messages(Connections):
    """Section 3.1: what of a message is read, ignored, or not taken."""

    def setUp(self):
        self.link = self.connected()
        self.reply = self.link.request_links()
        self.sent = 0

    def outcome(self, payload):
        """The outcome's descriptor, and the answer if it was accepted."""
        self.link.send(raw.transfer(1, self.sent, payload))
        self.sent += 1
        state = answer = None
        while state is None or (state.descriptor == 0x24 and answer is None):
            _, kind, fields, more = self.link.read()
            if kind == raw.DISPOSITION:
                state = fields[4]
            elif kind == raw.TRANSFER:
                answer = more
            else:
                self.assertEqual(kind, raw.FLOW, fields)
        return state, answer

    def properties(self, **changes):
        names = ("message_id", "user_id", "to", "subject", "reply_to", "correlation", "content_type")
        values = {"message_id": "m", "subject": "get", "reply_to": self.reply, **changes}
        return raw.encode(Described(0x73, [values.get(name) for name in names]))

    def test_undecodable_messages_are_modified(self):
        body = raw.encode(Described(0x75, GET))
        cases = {
            "unknown section": raw.encode(Described(0x7F, [])) + self.properties(),
            "unknown section by name": b"\x00" + raw.encode(Symbol("x:y")) + b"\x45" + self.properties(),
            "property key no string": self.properties() + raw.encode(Described(0x74, {Symbol("a"): 1})),
            "annotation key no symbol": raw.encode(Described(0x72, {"a": 1})) + self.properties(),
            "subject as symbol": self.properties(subject=Symbol("get")) + body,
            "reply-to as symbol": self.properties(reply_to=Symbol(self.reply)) + body,
            "content-type as string": self.properties(content_type="application/json") + body,
            "user-id as string": self.properties(user_id="me") + body,
            "subject not UTF-8": self.properties(subject=Raw(b"\xa1\x02\xff\xfe")) + body,
            "data with a string": self.properties() + raw.encode(Described(0x75, "text")),
            "cut data": self.properties() + raw.encode(Described(0x75, GET))[:-3],
            "noise": b"\xff" * 40,
            "fourteen properties": raw.encode(Described(0x73, [None] * 14)),
        }
        for name, payload in cases.items():
            with self.subTest(name):
                state, _ = self.outcome(payload)
                self.assertEqual(state.descriptor, 0x27)
                self.assertEqual(state.value[:2], [True, True])  # delivery-failed, undeliverable-here

    def test_unusual_but_readable_messages_are_answered(self):
        body = raw.encode(Described(0x75, GET))
        deep = {Symbol("x-opt-trace-context"): [1, {"a": [uuid.UUID(int=7).bytes]}]}
        name = Symbol("amqp:properties:list")
        fields = raw.encode(["m", None, None, "get", self.reply])
        twice = b"".join(map(raw.encode, ("tenant_id", "T9", "tenant_id", "T1")))
        cases = {
            "message-id as int": self.properties(message_id=Int(-5)) + body,
            "message-id as uint": self.properties(message_id=5) + body,
            "message-id as symbol": self.properties(message_id=Symbol("id")) + body,
            "descriptor by name": b"\x00" + raw.encode(name) + fields + body,
            "trace context of any type": raw.encode(Described(0x72, deep)) + self.properties() + body,
            "maps, lists, uuids as properties": self.properties() + raw.encode(Described(
                0x74, {"a": {"b": [1, 2]}, "c": Raw(b"\x98" + bytes(16)), "d": None})) + body,
            "duplicate key": self.properties() + b"\x00\x53\x74\xc1" + bytes([len(twice) + 1, 4]) +
                             twice + body,
            "header, annotations, footer": raw.encode(Described(0x70, [])) +
                                           raw.encode(Described(0x71, {Symbol("a"): 1})) +
                                           self.properties() + body +
                                           raw.encode(Described(0x78, {Symbol("z"): 1})),
            "a repeated section is ignored": self.properties() + body + self.properties(subject="x"),
            "two data sections": self.properties() + body + raw.encode(Described(0x75, b"junk")),
        }
        for case, payload in cases.items():
            with self.subTest(case):
                state, answer = self.outcome(payload)
                self.assertEqual(state.descriptor, 0x24)
                self.assertIn(b"\x71" + struct.pack(">i", 200), answer)

    def test_messages_that_lack_what_an_answer_needs_are_rejected(self):
        cases = {
            "no sections": b"", "only a header": raw.encode(Described(0x70, [])),
            "no id": self.properties(message_id=None), "no subject": self.properties(subject=None),
            "no reply-to": self.properties(reply_to=None),
        }
        for case, payload in cases.items():
            with self.subTest(case):
                state, _ = self.outcome(payload)
                self.assertEqual(state.descriptor, 0x25)
                self.assertEqual(state.value[0].value[:2], ["hono:bad-request", "malformed request message"])

    def test_an_empty_correlation_id_wins_over_the_message_id(self):
        _, answer = self.outcome(self.properties(correlation="") + raw.encode(Described(0x75, GET)))
        properties, _ = raw.decode(answer)
        self.assertEqual(properties.value[5], "")

    def test_bodies_that_do_not_count_are_no_body(self):
        for case, section in {
                "empty data, then data": raw.encode(Described(0x75, b"")) + raw.encode(Described(0x75, GET)),
                "value of binary": raw.encode(Described(0x77, GET)),
                "value of symbol": raw.encode(Described(0x77, Symbol("x"))),
                "value of a map": raw.encode(Described(0x77, {"tenant-id": "T1"})),
                "value of a list": raw.encode(Described(0x77, ["T1"])),
                "value null": raw.encode(Described(0x77, None)),
                "value of an array of ubyte": raw.encode(Described(0x77, Raw(
                    b"\xe0" + bytes([len(GET) + 2, len(GET), 0x50]) + GET))),
                "sequence": raw.encode(Described(0x76, ["T1"])),
                "none": b""}.items():
            with self.subTest(case):
                _, answer = self.outcome(self.properties() + section)
                self.assertIn(b"\x71" + struct.pack(">i", 400), answer)

    def test_a_value_of_a_string_or_a_byte_array_is_a_body(self):
        array = b"\xf0" + struct.pack(">II", 5 + len(GET), len(GET)) + b"\x51" + GET
        for section in (Described(0x77, GET.decode()), Described(0x77, Raw(array))):
            _, answer = self.outcome(self.properties() + raw.encode(section))
            self.assertIn(b"\x71" + struct.pack(">i", 200), answer)

    def test_ids_keep_their_type(self):
        for value in (Ulong(2 ** 40), Raw(b"\x98" + bytes(range(16))), b"\x00\xff", "text"):
            _, answer = self.outcome(self.properties(message_id=value) + raw.encode(Described(0x75, GET)))
            self.assertIn(raw.encode(value), answer)
