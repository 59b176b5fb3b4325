"""Makes a fleet known to the region, and forgotten again.

By the aggregator's configuration, when its files are on this machine (whether it runs or not); by
its HTTP API and a token; or by hand, with the command lines that are written into the fleet's
folder in any case. Until a device is enrolled the region takes nothing from it, and it keeps all.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from whimbrel_aggregator.commands.access import region
from whimbrel_aggregator.configfile import load_config
from whimbrel_aggregator.keyfile import read_key
from whimbrel_aggregator.secretfile import read_secret

from .roster import Member, Roster

AT_ONCE: Final = 8
"""Requests under way: enrolling is not what a fleet is to burden a region with."""

LABEL: Final = "whimbrel-sim fleet"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=60)
_NOT_FOUND: Final = 404

Ask = Callable[[str, str, "Mapping[str, Any] | None"], Awaitable[Any]]
"""Sends a request (method, path, body) to the region's API and returns its answer."""


class EnrolmentError(Exception):
    """The region cannot be reached, or refused a device; the text says which and why."""


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """What an agent must know of its region: name, and public key as text."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class ByConfig:
    """The way over an aggregator's configuration file."""

    file: Path

    def facts(self) -> RegionFacts:
        """Read the region's name and public key from its files."""
        config = load_config(self.file)
        return RegionFacts(config.region.name, read_key(config.region.key).public.to_text())

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Ask]:
        """Reach the running aggregator, or its journal."""
        async with region(load_config(self.file)) as found:

            async def ask(method: str, path: str, body: Mapping[str, Any] | None) -> Any:
                return await found.ask(method, path, body=body)

            yield ask


@dataclass(frozen=True, slots=True)
class ByApi:
    """The way over HTTP, with a bearer token where the API wants one."""

    url: str
    token: str | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Ask]:
        """Open a session."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as session:

            async def ask(method: str, path: str, body: Mapping[str, Any] | None) -> Any:
                url = self.url.rstrip("/") + path
                try:
                    async with session.request(method, url, json=body) as answer:
                        if answer.status >= 400:
                            text = (await answer.text())[:300]
                            raise EnrolmentError(f"{method} {url}: {answer.status}: {text}")
                        return await answer.json() if answer.content_length else None
                except (aiohttp.ClientError, TimeoutError) as error:
                    raise EnrolmentError(f"{url} does not answer: {error}") from error

            yield ask

    async def region_name(self) -> str:
        """Ask which region this is."""
        async with self.open() as ask:
            return str((await ask("GET", "/v1/status", None))["region"])


Way = ByConfig | ByApi


def way_of(config: Path | None, url: str | None, token_file: Path | None) -> Way | None:
    """Return the way that options name, None when they name none."""
    if config is not None:
        return ByConfig(config)
    if url is not None:
        return ByApi(url, None if token_file is None else read_secret(token_file))
    return None


async def enrol(way: Way, roster: Roster, keys: Mapping[Member, str]) -> None:
    """Make every member known; one that is known with the same key is left alone.

    Raises:
        EnrolmentError: the API cannot be reached or refused a member.
        whimbrel_protocol.errors.WhimbrelError: the same, over a configuration file.
    """
    async with way.open() as ask:

        async def add(member: Member) -> None:
            fields = {
                "tenant": roster.tenant,
                "store": member.store,
                "device": member.device,
                "public_key": keys[member],
                "label": LABEL,
                "replace": False,
            }
            await ask("POST", "/v1/devices", fields)

        await _each(add, list(keys))


async def remove(way: Way, roster: Roster) -> int:
    """Take every member's right to deliver; return how many had it."""
    removed = 0
    async with way.open() as ask:

        async def drop(member: Member) -> None:
            nonlocal removed
            try:
                path = f"/v1/devices/{roster.tenant}/{member.store}/{member.device}"
                await ask("DELETE", path, None)
            except Exception as error:
                if getattr(error, "status", None) == _NOT_FOUND or f": {_NOT_FOUND}: " in str(
                    error
                ):
                    return  # it never was enrolled
                raise
            removed += 1

        await _each(drop, roster.members)
    return removed


async def _each(work: Callable[[Member], Awaitable[None]], members: Sequence[Member]) -> None:
    waiting = iter(members)

    async def one_by_one() -> None:
        for member in waiting:
            await work(member)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(one_by_one(), name="enrolment")
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


def write_scripts(folder: Path, roster: Roster, keys: Mapping[Member, str]) -> tuple[Path, Path]:
    """Write the aggregator's commands that enrol and remove the fleet, as shell scripts."""
    scripts = folder / "enrol.sh", folder / "remove.sh"
    head = [
        "#!/bin/sh",
        "# Run where the aggregator's files are: sh THIS --config aggregator.toml",
        "set -e",
    ]
    enrol_lines = [f'{line} "$@"' for line in enrol_commands(roster, keys)]
    remove_lines = [f'{line} "$@"' for line in remove_commands(roster)]
    for path, lines in zip(scripts, (enrol_lines, remove_lines), strict=True):
        path.write_text("\n".join([*head, *lines]) + "\n")
    return scripts


def enrol_commands(roster: Roster, keys: Mapping[Member, str]) -> list[str]:
    """Return a ``whimbrel-aggregator devices add`` line for each member."""
    return [
        f"whimbrel-aggregator devices add {roster.tenant} {member.store} {member.device} "
        f"--key {shlex.quote(key)} --label {shlex.quote(LABEL)}"
        for member, key in keys.items()
    ]


def remove_commands(roster: Roster) -> list[str]:
    """Return a ``whimbrel-aggregator devices remove`` line for each member."""
    return [
        f"whimbrel-aggregator devices remove {roster.tenant} {member.store} {member.device}"
        for member in roster.members
    ]
