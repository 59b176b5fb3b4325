"""Every key of a profile: its kind, its range and its meaning, in one table.

The reader takes files apart by it, ``schema.json`` is made from it, and the writer and
``profile show`` follow its order; so the four cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from whimbrel_agent.buffer.held import MAX_WINDOW_S
from whimbrel_agent.power.settings import EFFORTS, MAX_SESSIONS_PER_H
from whimbrel_agent.profiles.values import Basis, Durability
from whimbrel_protocol.lanes import LANES
from whimbrel_protocol.limits import MAX_SEAL_EVENTS

__all__ = ["SCHEMA", "TABLES", "Field", "Kind", "TableSpec", "json_schema"]

SCHEMA: Final = 1
"""The number that a file's ``schema`` must have; it changes when a key's meaning does."""

NAME_PATTERN: Final = "^[a-z0-9][a-z0-9-]{0,39}$"

MAX_TEXT: Final = 500

_GIB: Final = 1024**3


class Kind(Enum):
    """What a key holds."""

    FIGURE = auto()
    """A table of value, basis and source."""
    NUMBER = auto()
    INTEGER = auto()
    TEXT = auto()
    NAME = auto()
    CHOICE = auto()
    FLAG = auto()
    TEXTS = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """One key; ``low`` and ``high`` bound numbers, ``choices`` words."""

    key: str
    kind: Kind
    meaning: str
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table; ``name`` is empty for the top of the file."""

    name: str
    fields: tuple[Field, ...]
    required: bool = True


def _figure(key: str, low: float, high: float, meaning: str) -> Field:
    return Field(key, Kind.FIGURE, meaning, low, high)


FIGURE_FIELDS: Final = (
    Field("value", Kind.NUMBER, "the number, in the unit that ends the key"),
    Field(
        "basis", Kind.CHOICE, "how far to trust it", choices=tuple(basis.value for basis in Basis)
    ),
    Field("source", Kind.TEXT, "a URL, a data sheet, or the formula it was derived by"),
)

TOP: Final = TableSpec(
    "",
    (
        Field("schema", Kind.INTEGER, "version of this file format", SCHEMA, SCHEMA),
        Field("name", Kind.NAME, "what [device] profile says"),
        Field("title", Kind.TEXT, "the hardware in words"),
    ),
)

_DETECT: Final = TableSpec(
    "detect",
    (Field("models", Kind.TEXTS, "beginnings of /proc/device-tree/model"),),
    required=False,
)

_MEMORY: Final = TableSpec(
    "memory",
    (
        Field(
            "total_bytes", Kind.INTEGER, "of the smallest board of the class", 2**26, 1024 * _GIB
        ),
        Field("agent_bytes", Kind.INTEGER, "what the agent may take", 2**25, 64 * _GIB),
    ),
)

_FLASH: Final = TableSpec(
    "flash",
    (
        _figure("budget_mb_per_day", 1, 1e7, "what the agent may write, 10^6 bytes a day"),
        _figure("endurance_tb", 0.01, 1e6, "what the card bears in its life, 10^12 bytes"),
        _figure("write_amplification", 1, 1000, "bytes written inside the card for one given"),
        _figure("write_j_per_byte", 0, 1e-3, "energy of one byte written"),
        _figure("commit_j", 0, 10, "energy of one fsync"),
    ),
)

_POWER: Final = TableSpec(
    "power",
    (
        _figure("idle_w", 0.001, 1000, "whole board, network associated, nothing to do"),
        _figure("load_w", 0.001, 1000, "whole board, all cores busy"),
        _figure("cpu_j_per_core_s", 0, 200, "what a second of one core adds to idle"),
    ),
)

_RADIO: Final = TableSpec(
    "radio",
    (
        Field(
            "kind",
            Kind.CHOICE,
            "the way out",
            choices=("ethernet", "wifi", "lte", "lte-m", "nb-iot", "3g"),
        ),
        Field("metered", Kind.FLAG, "bytes cost money"),
        _figure("promotion_s", 0, 60, "time from asleep to connected"),
        _figure("promotion_j", 0, 1000, "energy of that"),
        _figure("tail_s", 0, 600, "how long it stays awake after the last byte"),
        _figure("tail_w", 0, 50, "its draw meanwhile, beyond being asleep"),
        _figure("up_j_per_byte", 0, 0.1, "energy of one byte sent while awake"),
        _figure("down_j_per_byte", 0, 0.1, "energy of one byte received while awake"),
        _figure("frame_j", 0, 1, "energy of one message beyond its bytes"),
    ),
)

