"""Ids by template, devices as gateways, devices behind gateways: provisioned, seen over HTTP, raced for."""
import threading
import unittest

from support import pki, raw
from support.adapter import Adapter, payload, status
from support.raw import Raw10
from support.server import Koseki

X509 = "x509-cert"
DEVICE_ID = "auto-provisioning-device-id-template"
AUTH_ID = "auth-id-template"
AUTHORITY = "auto-provisioning-enabled"


class Case(unittest.TestCase):
    def setUp(self):
        self.koseki = Koseki()
        self.addCleanup(self.cleanup)

    def cleanup(self):
        if self.koseki.process is not None:
            self.koseki.stop()
        self.koseki.verify()
        self.koseki.close()

    def devices(self):
        self.koseki.stop()
        return self.koseki.verify().replace(" ", "").replace(":", "=")

    def refused(self, answer, code, reason):
        self.assertEqual(status(answer), code, answer.body)
        self.assertEqual(payload(answer)["reason"], reason)

    def shown(self, device, tenant="T1"):
        answer = self.koseki.http("GET", f"/v1/devices/{tenant}/{device}")
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()


class Templates(Case):
    def login(self, adapter, name, auth_id, tenant="T1"):
        return adapter.credentials(tenant, X509, auth_id, certificate=name)

    def test_the_adapter_is_told_the_auth_id_template_and_nothing_else(self):
        members = {AUTH_ID: "{{subject-cn}}", DEVICE_ID: "d-{{subject-cn}}",
                   "auto-provision-as-gateway": True}
        self.koseki.create_tenant("T1", ca_members=members)
        shown = self.koseki.http("GET", "/v1/tenants/T1").json()["trusted-ca"][0]
        self.assertEqual({key: shown[key] for key in members}, members)
        with Adapter(self.koseki) as adapter:
            told = payload(adapter.tenant("T1"))["trusted-ca"][0]
        self.assertEqual(told[AUTH_ID], "{{subject-cn}}")
        self.assertIs(told["auto-provisioning-enabled"], True)
        self.assertNotIn(DEVICE_ID, told)
        self.assertNotIn("auto-provision-as-gateway", told)

    def test_templates_are_checked_when_the_tenant_is_written(self):
        ca = {"cert": pki.der_base64("ca.pem")}
        for member, template in ((DEVICE_ID, "x"), (DEVICE_ID, ""), (DEVICE_ID, None),
                                 (DEVICE_ID, "{{subject-cn}}/x"), (DEVICE_ID, "{{serial}}"),
                                 (AUTH_ID, "{{{subject-cn}}}"), (AUTH_ID, "{{ subject-cn }}"),
                                 (AUTH_ID, "{{SUBJECT-CN}}"), (AUTH_ID, "{{subject-cn"),
                                 (AUTH_ID, "cn={{subject-cn}}"), (AUTH_ID, 7)):
            with self.subTest((member, template)):
                answer = self.koseki.http("POST", "/v1/tenants/T1",
                                          {"trusted-ca": [dict(ca, **{member: template})]})
                self.assertEqual(answer.status, 400, answer.body)
                self.assertIn(member, answer.json()["error"])
        self.assertEqual(self.koseki.http("GET", "/v1/tenants/T1").status, 404)

    def test_both_templates_make_the_device(self):
        self.koseki.create_tenant("T1", ca_members={
            AUTH_ID: "a-{{subject-cn}}", DEVICE_ID: "{{subject-o}}:{{subject-cn}}"})
        with Adapter(self.koseki) as adapter:
            first = self.login(adapter, "device-1.pem", "a-device-1")
            self.assertEqual(status(first), 201)
            self.assertEqual(payload(first), {"device-id": "Acme:device-1", "type": X509,
                                              "auth-id": "a-device-1", "enabled": True,
                                              "secrets": [{}]})
            again = self.login(adapter, "device-1.pem", "a-device-1")
            self.assertEqual((status(again), payload(again)["device-id"]), (200, "Acme:device-1"))
            # another certificate does not make another device of itself
            self.refused(self.login(adapter, "device-2.pem", "a-device-1"), 404, "subject-mismatch")
            self.refused(self.login(adapter, "device-2.pem", "CN=device-2,O=Acme"), 404,
                         "subject-mismatch")
        self.assertIs(self.shown("Acme:device-1")["status"]["auto-provisioned"], True)
        credentials = self.koseki.http("GET", "/v1/credentials/T1/Acme:device-1").json()
        self.assertEqual([each["auth-id"] for each in credentials], ["a-device-1"])
        self.assertIn("devices=1", self.devices())

    def test_a_registered_device_is_known_by_its_templated_auth_id(self):
        self.koseki.create_tenant("T1", provisioning=False, ca_members={AUTH_ID: "{{subject-cn}}"})
        for device, auth_id in (("D1", "device-1"), ("D2", "CN=device-2,O=Acme")):
            self.koseki.create_device("T1", device, {}, [
                {"type": X509, "auth-id": auth_id, "secrets": [{}]}])
        with Adapter(self.koseki) as adapter:
            self.assertEqual(status(self.login(adapter, "device-1.pem", "device-1")), 200)
            self.refused(self.login(adapter, "device-2.pem", "device-1"), 404, "subject-mismatch")
            self.refused(self.login(adapter, "device-2.pem", "CN=device-2,O=Acme"), 404,
                         "subject-mismatch")

    def test_subjects_that_give_no_id(self):
        self.koseki.create_tenant("T1", ca_members={DEVICE_ID: "{{subject-ou}}"})
        self.koseki.create_tenant("T2", cas=("rsa-ca.pem",), ca_members={DEVICE_ID: "{{subject-cn}}"})
        self.koseki.create_tenant("T3", cas=("ed25519-ca.pem",), ca_members={AUTH_ID: "{{subject-ou}}"})
        with Adapter(self.koseki) as adapter:
            self.refused(self.login(adapter, "device-1.pem", "CN=device-1,O=Acme"), 400,
                         "template-unfilled")
            self.refused(self.login(adapter, "rsa-device.pem", "CN=rsa device,O=Acme", "T2"), 400,
                         "bad-device-id")
            self.refused(self.login(adapter, "ed25519-device.pem", "device", "T3"), 400,
                         "template-unfilled")
        self.assertIn("devices=0", self.devices())

    def test_an_id_that_another_device_has(self):
        self.koseki.create_tenant("T1", ca_members={DEVICE_ID: "{{subject-cn}}"})
        self.koseki.create_device("T1", "device-1")
        with Adapter(self.koseki) as adapter:
            self.refused(self.login(adapter, "device-1.pem", "CN=device-1,O=Acme"), 409, "id-taken")
            self.assertEqual(self.koseki.http("DELETE", "/v1/devices/T1/device-1").status, 204)
            answer = self.login(adapter, "device-1.pem", "CN=device-1,O=Acme")
            self.assertEqual((status(answer), payload(answer)["device-id"]), (201, "device-1"))
        self.assertIn("devices=1", self.devices())


