"""Scenarios without chance of their own: what a seed drew is written down.

They are TOML that anyone can read, change and run. An explicit scenario with its seed is the same
world as the one it was made from: the same digest.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Any

from .casting import strikes
from .loop import VirtualTimeLoop
from .scenario import Expectation, FaultLine, Fleet, Lines, Scenario
from .world import World


def made_explicit(scenario: Scenario, seed: int) -> Scenario:
    """Return the scenario with every strike that a seed draws as a line of its own.

    Raises:
        ScenarioError: a fault strikes nobody.
    """

    async def drawn(folder: Path) -> list[FaultLine]:
        world = World(scenario, seed, folder)
        return strikes(world)

    with (
        tempfile.TemporaryDirectory(prefix="whimbrel-world-") as folder,
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
    ):
        return replace(scenario, faults=tuple(runner.run(drawn(Path(folder)))))


def as_toml(scenario: Scenario, notes: str = "") -> str:
    """Return a scenario's text; what is as the default is left out.

    Args:
        scenario: see above.
        notes: lines of comment for its head.
    """
    lines = [f"# {note}".rstrip() for note in notes.splitlines()]
    lines += _pairs(scenario, leave_out=("name", "fleet", "load", "faults", "expects"))
    lines += ["", "[fleet]", *_pairs(scenario.fleet)]
    for one in scenario.load:
        lines += ["", "[[load]]", *_pairs(one)]
    for line in scenario.faults:
        lines += ["", "[[fault]]", *_pairs(line, leave_out=("more",))]
        lines += [f"{name} = {_value(value)}" for name, value in line.more.items()]
    for expectation in scenario.expects:
        lines += ["", "[[expect]]", *_pairs(expectation)]
    return "\n".join(lines) + "\n"


def _pairs(
    what: Scenario | Fleet | Lines | FaultLine | Expectation, leave_out: tuple[str, ...] = ()
) -> Iterator[str]:
    for one in fields(what):
        value = getattr(what, one.name)
        if one.name not in leave_out and value != _default(one):
            yield f"{one.name} = {_value(value)}"


def _default(one: Field[Any]) -> Any:
    if one.default_factory is not MISSING:
        return one.default_factory()
    return None if one.default is MISSING else one.default


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {_value(one)}' for name, one in value.items())} }}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return _text(value)
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return str(int(value)) if whole else repr(value)


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    if "\n" in value:
        return f'"""\n{escaped}"""'  # a newline right after the quotes is not part of the text
    return f'"{escaped}"'
