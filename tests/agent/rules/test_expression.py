"""Trees of expressions, their limits, and what is said about mistakes."""

from __future__ import annotations

import pytest

from whimbrel_agent.rules.expression import (
    MAX_DEPTH,
    MAX_NODES,
    And,
    Compare,
    Field,
    Literal,
    Match,
    Not,
    Or,
    field_of,
    parse,
)
from whimbrel_agent.rules.tokens import ExpressionError


def test_and_binds_closer_than_or() -> None:
    a, b, c = (Compare("==", Field(("type",)), Literal(name)) for name in "abc")
    assert parse('type == "a" or type == "b" and type == "c"') == Or((a, And((b, c))))


def test_a_field_may_be_called_like_a_match() -> None:
    assert parse("data.startswith == 1") == Compare("==", Field(("data", "startswith")), Literal(1))
    assert parse('not data.x.contains("a")') == Not(Match("contains", Field(("data", "x")), "a"))
    assert field_of('data["a b"].c') == Field(("data", "a b", "c"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "here must come a value"),
        ("type", "here must come one of =="),
        ("temperature == 5", "is no field: use type, source"),
        ("1 == 1", "must be a field"),
        ("data == 5", "data is a map"),
        ("data.x == ", "here must come a value"),
        ("data.x < true", "have no order"),
        ("1 < data.x < 3", "do not chain"),
        ("source.startswith(5)", 'write startswith("...")'),
        ("source.upper == 5", "startswith, endswith, contains"),
        ("zone in ()", "here must come a value"),
        ('zone in ("a"', "here must come )"),
        ('(type == "a"', "here must come )"),
        ('type == "a" zone == "b"', "connect with and, or"),
        ("data..x == 1", "must come a name"),
        ("data[5] == 1", "must come a name"),
        ("data.a.b.c.d.e.f.g.h.i == 1", "at most 8"),
        ("not " * (MAX_DEPTH + 2) + "has(zone)", "nests deeper"),
        ("(" * (MAX_DEPTH + 2) + "has(zone)", "nests deeper"),
        (f"data.x in ({', '.join(['1'] * MAX_NODES)})", f"over {MAX_NODES} parts"),
    ],
)
def test_mistakes_are_named_with_place_and_remedy(text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert said in str(caught.value)
    assert str(caught.value).startswith("at character ")
