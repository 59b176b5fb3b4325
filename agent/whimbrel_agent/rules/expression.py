"""Selecting expressions: text to a tree, within limits. Pure.

::

    either    = both ("or" both)*
    both      = negated ("and" negated)*
    negated   = "not" negated | "(" either ")" | "has" "(" field ")" | comparison
    comparison = operand ("==" | "!=" | "<" | "<=" | ">" | ">=") operand
               | field ["not"] "in" "(" literal ("," literal)* ")"
               | field "." ("startswith" | "endswith" | "contains") "(" text ")"
    operand   = field | literal
    field     = "type" | "source" | "zone" | "subject" | "lane"
              | ("data" | "extensions") ("." name | "[" text "]")+
    literal   = text | number | "true" | "false" | "null"

A comparison with a field that an event does not have is false, as is one between different kinds
of values (a text is never a number); ``not`` turns either into true. Numbers of all kinds compare
by value, exactly; ``true`` is no number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from whimbrel_agent.rules.tokens import ExpressionError, Token, tokens_of

__all__ = [
    "MAX_DEPTH",
    "MAX_NODES",
    "And",
    "Compare",
    "Condition",
    "Field",
    "Has",
    "In",
    "Literal",
    "Match",
    "Not",
    "Or",
    "field_of",
    "parse",
]

MAX_DEPTH: Final = 16
"""Parentheses and ``not`` inside each other: keeps the reader's own stack shallow."""

MAX_NODES: Final = 100
"""Comparisons, literals of lists and connections: bounds the work per event to microseconds."""

MAX_STEPS: Final = 8
"""Parts of a path into data."""

_ATTRIBUTES: Final = ("type", "source", "zone", "subject", "lane")
_MAPS: Final = ("data", "extensions")
_MATCHES: Final = ("startswith", "endswith", "contains")
_COMPARISONS: Final = ("==", "!=", "<", "<=", ">", ">=")
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_FIELDS: Final = "type, source, zone, subject, lane, data.NAME or extensions.NAME"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an event: an attribute's name, or ``data`` / ``extensions`` and the keys."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, a number, true, false or null."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Compare:
    """Two operands and a sign."""

    sign: str
    left: Field | Literal
    right: Field | Literal


@dataclass(frozen=True, slots=True)
class In:
    """Whether a field equals one of some literals."""

    field: Field
    choices: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """Whether a field is a text that begins with, ends with or holds another."""

    how: str
    field: Field
    text: str


