"""AMQP 1.0 by hand, for what a well-behaved library refuses to send: a tiny codec and a socket.

Values: None, bool, int (uint), str, bytes (binary), Symbol, Ulong, Ubyte, Ushort, Int, Described,
list, dict (map). Frames read back come as (channel, descriptor, fields, payload).
"""
import select
import socket
import ssl
import struct
import uuid

from support import pki
from support.server import WAIT

SASL_HEADER = b"AMQP\x03\x01\x00\x00"
AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
SASL_MECHANISMS, SASL_INIT, SASL_OUTCOME = 0x40, 0x41, 0x44


class Symbol(str):
    pass


class Ulong(int):
    pass


class Ubyte(int):
    pass


class Ushort(int):
    pass


class Int(int):
    pass


class Raw(bytes):
    """Bytes that go out as they are."""


class Described:
    def __init__(self, descriptor, value):
        self.descriptor, self.value = descriptor, value

    def __repr__(self):
        return f"Described({self.descriptor:#x}, {self.value!r})"


def encode(value):
    if isinstance(value, Raw):
        return bytes(value)
    if value is None:
        return b"\x40"
    if isinstance(value, bool):
        return b"\x41" if value else b"\x42"
    if isinstance(value, Described):
        return b"\x00\x53" + bytes([value.descriptor]) + encode(value.value)
    if isinstance(value, Ulong):
        return b"\x80" + struct.pack(">Q", value)
    if isinstance(value, Ubyte):
        return b"\x50" + bytes([value])
    if isinstance(value, Ushort):
        return b"\x60" + struct.pack(">H", value)
    if isinstance(value, Int):
        return b"\x71" + struct.pack(">i", value)
    if isinstance(value, int):
        return b"\x70" + struct.pack(">I", value)
    if isinstance(value, (str, bytes)):
        raw = value.encode() if isinstance(value, str) else value
        small, large = ((0xA3, 0xB3) if isinstance(value, Symbol) else
                        (0xA1, 0xB1) if isinstance(value, str) else (0xA0, 0xB0))
        if len(raw) < 256:
            return bytes([small, len(raw)]) + raw
        return bytes([large]) + struct.pack(">I", len(raw)) + raw
    if isinstance(value, (list, dict)):
        items = value if isinstance(value, list) else [x for kv in value.items() for x in kv]
        body = b"".join(encode(item) for item in items)
        code = 0xD0 if isinstance(value, list) else 0xD1
        return bytes([code]) + struct.pack(">II", len(body) + 4, len(items)) + body
    raise TypeError(value)


def decode(data, at=0):
    """(value, next offset)"""
    code = data[at]
    at += 1
    fixed = {0x50: (">B", 1), 0x60: (">H", 2), 0x70: (">I", 4), 0x71: (">i", 4), 0x80: (">Q", 8),
             0x81: (">q", 8), 0x52: (">B", 1), 0x53: (">B", 1), 0x54: (">b", 1), 0x55: (">b", 1)}
    if code == 0x00:
        descriptor, at = decode(data, at)
        value, at = decode(data, at)
        return Described(int(descriptor), value), at
    if code in (0x40, 0x41, 0x42, 0x43, 0x44, 0x45):
        return {0x40: None, 0x41: True, 0x42: False, 0x43: 0, 0x44: Ulong(0), 0x45: []}[code], at
    if code == 0x56:
        return bool(data[at]), at + 1
    if code in fixed:
        form, size = fixed[code]
        return struct.unpack_from(form, data, at)[0], at + size
    if code == 0x98:
        return uuid.UUID(bytes=data[at:at + 16]), at + 16
    if code in (0xA0, 0xA1, 0xA3):
        raw = data[at + 1:at + 1 + data[at]]
        return _text(code, raw), at + 1 + data[at]
    if code in (0xB0, 0xB1, 0xB3):
        size = struct.unpack_from(">I", data, at)[0]
        return _text(code, data[at + 4:at + 4 + size]), at + 4 + size
    if code in (0xC0, 0xC1, 0xD0, 0xD1):
        wide = code >= 0xD0
        size, count = struct.unpack_from(">II" if wide else ">BB", data, at)
        end = at + size + (4 if wide else 1)
        at += 8 if wide else 2
        items = []
        for _ in range(count):
            item, at = decode(data, at)
            items.append(item)
        assert at == end, "list size"
        return (items if code in (0xC0, 0xD0) else dict(zip(items[::2], items[1::2]))), at
    if code in (0xE0, 0xF0):
        wide = code == 0xF0
        size = struct.unpack_from(">I" if wide else ">B", data, at)[0]
        at += 4 if wide else 1
        return Raw(data[at:at + size]), at + size
    raise ValueError(f"constructor {code:#x}")


