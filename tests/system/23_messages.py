"""What an answer consists of, and what of a request counts: its body, its properties."""
import json
import unittest
import uuid

from proton import int32, symbol, ulong

from support import raw
from support.adapter import Adapter, payload, status
from support.raw import Raw10, Symbol
from support.server import Koseki

PROPERTIES, APPLICATION_PROPERTIES, DATA = 0x73, 0x74, 0x75
CREDENTIALS = {"type": "psk", "auth-id": "a"}


class Messages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki()
        cls.koseki.create_tenant("T1", cas=(), ext={"a": [1, {"b": None}]})
        cls.koseki.create_tenant("off", cas=(), enabled=False)
        for tenant in ("T1", "off"):
            cls.koseki.create_device(tenant, "D1", {}, [{**CREDENTIALS, "secrets": [{"key": "AAAA"}]}])
        cls.adapter = Adapter(cls.koseki)

    @classmethod
    def tearDownClass(cls):
        cls.adapter.close()
        cls.koseki.close()


class Answers(Messages):
    def ask(self, address, subject, body=None, properties=None, correlation="c"):
        """The sections of the answer, as they came."""
        with Raw10(self.koseki) as peer:
            peer.connect()
            reply = peer.request_links(address)
            peer.send(raw.transfer(1, 0, raw.message(subject, reply, "m", correlation, properties, body)))
            self.assertEqual(peer.expect(raw.TRANSFER)[3], 0)  # message-format
            self.encoded = peer.payload
            return raw.sections(peer.payload)

    def test_an_answer_has_these_parts_and_no_other(self):
        tenant = b'{"tenant-id":"T1"}'
        for address, subject, body, asked, to, told in (
                ("tenant", "get", tenant, None, "tenant/T1",
                 {"status": 200, "tenant_id": "T1", "cache_control": "max-age = 180"}),
                ("credentials/T1", "get", json.dumps(CREDENTIALS).encode(), None, "credentials/T1",
                 {"status": 200, "tenant_id": "T1", "cache_control": "no-cache"}),
                ("registration/T1", "assert", None, {"device_id": "D1", "more": "x"}, "registration/T1/D1",
                 {"status": 200, "tenant_id": "T1", "device_id": "D1", "cache_control": "max-age = 300"}),
                ("tenant", "get", b'{"tenant-id":"T2"}', None, "tenant/T2", {"status": 404, "tenant_id": "T2"}),
                ("tenant", "get", None, None, "tenant", {"status": 400}),
                ("registration/T1", "assert", None, {"device_id": "D2"}, "registration/T1/D2",
                 {"status": 404, "tenant_id": "T1", "device_id": "D2"})):
            with self.subTest((address, subject, told["status"])):
                sections = self.ask(address, subject, body, asked)
                self.assertEqual([s.descriptor for s in sections], [PROPERTIES, APPLICATION_PROPERTIES, DATA])
                properties, application, data = (s.value for s in sections)
                self.assertEqual(str(uuid.UUID(properties[0])), properties[0])
                # user-id, to, subject, reply-to, correlation-id, content-type
                self.assertEqual(properties[1:], [None, to, None, None, "c", "application/json"])
                self.assertIsInstance(properties[6], Symbol)
                self.assertEqual(application, told)
                self.assertIn(b"\xa1\x06status\x71" + told["status"].to_bytes(4, "big"), self.encoded)
                text = data.decode()
                self.assertEqual(json.dumps(json.loads(text), separators=(",", ":")), text)

    def test_an_answer_without_body_has_no_content_type(self):
        sections = self.ask("device_con/T1", "set-last-gw", None, {"device_id": "D1", "gateway_id": "g"})
        self.assertEqual([s.descriptor for s in sections], [PROPERTIES, APPLICATION_PROPERTIES])
        self.assertEqual(sections[0].value[1:], [None, "device_con/T1", None, None, "c"])
        self.assertEqual(sections[1].value, {"status": 204, "tenant_id": "T1"})

    def test_each_answer_has_an_id_of_its_own(self):
        answers = [self.adapter.tenant("T1") for _ in range(20)]
        self.assertEqual(len({answer.id for answer in answers}), 20)

    def test_the_message_id_is_the_correlation_id_where_there_is_none(self):
        for correlation, expected in ((None, "m"), ("c", "c"), ("", "")):
            self.assertEqual(self.ask("tenant", "get", b"{}", correlation=correlation)[0].value[5], expected)

    def test_the_device_id_is_echoed_by_every_endpoint_if_it_is_a_text(self):
        for address, subject, body, to in (
                ("tenant", "get", {"tenant-id": "T1"}, "tenant/T1/dev"), ("tenant", "get", {}, "tenant//dev"),
                ("tenant", "add", {"tenant-id": "T1"}, "tenant//dev"),
                ("credentials/T1", "get", CREDENTIALS, "credentials/T1/dev"),
                ("credentials/T1", "get", {}, "credentials/T1/dev"),
                ("registration/T1", "get", None, "registration/T1/dev")):
            with self.subTest((address, subject, body)):
                answer = self.adapter.call(address, subject, body, {"device_id": "dev"})
                self.assertEqual((answer.properties["device_id"], answer.address), ("dev", to))
                for other in (7, None, b"dev", symbol("dev"), ""):
                    answer = self.adapter.call(address, subject, body, {"device_id": other})
                    self.assertNotIn("device_id", answer.properties)
                    self.assertEqual(answer.address, to.removesuffix("dev").rstrip("/"))

    def test_the_device_of_credentials_is_told_in_the_body_only(self):
        answer = self.adapter.credentials("T1", **{"kind": "psk", "auth_id": "a"})
        self.assertEqual(payload(answer)["device-id"], "D1")
        self.assertNotIn("device_id", answer.properties)