@dataclass(frozen=True, slots=True)
class Has:
    """Whether a field is there."""

    field: Field


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    inner: Condition


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them."""

    parts: tuple[Condition, ...]


Condition = Compare | In | Match | Has | Not | And | Or


def parse(text: str) -> Condition:
    """Give the tree of an expression.

    Raises:
        ExpressionError: with the place, what is wrong and what would be right.
    """
    reader = _Reader(text)
    condition = reader.either(0)
    reader.finish()
    return condition


def field_of(text: str) -> Field:
    """Give the field that a text such as ``data.celsius`` names.

    Raises:
        ExpressionError: it names none.
    """
    reader = _Reader(text)
    field = reader.field()
    reader.finish()
    return field


class _Reader:
    """Reads words from left to right; one method per line of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens_of(text)
        self._place = 0
        self._nodes = 0

    @property
    def _here(self) -> Token:
        return self._tokens[self._place]

    def finish(self) -> None:
        if self._here.kind != "end":
            raise self._wrong("the expression is complete before this: connect with and, or")

    def either(self, depth: int) -> Condition:
        parts = [self._both(depth)]
        while self._take("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _both(self, depth: int) -> Condition:
        parts = [self._negated(depth)]
        while self._take("and"):
            parts.append(self._negated(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _negated(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise self._wrong(f"nests deeper than {MAX_DEPTH}: make two rules of it")
        self._count()
        if self._take("not"):
            return Not(self._negated(depth + 1))
        if self._take("("):
            inner = self.either(depth + 1)
            self._expect(")")
            return inner
        if self._here.value == "has" and self._here.kind == "name":
            self._place += 1
            self._expect("(")
            field = self.field()
            self._expect(")")
            return Has(field)
        return self._comparison()

    def _comparison(self) -> Condition:
        at = self._place
        left = self._operand()
        if isinstance(left, Field):
            special = self._membership(left) or self._match(left)
            if special is not None:
                return special
        sign = self._here
        if sign.kind != "sign" or sign.value not in _COMPARISONS:
            raise self._wrong(f"here must come one of {' '.join(_COMPARISONS)}, in, or .startswith")
        self._place += 1
        right = self._operand()
        if isinstance(left, Literal) and isinstance(right, Literal):
            self._place = at
            raise self._wrong(f"compares two fixed values: one of them must be a field ({_FIELDS})")
        if self._here.kind == "sign" and self._here.value in _COMPARISONS:
            raise self._wrong("comparisons do not chain: connect two of them with and")
        for side in (left, right):
            ordered = sign.value not in ("==", "!=")
            if ordered and isinstance(side, Literal) and isinstance(side.value, bool | None):
                self._place = at
                raise self._wrong("true, false and null have no order: use == or !=")
        return Compare(str(sign.value), left, right)

    def _membership(self, field: Field) -> Condition | None:
        start = self._place
        negated = self._take("not")
        if not self._take("in"):
            self._place = start
            return None
        self._expect("(")
        choices = [self._literal()]
        while self._take(","):
            if self._here.value == ")":
                break
            choices.append(self._literal())
        self._expect(")")
        found = In(field, tuple(choices))
        return Not(found) if negated else found

    def _match(self, field: Field) -> Condition | None:
        if not self._take("."):
            return None
        how = str(self._here.value)
        self._place += 1
        self._expect("(")
        if self._here.kind != "text":
            raise self._wrong(f'{how} takes a text: write {how}("...")')
        text = str(self._here.value)
        self._place += 1
        self._expect(")")
        return Match(how, field, text)

    def _operand(self) -> Field | Literal:
        token = self._here
        if token.kind == "name" and token.value not in _CONSTANTS:
            return self.field()
        return self._literal()

    def _literal(self) -> Literal:
        token = self._here
        self._count()
        if token.kind in ("text", "number"):
            self._place += 1
            return Literal(token.value)
        if token.kind == "name" and token.value in _CONSTANTS:
            self._place += 1
            return Literal(_CONSTANTS[str(token.value)])
        raise self._wrong(f"here must come a value (text, number, true, false, null) or {_FIELDS}")

    def field(self) -> Field:
        token = self._here
        if token.kind != "name" or token.value not in (*_ATTRIBUTES, *_MAPS):
            raise self._wrong(f"is no field: use {_FIELDS}; texts stand in quotes")
        self._place += 1
        path = [str(token.value)]
        if path[0] in _MAPS:
            while (step := self._step()) is not None:
                path.append(step)
            if len(path) == 1:
                raise self._wrong(f"{path[0]} is a map: name a field of it, {path[0]}.NAME")
        if len(path) > MAX_STEPS + 1:
            raise self._wrong(f"the path has {len(path) - 1} steps, at most {MAX_STEPS}")
        return Field(tuple(path))

    def _step(self) -> str | None:
        """Take one further part of a path; a match's name before a parenthesis is none."""
        if self._here.kind != "sign":
            return None
        name, after = self._ahead(1), self._ahead(2)
        if self._here.value == "." and name.kind == "name":
            if name.value in _MATCHES and after.kind == "sign" and after.value == "(":
                return None
            self._place += 2
            return str(name.value)
        if self._here.value == "[" and name.kind == "text":
            self._place += 2
            self._expect("]")
            return str(name.value)
        if self._here.value in (".", "["):
            self._place += 1
            raise self._wrong('here must come a name, or ["a name"] where it has odd letters')
        return None

    def _ahead(self, count: int) -> Token:
        return self._tokens[min(self._place + count, len(self._tokens) - 1)]

    def _take(self, word: str) -> bool:
        token = self._here
        if token.value != word or token.kind not in ("name", "sign"):
            return False
        if word == "." and self._ahead(1).value not in _MATCHES:
            self._place += 1
            raise self._wrong(f"here must come one of {', '.join(_MATCHES)}")
        self._place += 1
        return True

    def _expect(self, sign: str) -> None:
        if self._here.kind != "sign" or self._here.value != sign:
            raise self._wrong(f"here must come {sign}")
        self._place += 1

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._wrong(f"has over {MAX_NODES} parts: make two rules of it")

    def _wrong(self, problem: str) -> ExpressionError:
        return ExpressionError(self._text, self._here.at, problem)
