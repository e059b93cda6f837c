"""What tenant and credentials look-ups answer, sentence by sentence of Hono's rules."""
import datetime
import re
import unittest

from proton import ulong

from support import pki
from support.adapter import Adapter, payload, status
from support.server import Koseki


def at(seconds):
    """A timestamp so many seconds from now."""
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def ca_parts(subject, name="rsa-ca.pem", since="2020-01-01T00:00:00Z", until="2090-01-01T00:00:00Z", **members):
    """A trusted CA that is not given as a certificate."""
    return {"subject-dn": subject, "public-key": pki.public_key_base64(name), "not-before": since,
            "not-after": until, **members}


class Answers(unittest.TestCase):
    def bounded_age(self, answer, seconds):
        """The answer may be cached until then, and no longer."""
        self.assertEqual(status(answer), 200)
        age = int(re.fullmatch(r"max-age = (\d+)", answer.properties["cache_control"]).group(1))
        self.assertTrue(1 <= age <= seconds, age)

    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki()
        cls.adapter = Adapter(cls.koseki)

    @classmethod
    def tearDownClass(cls):
        cls.adapter.close()
        cls.koseki.close()

    def get(self, body=None, properties=None, adapter=None):
        return (adapter or self.adapter).call("tenant", "get", body, properties)


