"""The real thing in a folder: one aggregator, one agent, the brokers between and before them.

Everything is started by the measurement that needs it, and ended with the context.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Event as Moment
from time import perf_counter
from typing import Any, Final, Self

from whimbrel_sim.fleet import Agent, Region, Settings
from whimbrel_sim.world import Broker

from .figures import MakeBroker
from .posting import Connect, PostError, by_socket, by_tcp, get_json

START_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.02

LANE: Final = "normal"
"""Of the events that measurements post."""

LINGER: Final[Settings] = {"lanes.normal": {"linger_s": 1.0}}
"""The agent's default, which the fleet shortens for tests."""


def every_intake(local: Broker) -> Settings:
    """Return the settings of an agent with every intake on, topics of a local broker among them."""
    return {
        "intake.http": {"socket": "intake.sock"},
        "intake.mqtt": {"broker": f"mqtt://{local.host}:{local.port}", "topics": ["shop/#"]},
        "intake.machine": {"every_s": 60.0},
    }


class PlantError(Exception):
    """Something did not happen in time."""


class Plant:
    """One region, one agent; ``uplink`` is the broker between them, down at first."""

    def __init__(self, folder: Path, make: MakeBroker, *, settings: Settings | None = None) -> None:
        self._stack = ExitStack()
        self.uplink: Broker = make(
            folder / "uplink", {"log_type": "error", "max_queued_messages": 0}
        )
        url = f"mqtt://{self.uplink.host}:{self.uplink.port}"
        self.region = Region(folder / "region", [url])
        self.agent = Agent(
            folder / "agent", self.region, url, settings={**LINGER, **(settings or {})}
        )
        self._control = by_socket(self.agent.folder / "control.sock")

    def __enter__(self) -> Self:
        self.region.enrol(self.agent)
        for end in (self.uplink.kill, self.region.program.kill, self.agent.program.kill):
            self._stack.callback(end)
        self.agent.program.start()
        self.wait(self._serves, START_TIMEOUT_S, "the agent's intake")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def intake(self) -> Connect:
        """How producers connect."""
        return by_tcp(self.agent.port)

    def status(self) -> dict[str, Any]:
        """Return the agent's figures, asked over its local socket: no process is started."""
        return get_json(self._control, "/v1/status")

    def account(self) -> dict[str, Any]:
        """Return the agent's ledger of the lane that the load is in."""
        lanes = self.status()["buffer"]["lanes"]
        ledger: dict[str, Any] = next(one["ledger"] for one in lanes if one["lane"] == LANE)
        return ledger

    def is_settled(self) -> bool:
        """Whether everything accepted in the lane of the load is settled by the region.

        Other lanes are left out: the machine's metrics go on, and linger longer.
        """
        account = self.account()
        return not account["pending"] and bool(account["accepted"])

    def is_sealed(self) -> bool:
        """Whether everything accepted in the lane of the load is in frames."""
        lanes = self.status()["buffer"]["lanes"]
        return not any(one["staged_events"] for one in lanes if one["lane"] == LANE)

    def wait(self, reached: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Poll until something is so.

        Raises:
            PlantError: it is not in time.
            ProgramError: a process ended meanwhile.
        """
        deadline = perf_counter() + timeout_s
        pause = Moment()
        while not reached():
            self.agent.program.check_alive()
            self.region.program.check_alive()
            if perf_counter() > deadline:
                raise PlantError(
                    f"waited {timeout_s:g} s for {what}; the agent's log ends:\n"
                    f"{self.agent.program.log_end()}\nthe aggregator's:\n"
                    f"{self.region.program.log_end()}"
                )
            pause.wait(POLL_S)

    def _serves(self) -> bool:
        try:
            return bool(get_json(self.intake, "/healthz")["status"] == "ok")
        except (OSError, PostError):
            return False
