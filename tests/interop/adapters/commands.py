"""Commands to devices: the adapters find the one that holds the device by Koseki's Device Connection API."""
import contextlib
import pathlib
import unittest

import cases
from devices import HttpDevice, MqttDevice

COMPATIBILITY = pathlib.Path(__file__).resolve().parents[3] / "docs/compatibility.md"
NOT_BUILT = COMPATIBILITY.read_text().rpartition("## Not built yet")[2]


@unittest.skipIf("Device Connection API" in NOT_BUILT, "docs/compatibility.md: not built yet")
class Commands(cases.Case):
    """Both adapters take a tenant's commands from one queue; what comes to the wrong one has to be handed on."""

    def setUp(self):
        super().setUp()
        self.new_tenant()
        for name in ("one", "two"):
            self.koseki.create_device(self.tenant, name, {}, [cases.password(name, "secret")])

    def user(self, kind, name):
        port = cases.STAGE.http.port if kind is HttpDevice else cases.STAGE.mqtt.port
        return kind(port, login=(f"{name}@{self.tenant}", "secret"))

    @contextlib.contextmanager
    def listening(self, device, channel, expected, **how):
        """The process of a device that an adapter holds; ended if a check inside fails."""
        process = device.listen(**how)
        try:
            self.assertEqual(self.consumer.wait_for_listener(channel), expected)
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def test_commands_reach_the_adapter_that_holds_the_device(self):
        http, mqtt = self.user(HttpDevice, "one"), self.user(MqttDevice, "two")
        for turn in range(3):  # the queue gives to the adapters in turn
            with self.listening(http, "telemetry", "one") as first, \
                    self.listening(mqtt, "event", "two") as second:
                self.consumer.command("one", f"first-{turn}", "by HTTP")
                self.consumer.command("two", f"second-{turn}", "by MQTT")
                self.assertEqual(http.heard(first), (f"first-{turn}", "by HTTP"))
                self.assertEqual(mqtt.heard(second), (f"second-{turn}", "by MQTT"))

    def test_a_device_that_moves_is_found_at_its_last_adapter(self):
        for kind, channel in ((HttpDevice, "telemetry"), (MqttDevice, "event"),
                              (HttpDevice, "telemetry")):
            device = self.user(kind, "one")
            with self.listening(device, channel, "one") as process:
                self.consumer.command("one", "move", "follow me")
                self.assertEqual(device.heard(process), ("move", "follow me"))

    def test_a_command_goes_by_the_last_gateway_of_the_device(self):
        self.koseki.create_device(self.tenant, "behind", {"via": ["one", "two"]})
        listener = MqttDevice
        for name in ("one", "two", "one"):
            gateway = self.user(listener, name)
            other = self.user(listener, "two" if name == "one" else "one")
            self.assertEqual(self.accepted(gateway, behind=(self.tenant, "behind")), "behind")
            with self.listening(gateway, "event", name, topic="command//+/req/#") as process, \
                    self.listening(other, "event", other.login[0].partition("@")[0],
                                   topic="command//+/req/#"):
                self.consumer.command("behind", f"by-{name}", "pass it on")
                self.assertEqual(gateway.heard(process), (f"by-{name}", "pass it on"))
