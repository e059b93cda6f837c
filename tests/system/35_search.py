"""Searching tenants and devices over HTTP, and what else the registry does meanwhile."""
import base64
import concurrent.futures
import json
import os
import socket
import ssl
import threading
import time
import unittest
import urllib.parse

from support import pki
from support.server import WAIT, Koseki

LONG = os.environ.get("KOSEKI_TESTS_LONG") == "1"
ADMIN = base64.b64encode(b"admin:admin-secret").decode()


def query(**parameters):
    """A query string; lists are repeated, objects are JSON."""
    pairs = []
    for name, values in parameters.items():
        for value in values if isinstance(values, list) else [values]:
            text = json.dumps(value) if isinstance(value, (dict, bool)) else str(value)
            pairs.append(f"{name}={urllib.parse.quote(text, safe='')}")
    return "?" + "&".join(pairs) if pairs else ""


def eq(field, value):
    return {"field": field, "value": value}


def by(field, direction="asc"):
    return {"field": field, "direction": direction}


class Search(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki(tls=True)
        for number in range(1, 7):
            cls.koseki.create_tenant(f"tenant-{number}", cas=(), enabled=number % 2 == 1,
                                     ext={"number": number, "group": "abc"[number % 3]})
        cls.koseki.create_tenant("T1", cas=())
        devices = {
            "dev-1": {"enabled": True, "via": ["gw-1"], "ext": {"brand": "acme", "n": 3}},
            "dev-2": {"enabled": False, "via": ["gw-1", "gw-2"], "ext": {"brand": "acme", "n": 1.5}},
            "dev-3": {"ext": {"brand": "bosch", "n": 10, "tags": ["x", "y"], "a/b": 1}},
            "gw-1": {}, "grp": {"memberOf": ["g1", "g2"]},
        }
        for device, body in devices.items():
            cls.koseki.create_device("T1", device, body)

    @classmethod
    def tearDownClass(cls):
        cls.koseki.close()

    def get(self, path, raw="", user=("admin", "admin-secret"), **parameters):
        return self.koseki.http("GET", path + (raw or query(**parameters)), user=user)

    def ids(self, path, **parameters):
        answer = self.get(path, **parameters)
        self.assertEqual(answer.status, 200, answer.body)
        return [item["id"] for item in answer.json()["result"]]

    def devices(self, **parameters):
        return self.ids("/v1/devices/T1", **parameters)

    def refused(self, answer, status, reason, names=""):
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/json; charset=utf-8")
        self.assertEqual(answer.json()["reason"], reason)
        self.assertIn(names, answer.json()["error"])

    # --- what is found ---

    def test_pages_are_counted_in_pages(self):
        only = {"filterJson": eq("/id", "tenant-*")}
        self.assertEqual(self.ids("/v1/tenants", pageSize=4, **only),
                         ["tenant-1", "tenant-2", "tenant-3", "tenant-4"])
        second = self.get("/v1/tenants", pageSize=4, pageOffset=1, **only).json()
        self.assertEqual([item["id"] for item in second["result"]], ["tenant-5", "tenant-6"])
        self.assertEqual(second["total"], 6)
        behind = self.get("/v1/tenants", pageSize=4, pageOffset=2, **only)
        self.assertEqual((behind.status, behind.json()), (200, {"total": 6, "result": []}))
        far = self.get("/v1/devices/T1", pageSize=200, pageOffset=2147483647)
        self.assertEqual((far.status, far.json()), (200, {"total": 5, "result": []}))

    def test_items_are_documents_with_id_and_status(self):
        answer = self.get("/v1/devices/T1", filterJson=eq("/id", "dev-2"))
        self.assertNotIn("etag", answer.headers)
        self.assertEqual(answer.headers["content-type"], "application/json; charset=utf-8")
        item = answer.json()["result"][0]
        self.assertRegex(item.pop("status")["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(item, {"id": "dev-2", "enabled": False, "via": ["gw-1", "gw-2"],
                                "ext": {"brand": "acme", "n": 1.5}})
        one = dict(self.koseki.http("GET", "/v1/devices/T1/dev-2").json(), id="dev-2")
        self.assertEqual(answer.json()["result"], [one])
        tenant = self.get("/v1/tenants", filterJson=eq("/id", "tenant-1")).json()["result"]
        self.assertEqual(tenant, [{"id": "tenant-1", "enabled": True,
                                   "ext": {"number": 1, "group": "b"}}])

    def test_filters(self):
        for filters, found in (
                ([eq("/enabled", True)], ["dev-1"]),  # defaults are not stored
                ([eq("/enabled", False)], ["dev-2"]),
                ([eq("/ext/brand", "acme")], ["dev-1", "dev-2"]),
                ([eq("/ext/brand", "?o*")], ["dev-3"]),
                ([eq("/ext/n", 1.5)], ["dev-2"]),
                ([eq("/ext/n", 3.0)], ["dev-1"]),
                ([eq("/via", "gw-2")], ["dev-2"]),
                ([eq("/ext/tags/1", "y")], ["dev-3"]),
                ([eq("/ext/a~1b", 1)], ["dev-3"]),
                ([eq("/id", "gw*")], ["gw-1"]),
                ([eq("/ext/brand", "acme"), eq("/via", "gw-2")], ["dev-2"]),
                ([eq("/ext/brand", "bosch"), eq("/ext/brand", "acme")], ["dev-1", "dev-2"]),
                ([dict(eq("/ext/n", [10, 3]), op="in")], ["dev-1", "dev-3"]),
                ([dict(eq("/ext/brand", ["acme"]), op="not_in")], ["dev-3", "grp", "gw-1"]),
                ([eq("/status/created", "20*")], ["dev-1", "dev-2", "dev-3", "grp", "gw-1"])):
            with self.subTest(filters=filters):
                self.assertEqual(self.devices(filterJson=filters), found)

    def test_orders(self):
        for orders, found in (
                ([by("/id", "desc")], ["gw-1", "grp", "dev-3", "dev-2", "dev-1"]),
                ([by("/ext/n")], ["grp", "gw-1", "dev-2", "dev-1", "dev-3"]),
                ([by("/ext/n", "DESC")], ["dev-3", "dev-1", "dev-2", "grp", "gw-1"]),
                ([by("/ext/brand", "desc"), by("/ext/n")], ["dev-3", "dev-2", "dev-1", "grp", "gw-1"]),
                ([by("/none")], ["dev-1", "dev-2", "dev-3", "grp", "gw-1"])):
            with self.subTest(orders=orders):
                self.assertEqual(self.devices(sortJson=orders), found)
                self.assertEqual(self.devices(sortJson=orders, pageSize=2, pageOffset=1), found[2:4])

    def test_gateways(self):
        self.assertEqual(self.devices(isGateway="true"), ["grp", "gw-1"])  # gw-2 is no device
        self.assertEqual(self.devices(isGateway="false"), ["dev-1", "dev-2", "dev-3"])
        self.assertEqual(self.devices(isGateway=""), ["dev-1", "dev-2", "dev-3", "grp", "gw-1"])
        self.assertEqual(self.devices(isGateway="TRUE", filterJson=eq("/memberOf", "g2")), ["grp"])
        self.assertEqual(self.devices(isGateway="true", filterJson=eq("/id", "gw-1")), ["gw-1"])
        self.refused(self.get("/v1/devices/T1", isGateway="true", filterJson=eq("/id", "dev-1")), 404,
                     "not-found")

    def test_a_change_is_seen_at_once(self):
        self.koseki.create_tenant("change", cas=())
        for _ in range(3):
            self.refused(self.get("/v1/devices/change"), 404, "not-found")
            self.koseki.create_device("change", "d", {"via": ["d"]})
            self.assertEqual(self.ids("/v1/devices/change", isGateway="true"), ["d"])
            self.assertEqual(self.koseki.http("DELETE", "/v1/devices/change/d").status, 204)

    # --- what is not ---

    def test_no_match_is_404(self):
        for path, parameters, reason in (
                ("/v1/devices/T1", {"filterJson": eq("/id", "none")}, "not-found"),
                ("/v1/devices/T1", {"filterJson": eq("/ext/brand", "ACME")}, "not-found"),
                ("/v1/devices/tenant-1", {}, "not-found"),
                ("/v1/devices/unknown", {}, "unknown-tenant"),
                ("/v1/devices/no%20id", {}, "unknown-tenant"),
                ("/v1/devices/a%2Fb", {}, "unknown-tenant"),
                ("/v1/tenants", {"filterJson": eq("/ext/number", 99)}, "not-found")):
            with self.subTest(path=path, parameters=parameters):
                self.refused(self.get(path, **parameters), 404, reason)

    def test_malformed_parameters_are_400_and_named(self):
        for raw, names in (
                ("?pageSize=0", "pageSize"), ("?pageSize=201", "pageSize"), ("?pageSize=", "pageSize"),
                ("?pageSize=-100", "pageSize"), ("?pageOffset=-1", "pageOffset"),
                ("?pageOffset=2147483648", "pageOffset"), ("?filterJson=null", "filterJson"),
                ("?filterJson=%5B%5D", "filterJson"), ("?filterJson=x", "filterJson"),
                ("?filterJson=%7B%7D", "filterJson[0].field"),
                (query(filterJson={"field": "x", "value": 1}), "filterJson[0].field"),
                (query(filterJson={"field": "/x~2", "value": 1}), "filterJson[0].field"),
                (query(filterJson={"field": "/x", "value": None}), "filterJson[0].value"),
                (query(filterJson={"field": "/x", "value": {"$ne": ""}}), "filterJson[0].value"),
                (query(filterJson={"field": "/x", "value": 1, "op": "gt"}), "filterJson[0].op"),
                (query(filterJson=[eq("/x", 1), {"field": "/y"}]), "filterJson[1].value"),
                ("?sortJson=1", "sortJson"), (query(sortJson=by("/")), "sortJson[0].field"),
                (query(sortJson=by("/x", "up")), "sortJson[0].direction"),
                ("?pageSize=%zz", "pageSize"), ("?other=%", "other")):
            for path in ("/v1/tenants", "/v1/devices/T1", "/v1/devices/unknown"):
                with self.subTest(path=path, raw=raw):
                    answer = self.get(path, raw=raw)
                    self.assertEqual(answer.status, 400, answer.body)
                    self.assertIn(answer.json()["reason"], ("bad-request", "bad-json"))
                    self.assertTrue(answer.json()["error"].startswith(names), answer.body)

    def test_names_of_parameters_and_separators(self):
        for raw in ("?PAGESIZE=1;PageOffset=2", "?pageSize=1&pageSize=x&pageOffset=2",
                    "?pageSize=%2B1;;&pageOffset=002&tenant_id=tenant-1&unknown"):
            self.assertEqual(self.devices_of(self.get("/v1/devices/T1", raw=raw)), ["dev-3"])
        plain = '?filterJson={"field":"/ext/brand","value":"bosch"}'.replace('"', "%22")
        self.assertEqual(self.devices_of(self.get("/v1/devices/T1/", raw=plain)), ["dev-3"])

    def devices_of(self, answer):
        self.assertEqual(answer.status, 200, answer.body)
        return [item["id"] for item in answer.json()["result"]]

    def test_methods(self):
        for path in ("/v1/tenants", "/v1/devices/T1"):
            self.assertEqual(self.koseki.http("HEAD", path).status, 405)
            answer = self.koseki.http("PATCH", path, {})
            self.assertEqual(answer.status, 405)
            self.assertLessEqual({"GET", "POST"}, set(answer.headers["allow"].split(", ")))

    def test_who_may(self):
        viewer, one = ("viewer", "viewer-secret"), ("admin-T1", "t1-secret")
        for user, path, status in (
                (viewer, "/v1/tenants", 200), (viewer, "/v1/devices/T1", 200),
                (one, "/v1/tenants", 403), (one, "/v1/devices/T1", 200),
                (one, "/v1/devices/tenant-1", 403), (one, "/v1/devices/unknown", 403),
                (("adapter@HONO", "secret"), "/v1/devices/T1", 403), (None, "/v1/tenants", 401),
                (("admin", "wrong"), "/v1/devices/T1?pageSize=0", 401)):
            with self.subTest(user=user, path=path):
                self.assertEqual(self.get(path, user=user).status, status)

    # --- on the wire ---

    def test_over_tls_and_pipelined(self):
        requests = [f"/v1/devices/T1{query(filterJson=eq('/ext/brand', 'acme'))}",
                    "/v1/devices/T1/dev-1", "/v1/tenants?pageSize=1", "/v1/tenants?pageSize=0"]
        text = "".join(f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {ADMIN}\r\n\r\n"
                       for target in requests)
        context = ssl.create_default_context(cafile=pki.path("ca.pem"))
        raw = socket.create_connection(("127.0.0.1", self.koseki.port("http.tls-listen")), WAIT)
        with context.wrap_socket(raw, server_hostname="localhost") as tls:
            tls.sendall(text.encode())
            seen = b""
            while seen.count(b"HTTP/1.1 ") < 4 or not seen.endswith(b"}"):
                more = tls.recv(65536)
                self.assertTrue(more, seen)
                seen += more
        self.assertEqual([part[:3] for part in seen.split(b"HTTP/1.1 ")[1:]],
                         [b"200", b"200", b"200", b"400"])


class Meanwhile(unittest.TestCase):
    """Searches that take long: few documents, but large, and a pattern that is tried at each place."""

    DOCUMENTS = 20
    COSTLY = query(filterJson=eq("/ext/t", "*" + "?" * 200 + "b*"))

    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki(log__level="debug")
        cls.koseki.create_tenant("T", cas=())
        for number in range(cls.DOCUMENTS):
            cls.koseki.create_device("T", f"large-{number:02}", {"ext": {"t": "a" * 60000}})

    @classmethod
    def tearDownClass(cls):
        cls.koseki.close()

    def begin(self, target="/v1/devices/T", koseki=None):
        """A search whose answer is left on its socket."""
        sock = socket.create_connection(("127.0.0.1", (koseki or self.koseki).port("http.listen")), WAIT)
        sock.sendall(f"GET {target}{self.COSTLY} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {ADMIN}\r\n"
                     "Connection: close\r\n\r\n".encode())
        return sock

    def end(self, sock):
        """Its status and body."""
        sock.settimeout(2 * WAIT)
        seen = b""
        while True:
            more = sock.recv(65536)
            if not more:
                break
            seen += more
        sock.close()
        head, _, body = seen.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)

    def test_writes_and_reads_go_on(self):
        """Counts what is begun and answered while one search is under way, over as many searches as it
        takes."""
        answered = 0
        end = time.monotonic() + 4 * WAIT
        while answered < 5 and time.monotonic() < end:
            state = {}
            thread = threading.Thread(target=lambda: state.update(status=self.end(self.begin())))
            thread.start()
            while thread.is_alive():
                name = f"small-{time.monotonic_ns()}"
                codes = (self.koseki.http("POST", f"/v1/devices/T/{name}", {}).status,
                         self.koseki.http("GET", f"/v1/devices/T/{name}").status,
                         self.koseki.http("GET", f"/v1/devices/T?pageSize=1").status,
                         self.koseki.http("DELETE", f"/v1/devices/T/{name}").status)
                self.assertEqual(codes, (201, 200, 200, 204))
                answered += thread.is_alive()
            thread.join()
            self.assertIn(state["status"][0], (404, 503), state)
        self.assertGreaterEqual(answered, 5)

    def test_a_client_that_leaves_takes_its_search_along(self):
        def dropped():
            self.begin().close()
            time.sleep(0.5)
            return "event=search-dropped" in self.koseki.log()

        self.koseki.wait_for(dropped, "a search that is dropped")
        self.assertNotIn("event=request-failed", "".join(
            line for line in self.koseki.log().splitlines() if "nobody waits" in line))

    def test_the_number_of_searches_is_bounded(self):
        """More than there may be, until one is refused; then all leave."""
        def refused():
            many = [self.begin() for _ in range(20)]
            try:
                for sock in many:
                    sock.settimeout(0.1)
                    try:
                        seen = sock.recv(65536)
                    except (TimeoutError, socket.timeout):
                        continue
                    if b"searches are under way" in seen and b" 503 " in seen:
                        return True
                return False
            finally:
                for sock in many:
                    sock.close()

        self.koseki.wait_for(refused, "a search that is refused")
        self.koseki.wait_for(lambda: self.koseki.http("GET", "/v1/tenants").status == 200, "room again")

    def test_the_end_waits_for_no_search(self):
        with Koseki() as koseki:
            koseki.create_tenant("T", cas=())
            for number in range(self.DOCUMENTS // 2):
                koseki.create_device("T", f"large-{number:02}", {"ext": {"t": "a" * 60000}})
            many = [self.begin(koseki=koseki) for _ in range(8)]
            self.assertEqual(koseki.http("GET", "/v1/devices/T?pageSize=1").status, 200)
            self.assertEqual(koseki.stop(), 0)
            for sock in many:
                status, body = self.end(sock)
                self.assertIn(status, (404, 503))
                if status == 503:
                    self.assertIn(body["reason"], ("unavailable", "search-limit", "busy"))

    @unittest.skipUnless(LONG, "100,000 devices: with --long")
    def test_a_hundred_thousand_devices(self):
        count, stop, scans, worst = 100000, threading.Event(), [], {"write": 0.0, "read": 0.0}
        with Koseki(store__map_size="16GiB") as koseki:
            koseki.create_tenant("T", cas=())

            def create(number):
                return koseki.http("POST", f"/v1/devices/T/dev-{number:06}",
                                   {"via": [f"dev-{number % 100:06}"], "ext": {"n": number % 1000}}).status

            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                self.assertEqual(set(pool.map(create, range(count))), {201})

            def scan():
                while not stop.is_set():
                    began = time.monotonic()
                    answer = koseki.http("GET", "/v1/devices/T" + query(
                        filterJson=eq("/ext/n", 7), sortJson=by("/via/0", "desc")))
                    scans.append(((time.monotonic() - began) * 1000, answer.status,
                                  answer.json().get("total")))

            threads = [threading.Thread(target=scan) for _ in range(4)]
            for thread in threads:
                thread.start()
            for number in range(1000):
                for kind, call in (("write", lambda: create(count + number)),
                                   ("read", lambda: koseki.http(
                                       "GET", f"/v1/devices/T/dev-{number:06}").status)):
                    began = time.monotonic()
                    self.assertIn(call(), (200, 201))
                    worst[kind] = max(worst[kind], (time.monotonic() - began) * 1000)
            koseki.wait_for(lambda: len(scans) >= 8, "searches to end")
            stop.set()
            for thread in threads:
                thread.join()
            for _, status, total in scans:
                self.assertEqual(status, 200)
                self.assertIn(total, (100, 101))
            self.assertEqual(koseki.http("GET", "/v1/devices/T?isGateway=true").json()["total"], 100)
            print(f"  {len(scans)} scans of {count:,} devices, {max(s[0] for s in scans):.0f} ms at most;"
                  f" meanwhile a write took {worst['write']:.0f} ms at most, a read {worst['read']:.0f} ms")
