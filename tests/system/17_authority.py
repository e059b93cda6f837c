"""Who gets in, and what its roles let it do: logins, then each rule of authorities at the wire."""
import concurrent.futures
import contextlib
import ssl
import unittest

from support import raw
from support.adapter import Adapter, payload, status
from support.raw import Raw10, Symbol, frame
from support.server import WAIT, Koseki, hash_password

READ, WRITE, EXECUTE = "READ", "WRITE", "EXECUTE"


def resource(name, *activities):
    return {"resource": name, "activities": list(activities)}


def operation(name):
    return {"operation": name}


def accounts(**users):
    """Each user, by its name with @HONO, has a role of its own with these entries."""
    return {
        "roles": {name: entries for name, entries in users.items()},
        "users": {f"{name}@HONO": {"mechanism": "PLAIN", "password": "secret", "authorities": [name]}
                  for name in users} | {
            "admin": {"mechanism": "PLAIN", "password": "admin-secret", "authorities": ["admin"]}}}


class Logins(unittest.TestCase):
    def outcome(self, koseki, mechanism, response, certificate=None):
        with Raw10(koseki, tls=True, certificate=certificate) as peer:
            peer.send(raw.SASL_HEADER + frame(raw.SASL_INIT, [Symbol(mechanism), response], kind=1))
            peer.header()
            peer.expect(raw.SASL_MECHANISMS)
            return peer.expect(raw.SASL_OUTCOME)[0]

    def test_a_certificate_names_the_user_by_the_cn_that_comes_first(self):
        users = {name: {"mechanism": mechanism, "password": "p", "authorities": roles}
                 for name, mechanism, roles in (
                     ("adapter-1", "EXTERNAL", []), ("adapter-1,UID=u", "EXTERNAL", ["hono-component"]),
                     ("device-1", "PLAIN", []), ("other", "PLAIN", []))}
        with Koseki(tls=True, http__listen=None, permissions={"users": users}) as koseki:
            for certificate, response, code in (
                    ("client", b"", 0), ("client", None, 0), ("client", b"other", 0), ("client", b"\xff", 1),
                    ("client-uid", b"", 0),  # CN=adapter-1,UID=u,O=Acme
                    ("client-cn-last", b"", 1),  # O=Acme,CN=adapter-1
                    ("device-1", b"", 1),  # a user, but not of this mechanism
                    ("device-2", b"", 1)):  # no user
                with self.subTest((certificate, response)):
                    self.assertEqual(self.outcome(koseki, "EXTERNAL", response, certificate), code)
            # who has a certificate may as well log in by password
            self.assertEqual(self.outcome(koseki, "PLAIN", b"\0other\0p", "client-cn-last"), 0)
            self.assertEqual(self.outcome(koseki, "PLAIN", b"\0adapter-1\0p", "client"), 1)

    def test_a_certificate_may_act_for_another_user(self):
        permissions = accounts(reader=[resource("tenant", READ)])
        permissions["users"]["adapter-1,UID=u"] = {"mechanism": "EXTERNAL", "authorities": ["hono-component"]}
        permissions["users"]["adapter-1"] = {"mechanism": "EXTERNAL", "authorities": []}
        with Koseki(tls=True, http__listen=None, permissions=permissions) as koseki:
            for certificate, authzid, attached in (("client-uid", b"reader@HONO", True), ("client-uid", b"", False),
                                                   ("client", b"reader@HONO", False)):
                with self.subTest((certificate, authzid)), \
                        Raw10(koseki, tls=True, certificate=certificate) as peer:
                    peer.send(raw.SASL_HEADER + frame(raw.SASL_INIT, [Symbol("EXTERNAL"), authzid], kind=1) +
                              raw.AMQP_HEADER + raw.open_frame() + raw.begin() + raw.attach("r", 0, True, "tenant/x"))
                    peer.header()
                    peer.expect(raw.SASL_OUTCOME)
                    peer.header()
                    self.assertEqual(peer.expect(raw.ATTACH)[5] is not None, attached)

    def test_a_certificate_that_is_over_gets_no_connection(self):
        with Koseki(tls=True, http__listen=None) as koseki:
            for certificate in ("device-expired", "device-not-yet-valid"):
                with self.assertRaises((ssl.SSLError, ConnectionError, raw.Closed)):
                    self.outcome(koseki, "EXTERNAL", b"", certificate)

    def test_plain_alone_is_offered_without_a_certificate(self):
        with Koseki(tls=True, http__listen=None) as koseki:
            for options in ({}, {"tls": True}):
                with Raw10(koseki, **options) as peer:
                    peer.send(raw.SASL_HEADER)
                    peer.header()
                    self.assertEqual(bytes(peer.expect(raw.SASL_MECHANISMS)[0]), b"\x01\xa3\x05PLAIN")

    def test_more_logins_than_can_be_hashed_are_put_off(self):
        """Outcome 4: temporary, so that clients come again. Wrong ones wait as well, and get outcome 1."""
        permissions = {"users": {"slow@HONO": {"mechanism": "PLAIN", "authorities": [],
                                               "password-hash": hash_password("right", cost=8)}}}
        with Koseki(http__listen=None, permissions=permissions) as koseki:
            peers = [Raw10(koseki) for _ in range(150)]
            for n, peer in enumerate(peers):
                self.addCleanup(peer.close)
                peer.send(raw.sasl_plain("slow@HONO", f"wrong-{n}"))
            codes = set()
            for peer in peers:
                peer.header()
                frames = peer.until_end()
                self.assertEqual([kind for _, kind, _, _ in frames][:1], [raw.SASL_MECHANISMS])
                codes.update(fields[0] for _, kind, fields, _ in frames if kind == raw.SASL_OUTCOME)
            self.assertEqual(codes, {1, 4})  # who waited for ten seconds got none

            def comes_again():  # hashes of those who went still wait
                with contextlib.suppress(raw.Closed), Raw10(koseki) as peer:
                    return peer.login("slow@HONO", "right") == 0

            koseki.wait_for(comes_again, "a login", 4 * WAIT)

    def test_accounts_that_cannot_be_read_stop_the_start(self):
        """Hono's registry stays up and refuses every login."""
        for broken, says in (({"users": {"u": {"mechanism": "PLAIN"}}}, 'user \\"u\\": needs \\"authorities\\"'),
                             ({"roles": {"r": [resource("tenant", "read")]}}, 'activity \\"read\\"')):
            koseki = Koseki(http__listen=None, permissions=broken, wait_ready=False)
            koseki.wait_for(lambda k=koseki: k.process.poll() is not None, "the end")
            self.assertEqual(koseki.process.returncode, 1)
            self.assertIn(says.replace("\\", ""), koseki.log().replace("\\", ""))
            koseki.process = None
            koseki.close()


