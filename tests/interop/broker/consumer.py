"""Consumers at the broker that know nothing of Koseki: Proton's Python, and Hono's own classes in a process of their
own."""
import json
import threading

from artemis import PASSWORD, USER
from proton.handlers import MessagingHandler
from proton.reactor import ApplicationEvent, Container, EventInjector
from support.broker import Taken
from support.server import WAIT

AGAIN = 0.2  # seconds after a connection has broken


class Consumer(MessagingHandler):
    """Takes what comes at the addresses, in a thread of its own, over one connection after the other.

    taken: everything, in order, also what came twice. look(address, message): called on arrival. An error of the
    thread ends it and is raised by wait() and stop()."""

    def __init__(self, port, addresses, look=None):
        super().__init__(auto_accept=False)
        self.url, self.addresses, self.look = f"amqp://127.0.0.1:{port}", addresses, look
        self.taken = []
        self.attached = set()
        self.changed = threading.Condition()
        self.stopping = False
        self.connection = None
        self.error = None
        self.injector = EventInjector()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.wait(lambda: self.attached == set(addresses), "links")

    def run(self):
        try:
            self.container = Container(self)
            self.container.selectable(self.injector)
            self.container.run()
        except BaseException as error:
            with self.changed:
                self.error = error
                self.changed.notify_all()

    def wait(self, what, text, seconds=120):
        with self.changed:
            came = self.changed.wait_for(lambda: self.error or what(), seconds)
            if self.error:
                raise self.error
            if not came:
                raise AssertionError(f"waited {seconds} s for {text}; taken: {len(self.taken)}")

    def of(self, address):
        return [taken for taken in list(self.taken) if taken.address == address]

    def stop(self):
        self.injector.trigger(ApplicationEvent("stop"))
        self.thread.join(WAIT)
        assert not self.thread.is_alive()
        if self.error:
            raise self.error

    def connect(self):
        self.waiting = False
        self.connection = self.container.connect(self.url, user=USER, password=PASSWORD, allowed_mechs="PLAIN",
                                                 reconnect=False)

    def on_start(self, event):
        self.connect()

    def on_connection_opened(self, event):
        for address in self.addresses:
            self.container.create_receiver(event.connection, address, name=address)

    def on_link_opened(self, event):
        with self.changed:
            self.attached.add(event.link.source.address)
            self.changed.notify_all()

    def on_message(self, event):
        message = event.message
        address = event.link.source.address
        if self.look is not None:
            self.look(address, message)
        with self.changed:
            self.taken.append(Taken.of(address, message))
            self.changed.notify_all()
        self.accept(event.delivery)

    def on_disconnected(self, event):  # heard more than once of one connection
        if not self.stopping and not self.waiting and event.connection == self.connection:
            self.waiting = True
            self.container.schedule(AGAIN, self)

    def on_timer_task(self, event):
        if not self.stopping:
            self.connect()

    def on_transport_error(self, event):
        pass

    def on_stop(self, event):
        self.stopping = True
        self.connection.close()
        self.injector.close()
        self.container.stop()


class HonoConsumers:
    """The lines that koseki.Consumers prints."""

    def __init__(self, processes, port, tenant, class_path):
        self.processes = processes
        self.name = f"consumers-{len(processes.started)}"
        processes.start(self.name, ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp",
                                    class_path, "koseki.Consumers", port, USER, PASSWORD, tenant])

    def lines(self):
        lines = self.processes.log_path(self.name).read_text(errors="replace").splitlines(True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}\n")]

    def wait(self, what, text, seconds=120):
        """Polls until what(lines) is true; its value."""
        return self.processes.wait_for(self.name, lambda: what(self.lines()), text, seconds)

    def stop(self):
        self.processes.stop(self.name)
