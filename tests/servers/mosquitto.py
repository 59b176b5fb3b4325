"""Mosquitto, from the Debian package."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from servers.broker import BrokerProcess
from servers.certificates import Certificates
from servers.missing import find_program
from servers.ports import free_port

# A broker trusted with nothing: it forgets everything when it stops.
_DEFAULTS = {"persistence": "false"}


class MosquittoServer(BrokerProcess):
    """One Mosquitto with its own configuration file.

    ``settings`` are lines of mosquitto.conf by name and win over the defaults, for example
    ``{"max_queued_messages": 10}``. With ``certificates`` a second listener on ``tls_port`` speaks
    TLS. With ``passwords`` (user name to password) nobody else may connect. ``host`` is the
    address to listen on, ``::1`` for IPv6.
    """

    name = "mosquitto"

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, object] | None = None,
        certificates: Certificates | None = None,
        passwords: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(folder)
        self._program = find_program("mosquitto")
        self.host = host
        self.port = free_port(host)
        self.tls_port = free_port(host)
        self.settings = dict(settings or {})
        self.certificates = certificates
        self.passwords = dict(passwords or {})

    @property
    def tls_only(self) -> bool:
        return False

    def command(self) -> list[str]:
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text("\n".join(self._lines()) + "\n")
        return [str(self._program), "-c", str(configuration)]

    def _lines(self) -> list[str]:
        # Started as root it would become a user who cannot read the test's folder.
        settings: dict[str, object] = {
            **_DEFAULTS,
            "user": "root",
            "persistence_location": f"{self.folder}/",
            "allow_anonymous": "false" if self.passwords else "true",
            **self.settings,
        }
        if self.passwords:
            settings["password_file"] = self._password_file()
        lines = [f"{key} {value}" for key, value in settings.items()]
        lines.append(f"listener {self.port} {self.host}")
        if self.certificates is not None:
            lines += [
                f"listener {self.tls_port} {self.host}",
                f"cafile {self.certificates.ca_file}",
                f"certfile {self.certificates.certificate_file}",
                f"keyfile {self.certificates.key_file}",
            ]
        return lines

    def _password_file(self) -> Path:
        path = self.folder / "passwords"
        path.write_text("".join(f"{user}:{word}\n" for user, word in self.passwords.items()))
        path.chmod(0o600)
        # -U turns the clear words of the file into hashes.
        subprocess.run([find_program("mosquitto_passwd"), "-U", path], check=True)
        return path
