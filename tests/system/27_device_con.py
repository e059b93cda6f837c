"""The Device Connection API of Hono 1.x, as its adapters call it."""
import json
import unittest

from proton import int32, symbol

from support import raw
from support.adapter import Adapter, payload, status
from support.raw import Raw10
from support.server import PERMISSIONS, Koseki

GET_ADAPTERS = "get-cmd-handling-adapter-instances"
SET_ADAPTER = "set-cmd-handling-adapter-instance"
REMOVE_ADAPTER = "remove-cmd-handling-adapter-instance"
GATEWAYS = 1256  # as many as an assertion may tell: 256 of `via`, 1,000 of groups


class DeviceConnection(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki(limits__max_device_connections_per_tenant=20)
        cls.adapter = Adapter(cls.koseki)

    @classmethod
    def tearDownClass(cls):
        cls.adapter.close()
        cls.koseki.close()

    def call(self, subject, body=None, tenant="T1", **properties):
        return self.adapter.call(f"device_con/{tenant}", subject, body, properties)

    def test_the_last_gateway_is_kept_and_replaced(self):
        self.assertEqual(status(self.call("get-last-gw", device_id="d1")), 404)
        for gateway in ("g1", "g2"):
            answer = self.call("set-last-gw", device_id="d1", gateway_id=gateway)
            self.assertEqual(status(answer), 204)
            self.assertFalse(answer.body)
            self.assertEqual(answer.content_type, symbol("None"))  # absent, as this library has it
            self.assertEqual(answer.properties["tenant_id"], "T1")
            self.assertEqual(answer.address, "device_con/T1")
            self.assertNotIn("device_id", answer.properties)
            self.assertNotIn("cache_control", answer.properties)
        answer = self.call("get-last-gw", device_id="d1")
        self.assertEqual(status(answer), 200)
        self.assertEqual(answer.content_type, "application/json")
        self.assertEqual(payload(answer)["gateway-id"], "g2")
        self.assertRegex(payload(answer)["last-updated"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

    def test_a_reply_address_has_three_segments(self):
        with Raw10(self.koseki) as peer:
            peer.connect()
            for handle, address in enumerate(("device_con", "device_con/T1", "device_con/T1/")):
                peer.send(raw.attach(f"l{handle}", handle, True, address))
                condition, text = peer.expect(raw.DETACH)[2].value[:2]
                self.assertEqual(condition, "amqp:unauthorized-access" if handle == 0 else "amqp:invalid-field")
                self.assertTrue(handle == 0 or text.endswith(" device_con/<tenant>/<reply-address>"), text)

    def test_tenants_are_apart_and_another_connection_sees_the_same(self):
        self.call("set-last-gw", tenant="A", device_id="d", gateway_id="g")
        self.assertEqual(status(self.call("get-last-gw", tenant="B", device_id="d")), 404)
        with Adapter(self.koseki) as other:
            answer = other.call("device_con/A", "get-last-gw", None, {"device_id": "d"})
            self.assertEqual(payload(answer)["gateway-id"], "g")

    def test_what_is_missing_or_of_another_type_is_400(self):
        for subject, body, properties in (
                ("get-last-gw", None, {}), ("get-last-gw", None, {"device_id": 7}),
                ("set-last-gw", None, {"device_id": "d"}),
                ("set-last-gw", None, {"device_id": "d", "gateway_id": 7}),
                ("set-last-gw", None, {"device_id": "d", "gateway_id": ""}),
                (SET_ADAPTER, None, {"device_id": "d"}), (REMOVE_ADAPTER, None, {"device_id": "d"}),
                (GET_ADAPTERS, None, {"device_id": "d"}), (GET_ADAPTERS, {}, {"device_id": "d"}),
                (GET_ADAPTERS, {"gateway-ids": "g"}, {"device_id": "d"}),
                (GET_ADAPTERS, {"gateway-ids": [7]}, {"device_id": "d"}),
                (GET_ADAPTERS, {"gateway-ids": ["g"] * (GATEWAYS + 1)}, {"device_id": "d"}),
                (GET_ADAPTERS, b"nonsense", {"device_id": "d"}),
                (GET_ADAPTERS, {"gateway-ids": ["x" * 257]}, {"device_id": "d"}),
                ("set-last-gw", b"nonsense", {"device_id": "d", "gateway_id": "g"}),
                ("set-last-gw", b"[]", {"device_id": "d", "gateway_id": "g"}),
                ("get-last-gw", b'"d"', {"device_id": "d"}),
                ("get-last-gw", None, {"device_id": "d" * 257}),
                ("get", None, {"device_id": "d"})):
            with self.subTest((subject, body, properties)):
                answer = self.call(subject, body, **properties)
                self.assertEqual(status(answer), 400)
                self.assertEqual(answer.content_type, "application/json")
                self.assertIn("reason", payload(answer))  # a JSON object, which 1.x clients can read

    def test_command_handling_adapters(self):
        self.assertEqual(status(self.call(GET_ADAPTERS, {"gateway-ids": []}, device_id="c")), 404)
        self.assertEqual(status(self.call(SET_ADAPTER, device_id="g1", adapter_instance_id="a1")), 204)
        answer = self.call(GET_ADAPTERS, {"gateway-ids": ["g0", "g1", "g\\1"]}, device_id="c")
        self.assertEqual(payload(answer), {
            "adapter-instances": [{"adapter-instance-id": "a1", "device-id": "g1"}]})
        self.assertEqual(status(self.call(SET_ADAPTER, device_id="c", adapter_instance_id="a2",
                                          lifespan=int32(3600))), 204)
        answer = self.call(GET_ADAPTERS, {"gateway-ids": ["g1"]}, device_id="c")
        self.assertEqual(payload(answer), {
            "adapter-instances": [{"adapter-instance-id": "a2", "device-id": "c"}]})
        self.assertEqual(status(self.call(REMOVE_ADAPTER, device_id="c", adapter_instance_id="a1")), 404)
        self.assertEqual(status(self.call(REMOVE_ADAPTER, device_id="c", adapter_instance_id="a2")), 204)
        self.assertEqual(status(self.call(SET_ADAPTER, device_id="c", adapter_instance_id="a3",
                                          lifespan=int32(0))), 204)
        self.assertEqual(status(self.call(GET_ADAPTERS, {"gateway-ids": []}, device_id="c")), 404)

    def test_a_body_that_is_not_needed_may_be_there(self):
        self.assertEqual(status(self.call("set-last-gw", {}, device_id="body", gateway_id="g")), 204)
        self.assertEqual(status(self.call("get-last-gw", b"", device_id="body")), 200)

    def test_a_device_may_have_as_many_gateways_as_an_assertion_tells(self):
        self.assertEqual(status(self.call(SET_ADAPTER, device_id="last", adapter_instance_id="a")), 204)
        gateways = [f"gw-{i}" for i in range(GATEWAYS - 2)] + ["last", "last"]
        answer = self.call(GET_ADAPTERS, {"gateway-ids": gateways}, device_id="many")
        self.assertEqual(payload(answer), {
            "adapter-instances": [{"adapter-instance-id": "a", "device-id": "last"}]})

    def test_a_tenant_has_its_fill(self):
        codes = [status(self.call("set-last-gw", tenant="FULL", device_id=f"d{i}", gateway_id="g"))
                 for i in range(21)]
        self.assertEqual(codes, [204] * 20 + [403])

    def test_it_needs_its_own_authority(self):
        with Adapter(self.koseki, user="one@HONO") as one:
            with self.assertRaisesRegex(Exception, "unauthorized-access"):
                one.call("device_con/T1", "get-last-gw", None, {"device_id": "d"})

    def test_each_operation_needs_its_authority(self):
        permissions = json.loads(json.dumps(PERMISSIONS))
        permissions["roles"]["adapter"] = [
            {"resource": "device_con/*", "activities": ["READ", "WRITE"]},
            {"operation": "device_con/*:get-last-gw", "activities": ["EXECUTE"]}]
        koseki = Koseki(permissions=permissions)
        self.addCleanup(koseki.close)
        with Adapter(koseki) as adapter:
            for subject, code in (("get-last-gw", 404), ("set-last-gw", 403), ("nonsense", 403),
                                  (SET_ADAPTER, 403), (REMOVE_ADAPTER, 403), (GET_ADAPTERS, 403)):
                answer = adapter.call("device_con/T1", subject, None, {
                    "device_id": "d", "gateway_id": "g", "adapter_instance_id": "a"})
                self.assertEqual(status(answer), code, subject)
                self.assertIn("reason", payload(answer))
