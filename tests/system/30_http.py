"""The management API's resources and the operations port over real sockets."""
import concurrent.futures
import json
import threading
import unittest
import uuid

from support import pki, slowdisk
from support.rawhttp import Raw
from support.server import SANITIZED, WAIT, Koseki


class Api(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki(tls=True)

    @classmethod
    def tearDownClass(cls):
        cls.koseki.close()

    def http(self, *arguments, **options):
        return self.koseki.http(*arguments, **options)

    def refused(self, answer, status, reason=None):
        self.assertEqual(answer.status, status, answer.body)
        self.assertIsInstance(answer.json()["error"], str)
        self.assertEqual(answer.headers["content-type"], "application/json; charset=utf-8")
        if reason:
            self.assertEqual(answer.json()["reason"], reason)

    # --- the way of a tenant, a device, credentials ---

    def test_a_tenant_from_create_to_delete(self):
        made = self.http("POST", "/v1/tenants/way", {"ext": {"a": 1}})
        self.assertEqual(made.status, 201)
        self.assertEqual(made.json(), {"id": "way"})
        self.assertEqual(made.headers["location"], "/v1/tenants/way")
        etag = made.headers["etag"]
        uuid.UUID(etag)
        read = self.http("GET", "/v1/tenants/way")
        self.assertEqual((read.status, read.json()), (200, {"ext": {"a": 1}}))
        self.assertEqual(read.headers["etag"], etag)
        self.refused(self.http("POST", "/v1/tenants/way", {}), 409, "id-taken")
        wrong = {"If-Match": str(uuid.uuid4())}
        self.refused(self.http("PUT", "/v1/tenants/way", {}, headers=wrong), 412)
        put = self.http("PUT", "/v1/tenants/way", {"enabled": False}, headers={"If-Match": etag})
        self.assertEqual((put.status, put.body), (204, b""))
        self.assertNotEqual(put.headers["etag"], etag)
        self.assertEqual(self.http("GET", "/v1/tenants/way").json(), {"enabled": False})
        self.refused(self.http("DELETE", "/v1/tenants/way", headers=wrong), 412)
        quoted = {"If-Match": '"' + put.headers["etag"] + '"'}
        self.assertEqual(self.http("DELETE", "/v1/tenants/way", headers=quoted).status, 204)
        self.refused(self.http("GET", "/v1/tenants/way"), 404)
        self.refused(self.http("DELETE", "/v1/tenants/way"), 404)

    def test_ids_are_generated_and_bodies_may_be_absent(self):
        tenant = self.http("POST", "/v1/tenants").json()["id"]
        self.assertEqual(str(uuid.UUID(tenant, version=4)), tenant)
        made = self.http("POST", f"/v1/devices/{tenant}")
        device = made.json()["id"]
        self.assertEqual(made.headers["location"], f"/v1/devices/{tenant}/{device}")
        read = self.http("GET", f"/v1/devices/{tenant}/{device}")
        self.assertEqual(list(read.json()), ["status"])
        credentials = self.http("GET", f"/v1/credentials/{tenant}/{device}")
        self.assertEqual((credentials.status, credentials.json()), (200, []))
        self.assertIn("etag", credentials.headers)

    def test_credentials_are_hidden_and_kept_by_id(self):
        self.http("POST", "/v1/tenants/C", {})
        self.http("POST", "/v1/devices/C/D", {})
        path = "/v1/credentials/C/D"
        put = self.http("PUT", path, [{"type": "hashed-password", "auth-id": "a",
                                       "secrets": [{"pwd-plain": "x", "comment": "one"}]}])
        self.assertEqual(put.status, 204)
        shown = self.http("GET", path).json()
        secret = shown[0]["secrets"][0]
        self.assertEqual(set(secret), {"id", "comment"})
        self.assertEqual(self.http("PUT", path, shown).status, 204)  # the hash is kept
        self.refused(self.http("PUT", path, [{"type": "hashed-password", "auth-id": "a", "secrets":
                                              [{"id": "unknown"}]}]), 400)
        self.refused(self.http("PUT", "/v1/credentials/C/nope", []), 404)

    def test_the_same_auth_id_on_two_devices_is_409(self):
        self.http("POST", "/v1/tenants/U", {})
        body = [{"type": "psk", "auth-id": "same", "secrets": [{"key": "AA=="}]}]
        for device, status in (("D1", 204), ("D2", 409)):
            self.http("POST", f"/v1/devices/U/{device}", {})
            self.assertEqual(self.http("PUT", f"/v1/credentials/U/{device}", body).status, status)

    # --- what is refused ---

    def test_bad_bodies_are_400_and_change_nothing(self):
        self.http("POST", "/v1/tenants/B", {"ext": {"kept": True}})
        cases = {
            "array": b"[]", "null": b"null", "cut": b"{", "trailing": b"{} x", "empty": b"",
            "duplicate": b'{"enabled":true,"enabled":false}', "unknown": b'{"nope":1}',
            "not utf-8": b'{"ext":{"a":"\xff"}}', "comment": b"{/**/}", "nan": b'{"ext":{"a":NaN}}',
            "deep": b'{"ext":{"a":' + b"[" * 20000 + b"]" * 20000 + b"}}",
            "wrong type": b'{"enabled":[]}', "certificate": b'{"trusted-ca":[{"cert":"AAAA"}]}',
            "truncated certificate": json.dumps({"trusted-ca": [
                {"cert": pki.der_base64("ca.pem")[:200]}]}).encode(),
        }
        for name, body in cases.items():
            with self.subTest(name):
                self.refused(self.http("PUT", "/v1/tenants/B", body), 400)
        self.assertEqual(self.http("GET", "/v1/tenants/B").json(), {"ext": {"kept": True}})

    def test_what_bodies_may_be(self):
        self.http("POST", "/v1/tenants/M", {})
        self.http("POST", "/v1/devices/M/D", {})
        for kind, status in (("application/json", 204), ("Application/JSON; charset=utf-8", 204),
                             ("application/json;charset=utf-16", 204), ("text/plain", 400),
                             ("application/json ;x", 400), ("application/jsonx", 400), ("", 400),
                             ("application/x-www-form-urlencoded", 400), ("multipart/form-data", 400)):
            for path, body in (("/v1/tenants/M", "{}"), ("/v1/devices/M/D", "{}"),
                               ("/v1/credentials/M/D", "[]")):
                answer = self.http("PUT", path, body, headers={"Content-Type": kind})
                self.assertEqual(answer.status, status, (kind, path))
            answer = self.http("POST", "/v1/tenants", "{}", headers={"Content-Type": kind})
            self.assertEqual(answer.status, 201 if status == 204 else 400, kind)
        # POST without a body makes an object with all defaults, whatever its type is said to be
        for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Length": "0"}):
            self.assertEqual(self.http("POST", "/v1/tenants", headers=headers).status, 201, headers)
        # PUT needs one; the type is looked at first
        self.refused(self.http("PUT", "/v1/tenants/M"), 400)
        self.refused(self.http("PUT", "/v1/tenants/M", headers={"Content-Type": "text/plain"}), 400)
        empty = self.http("PUT", "/v1/tenants/M", b"")
        self.refused(empty, 400)
        self.assertEqual(empty.json()["error"], "Empty body")
        for body in (b" ", b"\r\n", b"\xef\xbb\xbf", b"\xfe\xff\x00{\x00}", b"{\"a\xc0\x80\":1}"):
            self.refused(self.http("POST", "/v1/tenants", body), 400)
        self.assertEqual(self.http("PUT", "/v1/tenants/M", b"\xef\xbb\xbf{}").status, 204)
        # bodies of other methods mean nothing
        for method, status in (("GET", 200), ("DELETE", 204)):
            answer = self.http(method, "/v1/devices/M/D", b"{not json", headers={"Content-Type": "x"})
            self.assertEqual(answer.status, status)

    def test_large_bodies_are_413(self):
        exact = b'{"ext":{"a":"%s"}}' % (b"x" * (65536 - 16))
        self.assertEqual(len(exact), 65536)
        self.assertEqual(self.http("POST", "/v1/tenants/L", exact).status, 201)
        for size in (65537, 70000, 200000, 3000000):
            for method, path in (("POST", "/v1/tenants"), ("PUT", "/v1/tenants/L"),
                                 ("POST", "/v1/devices/L"), ("PUT", "/v1/credentials/L/D")):
                self.refused(self.http(method, path, b"[" * size), 413, "payload-too-large")
            # before the type and the ids are looked at
            self.refused(self.http("PUT", "/v1/tenants/L!", b"[" * size, headers={"Content-Type": "x"}), 413)
        self.assertEqual(self.http("GET", "/v1/tenants/L").body, exact)
        self.assertEqual(self.http("DELETE", "/v1/tenants/L", b"x" * 3000000).status, 204)

    def test_a_device_is_replaced_whole(self):
        self.http("POST", "/v1/tenants/P", {})
        made = self.http("POST", "/v1/devices/P/D", {"via": "gw", "ext": {"a": 1}})
        first = self.http("GET", "/v1/devices/P/D").json()
        self.assertNotIn("updated", first["status"])
        credentials = self.http("GET", "/v1/credentials/P/D")
        wrong = {"If-Match": str(uuid.uuid4())}
        self.refused(self.http("PUT", "/v1/devices/P/D", {}, headers=wrong), 412, "version-mismatch")
        put = self.http("PUT", "/v1/devices/P/D", {"enabled": False},
                        headers={"If-Match": made.headers["etag"]})
        self.assertEqual((put.status, put.body), (204, b""))
        read = self.http("GET", "/v1/devices/P/D")
        self.assertEqual(read.headers["etag"], put.headers["etag"])
        self.assertNotEqual(put.headers["etag"], made.headers["etag"])
        shown = read.json()
        self.assertEqual(shown["status"]["created"], first["status"]["created"])
        self.assertGreaterEqual(shown["status"].pop("updated"), shown["status"].pop("created"))
        self.assertEqual(shown, {"enabled": False, "status": {}})
        after = self.http("GET", "/v1/credentials/P/D")
        self.assertEqual(after.headers["etag"], credentials.headers["etag"])
        self.refused(self.http("PUT", "/v1/devices/P/none", {}), 404, "unknown-device")
        self.refused(self.http("PUT", "/v1/devices/none/D", {}, headers=wrong), 404, "unknown-tenant")

    def test_all_devices_of_a_tenant_are_deleted(self):
        self.refused(self.http("DELETE", "/v1/devices/a%20b"), 400)
        self.assertEqual(self.http("DELETE", "/v1/devices/unknown").status, 204)
        self.http("POST", "/v1/tenants/A", {"ext": {"kept": True}})
        self.assertEqual(self.http("DELETE", "/v1/devices/A").status, 204)
        body = [{"type": "psk", "auth-id": "x", "secrets": [{"key": "AA=="}]}]
        for device in ("D1", "D2"):
            self.http("POST", f"/v1/devices/A/{device}", {})
        self.http("PUT", "/v1/credentials/A/D1", body)
        deleted = self.http("DELETE", "/v1/devices/A", headers={"If-Match": "ignored"})
        self.assertEqual((deleted.status, deleted.body), (204, b""))
        self.assertNotIn("etag", deleted.headers)
        for path in ("devices/A/D1", "devices/A/D2", "credentials/A/D1"):
            self.refused(self.http("GET", f"/v1/{path}"), 404, "unknown-device")
        self.assertEqual(self.http("GET", "/v1/tenants/A").json(), {"ext": {"kept": True}})
        self.http("POST", "/v1/devices/A/D3", {})
        self.assertEqual(self.http("PUT", "/v1/credentials/A/D3", body).status, 204)

    # --- paths, methods, headers ---

    # What each path supports; collections may be read by others too.
    PATHS = {"/v1/tenants": "POST", "/v1/tenants/T": "POST GET PUT DELETE", "/v1/devices/T": "POST DELETE",
             "/v1/devices/T/D": "POST GET PUT DELETE", "/v1/credentials/T/D": "GET PUT"}

    def test_methods_that_a_path_does_not_have(self):
        for path, methods in self.PATHS.items():
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "SEARCH", "get", "CONNECT"):
                if method in methods.split():
                    continue
                answer = self.http(method, path, headers={"Content-Type": "x"})
                self.assertEqual((answer.status, answer.body), (405, b""), (method, path))
                allow = set(answer.headers["allow"].split(", "))
                self.assertEqual(allow - {"GET"}, set(methods.split()) - {"GET"}, (method, path))
        for path in ("/v1/tenants/T", "/v1/devices/T/D", "/v1/credentials/T/D"):
            head = self.http("HEAD", path)
            self.assertEqual((head.status, head.body), (405, b""))
            self.assertNotIn("allow", head.headers)

    def test_paths_that_are_not_there(self):
        for path in ("/", "/v1", "/v1/", "/v1/nope", "/v2/tenants", "/V1/tenants", "/v1/Tenants", "/v1/devices",
                     "/v1/tenants/T/x", "/v1/devices/T/D/x", "/v1/credentials/T", "/v1/credentials/T/D/x",
                     "/v1/tenants/../..", "/v1/tenants;x", "*", "v1/tenants", "x:", "/v1" + "/x" * 100):
            for method in ("GET", "POST", "DELETE", "OPTIONS"):
                self.refused(self.http(method, path), 404, "unknown-path")
            self.assertEqual(self.http("HEAD", path).status, 404)

    def test_paths_are_decoded_by_segment(self):
        self.http("POST", "/v1/tenants/N", {})
        made = self.http("POST", "/v1/devices/N/a%3Ab%3Dc", {})
        self.assertEqual(made.headers["location"], "/v1/devices/N/a:b=c")
        for path in ("/v1/tenants/N/", "/v1/tenants/N///", "//v1//tenants/N", "/v1/./tenants/N",
                     "/v1/tenants/x/../N", "/v1/tenants/x/%2e%2E/N", "/v1/%74enants/%4E", "/v1/tenants/N?",
                     "/v1/tenants/N?tenant_id=T1&device_id=x", "/v1/tenants/N?a=/../b", "http://any/v1/tenants/N",
                     "https://any:1/v1/tenants/N?x"):
            self.assertEqual(self.http("GET", path).status, 200, path)
        for path in ("/v1/devices/N/a%3Ab%3dc", "/v1/devices/N/a:b=c"):
            self.assertEqual(self.http("GET", path).status, 200, path)
        for path in ("/v1/tenants/a%2Fb", "/v1/tenants/a%20b", "/v1/tenants/a+b", "/v1/tenants/a:b", "/v1/tenants/%",
                     "/v1/tenants/%4", "/v1/tenants/%zz", "/v1/tenants/a%00", "/v1/tenants/%0a", "/v1/tenants/%7f",
                     "/v1/tenants/N;x", "/v1/tenants/N#x", "/v1/tenants/%C3%A4", "/v1/devices/N/a%20b", "/v1/devices/N/a%2Fb",
                     "/v1/devices/N/a!", "/v1/devices/N=/D", "/v1/credentials/N/a!", "/v1/credentials/N!/D",
                     "/v1/tenants/" + "x" * 201, "/v1/devices/N/" + "x" * 201):
            method = "POST" if "credentials" not in path else "GET"
            self.refused(self.http(method, path), 400)
        self.assertEqual(self.http("POST", "/v1/tenants/" + "x" * 200).status, 201)
        self.assertEqual(self.http("POST", "/v1/tenants/...").headers["location"], "/v1/tenants/...")

    def test_identifiers_and_bodies_are_checked_before_anything_is_looked_up(self):
        self.refused(self.http("PUT", "/v1/devices/unknown/D", {"nope": 1}), 400)
        self.refused(self.http("PUT", "/v1/devices/unknown/D!", {}), 400)
        self.refused(self.http("DELETE", "/v1/tenants/T!"), 400)
        self.refused(self.http("PUT", "/v1/tenants/T!", b"[", headers={"Content-Type": "x"}), 400)

    def test_versions(self):
        self.http("POST", "/v1/tenants/V", {})
        self.http("POST", "/v1/devices/V/D", {})
        for path, body in (("/v1/tenants/V", "{}"), ("/v1/devices/V/D", "{}"), ("/v1/credentials/V/D", "[]")):
            etag = self.http("GET", path).headers["etag"]
            for wrong in ("*", f"W/{etag}", f"{etag}, {etag}", etag.upper(), "x", f'"{etag}', f"{etag}x"):
                self.refused(self.http("PUT", path, body, headers={"If-Match": wrong}), 412, "version-mismatch")
            for right in ("{}", '"{}"', "  {}\t", "", None):
                etag = self.http("GET", path).headers["etag"]
                headers = {} if right is None else {"If-Match": right.format(etag)}
                put = self.http("PUT", path, body, headers=headers)
                self.assertEqual(put.status, 204, right)
                self.assertNotEqual(put.headers["etag"], etag)
                self.assertEqual(put.headers["etag"], self.http("GET", path).headers["etag"])
        with Raw(self.koseki) as peer:  # the first of two counts
            etag = self.http("GET", "/v1/devices/V/D").headers["etag"]
            self.assertEqual(peer.ask("DELETE", "/v1/devices/V/D", "If-Match: x", f"If-Match: {etag}").status, 412)
            self.assertEqual(peer.ask("GET", "/v1/devices/V/D", f"If-None-Match: {etag}", "Accept: text/html",
                                      "Range: bytes=0-1", "X-HTTP-Method-Override: DELETE").status, 200)
            deleted = peer.ask("DELETE", "/v1/devices/V/D", f"If-Match: {etag}", "If-Match: x")
            self.assertEqual(deleted.status, 204)
            self.assertNotIn("etag", deleted.headers)
        # what is not there is 404, whatever version is asked for
        self.refused(self.http("DELETE", "/v1/devices/V/D", headers={"If-Match": "x"}), 404)
        self.refused(self.http("PUT", "/v1/tenants/none", {}, headers={"If-Match": "x"}), 404)
        self.http("POST", "/v1/tenants/V2", {}, headers={"If-Match": "ignored"})
        self.assertEqual(self.http("GET", "/v1/tenants/V2").status, 200)

    def test_headers_of_answers(self):
        made = self.http("POST", "/v1/tenants/H", {})
        read = self.http("GET", "/v1/tenants/H")
        put = self.http("PUT", "/v1/tenants/H", {})
        gone = self.http("DELETE", "/v1/tenants/H")
        lost = self.http("GET", "/v1/tenants/H")
        json_type = "application/json; charset=utf-8"
        for answer, etag, location, kind in ((made, True, "/v1/tenants/H", json_type), (read, True, None, json_type),
                                             (put, True, None, None), (gone, False, None, None),
                                             (lost, False, None, json_type)):
            self.assertEqual("etag" in answer.headers, etag)
            self.assertEqual(answer.headers.get("location"), location)
            self.assertEqual(answer.headers.get("content-type"), kind)
            length = answer.headers.get("content-length")
            self.assertEqual(length, str(len(answer.body)) if answer.status != 204 else None)
            for name in ("server", "cache-control", "vary", "last-modified", "age", "retry-after"):
                self.assertNotIn(name, answer.headers)

    def test_health(self):
        for path in ("/liveness", "/readiness", "/started"):
            answer = self.http("GET", path, user=None, listener="ops.listen")
            self.assertEqual((answer.status, answer.json()["status"]), (200, "UP"))
        self.assertEqual(self.http("GET", "/v1/tenants/T1", user=None, listener="ops.listen").status, 404)
        self.assertEqual(self.http("POST", "/liveness", user=None, listener="ops.listen").status, 405)


