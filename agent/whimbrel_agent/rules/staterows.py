"""Rows that keep rules over a restart, as checksummed bytes. Pure.

A row's body is one CBOR array and the CRC-32 of it (4 bytes, big-endian), since SQLite has no
checksums of its own:

=================================  ==========================================================
array
=================================  ==========================================================
``[0, rule, definition]``          the settings that the rule's states were made under
``[1, rule, counts]``              the rule's account
``[2, rule, key, state]``          one series
=================================  ==========================================================
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whimbrel_agent.rules.settings import stored_rule
from whimbrel_agent.rules.values import RuleConfig
from whimbrel_protocol.cbor import dump_value, load_value
from whimbrel_protocol.errors import WhimbrelError

__all__ = ["CountsRow", "DefinitionRow", "RuleRow", "StateRow", "pack_row", "unpack_row"]


@dataclass(frozen=True, slots=True)
class DefinitionRow:
    """A rule as it was configured."""

    rule: str
    config: RuleConfig


@dataclass(frozen=True, slots=True)
class CountsRow:
    """A rule's account."""

    rule: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StateRow:
    """One series of a rule; the state is as the rule's machine packs it."""

    rule: str
    key: str | bytes
    state: Any


RuleRow = DefinitionRow | CountsRow | StateRow


def pack_row(row: RuleRow) -> bytes:
    """Give a row's body."""
    match row:
        case DefinitionRow(rule, config):
            value: list[Any] = [0, rule, dict(config.definition)]
        case CountsRow(rule, counts):
            value = [1, rule, dict(counts)]
        case StateRow(rule, key, state):
            value = [2, rule, key, state]
    body = dump_value(value)
    return body + zlib.crc32(body).to_bytes(4, "big")


def unpack_row(data: bytes) -> RuleRow | None:
    """Read a row's body; None when it is not what was written, or of no known form."""
    body = data[:-4]
    if zlib.crc32(body).to_bytes(4, "big") != data[-4:]:
        return None
    try:
        value = load_value(body)
        match value:
            case [0, str(rule), dict(definition)]:
                return DefinitionRow(rule, stored_rule(definition))
            case [1, str(rule), dict(counts)]:
                return CountsRow(rule, counts)
            case [2, str(rule), str() | bytes() as key, state]:
                return StateRow(rule, key, state)
    except WhimbrelError:
        return None  # a newer program's rule: what it held cannot be told any more
    return None
