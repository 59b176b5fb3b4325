"""A broker and an aggregator of the fleet's own, for trying it out: ``--local``."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Self

from whimbrel_sim.fleet import Region
from whimbrel_sim.ports import free_port
from whimbrel_sim.program import Program, ProgramError

START_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.1
_SYSTEM_FOLDERS: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where Debian keeps daemons and a plain user's PATH does not look."""

_FORWARD: Final = """
[[forward]]
name = "files"
kind = "files"
dir = "archive"
"""


class LocalRegion:
    """Mosquitto where it is installed, else amqtt; an aggregator that also writes NDJSON files.

    Attributes:
        region: the aggregator.
        broker_name: which broker it is.
        url: where agents connect.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        mosquitto = find_mosquitto()
        self.broker_name = "amqtt" if mosquitto is None else "mosquitto"
        self._mosquitto = mosquitto
        self._broker = Program(
            "amqtt", "whimbrel_sim.broker", ["--port", str(self.port)], folder / "broker"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.region = Region(folder / "region", [self.url])
        config = self.region.config_file
        if "[[forward]]" not in config.read_text():
            config.write_text(config.read_text() + _FORWARD)

    async def __aenter__(self) -> Self:
        self._start_broker()
        await self._until(self._broker_answers, f"{self.broker_name} does not listen")
        self.region.program.start()
        await self._until(
            lambda: asyncio.to_thread(self.region.is_ready), "the aggregator is not ready"
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._stop)

    def _start_broker(self) -> None:
        if self._mosquitto is None:
            self._broker.start()
            return
        folder = self.folder / "broker"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "mosquitto.conf"
        lines = [
            "persistence false", "allow_anonymous true", f"listener {self.port} 127.0.0.1",
            *(["user root"] if os.geteuid() == 0 else []),
        ]  # fmt: skip
        config.write_text("\n".join(lines) + "\n")
        with (folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._mosquitto), "-c", str(config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _stop(self) -> None:
        self.region.program.stop()
        self._broker.stop()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_TIMEOUT_S)

    async def _broker_answers(self) -> bool:
        self._broker.check_alive()
        if self._process is not None and self._process.poll() is not None:
            raise ProgramError(f"mosquitto ended; see {self.folder / 'broker' / 'mosquitto.log'}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def _until(self, condition: Callable[[], Awaitable[bool]], problem: str) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + START_TIMEOUT_S
        while not await condition():
            self.region.program.check_alive()
            if loop.time() > deadline_s:
                raise ProgramError(f"{problem} after {START_TIMEOUT_S:g} s; see {self.folder}")
            await asyncio.sleep(_POLL_S)


def find_mosquitto() -> Path | None:
    """Return Mosquitto's program, None where it is not installed."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), *_SYSTEM_FOLDERS]
    found = shutil.which("mosquitto", path=os.pathsep.join(folders))
    return None if found is None else Path(found)
