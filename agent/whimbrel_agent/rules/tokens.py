r"""The words of a selecting expression, each with its place. Pure.

====== ======================================================================
kind   what it is
====== ======================================================================
name   a field's part or a word: a letter or ``_``, then letters, digits, ``_``
text   between single or double quotes; ``\\``, ``\"``, ``\'``, ``\n``, ``\t`` inside
number a whole number or a decimal fraction, with an exponent if need be
sign   ``== != <= >= < > ( ) [ ] , .``
end    after the last one
====== ======================================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from whimbrel_protocol.errors import WhimbrelError

__all__ = ["MAX_LENGTH", "ExpressionError", "Token", "tokens_of"]

MAX_LENGTH: Final = 1_000
"""Characters of one expression: ten lines of a person's writing."""

_SPACES: Final = re.compile(r"[ \t\r\n]*")
_PATTERNS: Final = (
    ("name", re.compile(r"[A-Za-z_][A-Za-z0-9_]*")),
    ("number", re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")),
    ("text", re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'")),
    ("sign", re.compile(r"==|!=|<=|>=|[<>()\[\],.]")),
)
_MAX_DIGITS: Final = 30
_ESCAPE: Final = re.compile(r"\\(.)")
_ESCAPES: Final = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t"}


class ExpressionError(WhimbrelError):
    """An expression cannot be used.

    Attributes:
        text: the expression.
        at: the place in it, from 0.
        problem: what is wrong there, and what would be right.
    """

    def __init__(self, text: str, at: int, problem: str) -> None:
        near = f" near {text[at : at + 20]!r}" if at < len(text) else ""
        super().__init__(f"at character {at + 1}{near}: {problem}")
        self.text = text
        self.at = at
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Token:
    """One word: its kind, what it means, and where it begins."""

    kind: str
    value: str | int | float
    at: int


def tokens_of(text: str) -> list[Token]:
    """Give the words of an expression, an ``end`` last.

    Raises:
        ExpressionError: it is too long, or holds what is no word.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            text,
            MAX_LENGTH,
            f"is {len(text)} characters long, at most {MAX_LENGTH}; make two rules of it",
        )
    found: list[Token] = []
    at = _skip(text, 0)
    while at < len(text):
        token, end = _next(text, at)
        found.append(token)
        at = _skip(text, end)
    found.append(Token("end", "", at))
    return found


def _skip(text: str, at: int) -> int:
    spaces = _SPACES.match(text, at)
    assert spaces is not None
    return spaces.end()


def _next(text: str, at: int) -> tuple[Token, int]:
    for kind, pattern in _PATTERNS:
        found = pattern.match(text, at)
        if found is None:
            continue
        word = found[0]
        if kind == "number":
            return Token(kind, _number(text, at, word), at), found.end()
        if kind == "text":
            return Token(kind, _unquoted(text, at, word), at), found.end()
        return Token(kind, word, at), found.end()
    if text[at] in "\"'":
        raise ExpressionError(text, at, "a text begins here and has no end: close its quotes")
    if text[at] == "=":
        raise ExpressionError(text, at, "= is no comparison: write ==")
    if text[at] in "&|!":
        raise ExpressionError(text, at, "write the words and, or, not")
    raise ExpressionError(text, at, "cannot be read: see the rules in agent/README.md")


def _number(text: str, at: int, word: str) -> int | float:
    if sum(letter.isdigit() for letter in word) > _MAX_DIGITS:
        raise ExpressionError(text, at, f"a number has at most {_MAX_DIGITS} digits")
    if word.lstrip("-").isdigit():
        return int(word)
    number = float(word)
    if number in (float("inf"), float("-inf")):
        raise ExpressionError(text, at, "the number is too large: below 1e308")
    return number


def _unquoted(text: str, at: int, word: str) -> str:
    def plain(found: re.Match[str]) -> str:
        if found[1] not in _ESCAPES:
            raise ExpressionError(
                text, at, f"\\{found[1]} is no escape: use \\\\ \\\" \\' \\n or \\t"
            )
        return _ESCAPES[found[1]]

    return _ESCAPE.sub(plain, word[1:-1])
