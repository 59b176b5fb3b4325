"""An MQTT broker inside this process, for the demo and for quick tests.

It is amqtt with everything off that is not plain MQTT 3.1.1. It keeps nothing on disk and gets
wills, takeover and overlapping filters wrong, none of which Whimbrel needs; the integration tests
run against other brokers too.

``python -m whimbrel_sim.broker --port 1883`` runs one alone, until it is stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
from contextlib import suppress
from typing import Self

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType


class EmbeddedBroker:
    """A broker on a loopback port, which can be stopped and started again on the same port.

    Port 0 takes a free port, fixed from then on; ``websocket_port`` adds a WebSocket listener.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, websocket_port: int | None = None
    ) -> None:
        self.host = host
        self.port = port or _free_port(host)
        self.websocket_port = websocket_port
        self._broker: Broker | None = None

    @property
    def url(self) -> str:
        """Where clients connect, as an agent's configuration wants it."""
        return f"mqtt://{self.host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises ``amqtt.errors.BrokerError`` when the port is taken."""
        if self._broker is not None:
            raise RuntimeError(f"the broker at {self.url} is running already")
        broker = Broker(self._config(), loop=asyncio.get_running_loop())
        await broker.start()
        self._broker = broker

    async def stop(self) -> None:
        """Close every connection and forget all sessions; harmless when not running."""
        if self._broker is not None:
            broker, self._broker = self._broker, None
            await broker.shutdown()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _config(self) -> BrokerConfig:
        listeners = {"default": ListenerConfig(bind=f"{self.host}:{self.port}")}
        if self.websocket_port is not None:
            bind = f"{self.host}:{self.websocket_port}"
            listeners["websocket"] = ListenerConfig(type=ListenerType.WS, bind=bind)
        # Only the anonymous plugin: the packet logger and the $SYS topics cost time for nothing.
        plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        return BrokerConfig(listeners=listeners, plugins=plugins)


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


async def serve(broker: EmbeddedBroker) -> None:
    """Run ``broker`` until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    async with broker:
        await stop.wait()


def main() -> None:
    """Run one broker from the command line."""
    parser = argparse.ArgumentParser(prog="python -m whimbrel_sim.broker", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--websocket-port", type=int)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    broker = EmbeddedBroker(
        host=arguments.host, port=arguments.port, websocket_port=arguments.websocket_port
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(broker))


if __name__ == "__main__":
    main()
