"""Every decider's pure function by name, and the way back from printed inputs. Pure.

What ``explain --json`` prints of a decision is enough to make it again: :func:`decide_again` reads the
inputs and asks the same function. A difference means another version of the program, or a defect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from whimbrel_agent import scheduler
from whimbrel_agent.buffer.codecchoice import CodecInputs, choose_codec
from whimbrel_agent.buffer.detail import DetailInputs, decide_detail
from whimbrel_agent.buffer.givingway import OverflowInputs, decide_overflow
from whimbrel_agent.decisions.journal import Reasoned
from whimbrel_agent.plain import plain
from whimbrel_agent.power.confirming import ModeInputs, decide_mode
from whimbrel_agent.uplink.backoff import RetryInputs, decide_retry
from whimbrel_agent.uplink.holding import FREE, HoldInputs, holds
from whimbrel_agent.uplink.limits import LinkInputs, decide_class
from whimbrel_agent.uplink.radio import RadioInputs, decide_radio

__all__ = ["DECIDERS", "decide_again", "value_of"]


@dataclass(frozen=True, slots=True)
class _Function:
    inputs: type
    decide: Callable[[Any], Reasoned]


DECIDERS: Final[Mapping[str, _Function]] = {
    "power": _Function(ModeInputs, decide_mode),
    "seal": _Function(scheduler.SealInputs, scheduler.decide),
    "radio": _Function(RadioInputs, decide_radio),
    "link class": _Function(LinkInputs, decide_class),
    "retry": _Function(RetryInputs, decide_retry),
    "overflow": _Function(OverflowInputs, decide_overflow),
    "detail": _Function(DetailInputs, decide_detail),
    "codec": _Function(CodecInputs, choose_codec),
    "send": _Function(HoldInputs, lambda inputs: holds(inputs) or FREE),
}
"""By the name that the journal has: what the power mode is, when sealing is looked after, whether the
radio is used, which class a link is of, how long to wait after a failure, what gives way in a
full buffer, what is thinned since the region asks for less, how a batch is compressed, whether a
frame may go."""


def decide_again(by: str, inputs: Any) -> Any:
    """Make a decision again from its printed inputs; gives its plain form.

    Raises:
        KeyError: no such decider.
        ValueError: the inputs do not fit it.
    """
    function = DECIDERS[by]
    return plain(function.decide(value_of(function.inputs, inputs)))


def value_of(kind: Any, given: Any) -> Any:
    """Give back the value whose plain form is ``given``, by its type.

    Raises:
        ValueError: it is not of that type.
    """
    if kind is float and given in ("Infinity", "-Infinity", "NaN"):
        return float(given)
    if kind in (bool, int, str, NoneType) and isinstance(given, kind):
        return given
    if kind is float and isinstance(given, int | float):
        return given
    if isinstance(kind, type) and issubclass(kind, Enum) and isinstance(given, str):
        return _member(kind, given)
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(given, Mapping):
        return _dataclass(kind, given)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _one_of(inner, given)
    if origin is tuple and isinstance(given, list):
        return tuple(value_of(inner[0], item) for item in given)
    raise ValueError(f"{given!r:.60} is no {kind}")


def _member(kind: type[Enum], given: str) -> Enum:
    name = given.upper().replace("-", "_")
    if name not in kind.__members__:
        raise ValueError(f"{given!r:.60} is no {kind.__name__}")
    return kind[name]


def _dataclass(kind: type, given: Mapping[str, Any]) -> Any:
    types = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    if set(names) != set(given):
        raise ValueError(f"{sorted(given)} are not the fields of {kind.__name__}")
    return kind(**{name: value_of(types[name], given[name]) for name in names})


def _one_of(kinds: tuple[Any, ...], given: Any) -> Any:
    for kind in kinds:
        try:
            return value_of(kind, given)
        except ValueError:
            continue
    raise ValueError(f"{given!r:.60} is none of {kinds}")