class Tenant(Answers):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.koseki.create_tenant("T1", alias="first", **{
            "minimum-message-size": 17, "defaults": {"ttl": 5}, "ext": {"a": None, "b": [1.5]},
            "registration-limits": {"max-devices": 7},
            "adapters": [{"type": "hono-mqtt", "enabled": True, "ext": {"x": 1}}, {"type": "hono-http"}],
            "resource-limits": {"max-connections": 3, "max-ttl": 30, "max-ttl-telemetry-qos0": 10,
                                "data-volume": {"effective-since": "2026-01-01T00:00:00Z", "max-bytes": 9,
                                                "period": {"mode": "days", "no-of-days": 2}}},
            "tracing": {"sampling-mode": "all", "sampling-mode-per-auth-id": {"s": "none"}}})
        cls.koseki.create_tenant("bare", cas=())
        cls.koseki.create_tenant("old", cas=("ca-expired.pem",))

    def test_every_member_an_adapter_is_told(self):
        tenant = payload(self.get({"tenant-id": "T1"}))
        (ca,) = tenant.pop("trusted-ca")
        self.assertEqual(set(ca), {"subject-dn", "subject-dn-bytes", "public-key", "algorithm",
                                   "auto-provisioning-enabled"})
        self.assertEqual(tenant, {
            "tenant-id": "T1", "enabled": True, "minimum-message-size": 17, "defaults": {"ttl": 5},
            "ext": {"a": None, "b": [1.5]},
            "adapters": [
                {"type": "hono-mqtt", "enabled": True, "device-authentication-required": True, "ext": {"x": 1}},
                {"type": "hono-http", "enabled": False, "device-authentication-required": True}],
            "resource-limits": {"max-connections": 3, "max-ttl": 30, "max-ttl-telemetry-qos0": 10,
                                "data-volume": {"effective-since": "2026-01-01T00:00:00Z", "max-bytes": 9,
                                                "period": {"mode": "days", "no-of-days": 2}}},
            "tracing": {"sampling-mode": "all", "sampling-mode-per-auth-id": {"s": "none"}}})

    def test_a_bare_tenant_has_the_defaults(self):
        self.assertEqual(payload(self.get({"tenant-id": "bare"})), {
            "tenant-id": "bare", "enabled": True, "minimum-message-size": 0, "defaults": {}, "ext": {},
            "trusted-ca": []})

    def test_cas_outside_their_validity_are_left_out(self):
        self.assertEqual(payload(self.get({"tenant-id": "old"}))["trusted-ca"], [])
        found = self.get({"subject-dn": "CN=Expired CA,O=Acme"})
        self.assertEqual(status(found), 200)
        self.assertEqual(payload(found)["trusted-ca"], [])

    def test_an_alias_names_the_tenant(self):
        answer = self.get({"tenant-id": "first"})
        self.assertEqual(payload(answer)["tenant-id"], "T1")
        self.assertEqual(answer.properties["tenant_id"], "first")  # as it was asked for
        self.assertEqual(status(self.get({"tenant-id": "First"})), 404)
        answer = self.get(None, {"tenant_id": "first"})
        self.assertEqual((payload(answer)["tenant-id"], answer.properties["tenant_id"]), ("T1", "first"))

    def test_an_alias_works_for_tenant_look_ups_only(self):
        self.assertEqual(status(self.adapter.credentials("first", "psk", "x")), 404)
        self.assertEqual(status(self.adapter.assert_device("first", "x")), 404)

    def test_the_id_wins_over_the_dn_and_the_property_over_both(self):
        dn = "CN=Device CA,O=Acme"
        self.assertEqual(payload(self.get({"tenant-id": "bare", "subject-dn": dn}))["tenant-id"], "bare")
        self.assertEqual(payload(self.get({"tenant-id": 7, "subject-dn": dn}))["tenant-id"], "T1")
        answer = self.get({"tenant-id": "T1"}, {"tenant_id": "bare"})
        self.assertEqual(payload(answer)["tenant-id"], "bare")
        self.assertEqual(status(self.get(b"nonsense", {"tenant_id": "bare"})), 400)

    def test_a_dn_is_read_leniently_and_compared_exactly(self):
        for text, code in (("cn=Device CA, o=Acme", 200), ("CN=Device CA;O=Acme", 200),
                           ('CN="Device CA",O=Acme', 200), ("CN=device ca,O=Acme", 404),
                           ("O=Acme,CN=Device CA", 404), ("", 404), (" ", 400), ("CN", 400),
                           ("X=1", 400), ("CN=a,,O=b", 400)):
            with self.subTest(text):
                self.assertEqual(status(self.get({"subject-dn": text})), code)

    def test_unknown_members_are_ignored_and_wrong_types_count_as_absent(self):
        self.assertEqual(status(self.get({"tenant-id": "T1", "more": {"x": [1]}})), 200)
        self.assertEqual(status(self.get({"tenant-id": None})), 400)
        self.assertEqual(status(self.get({})), 400)

    def test_properties_of_the_answer(self):
        answer = self.get({"tenant-id": "T1"})
        self.assertEqual(answer.address, "tenant/T1")
        self.assertEqual(answer.content_type, "application/json")
        self.assertEqual(answer.properties["cache_control"], "max-age = 180")
        self.assertEqual(set(answer.properties), {"status", "tenant_id", "cache_control"})
        self.assertFalse(answer.durable)
        self.assertIsNone(answer.subject)
        self.assertIsNone(answer.reply_to)
        missing = self.get({"tenant-id": "ghost"})
        self.assertNotIn("cache_control", missing.properties)
        self.assertEqual(missing.address, "tenant/ghost")
        self.assertEqual(set(payload(missing)), {"description", "reason"})

    def test_a_device_id_of_the_request_is_echoed(self):
        answer = self.get({"tenant-id": "T1"}, {"device_id": "dev"})
        self.assertEqual(answer.properties["device_id"], "dev")
        self.assertEqual(answer.address, "tenant/T1/dev")
        self.assertNotIn("device_id", self.get({"tenant-id": "T1"}, {"device_id": ulong(7)}).properties)

    def told(self, tenant, **members):
        """What an adapter is told of a tenant that has these members."""
        answer = self.koseki.http("POST", f"/v1/tenants/{tenant}", members)
        self.assertEqual(answer.status, 201, answer.body)
        return payload(self.get({"tenant-id": tenant}))

    def test_the_max_age_does_not_outlive_a_ca(self):
        self.assertEqual(self.get({"tenant-id": "bare"}).properties["cache_control"], "max-age = 180")
        self.told("ends", **{"trusted-ca": [ca_parts("CN=ends", until=at(170))]})
        self.bounded_age(self.get({"tenant-id": "ends"}), 170)
        self.told("begins", **{"trusted-ca": [ca_parts("CN=begins", since=at(170))]})
        self.bounded_age(self.get({"tenant-id": "begins"}), 170)

    def test_a_ca_that_is_not_valid_yet_is_found_and_left_out(self):
        self.told("later", **{"trusted-ca": [ca_parts("CN=later", since=at(86400)), ca_parts("CN=now")]})
        for body in ({"subject-dn": "CN=later"}, {"subject-dn": "CN=now"}, {"tenant-id": "later"}):
            answer = self.get(body)
            self.assertEqual(status(answer), 200)
            self.assertEqual([ca["subject-dn"] for ca in payload(answer)["trusted-ca"]], ["CN=now"])
            self.assertEqual(answer.address, "tenant/later")
            self.assertEqual(answer.properties["tenant_id"], "later")

    def test_what_is_told_of_cas(self):
        key, rsa, ed25519 = (pki.public_key_base64(name) for name in ("ca.pem", "rsa-ca.pem", "ed25519-ca.pem"))
        told = self.told("cas", **{"trusted-ca": [
            {"id": "mine", "cert": pki.der_base64("rsa-ca.pem"), "ocsp-revocation-enabled": True,
             "ocsp-responder-uri": "http://o", "ocsp-nonce-enabled": True, "auto-provisioning-enabled": True},
            {"cert": pki.der_base64("ed25519-ca.pem"), "ocsp-nonce-enabled": False},
            ca_parts("cn=parts, o=Acme"), ca_parts("CN=named", "ca.pem", algorithm="EC")]})["trusted-ca"]
        self.assertTrue(told[0].pop("subject-dn-bytes"))
        self.assertTrue(told[1].pop("subject-dn-bytes"))
        self.assertEqual(told, [
            {"subject-dn": "CN=RSA CA,O=Acme", "public-key": rsa, "algorithm": "RSA", "auto-provisioning-enabled": True,
             "ocsp-revocation-enabled": True, "ocsp-responder-uri": "http://o", "ocsp-nonce-enabled": True,
             "ocsp-responder-cert": pki.der_base64("rsa-ca.pem")},
            {"subject-dn": "CN=Ed25519 CA,O=Acme", "public-key": ed25519, "algorithm": "EdDSA",
             "auto-provisioning-enabled": False},
            {"subject-dn": "CN=parts,O=Acme", "public-key": rsa, "auto-provisioning-enabled": False},
            {"subject-dn": "CN=named", "public-key": key, "algorithm": "EC", "auto-provisioning-enabled": False}])

    def test_what_is_stored_empty_is_told_and_what_is_the_default_is_not(self):
        for case, (members, told) in enumerate((
                ({"resource-limits": {}}, {"resource-limits": {}}),
                ({"tracing": {}}, {"tracing": {"sampling-mode": None}}),
                ({"tracing": {"sampling-mode-per-auth-id": {}}}, {"tracing": {"sampling-mode": None}}),
                ({"adapters": [{"type": "x", "device-authentication-required": False, "ext": {}}]},
                 {"adapters": [{"type": "x", "enabled": False, "device-authentication-required": False}]}),
                ({"defaults": {"x": None}, "ext": {}}, {"defaults": {"x": None}}),
                ({"resource-limits": {"max-connections": -1, "max-ttl": -1, "max-ttl-telemetry-qos0": -1,
                                      "max-ttl-telemetry-qos1": 2, "max-ttl-command-response": 3, "ext": {"a": 1}}},
                 {"resource-limits": {"max-ttl-telemetry-qos1": 2, "max-ttl-command-response": 3, "ext": {"a": 1}}}),
                ({"resource-limits": {"data-volume": {"effective-since": "2026-01-01T01:00:00+01:00", "max-bytes": -1},
                                      "connection-duration": {"effective-since": "2026-01-01T00:00:00Z",
                                                              "max-minutes": 0}}},
                 {"resource-limits": {"data-volume": {"effective-since": "2026-01-01T00:00:00Z", "max-bytes": -1,
                                                      "period": {"mode": "monthly"}},
                                      "connection-duration": {"effective-since": "2026-01-01T00:00:00Z",
                                                              "period": {"mode": "monthly"}}}}))):
            with self.subTest(members):
                self.assertEqual(self.told(f"case-{case}", **members), {
                    "tenant-id": f"case-{case}", "enabled": True, "minimum-message-size": 0, "defaults": {},
                    "ext": {}, "trusted-ca": [], **told})

    def test_a_dn_that_two_tenants_trust_names_neither(self):
        for tenant in ("shared-1", "shared-2"):
            self.told(tenant, **{"trust-anchor-group": "g", "trusted-ca": [ca_parts("CN=shared")]})
        self.assertEqual(status(self.get({"subject-dn": "CN=shared"})), 404)
        self.assertEqual(self.koseki.http("DELETE", "/v1/tenants/shared-2").status, 204)
        self.assertEqual(payload(self.get({"subject-dn": "CN=shared"}))["tenant-id"], "shared-1")


