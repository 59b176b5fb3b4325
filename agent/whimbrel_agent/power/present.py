"""The power mode of now, for the parts of the agent that act on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from whimbrel_agent.power.modes import SETTINGS, Mode, ModeSettings

__all__ = ["ModeListener", "PresentPower"]

ModeListener = Callable[[Mode, ModeSettings, str], None]
"""Called with the mode, what it asks for, and why."""

_START_REASON: Final = "nothing was read yet: mains is assumed"


class PresentPower:
    """Holds the present mode and tells listeners of each change; mains until told otherwise.

    Args:
        modes: what each mode asks for.
    """

    def __init__(self, modes: Mapping[Mode, ModeSettings] = SETTINGS) -> None:
        self._modes = modes
        self.mode = Mode.MAINS
        self.reason = _START_REASON
        self._listeners: list[ModeListener] = []

    @property
    def settings(self) -> ModeSettings:
        """What the present mode asks for."""
        return self._modes[self.mode]

    def on_mode(self, listener: ModeListener) -> None:
        """Have ``listener`` called on every change; it learns the present state from here."""
        self._listeners.append(listener)

    def change(self, mode: Mode, reason: str) -> None:
        """Be in another mode from now on."""
        self.mode, self.reason = mode, reason
        for listener in self._listeners:
            listener(mode, self.settings, reason)