class Edge(Case):
    def setUp(self):
        super().setUp()
        self.koseki.create_tenant("T1", ca_members={"auto-provision-as-gateway": True,
                                                    DEVICE_ID: "{{subject-cn}}"})
        for device, body in {
                "gw": {"authorities": [AUTHORITY]}, "rival": {"authorities": [AUTHORITY, "other"]},
                "plain": {}, "off": {"enabled": False, "authorities": [AUTHORITY]},
                "red-1": {"authorities": [AUTHORITY], "memberOf": ["red", "blue"]},
                "red-2": {"authorities": [AUTHORITY], "memberOf": "red"}}.items():
            self.koseki.create_device("T1", device, body)
        self.adapter = Adapter(self.koseki)
        self.addCleanup(self.adapter.close)

    def ask(self, device, gateway=None, tenant="T1"):
        return self.adapter.assert_device(tenant, device, gateway)

    def test_a_device_behind_a_gateway_is_registered_when_it_is_first_heard_of(self):
        self.refused(self.ask("edge:1"), 404, "unknown-device")
        for _ in range(2):
            answer = self.ask("edge:1", "gw")
            self.assertEqual(status(answer), 200)
            self.assertEqual(payload(answer), {"device-id": "edge:1", "via": ["gw"]})
            self.assertEqual(answer.properties["cache_control"], "max-age = 300")
            self.assertEqual(answer.properties["device_id"], "edge:1")
        self.assertEqual(status(self.ask("edge:1")), 200)
        shown = self.shown("edge:1")
        status_of = shown.pop("status")
        self.assertEqual(shown, {"enabled": True, "via": ["gw"]})
        self.assertIs(status_of["auto-provisioned"], True)
        self.assertEqual(self.koseki.http("GET", "/v1/credentials/T1/edge:1").json(), [])
        self.assertRegex(self.koseki.log(), r'event=device-provisioned tenant="T1" status=200')

    def test_the_groups_of_the_gateway_may_act_for_it(self):
        answer = self.ask("edge", "red-1")
        self.assertEqual(payload(answer), {"device-id": "edge", "via": ["red-1", "red-2"]})
        shown = self.shown("edge")
        self.assertEqual((shown["via"], shown["viaGroups"]), (["red-1"], ["red", "blue"]))
        self.assertEqual(status(self.ask("edge", "red-2")), 200)
        self.refused(self.ask("edge", "gw"), 403, "gateway-not-authorized")

    def test_who_may_not(self):
        for gateway in ("plain", "off", "ghost", "edge", ""):
            with self.subTest(gateway):
                self.refused(self.ask("edge", gateway), 404, "unknown-device")
        for device in ("++\u00a3\u00a3", "a/b", "a b", "", "x" * 201, ".", ".."):
            with self.subTest(device):
                self.refused(self.ask(device, "gw"), 400, "bad-device-id")
        self.assertRegex(self.koseki.log(),
                         'event=device-refused tenant="T1" status=400 reason=bad-device-id')
        self.assertNotIn("unknown-device", self.koseki.log())
        self.assertEqual(status(self.ask("edge", "gw")), 200)
        self.refused(self.ask("edge", "rival"), 403, "gateway-not-authorized")
        self.refused(self.ask("edge", "plain"), 403, "gateway-not-authorized")
        self.assertIn("devices=7", self.devices())

    def test_what_is_disabled_stays_out(self):
        self.koseki.create_device("T1", "banned", {"enabled": False, "via": ["gw"]})
        self.refused(self.ask("banned", "gw"), 404, "disabled")
        tenant = self.koseki.http("GET", "/v1/tenants/T1").json()
        tenant["enabled"] = False
        self.assertEqual(self.koseki.http("PUT", "/v1/tenants/T1", tenant).status, 204)
        self.refused(self.ask("edge", "gw"), 404, "disabled")
        self.assertIn("devices=7", self.devices())

    def test_limits_count_for_edge_devices_too(self):
        tenant = self.koseki.http("GET", "/v1/tenants/T1").json()
        tenant["registration-limits"] = {"max-devices": 8, "max-credentials-per-device": 0}
        self.assertEqual(self.koseki.http("PUT", "/v1/tenants/T1", tenant).status, 204)
        got = [status(self.ask(f"edge-{n}", "gw")) for n in (1, 2, 3, 1)]
        self.assertEqual(got, [200, 200, 403, 200])
        self.refused(self.ask("edge-3", "gw"), 403, "device-limit")
        self.assertIn("devices=8", self.devices())

    def test_a_deleted_device_may_come_again(self):
        self.assertEqual(status(self.ask("edge", "gw")), 200)
        self.assertEqual(self.koseki.http("DELETE", "/v1/devices/T1/edge").status, 204)
        self.refused(self.ask("edge"), 404, "unknown-device")
        self.assertEqual(status(self.ask("edge", "rival")), 200)
        self.assertEqual(self.shown("edge")["via"], ["rival"])

    def test_a_gateway_that_came_by_certificate_brings_its_devices(self):
        answer = self.adapter.credentials("T1", X509, "CN=device-1,O=Acme",
                                          certificate="device-1.pem")
        self.assertEqual((status(answer), payload(answer)["device-id"]), (201, "device-1"))
        self.assertEqual(self.shown("device-1")["authorities"], [AUTHORITY])
        self.assertEqual(payload(self.ask("edge", "device-1")),
                         {"device-id": "edge", "via": ["device-1"]})

    def test_a_restart_forgets_nothing(self):
        self.assertEqual(status(self.ask("edge", "red-1")), 200)
        self.adapter.close()
        self.assertEqual(self.koseki.stop(), 0)
        self.koseki.start()
        with Adapter(self.koseki) as adapter:
            answer = adapter.assert_device("T1", "edge", "red-2")
            self.assertEqual((status(answer), payload(answer)["via"]), (200, ["red-1", "red-2"]))
            self.assertEqual(status(adapter.assert_device("T1", "edge-2", "red-1")), 200)


