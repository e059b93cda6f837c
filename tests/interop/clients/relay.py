"""A TCP relay in front of the plain AMQP port: it can keep what clients send, and twist what they are answered."""
import contextlib
import pathlib
import socket
import threading


def status_as_uint(data):
    return data.replace(b"\xa1\x06status\x71", b"\xa1\x06status\x70")


def correlation_as_binary(data):
    """The correlation id of an answer follows to, and two nulls: string (a1, b1) becomes binary (a0, b0)."""
    at = 0
    while (at := data.find(b"\x40\x40", at)) >= 0:
        code = data[at + 2:at + 3]
        if code in (b"\xa1", b"\xb1"):
            data = data[:at + 2] + bytes([code[0] - 1]) + data[at + 3:]
        at += 2
    return data


@contextlib.contextmanager
def relay(port, twist=None, keep=None):
    """Yields the relay's port. keep: a folder for the bytes of each client connection, a file each."""
    listener = socket.create_server(("127.0.0.1", 0))
    sockets = []

    def pump(source, target, change, file):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if file is not None:
                    file.write(data)
                    file.flush()
                target.sendall(change(data) if change else data)
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
                threading.Thread(target=pump, args=(client, server, None, file), daemon=True).start()
                threading.Thread(target=pump, args=(server, client, twist, None), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        for sock in sockets:
            sock.close()
