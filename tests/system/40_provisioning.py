"""Certificate auto-provisioning: over AMQP, seen over HTTP, with races, limits and refusals."""
import contextlib
import json
import subprocess
import threading
import unittest
import uuid

from support import pki, raw, slowdisk
from support.adapter import Adapter, payload, status
from support.raw import Raw10
from support.server import SANITIZED, WAIT, Koseki

X509 = "x509-cert"


def subject(name):
    """The subject DN of a test certificate, as Koseki is to print it."""
    run = subprocess.run(["openssl", "x509", "-in", pki.path(name), "-noout", "-subject", "-nameopt",
                          "RFC2253"], capture_output=True, text=True, check=True)
    return run.stdout.strip().removeprefix("subject=")


class Provisioning(unittest.TestCase):
    def setUp(self):
        self.koseki = Koseki()
        self.addCleanup(self.cleanup)

    def cleanup(self):
        if self.koseki.process is not None:
            self.koseki.stop()
        self.koseki.verify()
        self.koseki.close()

    def login(self, adapter, name, tenant="T1", **context):
        return adapter.credentials(tenant, X509, subject(name), certificate=name, **context)

    def refused(self, answer, code, reason):
        self.assertEqual(status(answer), code, answer.body)
        self.assertEqual(payload(answer)["reason"], reason)
        self.assertEqual(answer.properties["cache_control"], "no-cache")

    def test_an_md5_signature_is_none_and_a_slow_key_no_key(self):
        self.koseki.create_tenant("T1", cas=("rsa-ca.pem",))
        with Adapter(self.koseki) as adapter:
            self.refused(self.login(adapter, "rsa-device-md5.pem"), 404, "bad-signature")
            self.assertRegex(self.koseki.log(), 'event=device-refused tenant="T1" status=404 reason=bad-signature')
            self.assertEqual(status(self.login(adapter, "rsa-device.pem")), 201)
        slow = {"trusted-ca": [{"cert": pki.der_base64("rsa-ca-long-exponent.pem")}]}
        answer = self.koseki.http("POST", "/v1/tenants/T2", slow)
        self.assertEqual(answer.status, 400)
        self.assertIn("exponent", answer.json()["error"])

    def test_a_device_that_nobody_registered_logs_in(self):
        self.koseki.create_tenant("T1")
        name = "device-1.pem"
        with Adapter(self.koseki) as adapter:
            issuer = payload(adapter.tenant("T1"))["trusted-ca"][0]["subject-dn"]
            tenant = adapter.tenant(subject_dn=issuer)
            self.assertEqual(payload(tenant)["tenant-id"], "T1")

            first = self.login(adapter, name)
            self.assertEqual(status(first), 201)
            self.assertEqual(first.properties["cache_control"], "no-cache")
            body = payload(first)
            device = body["device-id"]
            uuid.UUID(device)
            self.assertEqual(body, {"device-id": device, "type": X509, "auth-id": subject(name),
                                    "enabled": True, "secrets": [{}]})

            again = self.login(adapter, name)
            self.assertEqual(status(again), 200)
            self.assertEqual(payload(again)["device-id"], device)
            self.assertEqual(payload(again)["secrets"], [{}])

            without = adapter.credentials("T1", X509, subject(name))
            self.assertEqual(status(without), 200)
            asserted = adapter.assert_device("T1", device)
            self.assertEqual(payload(asserted), {"device-id": device})

        shown = self.koseki.http("GET", f"/v1/devices/T1/{device}").json()
        self.assertIs(shown["status"]["auto-provisioned"], True)
        self.assertTrue(shown["ext"]["comment"].startswith("Auto-provisioned at "))
        shown = self.koseki.http("GET", f"/v1/credentials/T1/{device}").json()
        self.assertEqual(shown[0]["auth-id"], subject(name))
        self.assertEqual(len(shown[0]["secrets"]), 1)

    def test_a_provisioned_device_survives_a_restart(self):
        self.koseki.create_tenant("T1")
        with Adapter(self.koseki) as adapter:
            device = payload(self.login(adapter, "device-1.pem"))["device-id"]
        self.assertEqual(self.koseki.stop(), 0)
        self.koseki.start()
        with Adapter(self.koseki) as adapter:
            again = self.login(adapter, "device-1.pem")
            self.assertEqual((status(again), payload(again)["device-id"]), (200, device))

    def test_refusals_of_mode_enforce_write_nothing(self):
        self.koseki.create_tenant("T1")
        self.koseki.create_tenant("off", cas=())
        with Adapter(self.koseki) as adapter:
            for name, reason in (("device-bad-signature.pem", "bad-signature"),
                                 ("device-expired.pem", "expired"),
                                 ("device-not-yet-valid.pem", "not-yet-valid"),
                                 ("device-self-signed.pem", "no-trusted-ca")):
                with self.subTest(name):
                    self.refused(self.login(adapter, name), 404, reason)
            answer = adapter.credentials("T1", X509, "CN=somebody else", certificate="device-1.pem")
            self.refused(answer, 404, "subject-mismatch")
            self.refused(self.login(adapter, "device-1.pem", "off"), 404, "no-trusted-ca")
            self.refused(self.login(adapter, "device-1.pem", "nope"), 404, "unknown-tenant")
            for junk in ("AAAA", "not base64!", "", 5, [], pki.der_base64("device-1.pem")[:200]):
                answer = adapter.call("credentials/T1", "get", {
                    "type": X509, "auth-id": subject("device-1.pem"), "client-certificate": junk})
                self.refused(answer, 400, "not-a-certificate")
            answer = adapter.credentials("T1", "hashed-password", subject("device-1.pem"),
                                         certificate="device-1.pem")
            self.assertEqual(status(answer), 404)
        self.assertIn("devices=0", self.stat())

    def stat(self):
        self.koseki.stop()
        text = self.koseki.verify()
        return text.replace(" ", "").replace(":", "=")

    def test_without_the_flag_nothing_is_provisioned(self):
        self.koseki.create_tenant("T1", provisioning=False)
        with Adapter(self.koseki) as adapter:
            self.refused(self.login(adapter, "device-1.pem"), 404, "provisioning-off")

    def test_a_disabled_tenant_provisions_nothing(self):
        self.koseki.create_tenant("T1", enabled=False)
        with Adapter(self.koseki) as adapter:
            self.refused(self.login(adapter, "device-1.pem"), 404, "disabled")

    def test_the_key_decides_between_cas_of_one_name(self):
        self.koseki.create_tenant("T1", cas=("ca2-same-dn.pem", "ca.pem"))
        with Adapter(self.koseki) as adapter:
            self.assertEqual(status(self.login(adapter, "device-1.pem")), 201)

    def test_a_self_signed_anchor_passes(self):
        self.koseki.create_tenant("T1", cas=("device-self-signed.pem",))
        with Adapter(self.koseki) as adapter:
            self.assertEqual(status(self.login(adapter, "device-self-signed.pem")), 201)

    def test_other_key_types(self):
        for n, (ca, device) in enumerate((("rsa-ca.pem", "rsa-device.pem"),
                                          ("ed25519-ca.pem", "ed25519-device.pem"))):
            self.koseki.create_tenant(f"K{n}", cas=(ca,))
            with Adapter(self.koseki) as adapter:
                self.assertEqual(status(self.login(adapter, device, f"K{n}")), 201, device)

    def test_a_banned_device_does_not_come_back(self):
        self.koseki.create_tenant("T1")
        with Adapter(self.koseki) as adapter:
            device = payload(self.login(adapter, "device-1.pem"))["device-id"]
            set_ = self.koseki.http("GET", f"/v1/credentials/T1/{device}").json()
            set_[0]["enabled"] = False
            self.assertEqual(
                self.koseki.http("PUT", f"/v1/credentials/T1/{device}", set_).status, 204)
            self.assertEqual(status(self.login(adapter, "device-1.pem")), 404)
            self.assertEqual(status(self.login(adapter, "device-1.pem")), 404)
        self.assertIn("devices=1", self.stat())

    def test_a_known_device_with_a_forged_certificate_is_refused(self):
        self.koseki.create_tenant("T1")
        forged = "device-bad-signature.pem"
        self.koseki.create_device("T1", "D1", {}, [
            {"type": X509, "auth-id": subject(forged), "secrets": [{}]}])
        with Adapter(self.koseki) as adapter:
            self.refused(self.login(adapter, forged), 404, "bad-signature")
            self.assertEqual(status(adapter.credentials("T1", X509, subject(forged))), 200)

    def test_mode_report_lets_it_in_and_mode_off_does_not_look(self):
        for mode in ("report", "off"):
            with self.subTest(mode), Koseki(provisioning__verify=mode) as koseki:
                koseki.create_tenant("T1")
                with Adapter(koseki) as adapter:
                    for name in ("device-bad-signature.pem", "device-expired.pem"):
                        self.assertEqual(status(self.login(adapter, name)), 201)
                        self.assertEqual(status(self.login(adapter, name)), 200)

    def test_device_limits_are_exact(self):
        body = {"registration-limits": {"max-devices": 2}}
        self.koseki.create_tenant("T1", **body)
        with Adapter(self.koseki) as adapter:
            got = [status(self.login(adapter, f"device-{n}.pem")) for n in (1, 2, 3, 1)]
            self.assertEqual(got, [201, 201, 403, 200])
            self.refused(self.login(adapter, "device-3.pem"), 403, "device-limit")

    def test_a_credentials_limit_of_zero_refuses(self):
        self.koseki.create_tenant("T1", **{"registration-limits": {"max-credentials-per-device": 0}})
        with Adapter(self.koseki) as adapter:
            self.refused(self.login(adapter, "device-1.pem"), 403, "credentials-limit")
        self.assertIn("devices=0", self.stat())

    def test_a_deleted_device_may_come_again(self):
        self.koseki.create_tenant("T1")
        with Adapter(self.koseki) as adapter:
            first = payload(self.login(adapter, "device-1.pem"))["device-id"]
            self.assertEqual(self.koseki.http("DELETE", f"/v1/devices/T1/{first}").status, 204)
            again = self.login(adapter, "device-1.pem")
            self.assertEqual(status(again), 201)
            self.assertNotEqual(payload(again)["device-id"], first)

    def test_a_deleted_tenant_takes_its_devices_along(self):
        self.koseki.create_tenant("T1")
        with Adapter(self.koseki) as adapter:
            self.assertEqual(status(self.login(adapter, "device-1.pem")), 201)
            self.assertEqual(self.koseki.http("DELETE", "/v1/tenants/T1").status, 204)
            self.refused(self.login(adapter, "device-1.pem"), 404, "unknown-tenant")
            self.koseki.create_tenant("T1")
            self.assertEqual(status(self.login(adapter, "device-1.pem")), 201)