def _text(code, raw):
    return bytes(raw) if code & 0xF == 0 else Symbol(raw.decode()) if code & 0xF == 3 else raw.decode()


def frame(descriptor, fields, channel=0, payload=b"", kind=0):
    body = encode(Described(descriptor, fields)) + payload
    return struct.pack(">IBBH", len(body) + 8, 2, kind, channel) + body


def open_frame(container="raw", max_frame=None, idle=None):
    return frame(OPEN, [container, None, max_frame, None, idle])


def begin(channel=0, window=2048):
    return frame(BEGIN, [None, 0, window, window, 1023], channel)


def attach(name, handle, receiver, address, channel=0, settle=None, target_null=False):
    """receiver: the role the client takes."""
    terminus = Described(0x28 if receiver else 0x29, [address])
    other = Described(0x29 if receiver else 0x28, [None])
    fields = [name, handle, receiver, Ubyte(settle) if settle is not None else None, None,
              terminus if receiver else other, (other if receiver else terminus)]
    if target_null:
        fields[6] = None
    if not receiver:
        fields += [None, None, 0]
    return frame(ATTACH, fields, channel)


def flow(handle, credit, channel=0, delivery_count=0, drain=False, next_incoming=0):
    return frame(FLOW, [next_incoming, 2048, 0, 2048, handle, delivery_count, credit, None, drain],
                 channel)


def message(subject=None, reply_to=None, message_id=None, correlation=None, properties=None,
            body=None):
    """An encoded message."""
    out = encode(Described(0x73, [message_id, None, None, subject, reply_to, correlation]))
    if properties is not None:
        out += encode(Described(0x74, properties))
    if body is not None:
        out += encode(Described(0x75, body))
    return out


def sections(payload):
    """The sections of an encoded message, in their order."""
    found, at = [], 0
    while at < len(payload):
        section, at = decode(payload, at)
        found.append(section)
    return found


def transfer(handle, delivery_id, payload, channel=0, tag=None, settled=False, more=False,
             aborted=None):
    fields = [handle, delivery_id, tag if tag is not None or delivery_id is None else
              struct.pack(">I", delivery_id), 0 if delivery_id is not None else None, settled, more]
    if aborted is not None:
        fields += [None, None, None, aborted]
    return frame(TRANSFER, fields, channel, payload)


def sasl_plain(user="adapter@HONO", password="secret", authzid=""):
    response = f"{authzid}\0{user}\0{password}".encode()
    return SASL_HEADER + frame(SASL_INIT, [Symbol("PLAIN"), response], kind=1)


class Closed(Exception):
    """The server ended the connection."""


