"""Numbers that can be computed from two others, found in what is sealed: a dictionary's formulas.

A sensor's humidity ratio, a line's total: whatever is derived on the device is derived again by the
reader. Samples are spread over all that was seen, in bounded memory. For each key whose numbers are
costly every two others are tried with a parabola; the two that leave the least are fitted again with
higher powers, as long as what came last, which was not fitted to, is told the better for it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite, log2
from typing import Any, Final

from whimbrel_agent.leastsquares import AlikeColumnsError, solve
from whimbrel_protocol.columns.floats import MAX_EXACT, MAX_EXPONENT, decimals_of
from whimbrel_protocol.event import Event
from whimbrel_protocol.formulas import Axis, Formula, powers_of, terms_of
from whimbrel_protocol.limits import MAX_FORMULA_DEGREE, MAX_FORMULAS

MAX_ROWS: Final = 384
"""Samples of one type: a fit of 28 coefficients to these takes some 20 ms here."""

MAX_TYPES: Final = 4
MAX_KEYS: Final = 8
"""Types that are looked at, and keys with numbers of each: some 80 KB a type."""

MAX_SEEN: Final = 64
"""Types that are remembered, with those that have not two keys with numbers."""

SCREENED: Final = 48
"""Samples that decide which two keys are fitted further."""

SCREEN_DEGREE: Final = 2

COSTLY_BITS: Final = 8.0
"""Numbers that vary by less than this cost little as they are."""

LEAST_SAVED_BITS: Final = 4.0
"""A formula must save so many bits of each number; below, what is left is no shorter to write."""

BETTER_BITS: Final = 0.5
"""A pair must leave so much less than one before it: one key comes before two."""

_COEFFICIENT_BITS: Final = 0.05
"""What a number of a formula must save of each sample to be worth its bytes."""

_JUDGED_SHARE: Final = 4
_LEAST_ROWS: Final = 24

_Row = tuple[float, ...]
_Pair = tuple[Axis, Axis]


class _Samples:
    """Numbers of one type's events, each so many-th of all that came."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.keys = keys
        self.rows: list[_Row] = []
        self._every = 1
        self._passed = 0

    def saw(self, data: Mapping[str, Any]) -> None:
        self._passed += 1
        if self._passed < self._every:
            return
        self._passed = 0
        row = tuple(map(data.get, self.keys))
        if not all(map(_is_number, row)):
            return
        self.rows.append(row)  # type: ignore[arg-type]
        if len(self.rows) >= MAX_ROWS:
            del self.rows[::2]
            self._every *= 2


@dataclass(frozen=True, slots=True)
class _Column:
    """The numbers of one key, as they would be written: integers of so many decimals."""

    key: str
    values: Sequence[float]
    power: float
    bits: float


class Formulas:
    """Collects samples of one device's events, and fits."""

    def __init__(self) -> None:
        self._samples: dict[str, _Samples] = {}

    def saw(self, events: Sequence[Event]) -> None:
        """Take note of a frame that was sealed."""
        for event in events:
            samples = self._samples.get(event.type)
            if samples is None:
                if len(self._samples) >= MAX_SEEN:
                    continue
                samples = self._samples[event.type] = _Samples(self._keys_of(event))
            if samples.keys:
                samples.saw(event.data)

    def _keys_of(self, event: Event) -> tuple[str, ...]:
        """Return the keys that are looked at of a type that comes for the first time."""
        keys = [key for key, value in event.data.items() if _is_number(value)]
        looked_at = sum(bool(one.keys) for one in self._samples.values())
        return tuple(keys[:MAX_KEYS]) if len(keys) > 1 and looked_at < MAX_TYPES else ()

    def found(self) -> list[Formula]:
        """Return the formulas that pay, as far as samples show."""
        made: list[Formula] = []
        for event_type, samples in self._samples.items():
            if len(samples.rows) >= _LEAST_ROWS:
                made += _formulas_of(event_type, samples.keys, samples.rows)
        return made[:MAX_FORMULAS]


def _formulas_of(event_type: str, keys: Sequence[str], rows: Sequence[_Row]) -> Iterator[Formula]:
    columns = [_column(key, [row[at] for row in rows]) for at, key in enumerate(keys)]
    axes = {one.key: axis for one in columns if (axis := _axis(one)) is not None}
    values = {one.key: one.values for one in columns}
    known: set[str] = set()
    computed: set[str] = set()
    for column in sorted(columns, key=lambda one: -one.bits):
        if column.bits < COSTLY_BITS or column.key in known:
            continue
        others = [axis for key, axis in axes.items() if key not in {column.key, *computed}]
        fitting = _Fitting(event_type, column, values)
        alone = [(axis, axis) for axis in others]
        pair = fitting.best_of([*alone, *combinations(others, 2)])
        formula = None if pair is None else fitting.formula(pair)
        if formula is not None:
            computed.add(column.key)
            known |= {formula.first.key, formula.second.key}
            yield formula


