"""A fleet of devices that log in all at once: certificates shared out over connections, several requests in flight
on each; who is cut off connects again and asks once more."""
import json
import threading
import time

from support import raw
from support.raw import Raw10
from support.server import WAIT


class Fleet:
    """made: (auth-id, certificate) each. answers: auth-id -> [(status, device)], of all its logins."""

    def __init__(self, koseki, made, tenant="T1", connections=20, in_flight=8):
        self.koseki, self.tenant, self.in_flight = koseki, tenant, in_flight
        self.answers = {auth_id: [] for auth_id, _ in made}
        self.cut = 0
        self.answered = 0
        self.lock = threading.Lock()
        self.failures = []
        self.threads = [threading.Thread(target=self.run, args=(made[n::connections],), daemon=True)
                        for n in range(connections)]
        for thread in self.threads:
            thread.start()

    def join(self, seconds=180):
        end = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0.0, end - time.monotonic()))
        assert not self.failures, self.failures
        assert not any(thread.is_alive() for thread in self.threads), f"{self.answered} logins were answered"

    def wait_answered(self, count, seconds=WAIT):
        self.koseki.wait_for(lambda: self.answered >= count or self.failures, f"{count} answers", seconds)

    def devices(self):
        """auth-id -> device, having seen that all logins were answered, with one and the same."""
        found = {}
        for auth_id, answers in self.answers.items():
            assert answers and all(status in (200, 201) for status, _ in answers), (auth_id, answers)
            assert len({device for _, device in answers}) == 1, (auth_id, answers)
            assert sum(status == 201 for status, _ in answers) <= 1, (auth_id, answers)
            found[auth_id] = answers[0][1]
        assert len(set(found.values())) == len(found)
        return found

    def run(self, left):
        left = list(left)
        try:
            while left:
                try:
                    with Raw10(self.koseki) as peer:
                        peer.connect()
                        self.ask(peer, left)
                except (raw.Closed, ConnectionError, OSError):
                    with self.lock:
                        self.cut += 1
                    time.sleep(0.02)  # the registry is down
        except BaseException as error:
            self.failures.append(repr(error))
            raise

    def ask(self, peer, left):
        """Takes from `left` what is answered."""
        reply = peer.request_links(f"credentials/{self.tenant}", credit=len(left) + 1)
        asked = 0
        pending = {}
        while left:
            while asked < peer.granted and len(pending) < self.in_flight:
                made = next((m for m in left if m[0] not in pending), None)
                if made is None:
                    break
                pending[made[0]] = made
                body = json.dumps({"type": "x509-cert", "auth-id": made[0], "client-certificate": made[1]}).encode()
                peer.send(raw.transfer(1, asked, raw.message("get", reply, made[0], body=body), settled=True))
                asked += 1
            auth_id, answer = self.answer(peer)
            left.remove(pending.pop(auth_id))
            with self.lock:
                self.answers[auth_id].append(answer)
                self.answered += 1

    @staticmethod
    def answer(peer):
        """Of the next answer: the auth-id that was asked for, (status, device or reason)."""
        while True:
            _, kind, fields, payload = peer.read()
            if kind == raw.FLOW and fields[4] == 1:
                peer.granted = fields[5] + fields[6]
            elif kind == raw.TRANSFER:
                break
            elif kind == raw.CLOSE:
                raise raw.Closed(str(fields))
        found = {section.descriptor: section.value for section in raw.sections(payload)}
        body = json.loads(found[0x75]) if 0x75 in found else {}
        return found[0x73][5], (found[0x74]["status"], body.get("device-id", body.get("reason")))
