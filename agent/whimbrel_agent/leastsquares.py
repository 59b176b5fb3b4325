"""Least squares by the normal equations, small and without numpy: a few unknowns, many rows.

Columns are scaled to the same size first: joules a byte and joules a wake differ by seven powers
of ten, and their squares by fourteen. Solved by Cholesky's factorisation, which also says when
columns cannot be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from whimbrel_protocol.errors import WhimbrelError

__all__ = ["AlikeColumnsError", "Solution", "solve"]

LEAST_PIVOT: Final = 1e-9
"""Of a correlation matrix, whose diagonal is 1: below it a column is a sum of the others."""


class AlikeColumnsError(WhimbrelError):
    """A column is a sum of others, so that no fit can tell them apart.

    Attributes:
        column: its place.
    """

    def __init__(self, column: int) -> None:
        super().__init__(f"column {column} of the rows follows from the others")
        self.column = column


@dataclass(frozen=True, slots=True)
class Solution:
    """The unknowns with their standard errors, and the root mean square of what is left."""

    values: tuple[float, ...]
    errors: tuple[float, ...]
    residual_rms: float


def solve(rows: Sequence[Sequence[float]], targets: Sequence[float]) -> Solution:
    """Return the unknowns ``x`` that make ``rows x`` nearest to ``targets``.

    Args:
        rows: one per observation; more of them than unknowns.
        targets: what was observed.

    Raises:
        AlikeColumnsError: two or more columns cannot be told apart, or one is zero.
    """
    unknowns, count = len(rows[0]), len(rows)
    scales = [math.sqrt(sum(row[i] ** 2 for row in rows)) for i in range(unknowns)]
    for i, scale in enumerate(scales):
        if scale == 0:
            raise AlikeColumnsError(i)
    products = [
        [sum(row[i] * row[j] for row in rows) / (scales[i] * scales[j]) for j in range(unknowns)]
        for i in range(unknowns)
    ]
    right = [
        sum(row[i] * target for row, target in zip(rows, targets, strict=True)) / scales[i]
        for i in range(unknowns)
    ]
    factor = _cholesky(products)
    values = [x / scale for x, scale in zip(_substituted(factor, right), scales, strict=True)]
    left = [
        target - sum(a * x for a, x in zip(row, values, strict=True))
        for row, target in zip(rows, targets, strict=True)
    ]
    squares = sum(one * one for one in left)
    variance = squares / max(1, count - unknowns)
    errors = []
    for i, scale in enumerate(scales):
        unit = [float(i == j) for j in range(unknowns)]
        errors.append(math.sqrt(variance * _substituted(factor, unit)[i]) / scale)
    return Solution(tuple(values), tuple(errors), math.sqrt(squares / count))


def _cholesky(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the lower triangle whose product with its transpose is the matrix."""
    lower: list[list[float]] = []
    for i, row in enumerate(matrix):
        line: list[float] = []
        for j in range(i):
            known = sum(line[k] * lower[j][k] for k in range(j))
            line.append((row[j] - known) / lower[j][j])
        pivot = row[i] - sum(one * one for one in line)
        if pivot < LEAST_PIVOT:
            raise AlikeColumnsError(i)
        lower.append([*line, math.sqrt(pivot)])
    return lower


def _substituted(lower: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Solve by forward, then backward substitution."""
    size = len(right)
    forward: list[float] = []
    for i in range(size):
        known = sum(lower[i][k] * forward[k] for k in range(i))
        forward.append((right[i] - known) / lower[i][i])
    found = [0.0] * size
    for i in reversed(range(size)):
        known = sum(lower[k][i] * found[k] for k in range(i + 1, size))
        found[i] = (forward[i] - known) / lower[i][i]
    return found