class Race(unittest.TestCase):
    """Each device is asserted by two gateways on several connections at once."""

    DEVICES = 10
    CONNECTIONS = 5

    def test_one_gateway_has_each_device(self):
        with Koseki() as koseki:
            koseki.create_tenant("T1", cas=())
            for gateway in ("one", "two"):
                koseki.create_device("T1", gateway, {"authorities": [AUTHORITY]})
            answers = self.race(koseki)
            for device in (f"edge-{n}" for n in range(self.DEVICES)):
                mine = [(gateway, code) for name, gateway, code in answers if name == device]
                winners = {gateway for gateway, code in mine if code == 200}
                self.assertEqual(len(winners), 1, mine)
                self.assertEqual(
                    {code for gateway, code in mine if gateway not in winners}, {403}, mine)
                self.assertEqual(
                    {code for gateway, code in mine if gateway in winners}, {200}, mine)
                shown = koseki.http("GET", f"/v1/devices/T1/{device}").json()
                self.assertEqual(set(shown["via"]), winners)
            koseki.stop()
            text = koseki.verify().replace(" ", "").replace(":", "=")
            self.assertIn(f"devices={self.DEVICES + 2}", text)

    def race(self, koseki):
        asked = [(f"edge-{n}", gateway) for n in range(self.DEVICES) for gateway in ("one", "two")
                 for _ in range(self.CONNECTIONS)]
        barrier = threading.Barrier(len(asked))
        answers, errors, lock = [], [], threading.Lock()

        def connect(device, gateway):
            try:
                with Raw10(koseki) as peer:
                    peer.connect()
                    reply = peer.request_links("registration/T1")
                    barrier.wait(60)
                    peer.send(raw.transfer(1, 0, raw.message(
                        "assert", reply, "m", properties={"device_id": device, "gateway_id": gateway})))
                    peer.expect(raw.TRANSFER)
                    with lock:
                        answers.append((device, gateway, self.status_of(peer.payload)))
            except Exception as error:  # pylint: disable=broad-except
                with lock:
                    errors.append((device, gateway, repr(error)))

        threads = [threading.Thread(target=connect, args=each) for each in asked]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        self.assertEqual(errors, [])
        self.assertEqual(len(answers), len(asked))
        return answers

    @staticmethod
    def status_of(message):
        at = 0
        while at < len(message):
            value, at = raw.decode(message, at)
            if value.descriptor == 0x74:
                return value.value["status"]
        return None
