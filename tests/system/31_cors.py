"""Browsers of other origins: preflights and requests, as the Fetch standard and Hono have it."""
import subprocess
import os
import unittest

from support.rawhttp import Raw
from support.server import Koseki

REJECTED = "CORS Rejected - Invalid origin"
VALID = ("null", "http://a", "https://a.b-c.example", "ftp://a", "HTTP://A", "http://a:8080", "http://1.2.3.4:1",
         "http://[::1]", "http://[::1]:80", "http://a/path/more")
INVALID = ("", "*", "a.example", "//a", "http:", "http:/", "http://", "http:///x", "file://a", "ws://a", "://a",
           "http://u@a", "http://u:p@a", "http://a?x", "http://a#x", "http://a_b", "http://\xe4", "http://a:b",
           "http://a b", "http://a,http://b", "http://a http://b", "http://[::1", "http://[x]", "http://a]", "NULL",
           "http://a/?x", "http://" + "a" * 600)


class Cors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki()
        cls.koseki.create_tenant("T", cas=())
        cls.koseki.create_device("T", "D")

    @classmethod
    def tearDownClass(cls):
        cls.koseki.close()

    def preflight(self, path, origin="http://app.example", method="GET", koseki=None, **more):
        headers = {"Access-Control-Request-Method": method, **more}
        if origin is not None:
            headers["Origin"] = origin
        return (koseki or self.koseki).http("OPTIONS", path, user=None, headers=headers)

    def rejected(self, answer):
        self.assertEqual((answer.status, answer.json()["error"]), (403, REJECTED))
        self.assertFalse([name for name in answer.headers if name.startswith("access-control")])

    def test_preflights_need_no_login_and_tell_all_methods(self):
        for path, methods in (("/v1/tenants", "POST"), ("/v1/tenants/T", "POST GET PUT DELETE"),
                              ("/v1/devices/T", "POST DELETE"), ("/v1/devices/T/D/", "POST GET PUT DELETE"),
                              ("/v1/credentials/T/D", "GET PUT")):
            answer = self.preflight(path)
            self.assertEqual((answer.status, answer.body), (204, b""), path)
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")
            self.assertEqual(answer.headers["access-control-allow-headers"], "content-type,authorization,if-match")
            told = set(answer.headers["access-control-allow-methods"].split(","))
            self.assertEqual(told - {"GET"}, set(methods.split()) - {"GET"}, path)
            for name in ("vary", "access-control-max-age", "access-control-allow-credentials",
                         "access-control-expose-headers", "allow", "content-type"):
                self.assertNotIn(name, answer.headers)

    def test_preflights_are_asked_nothing_else(self):
        for path in ("/v1/tenants/a%20b", "/v1/devices/unknown/a!", "/v1/tenants/" + "x" * 300):
            self.assertEqual(self.preflight(path).status, 204, path)
        self.assertEqual(self.preflight("/v1/tenants/T", method="").status, 204)
        self.assertEqual(self.preflight("/v1/tenants/T", method="TRACE",
                                        **{"Access-Control-Request-Headers": "x-anything"}).status, 204)
        for origin in ("http://a", "*"):  # a path that is not there has no origins
            answer = self.preflight("/v1/nope", origin)
            self.assertEqual((answer.status, answer.json()["reason"]), (404, "unknown-path"))
            self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_options_that_are_no_preflight(self):
        for headers in ({}, {"Access-Control-Request-Method": "GET"}, {"Origin": "http://a"}):
            self.assertEqual(self.koseki.http("OPTIONS", "/v1/tenants/T", user=None, headers=headers).status, 401)
            answer = self.koseki.http("OPTIONS", "/v1/tenants/T", headers=headers)
            self.assertEqual(answer.status, 405)
            self.assertIn("GET", answer.headers["allow"])
            self.assertEqual("access-control-expose-headers" in answer.headers, "Origin" in headers)

    def test_requests_of_an_origin(self):
        origin = {"Origin": "https://app.example"}
        for method, path, body, status in (("GET", "/v1/tenants/T", None, 200), ("GET", "/v1/tenants/none", None, 404),
                                           ("PUT", "/v1/devices/T/D", {}, 204), ("PUT", "/v1/devices/T/D", [], 400),
                                           ("POST", "/v1/tenants/T", {}, 409), ("PATCH", "/v1/tenants/T", None, 405),
                                           ("PUT", "/v1/tenants/T", b"x" * 70000, 413)):
            answer = self.koseki.http(method, path, body, headers=origin)
            self.assertEqual(answer.status, status)
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")
            self.assertEqual(answer.headers["access-control-expose-headers"], "etag")
            self.assertNotIn("vary", answer.headers)
            self.assertNotIn("access-control-allow-methods", answer.headers)
        forbidden = self.koseki.http("DELETE", "/v1/tenants/T", user=("viewer", "viewer-secret"), headers=origin)
        self.assertEqual(forbidden.status, 403)
        self.assertEqual(forbidden.headers["access-control-allow-origin"], "*")
        for user, path, status in ((None, "/v1/tenants/T", 401), (("admin", "admin-secret"), "/v1/nope", 404)):
            answer = self.koseki.http("GET", path, user=user, headers=origin)
            self.assertEqual(answer.status, status)
            self.assertNotIn("access-control-allow-origin", answer.headers)
        self.assertNotIn("access-control-allow-origin", self.koseki.http("GET", "/v1/tenants/T").headers)

    def test_what_is_an_origin(self):
        for origin in VALID:
            self.assertEqual(self.preflight("/v1/tenants/T", origin).status, 204, origin)
        for origin in INVALID:
            self.rejected(self.preflight("/v1/tenants/T", origin))
        with Raw(self.koseki) as peer:
            for origin in INVALID:
                answer = peer.ask("GET", "/v1/tenants/T", "Origin: " + origin.encode().decode("ascii", "replace"))
                self.assertEqual(answer.status, 403, origin)
            self.assertEqual(peer.ask("GET", "/v1/tenants/T").status, 200)

    def test_a_wrong_origin_comes_before_method_and_body_and_after_the_login(self):
        wrong = {"Origin": "*"}
        self.rejected(self.koseki.http("PATCH", "/v1/tenants/T", headers=wrong))
        self.rejected(self.koseki.http("PUT", "/v1/tenants/T", b"x" * 70000, headers=wrong))
        self.rejected(self.koseki.http("POST", "/v1/tenants/a!", b"{", headers=wrong))
        self.rejected(self.koseki.http("OPTIONS", "/v1/tenants/T", headers=wrong))
        self.assertEqual(self.koseki.http("GET", "/v1/tenants/T", user=None, headers=wrong).status, 401)
        self.assertEqual(self.koseki.http("GET", "/v1/nope", headers=wrong).status, 404)

    def test_a_pattern_must_match_the_whole_origin(self):
        with Koseki(http__cors_allowed_origin=r"https://[a-z]+\.example|null|http://local(host)?(:[0-9]+)?") as koseki:
            koseki.create_tenant("T", cas=())
            for origin in ("https://app.example", "null", "http://local", "http://localhost:3000"):
                answer = self.preflight("/v1/tenants/T", origin, koseki=koseki)
                self.assertEqual(answer.status, 204, origin)
                self.assertEqual(answer.headers["access-control-allow-origin"], origin)
                self.assertEqual(answer.headers["vary"], "origin")
                read = koseki.http("GET", "/v1/tenants/T", headers={"Origin": origin})
                self.assertEqual((read.status, read.headers["access-control-allow-origin"]), (200, origin))
                self.assertEqual((read.headers["vary"], read.headers["access-control-expose-headers"]),
                                 ("origin", "etag"))
            for origin in ("https://app.example.evil", "https://app.example:1", "https://a.b.example", "xnull",
                           "http://localhost:3000/", "https://app_.example", "https://app.example\tnull"):
                self.rejected(self.preflight("/v1/tenants/T", origin, koseki=koseki))

    def test_a_pattern_that_is_none_stops_the_start(self):
        for pattern in ("https://(a", "[", "a{2,1}", "*a", "(a", "x" * 5000):
            run = subprocess.run([os.environ["KOSEKI_BINARY"], "check-config", "--set",
                                  f"http.cors-allowed-origin={pattern}"], capture_output=True, text=True)
            self.assertEqual(run.returncode, 1, pattern)
            self.assertIn("http.cors-allowed-origin", run.stdout + run.stderr)
