"""A message broker on loopback that can be told how to behave: Proton's engine, in a thread of its own.

It keeps nothing: `taken` lists what it accepted, in order.
"""
import dataclasses
import threading
import time

from proton import Condition, Delivery, Endpoint, Terminus, symbol
from proton.handlers import EndpointStateHandler, MessagingHandler
from proton.reactor import Container, EventInjector, ApplicationEvent

from support.ports import keep_port

STATES = {"accept": Delivery.ACCEPTED, "reject": Delivery.REJECTED, "release": Delivery.RELEASED,
          "modify": Delivery.MODIFIED, "undeliverable": Delivery.MODIFIED}


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

    @classmethod
    def of(cls, address, message, connection=0):
        """connection: which of the receiver's it came by, from 1; 0: untold."""
        return cls(address=address, id=message.id, content_type=message.content_type,
                   properties=dict(message.properties or {}),
                   annotations={str(key): value for key, value in (message.annotations or {}).items()},
                   body=message.body, durable=message.durable, ttl=message.ttl,
                   creation_time=message.creation_time, connection=connection)


class Broker(MessagingHandler):
    """Broker(relay=True): links without an address, as Artemis offers; else a link for each address.

    judge(address, message) says what becomes of a message: "accept", "reject", "release", "modify", "undeliverable"
    (modified, not here), "settle" (without a word), "receive" (and accept later), "ignore", "cut" (the connection),
    "close" (it, with a word), "end" (the session), "detach" (the link). refuse(address) says whether a link is
    refused, silent(address) whether its attach is not even answered. credit: at a time; 0: none; credit_of(address)
    for a link of its own; drain: credit is to be used at once or given back. told: of these, from the start.
    """

    def __init__(self, relay=True, credit=200, port=0, max_frame=None, channel_max=None, drain=False,
                 close_at_once=False, told=None):
        super().__init__(prefetch=0, auto_accept=False, auto_settle=False)
        self.relay, self.credit, self.port = relay, credit, port or keep_port()
        self.max_frame, self.channel_max, self.drain = max_frame, channel_max, drain
        self.close_at_once = close_at_once
        self.judge = lambda address, message: "accept"
        self.refuse = lambda address: False
        self.silent = lambda address: False
        self.credit_of = lambda address: self.credit
        self.delay = 0.0
        vars(self).update(told or {})
        self.be_silent()
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

    def be_silent(self):
        """Proton's Python answers every attach by itself: not those of silent addresses."""
        links = next(h for h in self.handlers if isinstance(h, EndpointStateHandler))
        answers = links.on_link_remote_open

        def on_link_remote_open(event):
            if not self.silent(event.link.remote_target.address or ""):
                answers(event)

        links.on_link_remote_open = on_link_remote_open

    def note(self, change):
        with self.changed:
            change()
            self.changed.notify_all()

    def on_start(self, event):
        acceptor = self.container.listen(f"127.0.0.1:{self.port}")
        self.acceptor = acceptor
        if self.drain:  # asks again and again, as who polls
            self.container.schedule(0, self)
        self.ready.set()

    def on_connection_bound(self, event):
        if self.max_frame is not None:
            event.transport.max_frame_size = self.max_frame
        if self.channel_max is not None:
            event.transport.channel_max = self.channel_max

    def on_connection_opening(self, event):
        if self.relay:
            event.connection.offered_capabilities = [symbol("ANONYMOUS-RELAY")]
        self.open_connections.append(event.connection)
        self.note(lambda: setattr(self, "connections", self.connections + 1))

    def on_connection_opened(self, event):
        if self.close_at_once:
            event.connection.condition = Condition("amqp:connection:forced", "not now")
            event.connection.close()

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
        self.give(link, self.credit_of(address or ""))

    def give(self, link, credit):
        if credit and not self.drain:
            link.flow(credit)

    def on_message(self, event):
        message, link = event.message, event.link
        address = message.address if link.target.address is None else link.target.address
        seen = Taken.of(address, message, self.connections)
        self.note(lambda: self.seen.append(seen))
        outcome = self.judge(address, message)
        if self.delay:
            self.held.append((event.delivery, outcome, seen, time.monotonic() + self.delay))
            self.container.schedule(self.delay, self)
        else:
            self.answer(event.delivery, outcome, seen)
        if self.credit_of(address) and link.state & Endpoint.LOCAL_ACTIVE:
            self.give(link, 1)

    def poll(self):
        for link in self.links():
            if link.credit == 0:
                link.drain(10)
        self.container.schedule(0.02, self)

    def links(self):
        """To us, of all connections."""
        for connection in self.open_connections:
            link = connection.link_head(Endpoint.REMOTE_ACTIVE)
            while link is not None:
                if link.is_receiver:
                    yield link
                link = link.next(Endpoint.REMOTE_ACTIVE)

    def on_timer_task(self, event):
        if self.drain:
            self.poll()
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
        link = delivery.link
        if outcome == "cut":
            self.drop_all()
        elif outcome in ("close", "end", "detach"):
            ended = {"close": link.connection, "end": link.session, "detach": link}[outcome]
            ended.condition = Condition("amqp:internal-error", "as told")
            ended.close()
        elif outcome == "receive":
            delivery.update(Delivery.RECEIVED)
            self.held.append((delivery, "accept", seen, time.monotonic() + 0.05))
            self.container.schedule(0.05, self)
        elif outcome != "ignore" and link.state & Endpoint.LOCAL_ACTIVE:
            if outcome == "accept":
                self.note(lambda: self.taken.append(seen))
            if outcome == "undeliverable":
                delivery.local.failed = delivery.local.undeliverable = True
            if outcome != "settle":
                delivery.update(STATES[outcome])
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
        for link in self.links():
            link.flow(self.credit)

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
