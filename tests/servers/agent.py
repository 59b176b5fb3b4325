"""A real agent process with its command line beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from servers.ports import free_port
from servers.process import ServerProcess
from whimbrel_agent.keyfile import create_key
from whimbrel_agent.localhttp.client import LocalClient, NoAgentError

COMMAND_TIMEOUT_S = 60.0
_NOBODY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="  # a region's key that nobody has

_CONFIG = """
[device]
tenant = "acme"
region = "eu-1"
store = "store-12"
device = "till-3"
key = "device.key"
region_key = "{region_key}"
[buffer]
path = "buffer.db"
max_bytes = {max_bytes}
[uplink]
brokers = ["{uplink}"]
[intake.http]
listen = "127.0.0.1:{port}"
"""


class AgentServer(ServerProcess):
    """One agent in its own folder; its buffer outlives restarts and kills.

    Unless told otherwise its region does not exist: everything stays in the buffer.
    ``more`` is appended to its configuration.
    """

    name = "agent"

    def __init__(
        self,
        folder: Path,
        *,
        uplink: str = "mqtt://127.0.0.1:9",  # the discard port: refused
        region_key: str = _NOBODY,
        max_bytes: int = 64 * 1024 * 1024,
        more: str = "",
    ) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.config = folder / "agent.toml"
        self.socket = folder / "control.sock"
        self.config.write_text(
            _CONFIG.format(
                region_key=region_key, max_bytes=max_bytes, uplink=uplink, port=self.port
            )
            + more
        )
        if not (folder / "device.key").exists():
            create_key(folder / "device.key")

    def command(self) -> list[str]:
        return [sys.executable, "-m", "whimbrel_agent", "run", "--config", str(self.config)]

    def is_ready(self) -> bool:
        try:
            with LocalClient(self.socket, timeout_s=5) as client:
                return client.request("GET", "/v1/status").status == 200
        except NoAgentError:
            return False

    def status(self) -> dict[str, Any]:
        """The running agent's figures."""
        with LocalClient(self.socket) as client:
            status: dict[str, Any] = client.expect("GET", "/v1/status").json()
            return status

    def run_command(
        self, *arguments: str | Path, given: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``whimbrel-agent`` with this agent's configuration to its end."""
        return subprocess.run(
            self.command_line(*arguments),
            input=given,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
            cwd=self.folder,
            check=False,
        )

    def command_line(self, *arguments: str | Path) -> list[str]:
        """The command line of a sub-command with this agent's configuration."""
        words = [str(argument) for argument in arguments]
        return [sys.executable, "-m", "whimbrel_agent", *words, "--config", str(self.config)]

    def answer_of(self, *arguments: str | Path, given: bytes = b"") -> Any:
        """The JSON that a sub-command prints with ``--json``; it must end with status 0."""
        done = self.run_command(*arguments, "--json", given=given)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def events(self) -> list[dict[str, Any]]:
        """Every event in the buffer, lane by lane, in order."""
        done = self.run_command("buffer", "export")
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]