@dataclass(frozen=True, slots=True)
class _Fitting:
    """Fits one column to others; ``values`` are those of all keys."""

    event_type: str
    column: _Column
    values: Mapping[str, Sequence[float]]

    def best_of(self, pairs: Iterable[_Pair]) -> _Pair | None:
        """Return the first two keys that tell the column best, if any tell something of it."""
        few = slice(None, None, max(1, len(self.column.values) // SCREENED))
        least, best = self.column.bits - LEAST_SAVED_BITS / 2, None
        for pair in pairs:
            fit = self._fit(pair, SCREEN_DEGREE, few)
            bits = least if fit is None else self._bits_left(fit, few)
            if bits < least - (0.0 if best is None else BETTER_BITS):
                least, best = bits, pair
        return best

    def formula(self, pair: _Pair) -> Formula | None:
        """Return the formula by the degree that tells the newest samples best."""
        cut = len(self.column.values) - len(self.column.values) // _JUDGED_SHARE
        least, degree = self.column.bits - LEAST_SAVED_BITS, 0
        for trial in range(1, MAX_FORMULA_DEGREE + 1):
            fit = self._fit(pair, trial, slice(cut))
            if fit is None:
                break
            bits = self._bits_left(fit, slice(cut, None))
            cost = bits + _COEFFICIENT_BITS * len(fit.coefficients)
            if cost < least:
                least, degree = cost, trial
        return self._fit(pair, degree, slice(None)) if degree else None

    def _fit(self, pair: _Pair, degree: int, rows: slice) -> Formula | None:
        """Fit a polynomial to some rows; None where they do not determine one."""
        first, second = pair
        us = first.scaled(self.values[first.key][rows])
        vs = second.scaled(self.values[second.key][rows])
        distinct = dict(zip(zip(us, vs, strict=True), self.column.values[rows], strict=True))
        # of a single key only its own powers: the others would say the same again
        powers = enumerate(powers_of(degree))
        used = [at for at, (_, j) in powers if first is not second or j == 0]
        if len(distinct) < 2 * len(used):
            return None
        terms = terms_of([u for u, _ in distinct], [v for _, v in distinct], degree)
        products = [[u * v for u, v in zip(*terms[at], strict=True)] for at in used]
        try:
            solution = solve(list(zip(*products, strict=True)), list(distinct.values()))
        except AlikeColumnsError:
            return None
        coefficients = [0.0] * len(terms)
        for at, value in zip(used, solution.values, strict=True):
            coefficients[at] = value
        if not all(map(isfinite, coefficients)):
            return None
        return Formula(self.event_type, self.column.key, first, second, degree, tuple(coefficients))

    def _bits_left(self, fit: Formula, rows: slice) -> float:
        """Return the mean bits of what a prediction of some rows leaves."""
        said = fit.predict(self.values[fit.first.key][rows], self.values[fit.second.key][rows])
        pairs = zip(self.column.values[rows], said, strict=True)
        return _mean_bits([(value - p) * self.column.power for value, p in pairs])


def _column(key: str, values: Sequence[Any]) -> _Column:
    floats = [value for value in values if type(value) is float]
    decimals = min(MAX_EXPONENT, max(map(decimals_of, floats), default=0))
    power = 10.0**decimals
    middle = sorted(values)[len(values) // 2]
    bits = _mean_bits([(value - middle) * power for value in values])
    return _Column(key, list(map(float, values)), power, bits)


def _axis(column: _Column) -> Axis | None:
    least, most = min(column.values), max(column.values)
    half = (most - least) / 2
    return Axis(column.key, (most + least) / 2, half) if half > 0 and isfinite(half) else None


def _mean_bits(differences: Sequence[float]) -> float:
    """Return the mean length of whole numbers so large."""
    return sum(log2(1 + min(abs(one), 2.0**63)) for one in differences) / len(differences)


def _is_number(value: object) -> bool:
    if type(value) is int:
        return abs(value) <= MAX_EXACT
    return type(value) is float and isfinite(value)
