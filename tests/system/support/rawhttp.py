"""HTTP by hand: bytes that no library sends, and the answers one by one."""
import base64
import re
import socket
import ssl
import struct

from support import pki
from support.server import WAIT

ADMIN = ("admin", "admin-secret")


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Response:
    def __init__(self, status, fields, body, version):
        self.status, self.fields, self.body, self.version = status, fields, body, version
        self.headers = {name.lower(): value for name, value in fields}


class Raw:
    """One connection. `user` is whom request() logs in as."""

    def __init__(self, koseki, listener="http.listen", tls=False, user=ADMIN, source=None):
        self.user = user
        self.seen = b""
        self.sock = socket.create_connection(
            ("127.0.0.1", koseki.port("http.tls-listen" if tls else listener)), WAIT,
            source_address=(source, 0) if source else None)
        if tls:
            context = ssl.create_default_context(cafile=pki.path("ca.pem"))
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Leaves without a word more."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, text):
        self.sock.sendall(text if isinstance(text, bytes) else text.encode())

    def head(self, method, path, *fields, version="1.1", host="x"):
        """The text of a head, with login and Host."""
        lines = [f"{method} {path} HTTP/{version}"]
        if host is not None:
            lines.append(f"Host: {host}")
        if self.user is not None:
            lines.append(f"Authorization: {basic(*self.user)}")
        return "\r\n".join([*lines, *fields]) + "\r\n\r\n"

    def request(self, method, path, *fields, body=None, **options):
        """Sends a whole request; a body is JSON with its length."""
        if body is not None:
            fields = (*fields, "Content-Type: application/json", f"Content-Length: {len(body)}")
        self.send(self.head(method, path, *fields, **options) + (body or ""))

    def fill(self):
        more = self.sock.recv(65536)
        self.seen += more
        return bool(more)

    def answer(self, to="GET"):
        """The next response. Its body has the length that is announced."""
        while b"\r\n\r\n" not in self.seen:
            if not self.fill():
                raise AssertionError(f"the connection ended: {self.seen!r}")
        head, _, self.seen = self.seen.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        version, status = re.fullmatch(r"HTTP/(1\.[01]) (\d{3}) .*", lines[0]).groups()
        fields = [tuple(line.split(": ", 1)) for line in lines[1:]]
        headers = {name.lower(): value for name, value in fields}
        length = int(headers.get("content-length", 0))
        if to == "HEAD" or status in ("204", "100"):
            length = 0
        while len(self.seen) < length:
            if not self.fill():
                raise AssertionError(f"the body ended: {self.seen!r}")
        body, self.seen = self.seen[:length], self.seen[length:]
        return Response(int(status), fields, body, version)

    def ask(self, method, path, *fields, **options):
        self.request(method, path, *fields, **options)
        return self.answer(method)

    def rest(self):
        """What comes until the server ends the connection."""
        try:
            while self.fill():
                pass
        except ConnectionError:
            pass
        return self.seen
