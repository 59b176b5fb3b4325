"""amqtt, the embedded broker of the demo, in a process of its own so that it can be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from servers.broker import BrokerProcess
from servers.ports import free_port


class AmqttServer(BrokerProcess):
    """One amqtt broker: nothing on disk, no TLS, anyone may connect."""

    name = "amqtt"
    faithful = False  # wills, takeover and overlapping filters go wrong

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.websocket_port = free_port()

    @property
    def tls_only(self) -> bool:
        return False

    def command(self) -> list[str]:
        arguments = ["--port", str(self.port), "--websocket-port", str(self.websocket_port)]
        return [sys.executable, "-m", "whimbrel_sim.broker", *arguments]