class Credentials(Answers):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.koseki.create_tenant("T1", cas=())
        cls.koseki.create_tenant("off", cas=(), enabled=False)
        sha = {"hash-function": "sha-256", "salt": "c2FsdA==", "pwd-hash": "aGFzaA=="}
        cls.credentials = [
            {"type": "hashed-password", "auth-id": "pw", "comment": "c", "secrets": [
                {**sha, "comment": "x"}, {**sha, "enabled": False},
                {**sha, "not-after": "2020-01-01T00:00:00Z"},
                {**sha, "not-before": "2020-01-01T00:00:00Z", "not-after": "2090-01-01T00:00:00Z"}]},
            {"type": "psk", "auth-id": "key", "secrets": [{"key": "a2V5"}]},
            {"type": "x509-cert", "auth-id": "CN=x,O=y", "secrets": [{}]},
            {"type": "custom-1", "auth-id": "c", "secrets": [{"anything": {"goes": 1}}], "enabled": True},
            {"type": "psk", "auth-id": "off", "enabled": False, "secrets": [{"key": "a2V5"}]},
            {"type": "psk", "auth-id": "ext", "ext": {"client-id": "one", "n": 1}, "secrets": [{"key": "a2V5"}]}]
        cls.koseki.create_device("T1", "D1", {}, cls.credentials)
        cls.koseki.create_device("T1", "D2", {"enabled": False}, [
            {"type": "psk", "auth-id": "of-disabled", "secrets": [{"key": "a2V5"}]}])
        cls.koseki.create_device("off", "D3", {}, [
            {"type": "psk", "auth-id": "of-off", "secrets": [{"key": "a2V5"}]}])

    def ask(self, kind, auth_id, tenant="T1", **context):
        return self.adapter.credentials(tenant, kind, auth_id, **context)

    def test_usable_secrets_only_without_ids_and_comments(self):
        body = payload(self.ask("hashed-password", "pw"))
        sha = {"hash-function": "sha-256", "salt": "c2FsdA==", "pwd-hash": "aGFzaA=="}
        self.assertEqual(body["secrets"], [sha, {
            **sha, "not-before": "2020-01-01T00:00:00Z", "not-after": "2090-01-01T00:00:00Z"}])
        self.assertEqual((body["device-id"], body["type"], body["auth-id"]), ("D1", "hashed-password", "pw"))
        self.assertNotIn("comment", body)

    def test_what_may_be_cached(self):
        for kind, auth_id, directive in (("hashed-password", "pw", "max-age = 180"), ("psk", "key", "no-cache"),
                                         ("x509-cert", "CN=x,O=y", "max-age = 180"), ("custom-1", "c", "no-cache"),
                                         ("psk", "ghost", "no-cache")):
            with self.subTest(kind):
                self.assertEqual(self.ask(kind, auth_id).properties["cache_control"], directive)

    def test_custom_secrets_keep_their_members(self):
        self.assertEqual(payload(self.ask("custom-1", "c"))["secrets"], [{"anything": {"goes": 1}}])

    def test_all_that_an_adapter_is_told(self):
        timed = {"not-before": "2020-01-01T00:00:00Z", "not-after": "2090-01-01T00:00:00Z"}
        extra = {"x": {"y": [1]}}
        cases = (
            ("psk", {"ext": {"e": 1}}, {"key": "a2V5", "not-before": "2020-01-01T01:00:00+01:00"},
             {"ext": {"e": 1}}, {"key": "a2V5", "not-before": "2020-01-01T00:00:00Z"}),
            ("rpk", {"enabled": True, "comment": "c"}, {"key": pki.public_key_base64("ca.pem"), "algorithm": "EC"},
             {"enabled": True}, {"key": pki.public_key_base64("ca.pem"), "algorithm": "EC"}),
            ("x509-cert", {"ext": {}}, {"comment": "c", "enabled": True, **timed}, {}, {"enabled": True, **timed}),
            ("custom-2", {}, {"enabled": True, **extra}, {}, {"enabled": True, **extra}))
        self.koseki.create_device("T1", "all", {}, [
            {"type": kind, "auth-id": "CN=all", "secrets": [secret], **members}
            for kind, members, secret, _, _ in cases])
        for kind, _, _, members, secret in cases:
            with self.subTest(kind):
                self.assertEqual(payload(self.ask(kind, "CN=all")), {
                    "device-id": "all", "type": kind, "auth-id": "CN=all", "secrets": [secret], **members})

    def test_the_max_age_does_not_outlive_a_secret(self):
        sha = {"hash-function": "sha-256", "salt": "c2FsdA==", "pwd-hash": "aGFzaA=="}
        self.koseki.create_device("T1", "aging", {}, [
            {"type": "hashed-password", "auth-id": auth_id, "secrets": [sha, {**sha, "comment": "2", edge: at(170)}]}
            for auth_id, edge in (("ends", "not-after"), ("begins", "not-before"))])
        for auth_id in ("ends", "begins"):
            self.bounded_age(self.ask("hashed-password", auth_id), 170)

    def test_disabled_credentials_are_not_found_but_disabled_devices_and_tenants_are_not_looked_at(self):
        self.assertEqual(status(self.ask("psk", "off")), 404)
        self.assertEqual(status(self.ask("psk", "of-disabled")), 200)
        self.assertEqual(status(self.ask("psk", "of-off", tenant="off")), 200)

    def test_names_are_compared_exactly(self):
        for kind, auth_id in (("psk", "Key"), ("PSK", "key"), ("psk", "key "), ("psk", ""), ("", "key"),
                              ("hashed-password", "key"), ("x509-cert", "CN=x, O=y")):
            with self.subTest((kind, auth_id)):
                self.assertEqual(status(self.ask(kind, auth_id)), 404)

    def test_the_client_context_must_equal_what_ext_says_of_it(self):
        for context, code in (({}, 200), ({"client-id": "one"}, 200), ({"other": 1}, 200), ({"n": 1}, 200),
                              ({"client-id": "two"}, 404), ({"n": "1"}, 404), ({"n": 1.0}, 404),
                              ({"client-id": None}, 200), ({"client-id": "one", "n": 2}, 404)):
            with self.subTest(context):
                body = {"type": "psk", "auth-id": "ext", **context}
                self.assertEqual(status(self.adapter.call("credentials/T1", "get", body)), code)

    def test_criteria_that_are_missing_or_too_many(self):
        for body in ({"auth-id": "key"}, {"type": "psk"}, {"type": 7, "auth-id": "key"}, {"type": "psk", "auth-id": 7},
                     {"type": "psk", "auth-id": "key", "device-id": "D1"}, {"type": "psk", "device-id": "D1"}):
            with self.subTest(body):
                self.assertEqual(status(self.adapter.call("credentials/T1", "get", body)), 400)
        body = {"type": "psk", "auth-id": "key", "device-id": None}
        self.assertEqual(status(self.adapter.call("credentials/T1", "get", body)), 200)

    def test_other_operations_and_unknown_tenants(self):
        for subject in ("add", "update", "remove", "GET", ""):
            self.assertEqual(status(self.adapter.call("credentials/T1", subject, {"type": "psk", "auth-id": "key"})), 400)
        self.assertEqual(status(self.ask("psk", "key", tenant="ghost")), 404)

    def test_the_tenant_property_is_not_looked_at(self):
        answer = self.adapter.call("credentials/T1", "get", {"type": "psk", "auth-id": "key"}, {"tenant_id": "off"})
        self.assertEqual(status(answer), 200)
        self.assertEqual(answer.properties["tenant_id"], "T1")


del Answers  # the base has no tests