class Limits(unittest.TestCase):
    """Limits are exact, however many ask at once."""

    CLIENTS = 16

    def at_once(self, *calls):
        with concurrent.futures.ThreadPoolExecutor(self.CLIENTS) as pool:
            return [future.result() for future in [pool.submit(*call) for call in calls]]

    def make_devices(self, koseki, tenant, count):
        def make(number):
            return koseki.http("POST", f"/v1/devices/{tenant}/d{number}").status

        return self.at_once(*((make, n) for n in range(count)))

    def test_devices_of_a_tenant(self):
        with Koseki(limits__max_devices_per_tenant=20) as koseki:
            for tenant, limits, most in (("global", {}, 20), ("unset", {"max-devices": -1}, 20),
                                         ("own", {"max-devices": 33}, 33), ("none", {"max-devices": 0}, 0)):
                koseki.http("POST", f"/v1/tenants/{tenant}", {"registration-limits": limits} if limits else {})
                codes = self.make_devices(koseki, tenant, 48)
                self.assertEqual((codes.count(201), codes.count(403)), (most, 48 - most), tenant)
            answer = koseki.http("POST", "/v1/devices/own/d0")  # asked before whether the id is there
            self.assertEqual((answer.status, answer.json()["reason"]), (403, "device-limit"))
            for _ in range(4):  # room that is made is filled exactly
                gone = [n for n in range(48) if koseki.http("GET", f"/v1/devices/own/d{n}").status == 200][:5]
                for n in gone:
                    self.assertEqual(koseki.http("DELETE", f"/v1/devices/own/d{n}").status, 204)
                codes = self.make_devices(koseki, "own", 48)
                self.assertEqual(codes.count(201), 5)
            # what is there stays when the limit is lowered, and may be changed
            koseki.http("PUT", "/v1/tenants/own", {"registration-limits": {"max-devices": 1}})
            kept = [n for n in range(48) if koseki.http("GET", f"/v1/devices/own/d{n}").status == 200]
            self.assertEqual(len(kept), 33)
            self.assertEqual(koseki.http("PUT", f"/v1/devices/own/d{kept[0]}", {}).status, 204)
            self.assertEqual(koseki.http("DELETE", "/v1/devices/own").status, 204)
            codes = self.make_devices(koseki, "own", 16)
            self.assertEqual(codes.count(201), 1)
            koseki.verify()

    def test_credentials_of_a_device(self):
        def body(count, first=0):
            return [{"type": "psk", "auth-id": f"a{first + n}", "secrets": [{"key": "AA=="}]} for n in range(count)]

        with Koseki(limits__max_credentials_per_device=3) as koseki:
            for tenant, limits, most in (("global", {}, 3), ("own", {"max-credentials-per-device": 5}, 5),
                                         ("none", {"max-credentials-per-device": 0}, 0)):
                koseki.http("POST", f"/v1/tenants/{tenant}", {"registration-limits": limits} if limits else {})
                koseki.http("POST", f"/v1/devices/{tenant}/D")
                path = f"/v1/credentials/{tenant}/D"
                counts = [n % 7 for n in range(112)]
                answers = self.at_once(*((koseki.http, "PUT", path, body(n)) for n in counts))
                for count, answer in zip(counts, answers):
                    self.assertEqual(answer.status, 204 if count <= most else 403, (tenant, count))
                    if answer.status == 403:
                        self.assertEqual(answer.json()["reason"], "credentials-limit")
                self.assertLessEqual(len(koseki.http("GET", path).json()), most)
                self.assertEqual(koseki.http("PUT", path, []).status, 204)
            # the limit comes before an unknown device, and objects count, not secrets
            answer = koseki.http("PUT", "/v1/credentials/global/none", body(4))
            self.assertEqual((answer.status, answer.json()["reason"]), (403, "credentials-limit"))
            secrets = [{"key": "AA=="} for _ in range(20)]
            many = [{"type": "psk", "auth-id": "many", "secrets": secrets}]
            self.assertEqual(koseki.http("PUT", "/v1/credentials/global/D", many).status, 204)
            koseki.verify()

    def test_of_writes_with_one_version_one_wins(self):
        with Koseki() as koseki:
            koseki.http("POST", "/v1/tenants/T")
            koseki.http("POST", "/v1/devices/T/D")
            for path in ("/v1/tenants/T", "/v1/devices/T/D", "/v1/credentials/T/D"):
                body = [] if "credentials" in path else {}
                for _ in range(5):
                    headers = {"If-Match": koseki.http("GET", path).headers["etag"]}
                    answers = self.at_once(*((koseki.http, "PUT", path, body, ("admin", "admin-secret"), headers)
                                             for _ in range(self.CLIENTS)))
                    codes = [answer.status for answer in answers]
                    self.assertEqual((codes.count(204), codes.count(412)), (1, self.CLIENTS - 1))
                    won = next(answer for answer in answers if answer.status == 204)
                    self.assertEqual(koseki.http("GET", path).headers["etag"], won.headers["etag"])


class Pending(unittest.TestCase):
    @unittest.skipIf(SANITIZED, "a preload and a sanitizer do not go together")
    def test_an_answer_comes_after_the_commit_and_a_gone_client_harms_nobody(self):
        with slowdisk.made() as disk, Koseki(**disk.options) as koseki:
            disk.steer("meta-hold=1 ")
            answers = []
            thread = threading.Thread(
                target=lambda: answers.append(koseki.http("POST", "/v1/tenants/A", {}).status))
            thread.start()
            koseki.wait_for(lambda: disk.steps("meta-hold"), "the commit's last step")
            with Raw(koseki) as gone:
                gone.request("POST", "/v1/tenants/B")
            self.assertEqual(koseki.http("GET", "/v1/tenants/none").status, 404)  # reads go on
            thread.join(0.3)
            self.assertEqual(answers, [])
            disk.steer("")
            thread.join(WAIT)
            self.assertEqual(answers, [201])
            koseki.wait_for(lambda: koseki.http("GET", "/v1/tenants/B").status == 200, "tenant B")