class Attaching(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        permissions = accounts(
            reader=[resource("tenant", READ)], writer=[resource("tenant", WRITE)],
            twice=[resource("tenant", READ), resource("tenant", WRITE)],
            executor=[resource("tenant", EXECUTE), operation("tenant:*"), operation("*:*")],
            all=[resource("*", READ, WRITE)], endpoint=[resource("registration", READ, WRITE)],
            tenants=[resource("registration/*", READ, WRITE), resource("tenant/*", READ, WRITE)],
            one=[resource("registration/T1", READ, WRITE)], link=[resource("registration/T1/x", READ, WRITE)],
            wild=[resource("*/T1", READ, WRITE), resource("registration/T*", READ, WRITE),
                  resource("registration/*/x", READ, WRITE), resource("REGISTRATION", READ, WRITE)],
            nothing=[])
        permissions["users"]["both@HONO"] = {
            "mechanism": "PLAIN", "password": "secret", "authorities": ["reader", "unheard-of", "writer", "writer"]}
        cls.koseki = Koseki(http__listen=None, permissions=permissions)

    @classmethod
    def tearDownClass(cls):
        cls.koseki.close()

    def refusals(self, user, *links):
        """The condition that each link (is it a reply link, its address, its settle mode) is refused with, or None."""
        with Raw10(self.koseki) as peer:
            peer.connect(f"{user}@HONO")
            for handle, (receiver, address, *settle) in enumerate(links):
                peer.send(raw.attach(f"l{handle}", handle, receiver, address, settle=settle[0] if settle else None))
                attach = peer.expect(raw.ATTACH)
                accepted = attach[5 if receiver else 6] is not None
                yield None if accepted else peer.expect(raw.DETACH)[2].value[0]

    def test_reading_and_writing_are_granted_apart_and_roles_are_united(self):
        no = "amqp:unauthorized-access"
        for user, reply, request in (("reader", None, no), ("writer", no, None), ("both", None, None),
                                     ("twice", None, None), ("executor", no, no), ("all", None, None),
                                     ("nothing", no, no)):
            with self.subTest(user):
                self.assertEqual(list(self.refusals(user, (True, "tenant/x"), (False, "tenant"))), [reply, request])

    def test_a_star_counts_in_its_places_only(self):
        addresses = ("registration", "registration/T1", "registration/T2", "registration/T1/x", "registration//x")
        for user, granted in (("all", "11111"), ("endpoint", "11111"), ("tenants", "01110"), ("one", "01010"),
                              ("link", "00010"), ("wild", "00000"), ("nothing", "00000")):
            with self.subTest(user):
                got = self.refusals(user, *((False, address) for address in addresses))
                self.assertEqual("".join("0" if refused else "1" for refused in got), granted)
        self.assertEqual(list(self.refusals("tenants", (False, "tenant"), (False, "tenant/x"), (True, "tenant/x"))),
                         ["amqp:unauthorized-access", None, None])

    def test_what_is_wrong_with_a_link_is_looked_for_in_an_order(self):
        self.assertEqual(list(self.refusals(
            "nothing", (False, "nowhere", 1), (True, "nowhere"), (False, None, 1), (False, "tenant", 1),
            (True, "tenant"))),
            ["amqp:not-found", "amqp:not-found", "amqp:not-allowed", "amqp:unauthorized-access",
             "amqp:unauthorized-access"])
        self.assertEqual(list(self.refusals("all", (False, "tenant", 1), (True, "tenant"), (True, "registration/T1"))),
                         ["amqp:precondition-failed", "amqp:invalid-field", "amqp:invalid-field"])


class Calling(unittest.TestCase):
    """Every user may attach everywhere: it is about the operations."""

    @classmethod
    def setUpClass(cls):
        links = resource("*", READ, WRITE)
        cls.koseki = Koseki(permissions=accounts(
            none=[links], asserting=[links, operation("registration/*:assert")],
            one=[links, operation("registration/T1:*"), operation("credentials/T1:get"), operation("tenant/T1:*")],
            link=[links, operation("registration/T1/dev:assert")],
            endpoint=[links, operation("registration:assert"), operation("credentials:*"), operation("tenant:get")],
            anything=[links, operation("*:*")], anywhere=[links, operation("*:get")],
            tenants=[links, operation("tenant/*:*")], alias=[links, operation("tenant/first:get")],
            colon=[links, {"operation": "registration/T1"}, {"operation": "registration/*", "activities": [EXECUTE]},
                   resource("registration/T1", EXECUTE)],
            admin=[resource("management/*", READ, WRITE)]))
        cls.koseki.create_tenant("T1", cas=(), alias="first")
        cls.koseki.create_tenant("T2", cas=())
        for tenant in ("T1", "T2"):
            cls.koseki.create_device(tenant, "D1", {}, [
                {"type": "psk", "auth-id": "a", "secrets": [{"key": "AAAA"}]}])
        cls.adapters = {}

    @classmethod
    def tearDownClass(cls):
        for adapter in cls.adapters.values():
            adapter.close()
        cls.koseki.close()

    def call(self, user, address, subject, body=None, properties=None):
        if user not in self.adapters:
            self.adapters[user] = Adapter(self.koseki, user=f"{user}@HONO")
        return self.adapters[user].call(address, subject, body, properties)

    def test_operations_on_devices_are_granted_for_the_links_target(self):
        device = {"device_id": "D1"}
        for user, address, subject, code in (
                ("none", "registration/T1", "assert", 403), ("none", "registration/T1", "nonsense", 403),
                ("asserting", "registration/T1", "assert", 200), ("asserting", "registration/T2", "assert", 200),
                ("asserting", "registration/T1", "get", 403), ("asserting", "registration/T1", "ASSERT", 403),
                ("one", "registration/T1", "assert", 200), ("one", "registration/T1", "nonsense", 400),
                ("one", "registration/T1/dev", "assert", 200), ("one", "registration/T2", "assert", 403),
                ("link", "registration/T1/dev", "assert", 200), ("link", "registration/T1", "assert", 403),
                ("link", "registration/T1/other", "assert", 403),
                ("endpoint", "registration/T2", "assert", 200), ("endpoint", "registration/T2", "get", 403),
                ("anything", "registration/T1", "assert", 200), ("anything", "registration/T1", "x", 400),
                ("anywhere", "registration/T1", "assert", 403), ("colon", "registration/T1", "assert", 403)):
            with self.subTest((user, address, subject)):
                answer = self.call(user, address, subject, properties=device)
                self.assertEqual(status(answer), code)
                self.assertEqual("cache_control" in answer.properties, code == 200)
                if code == 403:
                    self.assertEqual(payload(answer), {"description": "not authorized to invoke operation",
                                                       "reason": "not-authorized"})

    def test_operations_on_credentials_are_granted_so_too(self):
        body = {"type": "psk", "auth-id": "a"}
        for user, address, subject, code in (
                ("none", "credentials/T1", "get", 403), ("one", "credentials/T1", "get", 200),
                ("one", "credentials/T2", "get", 403), ("one", "credentials/T1", "add", 403),
                ("endpoint", "credentials/T2", "get", 200), ("endpoint", "credentials/T2", "add", 400),
                ("anywhere", "credentials/T1", "get", 200), ("asserting", "credentials/T1", "get", 403)):
            with self.subTest((user, address, subject)):
                self.assertEqual(status(self.call(user, address, subject, body)), code)

    def test_the_authority_comes_before_the_operation_and_that_before_the_body(self):
        for user, address, subject, reason in (
                ("none", "registration/T1", "nonsense", "not-authorized"),
                ("none", "credentials/T1", "get", "not-authorized"),
                ("none", "device_con/T1", "get-last-gw", "not-authorized"),
                ("endpoint", "credentials/T1", "put", "unsupported-operation"),
                ("one", "registration/T1", "put", "unsupported-operation"),
                ("none", "tenant", "put", "unsupported-operation"),
                ("endpoint", "credentials/T1", "get", "bad-json"), ("none", "tenant", "get", "bad-json")):
            with self.subTest((user, address, subject)):
                self.assertEqual(payload(self.call(user, address, subject, b"nonsense"))["reason"], reason)

    def test_a_tenant_is_granted_by_its_id(self):
        """What is not there is told only to who may get every tenant."""
        for user, of_t1, of_t2, of_none in (
                ("none", 403, 403, 403), ("one", 200, 403, 403), ("tenants", 200, 200, 404),
                ("endpoint", 200, 200, 404), ("anything", 200, 200, 404), ("anywhere", 200, 200, 404),
                ("alias", 403, 403, 403)):
            with self.subTest(user):
                for tenant, code in (("T1", of_t1), ("first", of_t1), ("T2", of_t2), ("T9", of_none), ("", of_none)):
                    self.assertEqual(status(self.call(user, "tenant", "get", {"tenant-id": tenant})), code, tenant)

    def test_the_property_tenant_id_is_checked_before_all_else(self):
        for user, tenant, subject, code in (
                ("one", "T1", "get", 200), ("one", "T2", "get", 403), ("one", "T1", "add", 400),
                ("one", "T2", "add", 403), ("none", "T1", "add", 403), ("one", "T9", "get", 403),
                ("tenants", "T9", "get", 404), ("tenants", "", "get", 403), ("endpoint", "", "get", 404),
                ("alias", "first", "get", 403)):
            with self.subTest((user, tenant, subject)):
                answer = self.call(user, "tenant", subject, None, {"tenant_id": tenant})
                self.assertEqual(status(answer), code)

    def test_without_it_an_unknown_operation_is_400_for_everybody(self):
        for user in ("none", "one", "anything"):
            for subject in ("add", "update", "remove", "GET", ""):
                self.assertEqual(status(self.call(user, "tenant", subject, {"tenant-id": "T1"})), 400)

    def test_a_target_without_tenant_is_of_no_use(self):
        for address, subject, body, properties in (
                ("registration", "assert", None, {"device_id": "D1", "tenant_id": "T1"}),
                ("credentials", "get", {"type": "psk", "auth-id": "a"}, {"tenant_id": "T1"}),
                ("device_con", "get-last-gw", None, {"device_id": "D1", "tenant_id": "T1"})):
            with self.subTest(address):
                adapter = Adapter(self.koseki, user="anything@HONO")
                self.addCleanup(adapter.close)
                reply = f"{address}/any/reply"
                adapter.links[address] = (adapter.connection.create_sender(address),
                                          adapter.connection.create_receiver(reply, credit=10), reply)
                answer = adapter.call(address, subject, body, properties)
                self.assertEqual(status(answer), 400)
                self.assertNotIn("tenant_id", answer.properties)

    def test_many_users_at_once_have_their_own_rights(self):
        def ask(user):
            with Adapter(self.koseki, user=f"{user}@HONO") as adapter:
                return user, status(adapter.tenant("T1"))

        expected = {"none": 403, "one": 200, "tenants": 200, "alias": 403}
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for user, code in pool.map(ask, 5 * list(expected)):
                self.assertEqual(code, expected[user], user)


