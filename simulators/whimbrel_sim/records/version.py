"""Which program a slice of runs was made with: a digest of what decides a world, and the commit."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import zstandard

DECIDING: Final = (
    ("whimbrel_protocol", ""),
    ("whimbrel_agent", ""),
    ("whimbrel_aggregator", ""),
    ("whimbrel_sim", "worlds"),
    ("whimbrel_sim", "cards"),
    ("whimbrel_sim", "hostile.py"),
)
"""Packages, and what of them counts: the product wholly, of the simulators what worlds use."""

SUFFIXES: Final = (".py", ".toml", ".sql", ".c")

DIGITS: Final = 16
"""Hexadecimal digits of the digest that records keep."""


NOT_DECIDING: Final = frozenset(
    f"whimbrel_sim/worlds/{name}.py"
    for name in (
        "command", "explicit", "shrinking", "telling",
    )
)  # fmt: skip
"""Modules about worlds, outside of them."""


def program_version(settings: object) -> str:
    """Return the first digits of a SHA-256 over what decides how runs go.

    Those are the sources (each file with its package, path and bytes), the libraries whose bytes
    end up in frames and files, and the runs' settings, such as a scenario.
    """
    return hashlib.sha256(f"{_of_sources()}\0{settings!r}".encode()).hexdigest()[:DIGITS]


@cache
def _of_sources() -> str:
    digest = hashlib.sha256()
    python = ".".join(map(str, sys.version_info[:2]))
    for used in (python, sqlite3.sqlite_version, str(zstandard.ZSTD_VERSION)):
        digest.update(f"{used}\0".encode())
    for name, path in _sources():
        digest.update(f"{name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources() -> Iterator[tuple[str, Path]]:
    for package, part in DECIDING:
        root = Path(str(files(package)))
        place = root / part
        found = [place] if place.is_file() else sorted(place.rglob("*"))
        for path in found:
            name = f"{package}/{path.relative_to(root).as_posix()}"
            if path.suffix in SUFFIXES and path.is_file() and name not in NOT_DECIDING:
                yield name, path


def commit() -> str:
    """Return the commit that is checked out, with a ``+`` when files differ from it.

    Where there is no repository it is ``unknown``.
    """
    folder = Path(str(files("whimbrel_sim")))
    try:
        head = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(folder.parent.parent, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    others = [line for line in changed.splitlines() if "world-record" not in line]
    return f"{head}+" if others else head


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],  # noqa: S607  whichever git there is
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
