"""Which profile fits a board: a pure decision, with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.profiles.hardware import Hardware
from whimbrel_agent.profiles.library import GENERIC
from whimbrel_agent.profiles.values import Profile

__all__ = ["Detection", "detect"]

_MIB: Final = 1024 * 1024

NAME_ONE: Final = 'name one as [device] profile = "..." in agent.toml'


@dataclass(frozen=True, slots=True)
class Detection:
    """The profile's name, and why it is that one."""

    name: str
    reason: str


def detect(hardware: Hardware, profiles: Mapping[str, Profile]) -> Detection:
    """Return the profile whose model fits best, else the generic one.

    The longest beginning of the model wins. Memory has a say too: budgets of a board with more
    would be wrong for a container, or an image moved to a smaller board.
    """
    fitting = [
        (len(model), profile)
        for profile in profiles.values()
        for model in profile.models
        if hardware.model.startswith(model)
    ]
    if not fitting:
        what = f"model {hardware.model!r}" if hardware.model else "a board without a model"
        return Detection(GENERIC, f"no profile knows {what} ({_rest(hardware)}); {NAME_ONE}")
    profile = max(fitting, key=lambda pair: pair[0])[1]
    least = profile.memory.total_bytes
    if 0 < hardware.memory_bytes < least:
        return Detection(
            GENERIC,
            f"model {hardware.model!r} is {profile.name}, but there are "
            f"{hardware.memory_bytes // _MIB} MiB of memory and that profile is made for "
            f"{least // _MIB} MiB or more; {NAME_ONE}",
        )
    return Detection(profile.name, f"model {hardware.model!r}, {_rest(hardware)}")


def _rest(hardware: Hardware) -> str:
    cores = f"{hardware.cores} cores" if hardware.cores else "cores unknown"
    memory = hardware.memory_bytes // _MIB
    return f"{cores}, {f'{memory} MiB' if memory else 'memory unknown'}"
