"""One look at the device's power supply, and the port through which it is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from whimbrel_protocol.errors import WhimbrelError


class PowerReadError(WhimbrelError):
    """A supply was asked and did not answer; the next look may succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerReading:
    """What a source said at one moment; None stands for what it does not know.

    Attributes:
        on_mains: something from outside feeds the device.
        percent: charge of all batteries together, as the source has it: not yet checked.
        volts: of the battery with the highest voltage.
        watts: what flows into or out of the batteries, without a sign.
        under_voltage: the board says that its supply is too low now.
        throttled: the board slows its processor now, for voltage or heat.
    """

    on_mains: bool | None = None
    percent: float | None = None
    volts: float | None = None
    watts: float | None = None
    under_voltage: bool | None = None
    throttled: bool | None = None


class PowerSource(Protocol):
    """Where readings come from. A world brings its own."""

    @property
    def name(self) -> str:
        """What is read, for people: ``sysfs BAT0, AC``."""
        ...

    @property
    def silent(self) -> bool:
        """Whether nothing is there that could ever say something: then nobody looks again."""
        ...

    def read(self) -> PowerReading:
        """Look now; takes a millisecond or so and never waits for anything.

        Raises:
            PowerReadError: no answer this time.
        """
        ...


class NoSource:
    """No battery and no flags are known."""

    name = "none"
    silent = True

    def read(self) -> PowerReading:
        """Know nothing."""
        return PowerReading()
