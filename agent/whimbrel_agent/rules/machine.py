"""A rule's settings to the machine that carries it out. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from whimbrel_agent.rules.summary import Summary
from whimbrel_agent.rules.swingingdoor import SwingingDoor
from whimbrel_agent.rules.thinning import Change, Deadband, Sample
from whimbrel_agent.rules.topk import TopK
from whimbrel_agent.rules.values import Machine, Moment, RuleConfig, Step
from whimbrel_protocol.event import Event

__all__ = ["Filter", "Pass", "machine_of"]


class _Stateless:
    """What needs no memory."""

    def __init__(self, _config: RuleConfig) -> None:
        pass

    def due(self, _state: Any, _now: Moment) -> Step | None:
        """Nothing."""
        return None

    def close(self, _state: Any) -> tuple[Event, ...]:
        """Give nothing."""
        return ()

    def deadline_ns(self, _state: Any) -> int | None:
        """Never."""
        return None

    def held(self, _state: Any) -> int:
        """None."""
        return 0

    def pack(self, _state: Any) -> Any:
        """Give nothing."""
        return None

    def unpack(self, _packed: Any, _now: Moment) -> Any:
        """Read nothing."""
        return None


class Filter(_Stateless):
    """Lets nothing through."""

    def take(self, _state: Any, _event: Event, _now: Moment) -> Step:
        """Drop it, counted."""
        return Step(reason="filtered")


class Pass(_Stateless):
    """Lets everything through, past the rules below it."""

    def take(self, _state: Any, event: Event, _now: Moment) -> Step:
        """Let it go on as it is."""
        return Step(passed=event)


_MACHINES: Final[dict[str, Callable[[RuleConfig], Machine]]] = {
    "deadband": Deadband,
    "change": Change,
    "window": Summary,
    "swinging-door": SwingingDoor,
    "sample": Sample,
    "filter": Filter,
    "pass": Pass,
    "top-k": TopK,
}


def machine_of(config: RuleConfig) -> Machine:
    """Give the machine of a rule."""
    return _MACHINES[config.do](config)
