"""The events that figures are measured with: two public data sets and the built-in store mix.

How a row becomes an event is fixed by the data sets' own README, so that figures of different
programs compare: climate rows are ``climate`` of ``room-1``, invoice lines ``pos.line`` of
``till-1``, times are taken as UTC.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from whimbrel_protocol.event import Event

CLIMATE_FILES: Final = ("occupancy-datatraining.txt", "occupancy-datatest.txt")
TILL_FILES: Final = "online-retail-*.csv"
MIX_SEED: Final = 20_261_122
"""Of the built-in store mix in every figure; any other gives about the same."""

_SECOND_NS: Final = 1_000_000_000
_MILLISECOND_NS: Final = 1_000_000


def climate_events(folder: Path) -> Iterator[Event]:
    """Give one room's climate, a row a minute, file after file."""
    for name in CLIMATE_FILES:
        with (folder / name).open(newline="") as lines:
            next(lines)  # the head
            for row in csv.reader(lines):
                date, temperature, humidity, light, co2, ratio, occupied = row[-7:]
                yield Event(
                    type="climate",
                    source="room-1",
                    time_ns=_time_ns(date),
                    data={
                        "temperature": float(temperature),
                        "humidity": float(humidity),
                        "light": float(light),
                        "co2": float(co2),
                        "humidity_ratio": float(ratio),
                        "occupied": occupied == "1",
                    },
                )


def till_events(folder: Path) -> Iterator[Event]:
    """Give the invoice lines of a retailer, day after day."""
    for path in sorted(folder.glob(TILL_FILES)):
        with path.open(newline="") as lines:
            for row in csv.DictReader(lines):
                customer = row["CustomerID"]
                yield Event(
                    type="pos.line",
                    source="till-1",
                    time_ns=_time_ns(row["InvoiceDate"]),
                    data={
                        "invoice": row["InvoiceNo"],
                        "sku": row["StockCode"],
                        "description": row["Description"],
                        "country": row["Country"],
                        "quantity": int(row["Quantity"]),
                        "price": float(row["UnitPrice"]),
                        "customer": int(float(customer)) if customer else None,
                    },
                )


def json_of(event: Event) -> bytes:
    """Give the event as the plainest JSON that others send: type, source, time in ms, data."""
    members = {
        "type": event.type,
        "source": event.source,
        "time": event.time_ns // _MILLISECOND_NS,
        "data": event.data,
    }
    return json.dumps(members, separators=(",", ":")).encode()


def intake_line(event: Event) -> bytes:
    """Give the event as a line of NDJSON for the agent's intakes, zone included."""
    members = {
        "type": event.type,
        "source": event.source,
        "time": datetime.fromtimestamp(event.time_ns // _MILLISECOND_NS / 1000, UTC).isoformat(),
        "zone": event.zone,
        "data": event.data,
    }
    return json.dumps(members, separators=(",", ":")).encode() + b"\n"


def batches(events: Sequence[Event], size: int) -> list[Sequence[Event]]:
    """Cut events into runs of ``size``; a shorter rest is left out, since it would cost more."""
    return [events[at : at + size] for at in range(0, len(events) - size + 1, size)]


def find_data(start: Path) -> Path | None:
    """Find the folder ``shared/data`` beside this checkout, None when it is not there."""
    for folder in (start, *start.parents):
        found = folder / "shared" / "data"
        if all((found / name).is_file() for name in CLIMATE_FILES):
            return found
    return None


def _time_ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * _SECOND_NS
