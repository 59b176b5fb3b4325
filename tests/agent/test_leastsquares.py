"""The normal equations, against answers known beforehand."""

from __future__ import annotations

import random

import pytest

from whimbrel_agent.leastsquares import AlikeColumnsError, solve


def test_an_exact_system_is_solved_exactly() -> None:
    rows = [[1, 0, 2], [1, 1, 0], [1, 3, 5], [1, 4, 1]]
    solution = solve(rows, [2 + 3 * b - c for _, b, c in rows])
    assert solution.values == pytest.approx((2, 3, -1))
    assert solution.residual_rms == pytest.approx(0, abs=1e-12)


def test_the_errors_are_those_of_the_textbook() -> None:
    # y = 1 + 2x at x = 0..4 with residuals 1, -2, 1, 1, -1 (orthogonal enough to fit by hand)
    xs = [0.0, 1.0, 2.0, 3.0, 4.0]
    ys = [1 + 2 * x + e for x, e in zip(xs, [1, -2, 1, 1, -1], strict=True)]
    slope = sum((x - 2) * y for x, y in zip(xs, ys, strict=True)) / 10
    start = sum(ys) / 5 - 2 * slope
    left = sum((y - start - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    solution = solve([[1, x] for x in xs], ys)
    assert solution.values == pytest.approx((start, slope))
    assert solution.errors[1] == pytest.approx((left / 3 / 10) ** 0.5)
    assert solution.errors[0] == pytest.approx((left / 3 * (1 / 5 + 4 / 10)) ** 0.5)


def test_columns_of_very_different_size_do_no_harm() -> None:
    source = random.Random(5)
    rows = [[1.0, source.uniform(0, 1e6), source.uniform(0, 1e-3)] for _ in range(200)]
    solution = solve(rows, [0.5 + 1e-7 * b + 400 * c for _, b, c in rows])
    assert solution.values == pytest.approx((0.5, 1e-7, 400))


def test_columns_that_cannot_be_told_apart_are_named() -> None:
    with pytest.raises(AlikeColumnsError) as caught:
        solve([[1, x, 2 * x + 3] for x in range(9)], [float(x) for x in range(9)])
    assert caught.value.column == 2
    with pytest.raises(AlikeColumnsError):
        solve([[1, 0]] * 3, [1.0, 2.0, 3.0])
