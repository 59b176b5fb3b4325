"""One real server process on a loopback port: started, killed and started again by a test."""

from __future__ import annotations

import os
import subprocess
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from servers.waiting import wait_until

START_TIMEOUT_S = 30.0  # generous: two shared cores, and PostgreSQL recovering after a kill
STOP_TIMEOUT_S = 10.0


class ServerProcess(ABC):
    """A server's process. Its port, files and settings stay the same over restarts."""

    name: str
    host = "127.0.0.1"
    port: int

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log_file = folder / f"{self.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The command line; called at each start, so it may write configuration first."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether a client would be served now."""

    @property
    def user_id(self) -> int | None:
        """The user to run as, where it must not be the present one."""
        return None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self.process.pid

    def start(self) -> None:
        """Start and wait until clients are served. Raises with the log's end when it cannot."""
        if self.running:
            raise RuntimeError(f"{self.name} is running already, as process {self.pid}")
        command = self.command()
        user_id = self.user_id
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                user=user_id,
                group=user_id,
                extra_groups=None if user_id is None else [],
                start_new_session=True,
            )
        try:
            wait_until(self._ready_or_dead, timeout_s=START_TIMEOUT_S, what=f"{self.name}'s start")
        except TimeoutError:
            self.kill()
            raise RuntimeError(
                f"{self.name} did not start; its log ends:\n{self.log_end()}"
            ) from None
        if not self.running:
            status = self.process.returncode
            self.process = None
            raise RuntimeError(f"{self.name} ended with {status}; its log ends:\n{self.log_end()}")

    def kill(self) -> None:
        """``kill -9``, children included: a crash of the whole server. Harmless when stopped."""
        if self.process is None:
            return
        with suppress(psutil.NoSuchProcess):  # it may end by itself at any of these lines
            # Stopped first, so that it neither tidies up after its children nor starts new ones.
            parent = psutil.Process(self.process.pid)
            parent.suspend()
            children = parent.children(recursive=True)
            parent.kill()
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            wait_until(
                lambda: not any(_alive(child) for child in children),
                timeout_s=STOP_TIMEOUT_S,
                what=f"the end of {self.name}'s children",
            )
        self.process.wait(STOP_TIMEOUT_S)
        self.process = None

    def stop(self) -> None:
        """A clean stop; killed when it takes too long. Harmless when stopped."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def restart(self) -> None:
        """``kill -9`` and start again on the same port and files."""
        self.kill()
        self.start()

    def log_end(self, size_bytes: int = 4_000) -> str:
        """The last part of what the server printed."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - size_bytes))
            return log.read().decode(errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _ready_or_dead(self) -> bool:
        return not self.running or self.is_ready()


def _alive(process: psutil.Process) -> bool:
    """Whether it still runs: an orphan stays a zombie until the system's first process reaps it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
