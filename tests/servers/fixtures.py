"""Fixtures over the real servers; loaded for every test by tests/conftest.py.

A test that needs other settings builds the server itself:

    with MosquittoServer(tmp_path, settings={"max_queued_messages": 10}) as broker: ...
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import ports
from servers.amqtt import AmqttServer
from servers.broker import BrokerProcess
from servers.certificates import Certificates
from servers.mosquitto import MosquittoServer
from servers.nats import NatsServer
from servers.postgres import PostgresServer

BROKERS: dict[str, type[AmqttServer | MosquittoServer | NatsServer]] = {
    "amqtt": AmqttServer,
    "mosquitto": MosquittoServer,
    "nats": NatsServer,
}
FAITHFUL_BROKERS = [name for name, kind in BROKERS.items() if kind.faithful]


@pytest.fixture
def free_port() -> int:
    """A loopback port outside the kernel's ephemeral range."""
    return ports.free_port()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[MosquittoServer]:
    with MosquittoServer(tmp_path / "mosquitto") as server:
        yield server


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def amqtt_broker(tmp_path: Path) -> Iterator[AmqttServer]:
    with AmqttServer(tmp_path / "amqtt") as server:
        yield server


@pytest.fixture(params=list(BROKERS))
def any_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerProcess]:
    """Each broker in turn."""
    with BROKERS[request.param](tmp_path / request.param) as server:
        yield server


@pytest.fixture(params=FAITHFUL_BROKERS)
def faithful_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerProcess]:
    """Each broker whose wills, takeover and overlapping filters follow the standard."""
    with BROKERS[request.param](tmp_path / request.param) as server:
        yield server


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()
