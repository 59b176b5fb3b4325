import json
from collections.abc import AsyncIterator
from decimal import Decimal

from whimbrel_agent.buffer.values import ExportedEvent
from whimbrel_agent.intake.export import PIECE_BYTES, exported
from whimbrel_agent.intake.lines import event_of
from whimbrel_protocol.cbor import load_values
from whimbrel_protocol.event import Event

EVENTS = [
    Event(type="t", source="s", time_ns=1, data={"b": b"\xff", "d": Decimal("1.10"), "f": 0.5}),
    Event(
        type="t",
        source="s",
        time_ns=2,
        lane="high",
        zone="front",
        subject="x",
        dedup_key="k",
        extensions={"a": 1},
    ),
]


async def items(events: list[Event]) -> AsyncIterator[ExportedEvent]:
    for number, event in enumerate(events):
        yield ExportedEvent(2**60, event.lane, number, event)


async def test_cbor_is_exact_and_in_the_form_of_the_intake() -> None:
    data = b"".join([piece async for piece in exported(items(EVENTS), "cbor")])
    assert [event_of(value, 0) for value in load_values(data)] == EVENTS


async def test_ndjson_names_each_events_place() -> None:
    data = b"".join([piece async for piece in exported(items(EVENTS), "ndjson")])
    first, second = [json.loads(line) for line in data.splitlines()]
    assert first["data"] == {"b": "ff", "d": "1.10", "f": 0.5}
    assert second["place"] == {"epoch": str(2**60), "lane": "high", "sequence": 1}


async def test_it_comes_in_pieces() -> None:
    pieces = [piece async for piece in exported(items(EVENTS * 500), "cbor")]
    assert len(pieces) > 1
    assert all(PIECE_BYTES <= len(piece) < 2 * PIECE_BYTES for piece in pieces[:-1])
