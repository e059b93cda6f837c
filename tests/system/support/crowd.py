"""Many HTTP clients at once, each on one connection that stays open."""
import base64
import json
import queue
import socket
import threading

from support.server import WAIT

CLIENTS = 16


class Client:
    """Requests one after the other; reads just enough of HTTP to be quick."""

    def __init__(self, koseki, user=("admin", "admin-secret")):
        self.socket = socket.create_connection(("127.0.0.1", koseki.port("http.listen")), timeout=2 * WAIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        token = base64.b64encode(f"{user[0]}:{user[1]}".encode()).decode()
        self.head = f"Host: x\r\nAuthorization: Basic {token}\r\n"
        self.unread = b""

    def request(self, method, path, body=None):
        """(status, body as bytes)"""
        payload = b"" if body is None else json.dumps(body).encode()
        kind = "Content-Type: application/json\r\n" if body is not None else ""
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\n{self.head}{kind}Content-Length: {len(payload)}\r\n\r\n"
                            .encode() + payload)
        while b"\r\n\r\n" not in self.unread:
            self.read()
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        status = int(head[9:12])
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(self.unread) < length:
            self.read()
        answer, self.unread = self.unread[:length], self.unread[length:]
        return status, answer

    def read(self):
        more = self.socket.recv(65536)
        if not more:
            raise ConnectionError("the connection has ended")
        self.unread += more

    def close(self):
        self.socket.close()


def each(koseki, items, work, clients=CLIENTS):
    """work(client, item) for every item, from several clients; the first exception is raised."""
    todo = queue.SimpleQueue()
    failures = []
    for item in items:
        todo.put(item)

    def run():
        client = None
        try:
            client = Client(koseki)
            while not failures:
                work(client, todo.get_nowait())
        except queue.Empty:
            pass
        except Exception as error:  # told by the caller's thread
            failures.append(error)
        finally:
            if client is not None:
                client.close()
    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
