"""Assertions of devices behind gateways: section 4.4 of Hono's registration rules."""
import unittest

from support.adapter import Adapter, payload, status
from support.server import Koseki


class Gateways(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki()
        cls.koseki.create_tenant("T1")
        for device, body in {
                "direct": {"via": ["gw-1", "gw-off"]}, "single": {"via": "gw-1"},
                "grouped": {"viaGroups": ["red", "blue"]},
                "both": {"via": ["gw-2", "red-1"], "viaGroups": ["red"], "defaults": {"ttl": 3},
                         "downstream-message-mapper": "down", "upstream-message-mapper": "up",
                         "command-endpoint": {"uri": "https://example.com", "headers": {"a": "b"}}},
                "empty": {"via": [], "viaGroups": [], "defaults": {}, "command-endpoint": {
                    "uri": "http://x", "headers": {}, "payload-properties": {}}},
                "as-texts": {"via": "gw-2", "viaGroups": "red"},
                "managed": {"enabled": True, "ext": {"x": 1}, "authorities": ["auto-provisioning-enabled"],
                            "viaGroups": ["nobody's"]},
                "off": {"enabled": False, "via": ["gw-1"]},
                "gw-1": {}, "gw-2": {}, "gw-off": {"enabled": False},
                "red-1": {"memberOf": ["red", "blue"]}, "red-2": {"memberOf": "red"},
                "blue-off": {"memberOf": ["blue"], "enabled": False}}.items():
            cls.koseki.create_device("T1", device, body)
        cls.adapter = Adapter(cls.koseki)

    @classmethod
    def tearDownClass(cls):
        cls.adapter.close()
        cls.koseki.close()

    def ask(self, device, gateway=None, tenant="T1"):
        return self.adapter.assert_device(tenant, device, gateway)

    def test_gateways_named_by_the_device_or_by_its_groups_may_act_for_it(self):
        for device, gateway in (("direct", "gw-1"), ("single", "gw-1"), ("grouped", "red-1"),
                                ("grouped", "red-2"), ("both", "gw-2"), ("both", "red-2"),
                                ("as-texts", "gw-2"), ("as-texts", "red-1")):
            with self.subTest((device, gateway)):
                answer = self.ask(device, gateway)
                self.assertEqual(status(answer), 200)
                self.assertEqual(answer.properties["cache_control"], "max-age = 300")
                self.assertNotIn("gateway_id", answer.properties)

    def test_others_may_not(self):
        for device, gateway in (("direct", "gw-2"), ("direct", "gw-off"), ("direct", "ghost"),
                                ("grouped", "gw-1"), ("grouped", "blue-off"), ("single", "GW-1"),
                                ("gw-1", "gw-1"), ("gw-1", "gw-2"), ("direct", "")):
            with self.subTest((device, gateway)):
                answer = self.ask(device, gateway)
                self.assertEqual((status(answer), payload(answer)["reason"]), (403, "gateway-not-authorized"))
                self.assertNotIn("cache_control", answer.properties)

    def test_the_device_is_looked_at_before_its_gateway(self):
        for device, gateway in (("off", "gw-1"), ("off", "gw-off"), ("ghost", "gw-1"), ("ghost", "ghost")):
            with self.subTest((device, gateway)):
                answer = self.ask(device, gateway)
                self.assertEqual(status(answer), 404)
                self.assertNotIn("cache_control", answer.properties)
        self.assertEqual(status(self.ask("direct", "gw-1", tenant="none")), 404)

    def test_via_names_the_members_of_groups_too_disabled_ones_as_well(self):
        via = {device: payload(self.ask(device)).get("via") for device in (
            "direct", "single", "grouped", "both", "empty", "gw-1")}
        self.assertEqual(via["direct"], ["gw-1", "gw-off"])
        self.assertEqual(via["single"], ["gw-1"])
        self.assertEqual(sorted(via["grouped"]), ["blue-off", "red-1", "red-2"])
        self.assertEqual(via["both"], ["gw-2", "red-1", "red-2"])
        self.assertIsNone(via["empty"])
        self.assertIsNone(via["gw-1"])

    def test_what_else_an_adapter_is_told(self):
        self.assertEqual(payload(self.ask("both")), {
            "device-id": "both", "via": ["gw-2", "red-1", "red-2"], "defaults": {"ttl": 3},
            "downstream-message-mapper": "down", "upstream-message-mapper": "up",
            "command-endpoint": {"uri": "https://example.com", "headers": {"a": "b"}}})
        self.assertEqual(payload(self.ask("empty")), {"device-id": "empty", "command-endpoint": {"uri": "http://x"}})
        self.assertEqual(payload(self.ask("managed")), {"device-id": "managed"})
        self.assertEqual(payload(self.ask("red-1")), {"device-id": "red-1"})

    def test_a_gateway_id_of_another_type_is_none(self):
        answer = self.adapter.call("registration/T1", "assert", None,
                                   {"device_id": "direct", "gateway_id": 7})
        self.assertEqual(status(answer), 200)

    def test_members_that_come_and_go_are_seen_at_once(self):
        self.koseki.create_device("T1", "late", {"memberOf": ["green"]})
        self.koseki.create_device("T1", "behind-green", {"viaGroups": ["green"]})
        self.assertEqual(payload(self.ask("behind-green"))["via"], ["late"])
        self.assertEqual(status(self.ask("behind-green", "late")), 200)
        self.koseki.http("DELETE", "/v1/devices/T1/late")
        self.assertNotIn("via", payload(self.ask("behind-green")))
        self.assertEqual(status(self.ask("behind-green", "late")), 403)