class Raw10:
    """A socket that speaks frames."""

    def __init__(self, koseki, tls=False, certificate=None, sock=None):
        """sock: a connected socket to speak over."""
        key = "amqp.tls-listen" if tls else "amqp.listen"
        self.sock = sock or socket.create_connection(("127.0.0.1", koseki.port(key)))
        self.sock.settimeout(WAIT)
        if tls:
            context = ssl.create_default_context(cafile=pki.path("ca.pem"))
            if certificate:
                context.load_cert_chain(pki.path(certificate + ".pem"), pki.path(certificate + ".key"))
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def flood(self, data):
        """Sends all of it, or as much as the server takes before it ends the connection, and keeps what comes
        meanwhile: a server need not read on from a peer that does not read."""
        self.sock.setblocking(False)
        try:
            while data:
                readable, writable, _ = select.select([self.sock], [self.sock], [], WAIT)
                if not readable and not writable:
                    raise TimeoutError("the server takes nothing and says nothing")
                if readable:
                    more = self.sock.recv(65536)
                    if not more:
                        return
                    self.pending += more
                if writable:
                    data = data[self.sock.send(data[:65536]):]
        except ConnectionError:
            pass  # what came before is still to be read
        finally:
            self.sock.settimeout(WAIT)

    def _fill(self, n):
        while len(self.pending) < n:
            try:
                more = self.sock.recv(65536)
            except (ConnectionResetError, ssl.SSLError) as error:
                raise Closed(str(error)) from error
            if not more:
                raise Closed(f"end of stream, {len(self.pending)} bytes pending")
            self.pending += more

    def _take(self, n):
        self._fill(n)
        data, self.pending = self.pending[:n], self.pending[n:]
        return data

    def header(self):
        return self._take(8)

    def read(self, empty=False):
        """The next frame: (channel, descriptor, fields, payload); heartbeats are passed over."""
        while True:
            size, doff, _, channel = struct.unpack(">IBBH", self._take(8))
            self.frame_size = size
            body = self._take(size - 8)[4 * doff - 8:]
            if body:
                value, at = decode(body)
                return channel, value.descriptor, value.value, body[at:]
            if empty:
                return channel, None, None, b""

    def expect(self, descriptor):
        """Reads on to a frame of this kind; its fields."""
        while True:
            _, got, fields, self.payload = self.read()
            if got == descriptor:
                return fields
            if got == CLOSE:
                raise Closed(f"close {fields}")

    def until(self, kind):
        """All frames up to the first of this kind, with it: (channel, descriptor, fields, payload)."""
        frames = [self.read()]
        while frames[-1][1] != kind:
            frames.append(self.read())
        return frames

    def has_input(self, seconds):
        return bool(self.pending) or bool(select.select([self.sock], [], [], seconds)[0])

    def kinds_within(self, seconds):
        """The kinds of the frames that come until nothing has come for so long. Only to show that a kind
        does not come: what is to come may take longer."""
        kinds = []
        while self.has_input(seconds):
            kinds.append(self.read()[1])
        return kinds

    def until_end(self):
        """All frames up to the end of the stream."""
        frames = []
        try:
            while True:
                frames.append(self.read())
        except Closed:
            return frames

    def login(self, user="adapter@HONO", password="secret", authzid=""):
        self.send(sasl_plain(user, password, authzid))
        assert self.header() == SASL_HEADER
        self.expect(SASL_MECHANISMS)
        outcome = self.expect(SASL_OUTCOME)
        return outcome[0]

    def connect(self, user="adapter@HONO", password="secret", authzid="", **options):
        """Up to an open session on channel 0."""
        assert self.login(user, password, authzid) == 0
        self.send(AMQP_HEADER + open_frame(**options) + begin())
        assert self.header() == AMQP_HEADER
        self.expect(OPEN)
        self.expect(BEGIN)
        return self

    def request_links(self, address="tenant", reply=None, credit=100):
        """A reply link (handle 0) and a request link (handle 1), with credit both ways."""
        reply = reply or f"{address}/raw-reply"
        self.send(attach("reply", 0, True, reply) + flow(0, credit) + attach("request", 1, False, address))
        self.expect(ATTACH)
        self.expect(ATTACH)
        self.granted = self.expect(FLOW)[6]
        return reply