_BATTERY: Final = TableSpec(
    "battery",
    (
        _figure("capacity_wh", 0.01, 1e5, "when new and full"),
        _figure("usable_share", 0.01, 1, "the part that may be used"),
    ),
    required=False,
)

_DEFAULTS: Final = TableSpec(
    "defaults",
    (
        Field(
            "durability",
            Kind.CHOICE,
            "what an answer promises",
            choices=tuple(one.value for one in Durability),
        ),
        Field(
            "window_s", Kind.NUMBER, "the window of that name", 0, int(MAX_WINDOW_S), required=False
        ),
        Field(
            "codec_effort",
            Kind.CHOICE,
            "how hard frames are compressed",
            choices=tuple(EFFORTS),
        ),
        Field("dictionaries", Kind.FLAG, "learn dictionaries of what repeats", required=False),
        Field("buffer_bytes", Kind.INTEGER, "cap of the buffer", 2**20, 1024 * _GIB),
        Field("keepalive_s", Kind.INTEGER, "MQTT keep-alive", 5, 3600),
        Field(
            "sessions_per_hour",
            Kind.INTEGER,
            "radio sessions for lanes that can wait; 0: as the power mode says",
            0,
            MAX_SESSIONS_PER_H,
        ),
    ),
)

_INTAKE: Final = TableSpec(
    "intake",
    (
        Field("max_body_bytes", Kind.INTEGER, "of one HTTP request", 1024, _GIB),
        Field("max_connections", Kind.INTEGER, "HTTP connections at once", 1, 4096),
    ),
)

LANE_FIELDS: Final = (
    Field("linger_s", Kind.NUMBER, "wait for company before sealing", 0, 3600, required=False),
    Field("batch_events", Kind.INTEGER, "seal at so many", 1, MAX_SEAL_EVENTS, required=False),
)

_LANES: Final = tuple(TableSpec(f"lanes.{lane}", LANE_FIELDS, required=False) for lane in LANES)

TABLES: Final = (
    TOP,
    _DETECT,
    _MEMORY,
    _FLASH,
    _POWER,
    _RADIO,
    _BATTERY,
    _DEFAULTS,
    _INTAKE,
    *_LANES,
)
"""Every table of a profile, in the order of the files."""


def json_schema() -> dict[str, Any]:
    """Return the same rules as JSON Schema (draft 2020-12), for editors.

    Three rules join keys and are the loader's alone: agent_bytes within total_bytes, idle_w
    within load_w, and a window only with ``durability = "window"``.
    """
    top = _object_schema(TOP.fields)
    for spec in TABLES[1:]:
        group, _, name = spec.name.rpartition(".")
        parent = top
        if group:
            parent = top["properties"].setdefault(group, _object_schema(()))
        parent["properties"][name] = _object_schema(spec.fields)
        if spec.required:
            parent["required"].append(name)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Whimbrel firmware profile",
        **top,
    }


def _object_schema(fields: tuple[Field, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [field.key for field in fields if field.required],
        "properties": {field.key: _field_schema(field) for field in fields},
    }


def _field_schema(field: Field) -> dict[str, Any]:
    rules: dict[str, Any] = {"description": field.meaning}
    match field.kind:
        case Kind.FIGURE:
            rules |= _object_schema(FIGURE_FIELDS)
            rules["properties"]["value"] |= {"minimum": field.low, "maximum": field.high}
        case Kind.NUMBER:
            rules["type"] = "number"
            if field.high:
                rules |= {"minimum": field.low, "maximum": field.high}
        case Kind.INTEGER:
            rules |= {"type": "integer", "minimum": field.low, "maximum": field.high}
        case Kind.TEXT:
            rules |= {"type": "string", "pattern": r"\S", "maxLength": MAX_TEXT}
        case Kind.NAME:
            rules |= {"type": "string", "pattern": NAME_PATTERN}
        case Kind.CHOICE:
            rules["enum"] = list(field.choices)
        case Kind.FLAG:
            rules["type"] = "boolean"
        case Kind.TEXTS:
            rules |= {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "pattern": r"\S", "maxLength": MAX_TEXT},
            }
    return rules
