"""Expressions: what they mean, against a slow interpreter of their own; what they cost."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.rules.selecting import selector_of
from whimbrel_agent.rules.tokens import ExpressionError
from whimbrel_protocol.event import Event

COLD = Event(
    type="temperature",
    source="cold-1",
    time_ns=0,
    zone="cold",
    data={"celsius": 4.75, "ok": True, "n": 3, "deep": {"x": {"y": "z"}}, "none": None},
    extensions={"site": "A"},
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('type == "temperature" and zone in ("cold", "freezer") and data.celsius > 4.5', True),
        ('not source.startswith("test-")', True),
        ('source.endswith("-1") and source.contains("old")', True),
        ("data.celsius > 4.75", False),
        ("4.5 < data.celsius", True),
        ("data.deep.x.y == 'z'", True),
        ('data.deep["x"].y == "z"', True),
        ('data.deep.x.y.w == "z"', False),
        ("data.ok == true and data.ok != false", True),
        ("data.ok == 1", False),
        ("data.n == 3.0", True),
        ('data.n == "3"', False),
        ('data.n != "3"', False),
        ("data.none == null", True),
        ("data.missing == null", False),
        ("data.missing != 5", False),
        ("not data.missing == 5", True),
        ("has(data.none) and not has(data.missing)", True),
        ("has(subject)", False),
        ('subject != "x"', False),
        ("data.n in (1, 2, 3)", True),
        ("data.n not in (1, 2)", True),
        ("data.ok in (1, 2)", False),
        ('extensions.site == "A" or data.n > 100', True),
        ("data.celsius > data.n", True),
        ("data.celsius > data.deep", False),
        ("data.n > -1e3", True),
        ('lane == "normal"', True),
        ('(type == "x" or type == "temperature") and data.n >= 3', True),
    ],
)
def test_an_expression_means_what_it_says(text: str, wanted: bool) -> None:
    assert selector_of(text)(COLD) is wanted


def test_numbers_of_all_kinds_compare_by_value() -> None:
    event = Event(type="t", source="s", time_ns=0, data={"d": Decimal("1.5"), "nan": math.nan})
    assert selector_of("data.d == 1.5 and data.d < 2")(event)
    assert not selector_of("data.d < data.nan or data.d >= data.nan or data.d == data.nan")(event)
    assert selector_of("data.d != data.nan")(event)


# ---------------------------------------------------------------- a slow interpreter

FIELDS: dict[str, tuple[str, ...]] = {
    "type": ("type",),
    "zone": ("zone",),
    "subject": ("subject",),
    "data.a": ("data", "a"),
    "data.b": ("data", "b"),
    'data["odd key"].c': ("data", "odd key", "c"),
    "extensions.e": ("extensions", "e"),
}
ABSENT = "absent"
scalars = st.one_of(
    st.sampled_from(["", "a", "ab", "b"]),
    st.integers(-3, 3),
    st.sampled_from([0.5, -1.0, 2.0, 1e6]),
    st.booleans(),
    st.none(),
)
values = st.one_of(
    scalars, st.sampled_from([Decimal("0.5"), Decimal(2), math.nan, [1], {"x": 1}, b"a"])
)
events = st.builds(
    Event,
    type=st.sampled_from(["a", "ab", "b"]),
    source=st.just("s"),
    time_ns=st.just(0),
    zone=st.sampled_from([None, "a", "b"]),
    subject=st.sampled_from([None, "a"]),
    data=st.dictionaries(st.sampled_from(["a", "b"]), values).flatmap(
        lambda data: st.one_of(
            st.just(data),
            values.map(lambda value: {**data, "odd key": {"c": value}}),
            values.map(lambda value: {**data, "odd key": value}),
        )
    ),
    extensions=st.dictionaries(st.just("e"), values),
)
fields = st.sampled_from(sorted(FIELDS))
signs = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
orderable = st.one_of(st.sampled_from(["", "a", "b"]), st.integers(-3, 3), st.just(0.5))

Tree = tuple[Any, ...]


def compares(draw: st.DrawFn) -> Tree:
    field, sign = draw(fields), draw(signs)
    other: Any = draw(
        st.one_of(fields.map(lambda f: ("field", f)), orderable)
        if sign not in ("==", "!=")
        else st.one_of(fields.map(lambda f: ("field", f)), scalars)
    )
    flipped = draw(st.booleans())
    return (
        ("compare", sign, other, ("field", field))
        if flipped
        else (*("compare", sign, ("field", field), other),)
    )


@st.composite
def leaves(draw: st.DrawFn) -> Tree:
    kind = draw(st.sampled_from(["compare", "compare", "in", "match", "has"]))
    if kind == "compare":
        return compares(draw)
    if kind == "in":
        return ("in", draw(fields), draw(st.lists(scalars, min_size=1, max_size=4)))
    if kind == "match":
        how = draw(st.sampled_from(["startswith", "endswith", "contains"]))
        return ("match", how, draw(fields), draw(st.sampled_from(["", "a", "b"])))
    return ("has", draw(fields))


trees = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        inner.map(lambda one: ("not", one)),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=4)),
    ),
    max_leaves=8,
)


def text_of(tree: Any) -> str:
    match tree:
        case ("field", name):
            return str(name)
        case ("compare", sign, left, right):
            return f"{text_of(left)} {sign} {text_of(right)}"
        case ("in", field, choices):
            return f"{field} in ({', '.join(text_of(choice) for choice in choices)})"
        case ("match", how, field, text):
            return f"{field}.{how}({text_of(text)})"
        case ("has", field):
            return f"has({field})"
        case ("not", inner):
            return f"not ({text_of(inner)})"
        case (("and" | "or") as word, parts):
            return f" {word} ".join(f"({text_of(part)})" for part in parts)
        case None:
            return "null"
        case bool():
            return str(tree).lower()
        case str():
            return f'"{tree}"'
        case _:
            return repr(tree)


def kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float | Decimal):
        return "number"
    return type(value).__name__


def value_of(side: Any, event: Event) -> Any:
    if not (isinstance(side, tuple) and side[0] == "field"):
        return side
    root, *keys = FIELDS[side[1]]
    value: Any = getattr(event, root)
    if not keys:
        return ABSENT.encode() if value is None else value
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            return ABSENT.encode()
        value = value[key]
    return value


def order_of(sign: str, a: Any, b: Any) -> bool:
    kind = kind_of(a)
    if kind != kind_of(b) or kind not in ("bool", "number", "str", "NoneType"):
        return False
    if kind in ("bool", "NoneType"):
        return bool({"==": a == b, "!=": a != b}.get(sign, False))
    if kind == "number":
        if math.isnan(a) or math.isnan(b):
            return bool(sign == "!=")
        a, b = Decimal(a), Decimal(b)
    order = (a > b) - (a < b)
    return bool(
        {"==": order == 0, "!=": order != 0, "<": order < 0, "<=": order <= 0,
         ">": order > 0, ">=": order >= 0}[sign]
    )  # fmt: skip


def means(tree: Tree, event: Event) -> bool:
    match tree:
        case ("compare", sign, left, right):
            return order_of(sign, value_of(left, event), value_of(right, event))
        case ("in", field, choices):
            return any(means(("compare", "==", ("field", field), c), event) for c in choices)
        case ("match", how, field, text):
            value = value_of(("field", field), event)
            if not isinstance(value, str):
                return False
            if how == "contains":
                return text in value
            return bool(getattr(value, how)(text))
        case ("has", field):
            return bool(value_of(("field", field), event) != ABSENT.encode())
        case ("not", inner):
            return not means(inner, event)
        case ("and", parts):
            return all(means(part, event) for part in parts)
        case ("or", parts):
            return any(means(part, event) for part in parts)
    raise AssertionError(tree)


@given(trees, st.lists(events, min_size=1, max_size=5))
def test_it_agrees_with_a_slow_interpreter(tree: Tree, some: list[Event]) -> None:
    select = selector_of(text_of(tree))
    for event in some:
        assert select(event) is means(tree, event), text_of(tree)


words = st.sampled_from(
    [
        "type",
        "source",
        "zone",
        "data",
        ".",
        "data.x",
        '"a"',
        "'b'",
        "(",
        ")",
        "[",
        "]",
        ",",
        "==",
        "!=",
        "<=",
        ">=",
        "<",
        ">",
        "and",
        "or",
        "not",
        "in",
        "has",
        "startswith",
        "true",
        "false",
        "null",
        "1",
        "-2.5",
        "1e999",
        "9e99",
        '"',
        "'",
        "\\",
        "=",
        "&",
        "1.2.3",
        "data[",
        "é",
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(words, max_size=25).map(" ".join)))
def test_nothing_comes_of_nonsense_but_its_own_error(text: str) -> None:
    found: ExpressionError | None = None
    try:
        select = selector_of(text)
    except ExpressionError as error:
        found = error
    if found is None:
        assert select(COLD) in (True, False)
    else:
        assert 0 <= found.at <= len(text)
        assert found.problem
