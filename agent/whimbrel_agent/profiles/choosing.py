"""The profile that an agent runs by: the one its settings name, else the detected one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whimbrel_agent.profiles.detection import detect
from whimbrel_agent.profiles.hardware import read_hardware
from whimbrel_agent.profiles.library import load_profile, shipped_profiles
from whimbrel_agent.profiles.values import Profile

__all__ = ["ChosenProfile", "choose_profile"]


@dataclass(frozen=True, slots=True)
class ChosenProfile:
    """A profile, and why it was chosen."""

    profile: Profile
    reason: str


def choose_profile(
    wanted: str | None, *, beside: Path = Path(), root: Path = Path("/")
) -> ChosenProfile:
    """Return the profile to run by.

    Args:
        wanted: ``[device] profile``, a name or a path; None detects.
        beside: the folder that a relative path starts from: the settings file's.
        root: where ``proc`` is looked up.

    Raises:
        WhimbrelError: there is no such profile, or its file is wrong.
    """
    if wanted is not None:
        return ChosenProfile(load_profile(wanted, beside=beside), "agent.toml names it")
    profiles = shipped_profiles()
    detection = detect(read_hardware(root), profiles)
    return ChosenProfile(profiles[detection.name], f"detected: {detection.reason}")
