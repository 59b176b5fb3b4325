"""A crew of one process for each agent, fed over HTTP from this one."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp

from whimbrel_protocol.event import Event
from whimbrel_sim.fleet import Patches
from whimbrel_sim.ports import free_port
from whimbrel_sim.program import Program, ProgramError

from .crew import WATCH_S, revive, stop_all
from .figures import Figures, from_json, total
from .ledgerfile import LedgerFile, PlaceRun
from .pace import Pace, Sources
from .roster import Member, Roster, config_file, equip, ledger_folder, member_folder
from .sender import NotYetError, Sender

START_GAP_S: Final = 0.1
"""Between the starts of two agent processes; each costs most of a second of a core."""

ASKED_AT_ONCE: Final = 4
ASK_ROUND_S: Final = 5.0
"""Every agent is asked how it stands once in this time, if the machine can do it."""

_ANSWER: Final = aiohttp.ClientTimeout(total=5.0)
_ACCEPTED: Final = 202


class ProcessCrew:
    """A process for each agent, fed over HTTP from here."""

    def __init__(self, folder: Path, roster: Roster, pace: Pace, *, patches: Patches = ()) -> None:
        self.deaths: list[str] = []
        self._folder = folder
        self._roster = roster
        self._pace = pace
        self._ports = {member: free_port() for member in roster.members}
        for member, port in self._ports.items():
            equip(folder, roster, member, http_port=port)
        self.programs = [_agent(folder, member, patches) for member in roster.members]
        self._ledger = LedgerFile(ledger_folder(folder) / "part-0.ledger")
        self._senders: list[Sender] = []
        self._talking: list[asyncio.Task[None]] = []
        self._quiet = asyncio.Event()
        self._last = [Figures() for _ in self.programs]
        self._asked_since_quiet: set[int] = set()

    @property
    def figures(self) -> Figures:
        """The sum over agents, as each was last asked."""
        own = Figures(
            senders=sum(1 for task in self._talking if not task.done()),
            retries=sum(sender.counts["retries"] for sender in self._senders),
        )
        return total([*self._last, own])

    @property
    def settled(self) -> bool:
        """Whether senders are silent, and every agent said after that that it has nothing left."""
        return len(self._asked_since_quiet) == len(self.programs) and not any(
            figures.backlog for figures in self._last
        )

    async def run(self) -> None:
        """Start, feed and watch."""
        try:
            async with (
                aiohttp.ClientSession(timeout=_ANSWER) as session,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(self._ask_all(), name="crew.ask")
                sources = Sources(self._roster, self._pace, start_ns=time.time_ns())  # noqa: TID251
                for member, program in zip(self._roster.members, self.programs, strict=True):
                    program.start()
                    outlet = _HttpOutlet(
                        session, f"http://127.0.0.1:{self._ports[member]}/v1/events"
                    )
                    sender = Sender(
                        self._roster.sender(member), sources.source(member), outlet, self._ledger,
                        wall_ns=time.time_ns,  # noqa: TID251  a fleet lives in real time
                    )  # fmt: skip
                    self._senders.append(sender)
                    self._talking.append(
                        group.create_task(sender.run(self._quiet), name="crew.sender")
                    )
                    await asyncio.sleep(START_GAP_S)
                while True:
                    revive(self.programs, self.deaths)
                    await asyncio.sleep(WATCH_S)
        finally:
            await asyncio.to_thread(stop_all, self.programs)
            self._ledger.close()

    def fall_silent(self) -> None:
        """Let the senders end."""
        self._quiet.set()

    async def _ask_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            turns = itertools.cycle(range(len(self.programs)))
            for _ in range(min(ASKED_AT_ONCE, len(self.programs))):
                group.create_task(self._ask_in_turn(turns), name="crew.asking")

    async def _ask_in_turn(self, turns: itertools.cycle[int]) -> None:
        pause_s = ASK_ROUND_S * ASKED_AT_ONCE / len(self.programs)
        while True:
            number = next(turns)
            was_silent = bool(self._talking) and all(task.done() for task in self._talking)
            found = await _status(self.programs[number].folder / "c.sock")
            if found is None:
                previous = self._last[number].to_json()
                self._last[number] = from_json({**previous, "up": 0, "resumed": 0})
            else:
                self._last[number] = found
                if was_silent:
                    self._asked_since_quiet.add(number)
            await asyncio.sleep(min(pause_s, 1.0))


class _HttpOutlet:
    """An agent's HTTP intake."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def deliver(self, events: Sequence[Event]) -> list[PlaceRun]:
        """Post a group. Raises NotYetError."""
        body = b"".join(json.dumps(_line(event)).encode() + b"\n" for event in events)
        headers = {"content-type": "application/x-ndjson"}
        try:
            async with self._session.post(self._url, data=body, headers=headers) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NotYetError from error
        if answer.status != _ACCEPTED:
            if 400 <= answer.status < 500 and answer.status not in (408, 429):
                raise ProgramError(
                    f"agent answered {answer.status} to a correct body: {text[:300]}"
                )
            raise NotYetError
        return [
            PlaceRun(int(part["epoch"]), part["lane"], part["first"], part["count"])
            for part in json.loads(text)["accepted"]
        ]


def _line(event: Event) -> dict[str, Any]:
    line: dict[str, Any] = {
        "type": event.type,
        "source": event.source,
        "time_ns": event.time_ns,
        "lane": event.lane,
        "dedup_key": event.dedup_key,
        "data": event.data,
    }
    optional = {"zone": event.zone, "subject": event.subject, "extensions": event.extensions}
    return line | {name: value for name, value in optional.items() if value}


def _agent(folder: Path, member: Member, patches: Patches) -> Program:
    module, run = "whimbrel_agent", ["run", "--config", str(config_file(folder, member).absolute())]
    if patches:
        run = [module, ",".join(patches), *run]
        module = "whimbrel_sim.sabotaged"
    return Program("agent", module, run, member_folder(folder, member))


async def _status(socket_file: Path) -> Figures | None:
    connector = aiohttp.UnixConnector(str(socket_file))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=_ANSWER) as session,
            session.get("http://agent/v1/status") as answer,
        ):
            return _figures_of(await answer.json()) if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


def _figures_of(status: Mapping[str, Any]) -> Figures:
    buffer, uplink = status["buffer"], status["uplink"]
    counts = Counter(uplink["counts"] if uplink else {})
    is_up = bool(uplink) and uplink["link"] == "up"
    return Figures(
        agents=1,
        up=int(is_up),
        resumed=int(is_up and uplink["resume"] == "done"),
        accepted=buffer["accepted"],
        delivered=buffer["delivered"],
        backlog=buffer["pending"],
        dropped=buffer["gapped"],
        bytes_sent=counts["bytes_sent"],
        frames_sent=counts["frames_sent"],
        frames_resent=counts["frames_resent"],
        receipts=counts["receipts"],
        links_lost=counts["links_lost"],
        memory_bytes=status["memory_bytes"],
    )
