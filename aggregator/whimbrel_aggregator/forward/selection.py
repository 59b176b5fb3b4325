"""Selection: which committed events a consumer wants, checked when it is configured.

A selection has four lists of patterns: tenant, store, zone, type. An empty list takes
everything; otherwise one pattern must match. Patterns know ``*`` (any run of characters) and
``?`` (one character) and nothing else, so that nobody's names need escaping.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from whimbrel_protocol.errors import FieldError

MAX_PATTERNS: Final = 100
"""Patterns per field; every event is tried against each."""

MAX_PATTERN_CHARACTERS: Final = 256
"""The longest type an event may have."""

_NAME_PATTERN: Final = re.compile(r"[a-z0-9_*?-]{1,32}")
_RULE_NAMES: Final = "must be a name of a-z, 0-9, _ and - in which * and ? are wildcards"


@dataclass(frozen=True, slots=True)
class Patterns:
    """Some glob patterns for one field; no pattern takes every value."""

    texts: tuple[str, ...] = ()
    _plain: frozenset[str] = field(init=False, repr=False, compare=False)
    _wild: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        wild = [text for text in self.texts if "*" in text or "?" in text]
        object.__setattr__(self, "_plain", frozenset(self.texts) - set(wild))
        joined = "|".join(f"(?:{_expression(text)})" for text in wild)
        object.__setattr__(self, "_wild", re.compile(joined) if wild else None)

    def take(self, value: str | None) -> bool:
        """Say whether a value (None: the event has none) is wanted."""
        if not self.texts:
            return True
        if value is None:
            return False
        return value in self._plain or (
            self._wild is not None and self._wild.fullmatch(value) is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a consumer wants; the default is everything."""

    tenant: Patterns = Patterns()
    store: Patterns = Patterns()
    zone: Patterns = Patterns()
    type: Patterns = Patterns()

    @classmethod
    def of(
        cls,
        *,
        tenants: Sequence[str] = (),
        stores: Sequence[str] = (),
        zones: Sequence[str] = (),
        types: Sequence[str] = (),
        where: str = "select",
    ) -> Selection:
        """Check patterns and return the selection; an empty sequence takes everything.

        Raises:
            FieldError: a pattern that can match nothing; the error names ``where`` and the field.
        """
        return cls(
            tenant=_patterns(f"{where}.tenant", tenants, names=True),
            store=_patterns(f"{where}.store", stores, names=True),
            zone=_patterns(f"{where}.zone", zones, names=True),
            type=_patterns(f"{where}.type", types, names=False),
        )

    def takes_partition(self, tenant: str, store: str) -> bool:
        """Say whether anything of a (tenant, store) can be wanted: others need no decoding."""
        return self.tenant.take(tenant) and self.store.take(store)

    def takes_zones(self, zones: Sequence[str] | None) -> bool:
        """Say whether a frame in which these zones (None: any) occur can hold a wanted event."""
        return not self.zone.texts or zones is None or any(self.zone.take(zone) for zone in zones)

    def takes_event(self, zone: str | None, event_type: str) -> bool:
        """Say whether an event of a wanted partition is wanted."""
        return self.zone.take(zone) and self.type.take(event_type)


def name_patterns(where: str, texts: Sequence[str]) -> Patterns:
    """Check patterns for names (tenants, stores, devices, zones) and return them.

    Raises:
        FieldError: a pattern that can match nothing; the error names ``where``.
    """
    return _patterns(where, texts, names=True)


def _patterns(where: str, texts: Sequence[str], *, names: bool) -> Patterns:
    if len(texts) > MAX_PATTERNS:
        raise FieldError(where, f"{len(texts)} patterns", f"must be at most {MAX_PATTERNS}")
    for text in texts:
        if names:
            if _NAME_PATTERN.fullmatch(text) is None:
                raise FieldError(where, text, _RULE_NAMES)
        elif not 1 <= len(text) <= MAX_PATTERN_CHARACTERS:
            raise FieldError(where, text, f"must be 1 to {MAX_PATTERN_CHARACTERS} characters")
    return Patterns(tuple(texts))


def _expression(text: str) -> str:
    # the library's translation backtracks linearly; its third wildcard, [...], is not ours
    return fnmatch.translate(text.replace("[", "[[]"))
