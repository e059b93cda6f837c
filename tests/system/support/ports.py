"""Ports for servers that cannot pick one themselves, or that come back to the one they had."""
import socket

KEPT = []


def keep_port(host="127.0.0.1"):
    """The port is kept by a socket that is bound and never listens: beside it (both with SO_REUSEADDR) a server may
    bind and listen, now and after a restart, and the kernel gives the port to nobody else, above all not to a client
    that tries to reach it while the server is down."""
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind((host, 0))
    KEPT.append(kept)
    return kept.getsockname()[1]