def sections(message):
    """The body and the application properties of an encoded answer."""
    at, body, properties = 0, None, {}
    while at < len(message):
        value, at = raw.decode(message, at)
        if value.descriptor == 0x74:
            properties = value.value
        elif value.descriptor == 0x75:
            body = json.loads(value.value)
    return body, properties


class Race(unittest.TestCase):
    """20 certificates on 10 connections each, released by a barrier."""

    CERTIFICATES = 20
    CONNECTIONS = 10

    def race(self, koseki, taken=None, ca_members=None):
        """taken: called once every request has been accepted, and none answered. Gives the ids of the devices."""
        koseki.create_tenant("T1", ca_members=ca_members)
        names = [f"device-{n + 1}.pem" for n in range(self.CERTIFICATES)]
        requests = {name: json.dumps({"type": X509, "auth-id": subject(name),
                                      "client-certificate": pki.der_base64(name)}).encode()
                    for name in names}
        peers = []  # (certificate, connection, reply address)
        for name in names * self.CONNECTIONS:
            peer = Raw10(koseki).connect()
            self.addCleanup(peer.close)
            peers.append((name, peer, peer.request_links("credentials/T1")))
        released, accepted = (threading.Barrier(len(peers) + 1, timeout=2 * WAIT) for _ in range(2))
        answers, errors = [], []

        def log_in(name, peer, reply):
            try:
                message = raw.message("get", reply, "m", body=requests[name])
                released.wait()
                peer.send(raw.transfer(1, 0, message))
                if taken:
                    self.assertNotIn(raw.TRANSFER, [frame[1] for frame in peer.until(raw.DISPOSITION)])
                    accepted.wait()
                peer.expect(raw.TRANSFER)
                body, properties = sections(peer.payload)
                answers.append((name, properties["status"], body["device-id"]))
            except Exception as error:  # told by the main thread
                errors.append((name, repr(error)))
                released.abort()
                accepted.abort()

        threads = [threading.Thread(target=log_in, args=peer, daemon=True) for peer in peers]
        for thread in threads:
            thread.start()
        with contextlib.suppress(threading.BrokenBarrierError):
            released.wait()
            if taken:
                accepted.wait()
                taken()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])
        codes = [code for _, code, _ in answers]
        self.assertEqual(codes.count(201), self.CERTIFICATES)
        self.assertEqual(codes.count(200), self.CERTIFICATES * (self.CONNECTIONS - 1))
        self.assertEqual(len({(name, device) for name, _, device in answers}), self.CERTIFICATES)
        self.assertEqual(len({device for _, _, device in answers}), self.CERTIFICATES)
        koseki.stop()
        self.assertRegex(koseki.verify(), rf"(?m)^devices: {self.CERTIFICATES}$")
        return {device for _, _, device in answers}

    def test_simultaneous_first_logins_give_one_device_each(self):
        with Koseki() as koseki:
            self.race(koseki)

    def test_with_a_device_id_template_nobody_loses_either(self):
        with Koseki() as koseki:
            devices = self.race(koseki, ca_members={
                "auto-provisioning-device-id-template": "{{subject-o}}:{{subject-cn}}"})
            self.assertEqual(devices, {f"Acme:device-{n + 1}" for n in range(self.CERTIFICATES)})

    @unittest.skipIf(SANITIZED, "a preload and a sanitizer do not go together")
    def test_all_have_read_that_there_is_no_device_before_the_first_is_committed(self):
        """The first batch is held in its commit until every request has been accepted, which is after its look-up: the
        writer alone decides, and the 200 are done in two batches."""
        with slowdisk.made() as disk, Koseki(**disk.options) as koseki:
            def taken():
                self.assertEqual(disk.steps("sync-hold"), 1, "one batch is in its commit")
                self.assertIn("devices: 0\n", koseki.stat())
                disk.steer("sync-delay=1 ")  # counts commits

            create = koseki.create_tenant

            def create_and_hold(*arguments, **members):
                create(*arguments, **members)
                disk.steer("sync-hold=1 ")

            koseki.create_tenant = create_and_hold
            self.race(koseki, taken)
            self.assertLessEqual(disk.steps("sync-delay"), 2)  # the held one, and one for all others


