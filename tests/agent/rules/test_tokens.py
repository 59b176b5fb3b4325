"""Words of expressions, and what is said about those that are none."""

from __future__ import annotations

import pytest

from whimbrel_agent.rules.tokens import MAX_LENGTH, ExpressionError, tokens_of


def test_words_come_with_their_places() -> None:
    found = [(token.kind, token.value, token.at) for token in tokens_of("data.x >= -2.5e1")]
    assert found == [
        ("name", "data", 0),
        ("sign", ".", 4),
        ("name", "x", 5),
        ("sign", ">=", 7),
        ("number", -25.0, 10),
        ("end", "", 16),
    ]


def test_texts_have_two_kinds_of_quotes_and_escapes() -> None:
    words = [token.value for token in tokens_of(r""" "a\"b" 'c\'d\n' "é" """)]
    assert words == ['a"b', "c'd\n", "é", ""]


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ('type = "a"', 5, "write =="),
        ("type && zone", 5, "and, or, not"),
        ('type == "a', 8, "close its quotes"),
        (r'type == "a\q"', 8, "no escape"),
        ("data.x > 1e999", 9, "too large"),
        ("data.x > " + "9" * 31, 9, "30 digits"),
        ("data.x > #", 9, "cannot be read"),
        (" " * (MAX_LENGTH + 1), MAX_LENGTH, "at most 1000"),
    ],
)
def test_what_is_no_word_is_named_with_its_place(text: str, at: int, said: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        tokens_of(text)
    assert caught.value.at == at
    assert said in str(caught.value)
    assert f"at character {at + 1}" in str(caught.value)
