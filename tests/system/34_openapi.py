"""The description of the management API: who may read it, and that what it gives as examples is taken."""
import unittest

from support.server import Koseki


class Description(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki()
        cls.document = cls.koseki.http("GET", "/v1/openapi.json", user=None).json()

    @classmethod
    def tearDownClass(cls):
        cls.koseki.close()

    def test_it_is_readable_by_anybody_and_nothing_else_is(self):
        for user in (None, ("admin", "admin-secret"), ("nobody", "wrong")):
            answer = self.koseki.http("GET", "/v1/openapi.json", user=user)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["content-type"], "application/json; charset=utf-8")
            self.assertEqual(answer.json()["openapi"], "3.0.3")
        self.assertEqual(self.koseki.http("GET", "/v1//openapi.json/?x=1", user=None).status, 200)
        self.assertEqual(self.koseki.http("PUT", "/v1/openapi.json", {}, user=None).status, 401)
        put = self.koseki.http("PUT", "/v1/openapi.json", {})
        self.assertEqual((put.status, put.headers["allow"]), (405, "GET"))
        for path in ("/v1/openapi.json/x", "/v1/openapi", "/openapi.json", "/v2/openapi.json"):
            self.assertEqual(self.koseki.http("GET", path, user=None).status, 401, path)
            self.assertEqual(self.koseki.http("GET", path).status, 404, path)

    def test_consoles_of_other_origins_may_read_it(self):
        origin = {"Origin": "https://console.example"}
        answer = self.koseki.http("GET", "/v1/openapi.json", user=None, headers=origin)
        self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (200, "*"))
        with Koseki(http__cors_allowed_origin="https://own[.]example") as koseki:
            answer = koseki.http("GET", "/v1/openapi.json", user=None, headers=origin)
            self.assertEqual((answer.status, answer.json()["reason"]), (403, "invalid-origin"))

    def example(self, name):
        """An object with all members of a schema that can be written, each as its example shows it."""
        schema = self.document["components"]["schemas"][name]
        return {key: value["example"] if "example" in value else value["enum"][0]
                for key, value in schema["properties"].items() if not value.get("readOnly")}

    def test_what_it_shows_can_be_put(self):
        self.assertEqual(self.koseki.http("POST", "/v1/tenants/acme", self.example("Tenant")).status, 201)
        device = self.example("Device")
        device.pop("memberOf")  # excludes via
        self.assertEqual(self.koseki.http("POST", "/v1/devices/acme/sensor-1", device).status, 201)
        kinds = self.document["components"]["schemas"]["Credentials"]["items"]["oneOf"]
        names = [kind["$ref"].rsplit("/", 1)[1] for kind in kinds]
        put = self.koseki.http("PUT", "/v1/credentials/acme/sensor-1", [self.example(n) for n in names])
        self.assertEqual(put.status, 204, put.body)
        shown = self.koseki.http("GET", "/v1/credentials/acme/sensor-1").json()
        self.assertEqual([c["type"] for c in shown],
                         ["hashed-password", "psk", "x509-cert", "rpk", "api-key"])
        self.assertEqual(shown[2]["auth-id"], "CN=sensor-1,O=Acme")
        ca = self.example("TrustedCA")
        put = self.koseki.http("PUT", "/v1/tenants/acme", {"trusted-ca": [ca]})
        self.assertEqual(put.status, 204, put.body)
        taken = self.koseki.http("GET", "/v1/tenants/acme").json()["trusted-ca"][0]
        self.assertEqual(taken, {**{k: v for k, v in ca.items() if k != "cert" and v is not False},
                                 "auto-provision-as-gateway": False})