class WhileTheWriterWorks(unittest.TestCase):
    @unittest.skipIf(SANITIZED, "a preload and a sanitizer do not go together")
    def test_no_answer_precedes_the_commit_and_a_dead_connection_harms_nobody(self):
        body = json.dumps({"type": X509, "auth-id": subject("device-1.pem"),
                           "client-certificate": pki.der_base64("device-1.pem")}).encode()
        for step in ("sync-hold", "meta-hold"):
            for leaves in (False, True):
                with self.subTest(step=step, leaves=leaves), slowdisk.made() as disk, \
                        Koseki(**disk.options) as koseki:
                    koseki.create_tenant("T1")
                    disk.steer(f"{step}=1 ")
                    with Raw10(koseki) as peer:
                        peer.connect()
                        reply = peer.request_links("credentials/T1")
                        peer.send(raw.transfer(1, 0, raw.message("get", reply, "m", body=body)))
                        koseki.wait_for(lambda: disk.steps(step), "the step of the commit")
                        peer.expect(raw.DISPOSITION)
                        self.assertNotIn(raw.TRANSFER, peer.kinds_within(0.3), f"answer before {step} was done")
                        with Adapter(koseki) as other:  # look-ups go on meanwhile
                            self.assertEqual(status(other.tenant("T1")), 200)
                        if not leaves:
                            disk.steer("")
                            peer.expect(raw.TRANSFER)
                            self.assertEqual(sections(peer.payload)[1]["status"], 201)
                    disk.steer("")
                    with Adapter(koseki) as adapter:  # what a gone connection asked for is done all the same
                        koseki.wait_for(lambda: status(adapter.credentials("T1", X509, subject(
                            "device-1.pem"))) == 200, "the device")

    @unittest.skipIf(SANITIZED, "a preload and a sanitizer do not go together")
    def test_a_failing_disk_is_answered_503_and_nothing_is_half_written(self):
        for step in ("sync-fail", "meta-fail"):
            with self.subTest(step), slowdisk.made() as disk, Koseki(**disk.options) as koseki:
                koseki.create_tenant("T1")
                self.assertEqual(koseki.http("GET", "/readiness", user=None,
                                             listener="ops.listen").status, 200)
                disk.steer(f"{step}=5 ")  # EIO
                with Adapter(koseki) as adapter:
                    answer = adapter.credentials("T1", X509, subject("device-1.pem"),
                                                 certificate="device-1.pem")
                    self.assertEqual(status(answer), 503)
                    # reads go on, writes stay refused until restart
                    self.assertEqual(status(adapter.tenant("T1")), 200)
                    disk.steer("")
                    self.assertEqual(koseki.http("POST", "/v1/tenants/T2", {}).status, 503)
                self.assertEqual(koseki.http("GET", "/readiness", user=None,
                                             listener="ops.listen").status, 503)
                koseki.stop()
                koseki.verify()
                koseki.start()
                with Adapter(koseki) as adapter:
                    answer = adapter.credentials("T1", X509, subject("device-1.pem"),
                                                 certificate="device-1.pem")
                    self.assertIn(status(answer), (200, 201))


