"""One process of the product: started, killed and started again on the same files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

STOP_TIMEOUT_S: Final = 15.0
"""An orderly stop has a deadline of its own below this; past it the process is killed."""

_REPORT_BYTES: Final = 4_000


class ProgramError(Exception):
    """A command of the product ended with an error, or a process is not as it should be."""


class Program:
    """A running command whose output goes to a log file.

    Args:
        name: in errors, and the log file's name.
        module: what ``python -m`` runs.
        arguments: after the module.
        folder: working folder, made when it is not there.
        environment: added to this process's own.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.folder = folder
        self.log_file = folder / f"{name}.log"
        self.starts = 0
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id. Raises ProgramError when it was not started."""
        if self._process is None:
            raise ProgramError(f"{self.name} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the process and return at once; harmless when it runs."""
        if self.running:
            return
        self.starts += 1
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=os.environ | self._environment,
                start_new_session=True,
            )

    def kill(self) -> None:
        """``kill -9``; harmless when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None

    def suspend(self) -> None:
        """Let the process stand still (SIGSTOP), as while its machine is copied."""
        os.kill(self.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> int:
        """Stop in order (SIGTERM) and return the exit status; killed when it takes too long."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL
        finally:
            self._process = None

    def check_alive(self) -> None:
        """Raise ProgramError, with the log's end, when the process ended by itself."""
        if self._process is not None and not self.running:
            raise ProgramError(
                f"{self.name} ended by itself with status {self._process.returncode}; "
                f"its log ends:\n{self.log_end()}"
            )

    def log_end(self) -> str:
        """Return the last part of the log."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _REPORT_BYTES))
            return log.read().decode(errors="replace")


def run_command(module: str, *arguments: str, folder: Path, timeout_s: float = 60.0) -> str:
    """Run a command of the product to its end and return what it printed.

    Raises:
        ProgramError: it ended with another status than 0, or took longer than ``timeout_s``.
    """
    shown = f"{module} {' '.join(arguments)}"
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{shown} took longer than {timeout_s:g} s") from error
    if done.returncode:
        raise ProgramError(f"{shown} ended with {done.returncode}: {done.stderr[-_REPORT_BYTES:]}")
    return done.stdout
