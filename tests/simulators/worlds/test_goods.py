"""Lines of articles: what follows from a number can be checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_sim.worlds.goods import is_true, line_of
from whimbrel_sim.worlds.invariants.violation import Invariant
from whimbrel_sim.worlds.scenario import Lines
from worlds.virtual import in_virtual_time, run_world, tiny_world

from .test_producers import post_for, producer_of

STORY = """
story = "Lines of articles."
duration_s = 20
drain_s = 60
[fleet]
devices = 1
[[load]]
every_s = 1
articles = 5
"""


@pytest.mark.parametrize("number", [1, 96, 97, 98, 194])
def test_a_line_says_what_its_article_has(number: int) -> None:
    line = {"n": number, **line_of(3, number)}
    assert is_true(line, number)
    assert is_true({"n": number}, number)
    for field, other in (
        ("name", "another"), ("price", 3.14), ("article", "70004"), ("quantity", 77), ("total", 0.5),
    ):  # fmt: skip
        assert not is_true(line | {field: other}, number)
    assert not is_true(line | {"article": "none"}, number)


def test_a_price_is_another_now_and_then() -> None:
    prices = {number: line_of(3, number)["price"] for number in range(1, 200)}
    assert len(set(prices.values())) == 2
    assert [number for number, price in prices.items() if price != prices[1]] == [97, 194]


def test_a_line_comes_to_its_quantity_times_its_price_but_for_reduced_ones() -> None:
    lines = {number: line_of(number % 7, number) for number in range(1, 200)}
    reduced = [
        number
        for number, line in lines.items()
        if line["total"] != line["quantity"] * line["price"]  # type: ignore[operator]
    ]
    assert reduced == [89, 178]


@in_virtual_time
async def test_a_sender_of_articles_posts_such_lines(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        producer = producer_of(world, Lines(every_s=1, articles=9))
        assert (await post_for(producer, 5)).offered > 0
        events = [producer._event(number) for number in range(1, 200)]
        assert all(is_true(event.data, number) for number, event in enumerate(events, 1))
        assert len({event.data["article"] for event in events}) == 9


def test_a_journal_that_says_something_else_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another(article: int, number: int) -> dict[str, object]:
        return line_of(article, number) | ({"name": "another"} if number == 7 else {})

    monkeypatch.setattr("whimbrel_sim.worlds.producers.line_of", another)
    violations = run_world(STORY, 1, tmp_path).audit.violations
    assert {violation.invariant for violation in violations} == {Invariant.FORGERY}
