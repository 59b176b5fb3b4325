"""The profiles that come with the program, and finding one by its name or path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from whimbrel_agent.profiles.reading import read_profile
from whimbrel_agent.profiles.values import Profile
from whimbrel_protocol.errors import WhimbrelError

__all__ = ["GENERIC", "UnknownProfileError", "folder", "load_profile", "names", "shipped_profiles"]

GENERIC: Final = "generic"
"""The profile of hardware that nobody described: careful budgets, figures that are assumed."""

_FOLDER: Final = Path(__file__).parent.parent / "firmware-profiles"
"""In a checkout this is a link to the folder of that name; a wheel holds the files themselves."""


class UnknownProfileError(WhimbrelError):
    """No profile has this name, and no file is at this path.

    Attributes:
        wanted: what was asked for.
    """

    def __init__(self, wanted: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"{wanted!r} is not a known profile (known: {', '.join(known)}); "
            "name one of them, or the path of a file that ends in .toml"
        )
        self.wanted = wanted


def folder() -> Path:
    """Return the folder of the shipped profiles.

    Raises:
        WhimbrelError: the installation lacks it.
    """
    if not _FOLDER.is_dir():
        raise WhimbrelError(f"{_FOLDER} is missing: the installation is not whole, install again")
    return _FOLDER


def names() -> tuple[str, ...]:
    """Return the names of the shipped profiles, sorted."""
    return tuple(sorted(file.stem for file in folder().glob("*.toml")))


def load_profile(wanted: str, *, beside: Path = Path()) -> Profile:
    """Return a profile by its name, or by the path of a file.

    Args:
        wanted: a shipped profile's name; a text with a slash or that ends in ``.toml`` is a path.
        beside: the folder that relative paths start from.

    Raises:
        UnknownProfileError: neither.
        ConfigError: the file is wrong.
    """
    if "/" in wanted or wanted.endswith(".toml"):
        return read_profile(beside / Path(wanted).expanduser())
    known = names()
    if wanted not in known:
        raise UnknownProfileError(wanted, known)
    return read_profile(folder() / f"{wanted}.toml")


def shipped_profiles() -> Mapping[str, Profile]:
    """Return every shipped profile by its name."""
    return {name: load_profile(name) for name in names()}
