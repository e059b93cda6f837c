"""What a protocol adapter does, by Debian's Proton for Python: one connection, request and reply links."""
import json
import threading
import uuid

from proton import Message, SSLDomain, symbol
from proton.utils import BlockingConnection

from support import pki
from support.server import WAIT


class Adapter:
    def __init__(self, koseki, user="adapter@HONO", password="secret", tls=False, external=None):
        """external: the name of a client certificate (pki) to log in with."""
        if tls or external:
            domain = SSLDomain(SSLDomain.MODE_CLIENT)
            domain.set_trusted_ca_db(pki.path("ca.pem"))
            domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME, pki.path("ca.pem"))
            if external:
                domain.set_credentials(pki.path(external + ".pem"), pki.path(external + ".key"), None)
            self.connection = BlockingConnection(
                f"amqps://localhost:{koseki.port('amqp.tls-listen')}", timeout=WAIT,
                user=None if external else user, password=None if external else password,
                allowed_mechs="EXTERNAL" if external else "PLAIN", ssl_domain=domain)
        else:
            self.connection = BlockingConnection(
                f"amqp://127.0.0.1:{koseki.port('amqp.listen')}", timeout=WAIT, user=user,
                password=password, allowed_mechs="PLAIN")
        self.links = {}

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def pair(self, address):
        """The sender and receiver for `tenant`, `credentials/T`, `registration/T`."""
        if address not in self.links:
            reply = f"{address}/{uuid.uuid4()}"
            receiver = self.connection.create_receiver(reply, credit=200, name=f"r-{reply}")
            sender = self.connection.create_sender(address, name=f"s-{reply}")
            self.links[address] = (sender, receiver, reply)
        return self.links[address]

    def send(self, address, subject, body=None, properties=None, correlation=None):
        """Sends a request without waiting for its answer; the id to expect."""
        sender, _, reply = self.pair(address)
        message = Message(id=f"id-{uuid.uuid4()}", subject=subject, reply_to=reply,
                          properties=properties, address=address)
        if correlation is not None:
            message.correlation_id = correlation
        if body is not None:
            message.inferred = True
            message.content_type = "application/json"
            message.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        sender.send(message)
        return correlation if correlation is not None else message.id

    def receive(self, address, timeout=WAIT):
        _, receiver, _ = self.pair(address)
        answer = receiver.receive(timeout=timeout)
        receiver.accept()
        return answer

    def call(self, address, subject, body=None, properties=None, correlation=None):
        expected = self.send(address, subject, body, properties, correlation)
        answer = self.receive(address)
        assert answer.correlation_id == expected, (answer.correlation_id, expected)
        return answer

    # --- the three APIs ---

    def tenant(self, tenant=None, subject_dn=None):
        body = {"tenant-id": tenant} if tenant is not None else {"subject-dn": subject_dn}
        return self.call("tenant", "get", body)

    def credentials(self, tenant, kind, auth_id, certificate=None, **context):
        body = {"type": kind, "auth-id": auth_id, **context}
        if certificate is not None:
            body["client-certificate"] = pki.der_base64(certificate)
        return self.call(f"credentials/{tenant}", "get", body)

    def assert_device(self, tenant, device, gateway=None):
        properties = {"device_id": device}
        if gateway is not None:
            properties["gateway_id"] = gateway
        return self.call(f"registration/{tenant}", "assert", None, properties)


class Steady:
    """A client that was there before and asks for tenant T1 all the while, as adapters do, on a thread
    of its own: whatever a test does, it must not notice. (A client that does nothing is ended for it.)"""

    def __init__(self, koseki):
        self.wrong = None
        self.answered = 0
        self.news = threading.Condition()
        self.stopping = threading.Event()
        self.adapter = Adapter(koseki)
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        while not self.stopping.is_set() and self.wrong is None:
            try:
                code = status(self.adapter.tenant("T1"))
                wrong = None if code == 200 else f"status {code}"
            except Exception as error:  # told by check
                wrong = f"{type(error).__name__} {error}"
            with self.news:
                self.wrong = wrong
                self.answered += wrong is None
                self.news.notify_all()
            self.stopping.wait(0.02)

    def check(self):
        """A request that it sends after this call is answered, and all before were."""
        with self.news:
            # the second answer from now on belongs to a request sent later than now
            enough = self.answered + 2
            self.news.wait_for(lambda: self.wrong is not None or self.answered >= enough, 2 * WAIT)
            assert self.wrong is None and self.answered >= enough, f"the steady client: {self.wrong}"

    def close(self):
        self.stopping.set()
        self.thread.join()
        self.adapter.close()


def status(answer):
    return answer.properties["status"]


def payload(answer):
    body = answer.body
    return json.loads(bytes(body)) if body else None


__all__ = ["Adapter", "Steady", "payload", "status", "symbol"]
