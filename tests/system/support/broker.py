"""A message broker on loopback that can be told how to behave: Proton's engine, in a thread of its own.

It keeps nothing: `taken` lists what it accepted, in order.
"""
import dataclasses
import threading
import time

from proton import Condition, Delivery, Endpoint, Terminus, symbol
from proton.handlers import MessagingHandler
from proton.reactor import Container, EventInjector, ApplicationEvent

from support.ports import keep_port


@dataclasses.dataclass
class Taken:
    address: str
    id: str
    content_type: str
    properties: dict
    annotations: dict
    body: object
    durable: bool
    ttl: float
    creation_time: float
    connection: int


class Broker(MessagingHandler):
    """Broker(relay=True): links without an address, as Artemis offers; else a link for each address.

    judge(address, message) says what becomes of a message: "accept", "reject", "release", "modify", "ignore",
    "cut" (the connection). refuse(address) says whether a link is refused. credit: at a time; 0: none.
    """

    def __init__(self, relay=True, credit=200, port=0):
        super().__init__(prefetch=0, auto_accept=False, auto_settle=False)
        self.relay, self.credit, self.port = relay, credit, port or keep_port()
        self.judge = lambda address, message: "accept"
        self.refuse = lambda address: False
        self.delay = 0.0
        self.taken = []
        self.seen = []  # every message that came, whatever became of it
        self.connections = 0
        self.attached = []
        self.changed = threading.Condition()
        self.ready = threading.Event()
        self.open_connections = []
        self.refused = []
        self.held = []  # (delivery, outcome) that wait
        self.injector = EventInjector()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        assert self.ready.wait(30)

    def run(self):
        self.container = Container(self)
        self.container.selectable(self.injector)
        self.container.run()

    # --- for tests ---

    def url(self):
        return f"amqp://127.0.0.1:{self.port}"

    def stop(self):
        self.injector.trigger(ApplicationEvent("stop"))
        self.thread.join(30)
        assert not self.thread.is_alive()

    def cut(self):
        """Ends all connections without a word."""
        self.injector.trigger(ApplicationEvent("cut"))

    def give_credit(self, credit):
        self.injector.trigger(ApplicationEvent("credit", subject=str(credit)))

    def wait(self, what, seconds=60):
        with self.changed:
            assert self.changed.wait_for(what, seconds), \
                f"waited {seconds} s; taken {len(self.taken)}, seen {len(self.seen)}"

    def wait_taken(self, count, seconds=60):
        self.wait(lambda: len(self.taken) >= count, seconds)

    def of(self, address):
        return [taken for taken in self.taken if taken.address == address]

    # --- the broker ---

    def note(self, change):
        with self.changed:
            change()
            self.changed.notify_all()

    def on_start(self, event):
        acceptor = self.container.listen(f"127.0.0.1:{self.port}")
        self.acceptor = acceptor
        self.ready.set()

    def on_connection_opening(self, event):
        if self.relay:
            event.connection.offered_capabilities = [symbol("ANONYMOUS-RELAY")]
        self.open_connections.append(event.connection)
        self.note(lambda: setattr(self, "connections", self.connections + 1))

    def on_link_opening(self, event):
        link = event.link
        address = link.remote_target.address
        self.note(lambda: self.attached.append(address))
        if self.refuse(address or ""):
            self.refused.append(link)  # detached when the attach, without a target, is out
            link.target.type = Terminus.UNSPECIFIED
            self.container.schedule(0, self)
            return
        link.target.address = address
        link.flow(self.credit)

    def on_message(self, event):
        message, link = event.message, event.link
        address = message.address if link.target.address is None else link.target.address
        seen = Taken(address, message.id, message.content_type, dict(message.properties or {}),
                     {str(k): v for k, v in (message.annotations or {}).items()}, message.body,
                     message.durable, message.ttl, message.creation_time, self.connections)
        self.note(lambda: self.seen.append(seen))
        outcome = self.judge(address, message)
        if self.delay:
            self.held.append((event.delivery, outcome, seen, time.monotonic() + self.delay))
            self.container.schedule(self.delay, self)
        else:
            self.answer(event.delivery, outcome, seen)
        if self.credit:
            link.flow(1)

    def on_timer_task(self, event):
        for link in self.refused:
            link.condition = Condition("amqp:unauthorized-access", "not here")
            link.close()
        self.refused = []
        now = time.monotonic()
        due = [held for held in self.held if held[3] <= now]
        self.held = [held for held in self.held if held[3] > now]
        if self.held:  # the container counts from when it last looked at the clock, so a timer may come early
            self.container.schedule(max(0.01, min(held[3] for held in self.held) - now), self)
        for delivery, outcome, seen, _ in due:
            self.answer(delivery, outcome, seen)

    def answer(self, delivery, outcome, seen):
        states = {"accept": Delivery.ACCEPTED, "reject": Delivery.REJECTED, "release": Delivery.RELEASED,
                  "modify": Delivery.MODIFIED}
        if outcome == "cut":
            self.drop_all()
        elif outcome in states and delivery.link.state & Endpoint.LOCAL_ACTIVE:
            if outcome == "accept":
                self.note(lambda: self.taken.append(seen))
            delivery.update(states[outcome])
            delivery.settle()

    def drop_all(self):
        for connection in self.open_connections:
            transport = connection.transport
            if transport is not None:
                transport.close_tail()
                transport.close_head()
        self.open_connections = []

    def on_cut(self, event):
        self.drop_all()

    def on_credit(self, event):
        self.credit = int(event.subject)
        for connection in self.open_connections:
            link = connection.link_head(Endpoint.REMOTE_ACTIVE)
            while link is not None:
                if link.is_receiver:
                    link.flow(self.credit)
                link = link.next(Endpoint.REMOTE_ACTIVE)

    def on_stop(self, event):
        self.acceptor.close()
        self.drop_all()
        self.injector.close()
        self.container.stop()

    def on_transport_error(self, event):
        pass

    def on_disconnected(self, event):
        if event.connection in self.open_connections:
            self.open_connections.remove(event.connection)