class Requests(Messages):
    def test_a_body_must_be_a_json_object_in_utf8(self):
        for address, body in (("tenant", '{"tenant-id":"T1"}'), ("credentials/T1", json.dumps(CREDENTIALS))):
            utf8 = body.encode()
            for case, text, code in (
                    ("as it is", utf8, 200), ("blanks around", b" \t\r\n" + utf8 + b" \n", 200),
                    ("escapes", utf8.replace(b"-id", b"\\u002did"), 200),
                    ("byte order mark", b"\xef\xbb\xbf" + utf8, 400), ("UTF-16", body.encode("utf-16"), 400),
                    ("UTF-16 without mark", body.encode("utf-16-le"), 400),
                    ("comment", b"/* c */" + utf8, 400), ("line comment", utf8 + b"// c", 400),
                    ("single quotes", utf8.replace(b'"', b"'"), 400), ("trailing comma", utf8[:-1] + b",}", 400),
                    ("trailing text", utf8 + b" x", 400), ("two objects", utf8 + utf8, 400),
                    ("array", b"[" + utf8 + b"]", 400), ("string", b'"x"', 400), ("null", b"null", 400),
                    ("number", b"7", 400), ("blanks", b"  ", 400), ("cut", utf8[:-1], 400), ("nothing", b"", 400),
                    ("no UTF-8", utf8[:-1] + b',"x":"\xff"}', 400),
                    ("a name twice", utf8[:-1] + b',"x":1,"x":1}', 400), ("NUL", utf8 + b"\0", 400)):
                with self.subTest((address, case)):
                    answer = self.adapter.call(address, "get", text)
                    self.assertEqual(status(answer), code)
                    if code == 400:
                        self.assertEqual(payload(answer)["reason"], "bad-json")
                        self.assertNotIn("cache_control", answer.properties)

    def test_an_assertion_has_no_use_for_a_body(self):
        for body in (None, b"", b"nonsense", b"[]", b'{"device-id":"D2"}', b"\xff" * 1000):
            answer = self.adapter.call("registration/T1", "assert", body, {"device_id": "D1"})
            self.assertEqual(payload(answer), {"device-id": "D1"})

    def test_an_assertion_needs_its_device_as_a_text(self):
        for device, code in (("D1", 200), ("", 404), ("D" * 201, 404), ("D1\0", 404), (7, 400), (None, 400),
                             (b"D1", 400), (symbol("D1"), 400), (int32(1), 400), (ulong(1), 400), (["D1"], 400)):
            with self.subTest(device):
                answer = self.adapter.call("registration/T1", "assert", None, {"device_id": device})
                self.assertEqual(status(answer), code)
                self.assertEqual("cache_control" in answer.properties, code == 200)

    def test_an_assertion_does_not_look_at_the_tenant_it_only_needs_one(self):
        self.assertEqual(status(self.adapter.assert_device("off", "D1")), 200)
        self.assertEqual(status(self.adapter.assert_device("T2", "D1")), 404)
        answer = self.adapter.call("registration/T1", "assert", None, {"device_id": "D1", "tenant_id": "off"})
        self.assertEqual(answer.properties["tenant_id"], "T1")  # the link's

    def test_credentials_are_not_looked_up_by_device(self):
        answer = self.adapter.call("credentials/T1", "get", {"type": "psk", "device-id": "D1"})
        self.assertEqual((status(answer), payload(answer)["reason"]), (400, "bad-request"))
        self.assertNotIn("cache_control", answer.properties)
        for device in (None, 7, ["D1"]):  # counts as absent
            answer = self.adapter.call("credentials/T1", "get", {**CREDENTIALS, "device-id": device})
            self.assertEqual(status(answer), 200)

    def test_properties_of_the_request_that_nobody_asked_for_change_nothing(self):
        answer = self.adapter.call("tenant", "get", {"tenant-id": "T1"}, {
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "gateway_id": "g",
            "status": int32(500), "cache_control": "no-cache"})
        self.assertEqual(dict(answer.properties), {
            "status": 200, "tenant_id": "T1", "cache_control": "max-age = 180"})


del Messages  # the base has no tests
