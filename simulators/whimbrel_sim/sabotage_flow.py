"""Planted faults of flow and power, in both programs. See :mod:`.sabotage`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from whimbrel_agent.power.modes import Mode
from whimbrel_agent.power.plausibility import Plausibility
from whimbrel_agent.power.present import PresentPower
from whimbrel_agent.uplink.background import BackgroundWindow
from whimbrel_agent.uplink.losswindow import LossWindow
from whimbrel_agent.uplink.probing import Credits
from whimbrel_agent.uplink.window import Window
from whimbrel_aggregator.flow.keeping import UsageKeeper
from whimbrel_aggregator.flow.limits import Limits
from whimbrel_aggregator.forward.breaker import Breaker

from .patching import put

_ENDLESS_BYTES: Final = 2**40


def misreads_believed() -> None:
    """Take every reading of the power supply for true."""

    def check(_plausibility: Plausibility, _reading: object, _now_ns: int) -> None:
        return None

    put(Plausibility, "check", check)


def modes_ignored() -> None:
    """Know the power mode, and go on as on mains."""

    def change(_power: PresentPower, _mode: Mode, _reason: str) -> None:
        return None

    put(PresentPower, "change", change)


def second_ignored() -> None:
    """Fill the link's queue: no bound by its rate, no giving way."""
    settled = BackgroundWindow.settled

    def settled_wide(window: BackgroundWindow, *given: Any, **figures: Any) -> None:
        settled(window, *given, **{**figures, "queueing_s": 0.0})
        window.size_bytes = float(window._max_bytes)  # noqa: SLF001

    put(Window, "second_bytes", property(lambda _window: float(_ENDLESS_BYTES)))
    put(BackgroundWindow, "settled", settled_wide)
    put(BackgroundWindow, "pace_per_s", lambda *_: float(_ENDLESS_BYTES))
    put(LossWindow, "lost", lambda *_, **__: False)


def credit_ignored() -> None:
    """Send as if the region had given endless credit."""
    put(Credits, "left", lambda *_: _ENDLESS_BYTES)
    put(Credits, "probing", lambda *_: "")


def breaker_stays_closed() -> None:
    """Count failures of a sink, and go on trying it."""

    def failed(breaker: Breaker, *_: object, **__: object) -> Breaker:
        return replace(breaker, failures=breaker.failures + 1)

    put(Breaker, "failed", failed)


def rate_not_counted() -> None:
    """Admit every frame, and take it out of no bucket."""
    put(Limits, "admit", lambda *_, **__: True)


def usage_not_stored() -> None:
    """Keep usage in memory alone."""

    async def store(_keeper: UsageKeeper) -> None:
        return None

    put(UsageKeeper, "store", store)
