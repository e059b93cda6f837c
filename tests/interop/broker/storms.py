"""Storms with a real broker: it, Koseki and both are killed by SIGKILL in the middle of a fleet's first logins; what
the kernel has of their files stays. And what is said of a broker that was killed."""
import re

from stage import Case
from support.storm import KILLS, Storm


class Storms(Storm, Case):
    def setUp(self):
        super().setUp()
        self.taker = self.consumer(self.tenant, look=self.look)

    def arrived(self):
        return list(self.taker.taken)

    def restart_broker(self):
        self.broker.kill()
        self.broker.start()

    def restart_koseki(self):
        self.koseki.kill()
        self.koseki.start()

    def test_the_broker_is_killed(self):
        self.assertEqual(self.storm(self.restart_broker, waves=KILLS), 0)  # no login was cut off

    def test_koseki_is_killed(self):
        self.assertGreater(self.storm(self.restart_koseki), 0)

    def test_both_are_killed(self):
        def disturb():
            self.koseki.kill()  # first: while the broker's process ends, a wave of logins would too
            self.broker.kill()
            self.koseki.start()
            self.broker.start()

        self.assertGreater(self.storm(disturb, waves=KILLS), 0)


class Deaths(Case):
    def test_the_death_of_a_broker_is_no_failure_of_tls(self):
        koseki = self.open("good")
        koseki.wait_for(lambda: self.messaging(koseki)["connected"], "the connection")
        self.broker.kill()
        try:
            troubles = set()

            def nobody_listens():
                troubles.add(self.messaging(koseki).get("trouble", ""))
                return any("refused" in trouble for trouble in troubles)

            koseki.wait_for(nobody_listens, "the next call")
            lost = re.findall("event=broker-lost .*", koseki.log())
        finally:
            self.broker.start()
            self.broker.wait_ready()
        self.assertTrue(lost)
        for text in [*troubles, *lost]:
            self.assertNotRegex(text, "TLS|SSL|eof")
        koseki.wait_for(lambda: self.messaging(koseki)["connected"], "the connection again", 60)
