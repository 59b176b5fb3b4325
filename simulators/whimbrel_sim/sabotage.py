"""Faults planted on purpose, to prove that the harness finds them.

Each one breaks a promise in one named place of the shipped code, by replacing it in the running
process. The shipped code itself has no switch for any of this. ``python -m
whimbrel_sim.sabotaged`` applies them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .fleet import Patch


@dataclass(frozen=True, slots=True)
class Sabotage:
    """One planted fault: which program it breaks, and what it replaces there."""

    name: str
    program: str
    apply: Callable[[], None]

    def patches(self) -> dict[str, Patch]:
        """Return how to run the program with the fault."""
        return {self.program: Patch(self.name)}


SABOTAGES: Final[dict[str, Sabotage]] = {}
