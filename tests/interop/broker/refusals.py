"""Brokers that Koseki must not trust, and brokers that do not trust Koseki: it says why, devices log in all the same,
and what waits arrives once that is mended."""
import signal
import socket

from artemis import PASSWORD, USER
from stage import WRONG_PASSWORD, Case
from support.adapter import Adapter
from support.messaging import ids
from support.server import WAIT


class Refusals(Case):
    def refused(self, trouble, url="plain", host="127.0.0.1", **settings):
        """With these settings there is no connection, for a reason that has these words in it."""
        koseki = self.open(url, host, **settings)
        koseki.create_tenant(self.tenant)
        found = self.wait_trouble(koseki)
        self.assertIn(trouble, found)
        with Adapter(koseki) as adapter:
            device = self.provision(adapter, self.tenant)
        self.wait_figure(koseki, "events", 1)
        figures = self.messaging(koseki)
        self.assertEqual((figures["connected"], figures["sent"]), (False, 0))
        readiness = koseki.http("GET", "/readiness", user=None, listener="ops.listen").body.decode()
        self.assertIn(f'"trouble":"{found}"', readiness)
        for password in (PASSWORD, WRONG_PASSWORD):
            self.assertNotIn(password, koseki.log())
            self.assertNotIn(password, readiness)
        self.mended(koseki, device)

    def mended(self, koseki, device):
        consumer = self.consumer(self.tenant)
        koseki.stop()
        for key in [key for key in koseki.settings if key.startswith("messaging.")]:
            del koseki.settings[key]
        koseki.settings.update({
            "messaging.urls": f"amqp://127.0.0.1:{self.broker.port('plain')}", "messaging.username": USER,
            "messaging.password-file": self.stage.path("broker-password")})
        koseki.start()
        address = f"event/{self.tenant}"
        consumer.wait(lambda: consumer.of(address), "the event", WAIT)
        self.assertEqual(ids(consumer.of(address)), [device])

    def test_a_certificate_of_another_ca(self):
        self.refused("certificate is not accepted: unable to get local issuer", "of-another-ca")

    def test_an_expired_certificate(self):
        self.refused("expired", "expired")

    def test_a_certificate_that_is_not_yet_valid(self):
        self.refused("not yet valid", "not-yet-valid")

    def test_a_certificate_of_another_address(self):
        self.refused("IP address mismatch", "of-another-host")

    def test_a_certificate_of_another_name(self):
        self.refused("hostname mismatch", "of-another-host", "localhost")

    def test_a_certificate_of_a_name_when_called_by_address(self):
        self.refused("IP address mismatch", "of-the-name-only")

    def test_no_tls_where_it_is_expected(self):
        self.refused("does it expect TLS at this port?",
                     messaging__urls=f"amqps://127.0.0.1:{self.broker.port('plain')}")

    def test_tls_where_none_is_expected(self):
        self.refused("does it expect TLS (amqps)", messaging__urls=f"amqp://127.0.0.1:{self.broker.port('good')}")

    def test_a_wrong_password(self):
        self.refused("password is wrong", messaging__password_file=self.stage.path("wrong-password"))

    def test_a_password_is_mended_while_it_runs(self):
        path = self.stage.folder / "password-to-mend"
        path.write_text(f"{WRONG_PASSWORD}\n")
        consumer = self.consumer(self.tenant)
        koseki = self.open(messaging__password_file=str(path))
        koseki.create_tenant(self.tenant)
        self.assertIn("password is wrong", self.wait_trouble(koseki))
        with Adapter(koseki) as adapter:
            device = self.provision(adapter, self.tenant)
        path.unlink()
        koseki.process.send_signal(signal.SIGHUP)
        koseki.wait_for(lambda: "event=reload-failed what=messaging" in koseki.log(), "the failed reload")
        path.write_text(f"{PASSWORD}\n")
        koseki.process.send_signal(signal.SIGHUP)
        consumer.wait(lambda: ids(consumer.of(f"event/{self.tenant}")) == [device], "the event", WAIT)
        for password in (PASSWORD, WRONG_PASSWORD):
            self.assertNotIn(password, koseki.log())

    def test_an_unknown_user(self):
        self.refused("password is wrong", messaging__username="nobody")

    def test_no_name_at_all(self):
        self.refused("unauthorized", messaging__username=None, messaging__password_file=None)

    def test_no_certificate_where_one_is_wanted(self):
        self.refused("bad certificate", "external")

    def test_a_certificate_that_nobody_knows(self):
        pem = self.stage.path("stranger.pem")
        self.refused("unauthorized", "external", messaging__username=None, messaging__password_file=None,
                     messaging__cert=pem, messaging__key=pem)

    def test_nobody_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        self.refused("refused", messaging__urls=f"amqp://127.0.0.1:{port}")
