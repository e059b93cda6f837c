"""A TCP relay in front of the plain AMQP port: it can keep what clients send, and twist what they are answered.

Twists are made to whole TRANSFER frames: nothing else that a client is sent changes."""
import contextlib
import pathlib
import socket
import struct
import threading

from support import raw


def unchanged(payload):
    return payload


def status_as_uint(payload):
    return payload.replace(b"\xa1\x06status\x71", b"\xa1\x06status\x70")


def correlation_of_another_type(payload):
    """The sixth of the properties: a string (a1, b1) becomes a binary (a0, b0), a ulong (80) a long (81)."""
    assert payload[:3] == b"\x00\x53\x73", "an answer begins with its properties"
    at = 3 + (3 if payload[3] == 0xC0 else 9)
    for _ in range(5):
        _, at = raw.decode(payload, at)
    other = {0xA1: 0xA0, 0xB1: 0xB0, 0x80: 0x81}[payload[at]]
    return payload[:at] + bytes([other]) + payload[at + 1:]


def _twisted(frame, twist):
    doff, kind = 4 * frame[4], frame[5]
    if kind != 0 or len(frame) == doff:
        return frame
    performative, at = raw.decode(frame, doff)
    return frame[:at] + twist(frame[at:]) if performative.descriptor == raw.TRANSFER else frame


class Frames:
    """Cuts a stream into protocol headers and frames, which it twists."""

    def __init__(self, twist):
        self.twist, self.pending = twist, b""

    def __call__(self, data):
        self.pending += data
        out = b""
        while len(self.pending) >= 8:
            header = self.pending.startswith(b"AMQP")
            size = 8 if header else struct.unpack_from(">I", self.pending)[0]
            if len(self.pending) < size:
                break
            frame, self.pending = self.pending[:size], self.pending[size:]
            out += frame if header else _twisted(frame, self.twist)
        return out


@contextlib.contextmanager
def relay(port, twist=None, keep=None):
    """Yields the relay's port. keep: a folder for the bytes of each client connection, a file each."""
    listener = socket.create_server(("127.0.0.1", 0))
    sockets = []

    def pump(source, target, change, file):
        try:
            while data := source.recv(65536):
                if file is not None:
                    file.write(data)
                    file.flush()
                target.sendall(change(data) if change else data)
        except OSError:
            pass  # either has gone
        finally:
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
                file = None
                if keep is not None:
                    file = open(pathlib.Path(keep) / f"connection-{len(sockets) // 2}", "wb")
                sockets.extend([client, server])
                change = Frames(twist) if twist else None
                threading.Thread(target=pump, args=(client, server, None, file), daemon=True).start()
                threading.Thread(target=pump, args=(server, client, change, None), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        for sock in sockets:
            sock.close()
