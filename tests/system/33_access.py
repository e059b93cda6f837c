"""Who may use the management API, and what failed logins cost."""
import base64
import re
import threading
import unittest

from support.rawhttp import Raw, basic
from support.server import Koseki

GET = "/v1/tenants/T1"


class Logins(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.koseki = Koseki()
        for tenant in ("T1", "T2"):
            cls.koseki.create_tenant(tenant, cas=())

    @classmethod
    def tearDownClass(cls):
        cls.koseki.close()

    def http(self, *arguments, **options):
        return self.koseki.http(*arguments, **options)

    def test_the_challenge(self):
        asked = [(None, method, path) for method in ("GET", "POST", "PATCH", "OPTIONS")
                 for path in (GET, "/v1/nope", "/", "/v1/tenants/%zz", "/v1/tenants/" + "x" * 4060)]
        asked += [(user, "GET", path) for path in (GET, "/v1/nope")
                  for user in (("nobody", "x"), ("admin", "wrong"), ("adapter-1", "x"))]
        for user, method, path in asked:
            answer = self.http(method, path, user=user)
            self.assertEqual(answer.status, 401, (user, method, path))  # before all else
            self.assertEqual(answer.headers["www-authenticate"], 'Basic realm="Hono"')
            self.assertEqual(answer.json(), {"error": "Unauthorized", "reason": "unauthorized"})
        head = self.http("HEAD", GET, user=None)
        self.assertEqual((head.status, head.body), (401, b""))
        large = self.http("PUT", GET, b"x" * 100000, user=None, headers={"Content-Type": "x"})
        self.assertEqual(large.status, 401)

    def test_a_script_in_a_browser_is_not_challenged(self):
        for by, challenged in (("XMLHttpRequest", False), ("xmlhttprequest", True), ("x", True), ("", True)):
            answer = self.http("GET", GET, user=None, headers={"X-Requested-With": by})
            self.assertEqual((answer.status, "www-authenticate" in answer.headers), (401, challenged), by)

    def test_what_the_header_may_be(self):
        token = basic("viewer", "viewer-secret")[6:]
        for header, status in ((f"Basic {token}", 200), (f"basic {token}", 200), (f"BASIC {token.rstrip('=')}", 200),
                               ("Basic", 400), ("Basic !!", 400), ("Basic AAAA_", 400), (f"Basic {token}=", 400),
                               (f"Basic  {token}", 400), (f"Basic {token} x", 400), (f"Bearer {token}", 401),
                               ("Digest username=x", 401), ("Basic bm9jb2xvbg==", 401), ("Basic Og==", 401),
                               ("Basic " + "A" * 5000, 401), ("Basic " + base64.b64encode(b":x").decode(), 401),
                               ("Basic " + base64.b64encode(b"viewer\0:viewer-secret").decode(), 401),
                               ("Basic " + base64.b64encode(b"viewer:viewer-secret\0").decode(), 401),
                               ("Basic " + base64.b64encode(b"viewer:").decode(), 401)):
            answer = self.http("GET", GET, user=None, headers={"Authorization": header})
            self.assertEqual(answer.status, status, header)
            self.assertEqual("www-authenticate" in answer.headers, status == 401)
        self.assertEqual(self.http("GET", GET, user=("hashed@HONO", "hashed-secret")).status, 403)  # who, is known

    def test_authorities(self):
        admin, viewer, one = (("admin", "admin-secret"), ("viewer", "viewer-secret"), ("admin-T1", "t1-secret"))
        adapter = ("adapter@HONO", "secret")
        for user, method, path, status in (
                (admin, "POST", "/v1/tenants", 201), (viewer, "POST", "/v1/tenants", 403), (one, "POST", "/v1/tenants", 403),
                (viewer, "GET", GET, 200), (viewer, "DELETE", GET, 403), (viewer, "PUT", GET, 403),
                (viewer, "DELETE", "/v1/devices/T1", 403), (viewer, "GET", "/v1/tenants/unknown", 404),
                (viewer, "PUT", "/v1/credentials/T1/D", 403), (viewer, "GET", "/v1/credentials/T1/D", 404),
                (one, "GET", GET, 200), (one, "POST", "/v1/devices/T1/D", 201), (one, "DELETE", "/v1/devices/T1", 204),
                (one, "GET", "/v1/tenants/T2", 403), (one, "GET", "/v1/tenants/unknown", 403),
                (one, "GET", "/v1/tenants/t1", 403), (one, "POST", "/v1/devices/T2", 403),
                (one, "DELETE", "/v1/devices/unknown", 403), (one, "GET", "/v1/tenants/T1%2Fx", 403),
                (one, "GET", "/v1/tenants/T2/../T1", 200), (one, "GET", "/v1/tenants/T1/../T2", 403),
                (one, "GET", "/v1/tenants/%54%31", 200), (one, "GET", "/v1/tenants/*", 403),
                (one, "GET", "/v1/nope", 404), (one, "PATCH", "/v1/tenants/T2", 405),
                (adapter, "GET", GET, 403), (adapter, "POST", "/v1/devices/T1", 403),
                (("none@HONO", "secret"), "GET", GET, 403)):
            answer = self.http(method, path, user=user, headers={"Content-Type": "x"})
            self.assertEqual(answer.status, status, (user, method, path))
            if status == 403:
                self.assertEqual(answer.json()["reason"], "not-authorized")

    def test_without_authentication_everyone_may_do_everything(self):
        with Koseki(http__authentication="false") as koseki:
            for user in (None, ("nobody", "x")):
                self.assertEqual(koseki.http("POST", "/v1/tenants", user=user).status, 201)


class Pace(unittest.TestCase):
    """Failed logins are told late; what is right is not. Nothing here measures time: answers are compared by
    which comes first, and by what the log says of them."""

    def setUp(self):
        self.koseki = Koseki()
        self.addCleanup(self.koseki.close)
        self.koseki.create_tenant("T1", cas=())

    def peer(self, user, **options):
        peer = Raw(self.koseki, user=user, **options)
        self.addCleanup(peer.close)
        return peer

    def told(self, user):
        """How late each refusal of the user was told, in ms, by the log."""
        return [int(ms) for ms in re.findall(rf'event=login-refused .*user="{user}" .*answered-in-ms=(\d+)',
                                             self.koseki.log())]

    def log_in_wrongly(self, user, password="wrong", times=1, **options):
        for _ in range(times):
            self.assertEqual(self.peer((user, password), **options).ask("GET", GET).status, 401)

    def comes_first(self, early, late):
        """Whether the early peer is answered while the late one waits. The machine may be slow: try again."""
        def tried():
            first, second = early(), late()
            second.request("GET", GET)
            first.request("GET", GET)
            self.assertEqual(first.answer().status, 200)
            second.sock.setblocking(False)
            try:
                second.sock.recv(1)
                return False
            except BlockingIOError:
                return True
            finally:
                second.close()

        self.koseki.wait_for(tried, "an answer before a late refusal")

    def test_refusals_are_told_later_and_later(self):
        self.log_in_wrongly("admin", times=7)
        self.assertEqual(self.told("admin"), [0, 0, 0, 250, 500, 1000, 1000])
        self.log_in_wrongly("nobody", times=4)  # whether the account is there makes no difference
        self.assertEqual(self.told("nobody"), [0, 0, 0, 250])

    def test_others_of_the_same_address_do_not_wait(self):
        self.log_in_wrongly("admin", times=6)
        self.comes_first(lambda: self.peer(("viewer", "viewer-secret")), lambda: self.peer(("admin", "wrong")))

    def test_the_right_password_of_the_same_account_is_not_told_late(self):
        self.log_in_wrongly("admin", times=6)
        self.comes_first(lambda: self.peer(("admin", "admin-secret")), lambda: self.peer(("nobody", "wrong")))
        self.assertEqual(self.peer(("admin", "admin-secret")).ask("GET", GET).status, 200)
        before = len(self.told("admin"))
        self.log_in_wrongly("admin", times=4)  # and it ends what was held against the account
        self.assertEqual(self.told("admin")[before:], [0, 0, 0, 250])

    def test_an_old_password_is_in_nobodys_way(self):
        """A client that goes on with a password that failed, on many connections at once."""
        stop = threading.Event()

        def hammer():
            while not stop.is_set():
                with Raw(self.koseki, user=("admin", "old")) as peer:
                    peer.ask("GET", GET)

        threads = [threading.Thread(target=hammer) for _ in range(16)]
        for thread in threads:
            thread.start()
        try:
            self.koseki.wait_for(lambda: 1000 in self.told("admin"), "late refusals")
            for _ in range(20):
                self.assertEqual(self.peer(("admin", "admin-secret")).ask("GET", GET).status, 200)
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def test_guesses_wait_for_each_other_and_nobody_else_does(self):
        for number in range(40):
            self.peer(("admin", f"guess-{number}")).request("GET", GET)
        self.koseki.wait_for(lambda: "too many passwords for this user" in self.koseki.log(), "a full queue")
        looked_at = [line for line in self.koseki.log().splitlines() if "a wrong password" in line]
        self.assertLess(len(looked_at), 30)
        # from elsewhere, or as another, nobody waits
        self.assertEqual(self.peer(("admin", "admin-secret"), source="127.0.0.2").ask("GET", GET).status, 200)
        self.assertEqual(self.peer(("viewer", "viewer-secret")).ask("GET", GET).status, 200)

    def test_behind_guesses_the_right_password_has_its_turn(self):
        for number in range(7):
            self.log_in_wrongly("admin", f"guess-{number}")
        self.assertEqual(self.peer(("admin", "admin-secret")).ask("GET", GET).status, 200)
        self.log_in_wrongly("admin")
        self.assertEqual(self.told("admin")[-1], 0)

    def test_failures_of_an_account_count_from_wherever_until_it_logs_in(self):
        for number in range(1, 12):
            self.log_in_wrongly("admin", source=f"127.0.0.{number + 1}")
        self.assertEqual(self.told("admin"), [0] * 10 + [250])
        self.assertEqual(self.peer(("admin", "admin-secret"), source="127.0.1.1").ask("GET", GET).status, 200)
        self.log_in_wrongly("admin", source="127.0.1.2")
        self.assertEqual(self.told("admin")[-1], 0)

    def test_failures_of_an_address_count_for_whatever_account(self):
        for number in range(21):
            self.log_in_wrongly(f"nobody-{number}")
        self.assertEqual(self.told("nobody-[0-9]+"), [0] * 20 + [250])
        self.log_in_wrongly("nobody-elsewhere", source="127.0.0.2")
        self.assertEqual(self.told("nobody-elsewhere"), [0])
        self.comes_first(lambda: self.peer(("viewer", "viewer-secret")), lambda: self.peer(("nobody", "x")))

    def test_hashed_passwords_are_slowed_as_well(self):
        for user in ("hashed@HONO", "nobody@HONO"):
            self.log_in_wrongly(user, times=5)
            self.assertEqual(self.told(user), [0, 0, 0, 250, 500])
        self.assertEqual(self.peer(("hashed@HONO", "hashed-secret")).ask("GET", GET).status, 403)

    def test_clients_that_leave_and_a_stop_while_refusals_are_held(self):
        self.log_in_wrongly("admin", times=6)
        for leave in (Raw.close, Raw.reset):
            for _ in range(50):
                gone = Raw(self.koseki, user=("admin", "wrong"))
                gone.request("GET", GET)
                leave(gone)
        held = [self.peer(("admin", f"guess-{number}")) for number in range(20)]
        for peer in held:
            peer.request("GET", GET)
        self.koseki.wait_for(lambda: len(self.told("admin")) > 6, "some of them refused")
        self.assertEqual(self.koseki.stop(), 0)  # held back no longer, and nothing is left behind
        self.koseki.start()
        self.assertEqual(self.koseki.http("GET", GET).status, 200)
