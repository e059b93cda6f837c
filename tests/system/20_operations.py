"""The three APIs over AMQP, by Proton's Python client and by hand."""
import unittest
import uuid

from proton import Message, ulong
from proton.utils import SendException

from support import raw
from support.adapter import Adapter, payload, status
from support.raw import Raw10
from support.server import Koseki

JSON = "application/json"


class Operations(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki()
        cls.koseki.create_tenant("T1", ext={"note": "x"})
        cls.koseki.create_tenant("T2", cas=(), enabled=False)
        cls.koseki.create_device("T1", "D1", {"defaults": {"ttl": 30}}, [
            {"type": "hashed-password", "auth-id": "sensor1",
             "secrets": [{"pwd-plain": "hunter2", "comment": "old"}]},
            {"type": "psk", "auth-id": "little", "secrets": [{"key": "AAECAw=="}]},
            {"type": "hashed-password", "auth-id": "off", "enabled": False,
             "secrets": [{"pwd-plain": "hunter2"}]},
            {"type": "hashed-password", "auth-id": "mixed", "secrets": [
                {"pwd-plain": "a", "enabled": False},
                {"pwd-plain": "b", "not-after": "2020-01-01T00:00:00Z"},
                {"pwd-plain": "c", "not-before": "2020-01-01T00:00:00Z"}]},
            {"type": "hashed-password", "auth-id": "expired",
             "secrets": [{"pwd-plain": "b", "not-after": "2020-01-01T00:00:00Z"}]},
            {"type": "hashed-password", "auth-id": "with-ext", "ext": {"client-id": "c1"},
             "secrets": [{"pwd-plain": "b"}]},
        ])
        cls.koseki.create_device("T1", "D2", {"enabled": False})
        cls.adapter = Adapter(cls.koseki)

    @classmethod
    def tearDownClass(cls):
        cls.adapter.close()
        cls.koseki.close()

    def refused(self, answer, code, reason=None):
        self.assertEqual(status(answer), code, answer.body)
        body = payload(answer)
        self.assertIsInstance(body["description"], str)
        if reason:
            self.assertEqual(body["reason"], reason)

    # --- tenant ---

    def test_tenant_by_id(self):
        answer = self.adapter.tenant("T1")
        self.assertEqual(status(answer), 200)
        self.assertEqual(answer.content_type, JSON)
        self.assertEqual(answer.address, "tenant/T1")
        self.assertEqual(answer.properties["tenant_id"], "T1")
        self.assertEqual(answer.properties["cache_control"], "max-age = 180")
        body = payload(answer)
        self.assertEqual(body["tenant-id"], "T1")
        self.assertIs(body["enabled"], True)
        self.assertEqual(body["ext"], {"note": "x"})
        ca = body["trusted-ca"][0]
        self.assertIs(ca["auto-provisioning-enabled"], True)
        self.assertNotIn("id", ca)
        self.assertNotIn("cert", ca)

    def test_tenant_by_subject_dn(self):
        dn = payload(self.adapter.tenant("T1"))["trusted-ca"][0]["subject-dn"]
        for text in (dn, dn.replace(",", " , ")):
            answer = self.adapter.tenant(subject_dn=text)
            self.assertEqual(status(answer), 200)
            self.assertEqual(payload(answer)["tenant-id"], "T1")
            self.assertEqual(answer.properties["tenant_id"], "T1")

    def test_tenant_by_application_property(self):
        answer = self.adapter.call("tenant", "get", None, {"tenant_id": "T1"})
        self.assertEqual(payload(answer)["tenant-id"], "T1")

    def test_disabled_tenant_is_shown_as_such(self):
        answer = self.adapter.tenant("T2")
        self.assertEqual(status(answer), 200)
        self.assertIs(payload(answer)["enabled"], False)

    def test_unknown_tenant_and_unknown_dn_are_404(self):
        self.refused(self.adapter.tenant("nope"), 404, "unknown-tenant")
        self.refused(self.adapter.tenant(subject_dn="CN=nobody"), 404, "unknown-tenant")

    def test_malformed_tenant_requests_are_400(self):
        for body in (b"", b"[]", b"null", b"{", b"{} x", b'{"a":1}', b'{"tenant-id":5}',
                     b'{"tenant-id":"a","tenant-id":"b"}', b'{"tenant-id":"\xff"}',
                     b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}", b'{"subject-dn":"no name"}'):
            with self.subTest(body[:30]):
                self.refused(self.adapter.call("tenant", "get", body), 400)

    def test_unsupported_operation_is_400(self):
        self.refused(self.adapter.call("tenant", "add", {"tenant-id": "T1"}), 400,
                     "unsupported-operation")
        self.refused(self.adapter.call("registration/T1", "get", None, {"device_id": "D1"}), 400)

    # --- credentials ---

    def test_credentials_of_a_password_device(self):
        answer = self.adapter.credentials("T1", "hashed-password", "sensor1")
        self.assertEqual(status(answer), 200)
        self.assertEqual(answer.address, "credentials/T1")
        self.assertEqual(answer.properties["tenant_id"], "T1")
        self.assertEqual(answer.properties["cache_control"], "max-age = 180")
        body = payload(answer)
        self.assertEqual((body["device-id"], body["type"], body["auth-id"]),
                         ("D1", "hashed-password", "sensor1"))
        self.assertEqual(len(body["secrets"]), 1)
        secret = body["secrets"][0]
        self.assertEqual(secret["hash-function"], "bcrypt")
        self.assertTrue(secret["pwd-hash"].startswith("$2a$10$"))
        self.assertEqual(set(secret), {"hash-function", "pwd-hash"})

    def test_psk_is_not_to_be_cached(self):
        answer = self.adapter.credentials("T1", "psk", "little")
        self.assertEqual(status(answer), 200)
        self.assertEqual(payload(answer)["secrets"], [{"key": "AAECAw=="}])
        self.assertEqual(answer.properties["cache_control"], "no-cache")

    def test_what_is_disabled_or_out_of_its_time_is_not_shown(self):
        self.refused(self.adapter.credentials("T1", "hashed-password", "off"), 404)
        self.refused(self.adapter.credentials("T1", "hashed-password", "expired"), 404)
        answer = self.adapter.credentials("T1", "hashed-password", "mixed")
        self.assertEqual(len(payload(answer)["secrets"]), 1)
        self.assertEqual(payload(answer)["secrets"][0]["not-before"], "2020-01-01T00:00:00Z")

    def test_unknown_credentials_are_404_without_cache(self):
        for kind, auth_id in (("hashed-password", "nobody"), ("psk", "sensor1"), ("", ""),
                              ("hashed-password", "SENSOR1")):
            answer = self.adapter.credentials("T1", kind, auth_id)
            self.refused(answer, 404)
            self.assertEqual(answer.properties["cache_control"], "no-cache")
        self.refused(self.adapter.credentials("nope", "psk", "little"), 404, "unknown-tenant")

    def test_client_context_must_match_ext(self):
        self.assertEqual(status(self.adapter.credentials("T1", "hashed-password", "with-ext")), 200)
        for context, code in (({"client-id": "c1"}, 200), ({"client-id": "c2"}, 404),
                              ({"other": 1}, 200), ({"client-id": None}, 200)):
            answer = self.adapter.credentials("T1", "hashed-password", "with-ext", **context)
            self.assertEqual(status(answer), code, context)

    def test_malformed_credentials_requests_are_400(self):
        for body in (b"", b"[]", b'{"type":"psk"}', b'{"auth-id":"a"}', b'{"type":1,"auth-id":"a"}',
                     b'{"type":"psk","auth-id":"a","device-id":"d"}',
                     b'{"type":"psk","device-id":"d"}'):
            with self.subTest(body):
                self.refused(self.adapter.call("credentials/T1", "get", body), 400)

    # --- registration ---

    def test_assert_of_a_device(self):
        answer = self.adapter.assert_device("T1", "D1")
        self.assertEqual(status(answer), 200)
        self.assertEqual(payload(answer), {"device-id": "D1", "defaults": {"ttl": 30}})
        self.assertEqual(answer.properties["device_id"], "D1")
        self.assertEqual(answer.properties["cache_control"], "max-age = 300")
        self.assertEqual(answer.address, "registration/T1/D1")

    def test_assert_of_unknown_or_disabled_devices_is_404(self):
        self.refused(self.adapter.assert_device("T1", "D2"), 404)
        self.refused(self.adapter.assert_device("T1", "nope"), 404)
        self.refused(self.adapter.assert_device("T1", ""), 404)
        self.refused(self.adapter.assert_device("nope", "D1"), 404, "unknown-tenant")

    def test_assert_without_device_id_is_400(self):
        self.refused(self.adapter.call("registration/T1", "assert", None, {}), 400)
        self.refused(self.adapter.call("registration/T1", "assert", None, {"device_id": 5}), 400)

    # --- ids, bodies, shape of the answer ---

    def test_correlation_id_wins_and_keeps_its_type(self):
        for correlation in ("text", ulong(7), uuid.uuid4(), b"\x00\xff"):
            answer = self.adapter.call("tenant", "get", {"tenant-id": "T1"},
                                       correlation=correlation)
            self.assertEqual(answer.correlation_id, correlation)
        with Raw10(self.koseki) as peer:
            peer.connect()
            reply = peer.request_links()
            for n, correlation in enumerate((raw.Ulong(7), raw.Raw(b"\x53\x07"),
                                             raw.Raw(b"\x98" + bytes(16)), "text", b"\x01")):
                peer.send(raw.transfer(1, n, raw.message("get", reply, "m", correlation,
                                                         body=b'{"tenant-id":"T1"}')))
                peer.expect(raw.TRANSFER)
                self.assertIn(raw.encode(correlation), peer.payload)

    def test_status_is_an_amqp_int_and_the_message_id_a_uuid_text(self):
        with Raw10(self.koseki) as peer:
            peer.connect()
            reply = peer.request_links()
            peer.send(raw.transfer(1, 0, raw.message("get", reply, "m-1",
                                                     body=b'{"tenant-id":"T1"}')))
            peer.expect(raw.TRANSFER)
            self.assertIn(b"\xa1\x06status\x71\x00\x00\x00\xc8", peer.payload)
            properties, at = raw.decode(peer.payload)
            self.assertEqual(properties.descriptor, 0x73)
            uuid.UUID(properties.value[0])
            self.assertEqual(properties.value[5], "m-1")

    def test_a_body_as_amqp_value_string_is_read(self):
        message = Message(id="v", subject="get", body='{"tenant-id":"T1"}')
        sender, receiver, reply = self.adapter.pair("tenant")
        message.reply_to = reply
        sender.send(message)
        self.assertEqual(status(self.adapter.receive("tenant")), 200)

    def test_a_request_without_reply_link_is_rejected(self):
        sender, _, _ = self.adapter.pair("tenant")
        with self.assertRaises(SendException) as raised:
            sender.send(Message(id="x", subject="get", reply_to="tenant/elsewhere", body=b"{}"))
        self.assertEqual(raised.exception.state, 0x25)

    def test_malformed_requests_are_rejected(self):
        sender, _, reply = self.adapter.pair("tenant")
        for message in (Message(subject="get", reply_to=reply), Message(id="x", reply_to=reply),
                        Message(id="x", subject="get")):
            with self.assertRaises(SendException):
                sender.send(message)

    def test_rejection_names_its_condition(self):
        with Raw10(self.koseki) as peer:
            peer.connect()
            peer.request_links()
            peer.send(raw.transfer(1, 0, raw.message("get", None, "m-1", body=b"{}")))
            state = peer.expect(raw.DISPOSITION)[4]
            self.assertEqual(state.descriptor, 0x25)
            self.assertEqual(state.value[0].value[0], "hono:bad-request")
            peer.send(raw.transfer(1, 1, raw.message("get", "tenant/none", "m-1", body=b"{}")))
            state = peer.expect(raw.DISPOSITION)[4]
            self.assertEqual(state.value[0].value[0], "amqp:precondition-failed")
            peer.send(raw.transfer(1, 2, b"\x00\x53\x73\xc0"))
            self.assertEqual(peer.expect(raw.DISPOSITION)[4].descriptor, 0x27)


class Links(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki()
        cls.koseki.create_tenant("T1")

    @classmethod
    def tearDownClass(cls):
        cls.koseki.close()

    def refused(self, data, user="adapter@HONO"):
        """(condition, description) of the refusal; attach with null termini came before."""
        with Raw10(self.koseki) as peer:
            peer.connect(user=user)
            peer.send(data)
            attach = peer.expect(raw.ATTACH)
            receiver = not attach[2]  # our role
            terminus = attach[5] if receiver else attach[6]
            self.assertIsNone(terminus)
            error = peer.expect(raw.DETACH)[2].value
            # the connection goes on
            peer.send(raw.frame(raw.DETACH, [0, True]))
            if user != "none@HONO":
                peer.send(raw.attach("good", 1, True, "tenant/good"))
                self.assertEqual(peer.expect(raw.ATTACH)[5].value[0], "tenant/good")
            return error[0], error[1]

    def test_request_links_that_are_refused(self):
        for address, condition in (("nowhere", "amqp:not-found"), ("/tenant", "amqp:not-found"),
                                   (None, "amqp:not-allowed"), ("", "amqp:not-allowed")):
            with self.subTest(address):
                self.assertEqual(self.refused(raw.attach("l", 0, False, address))[0], condition)
        self.assertEqual(self.refused(raw.attach("l", 0, False, "tenant", settle=1))[0],
                         "amqp:precondition-failed")

    def test_reply_links_that_are_refused(self):
        for address, condition in (("nowhere/x", "amqp:not-found"), (None, "amqp:not-found"),
                                   ("tenant", "amqp:invalid-field"),
                                   ("credentials/T1", "amqp:invalid-field")):
            with self.subTest(address):
                self.assertEqual(self.refused(raw.attach("l", 0, True, address))[0], condition)

    def test_links_without_authority_are_refused(self):
        self.assertEqual(self.refused(raw.attach("l", 0, True, "tenant/x"), "none@HONO")[0],
                         "amqp:unauthorized-access")
        self.assertEqual(self.refused(raw.attach("l", 0, False, "credentials/T2"), "one@HONO")[0],
                         "amqp:unauthorized-access")

    def test_a_reply_address_is_taken_once_and_free_again_after_detach(self):
        with Raw10(self.koseki) as peer:
            peer.connect()
            peer.send(raw.attach("a", 0, True, "tenant/same"))
            peer.expect(raw.ATTACH)
            peer.send(raw.attach("b", 1, True, "tenant/same"))
            self.assertEqual(peer.expect(raw.DETACH)[2].value[0], "amqp:illegal-state")
            peer.send(raw.frame(raw.DETACH, [1, True]) + raw.frame(raw.DETACH, [0, True]))
            peer.expect(raw.DETACH)
            peer.send(raw.attach("c", 2, True, "tenant/same"))
            self.assertEqual(peer.expect(raw.ATTACH)[5].value[0], "tenant/same")

    def test_operations_need_their_own_authority(self):
        with Adapter(self.koseki, user="one@HONO") as adapter:
            self.assertEqual(status(adapter.tenant("T1")), 200)
            self.koseki.http("POST", "/v1/tenants/T3", {})
            # neither the one that exists nor the one that does not is told
            self.assertEqual(status(adapter.tenant("T3")), 403)
            self.assertEqual(status(adapter.tenant("T4")), 403)

    def test_answers_wait_for_credit_and_come_with_it(self):
        with Raw10(self.koseki) as peer:
            peer.connect()
            reply = peer.request_links(credit=0)
            for i in range(50):
                peer.send(raw.transfer(1, i, raw.message("get", reply, f"m-{i}",
                                                         body=b'{"tenant-id":"T1"}')))
            peer.send(raw.flow(0, 20))
            got = [peer.expect(raw.TRANSFER) for _ in range(20)]
            peer.send(raw.flow(0, 30, delivery_count=20, next_incoming=20))
            got += [peer.expect(raw.TRANSFER) for _ in range(30)]
            self.assertEqual([t[1] for t in got], list(range(50)))

    def test_drain_without_answers_returns_the_credit(self):
        with Raw10(self.koseki) as peer:
            peer.connect()
            peer.send(raw.attach("r", 0, True, "tenant/d"))
            peer.expect(raw.ATTACH)
            peer.send(raw.flow(0, 10, drain=True))
            fields = peer.expect(raw.FLOW)
            self.assertEqual(fields[6], 0)
            self.assertEqual(fields[5], 10)

    def test_settled_reply_links_get_settled_answers(self):
        with Raw10(self.koseki) as peer:
            peer.connect()
            peer.send(raw.attach("r", 0, True, "tenant/s", settle=1) + raw.flow(0, 10) +
                      raw.attach("s", 1, False, "tenant"))
            peer.expect(raw.FLOW)
            peer.send(raw.transfer(1, 0, raw.message("get", "tenant/s", "m", body=b"{}")))
            self.assertIs(peer.expect(raw.TRANSFER)[4], True)

    def test_credit_comes_back_over_many_requests(self):
        with Adapter(self.koseki) as adapter:
            for _ in range(40):
                ids = [adapter.send("tenant", "get", {"tenant-id": "T1"}) for _ in range(50)]
                got = {adapter.receive("tenant").correlation_id for _ in ids}
                self.assertEqual(got, set(ids))

    def test_links_attached_and_detached_many_times(self):
        with Raw10(self.koseki) as peer:
            peer.connect()
            for i in range(500):
                peer.send(raw.attach(f"r{i}", 0, True, "tenant/again") +
                          raw.frame(raw.DETACH, [0, True]))
                peer.expect(raw.DETACH)

    def test_sessions_begun_and_ended(self):
        with Raw10(self.koseki) as peer:
            peer.connect()
            for i in range(50):
                peer.send(raw.begin(1) + raw.attach("r", 0, True, "tenant/again", channel=1) +
                          raw.frame(raw.END, [], 1))
                peer.expect(raw.END)
            peer.send(raw.frame(raw.CLOSE, []))
            peer.expect(raw.CLOSE)
            self.assertEqual(peer.until_end(), [])
