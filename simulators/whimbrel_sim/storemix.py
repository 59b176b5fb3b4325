"""A store's day as events: the built-in input of benchmarks, demos and simulations.

What this is: a deterministic stream of what one store's devices produce, from a seed. What it
is not: real data; the shares and spreads below are reasoned, not measured.

Per 100 events, about: 34 till lines, 33 stock moves, 14 climate, 12 fridge temperatures, 7 door
counters. Where the information in an event is, in bits by the draws below, so that figures can be judged:

* till line: article drawn from 400 with a Zipf-like popularity (7.9; name, price and tax rate follow
  from it), quantity (1.3), basket and cashier once per basket of five or six lines (0.9), time in
  milliseconds (13.5). 2.9 bytes.
* stock move: article (7.9), delivery or not (0.8), quantity (2.8), one of five places (2.3), reason
  (0.7), a random 8-digit hexadecimal with each delivery (8), time in milliseconds (12.9). 4.4 bytes.
* climate (6 rooms, every 60 s with 40 ms of jitter): temperature, humidity and CO2 walk by a few
  steps of their resolution (1.3, 2.1 and 4.1), light and presence seldom change (1.0), the jitter
  (5.4). 1.7 bytes.
* fridge (8 units, every 90 s): temperature walks by 0.1 degrees round its set point (1.4) and jumps
  when a door opens (0.5). 0.2 bytes.
* door counter (3 doors): people in and out in a minute (5.5), a running total that follows from
  them, battery voltage (0.1). 0.7 bytes.

Together 2.76 bytes an event: ``STATED_BYTES``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from heapq import heapify, heapreplace
from typing import Any, Final

from whimbrel_protocol.event import Event

__all__ = ["STATED_BYTES", "store_events"]

STATED_BYTES: Final = 2.76
"""The information in an event, see above; the first times and walks of a day are left out."""

_SECOND_NS: Final = 1_000_000_000
_MS_NS: Final = 1_000_000
_ARTICLES: Final = 400
_ROOMS: Final = 6
_FRIDGES: Final = 8
_DOORS: Final = 3
_TILLS: Final = 4
_DEFAULT_START_NS: Final = 1_767_254_400 * _SECOND_NS  # 2026-01-01T08:00:00Z, opening time

_KINDS: Final = ("organic", "family", "classic", "fresh", "small", "light", "dark", "mild")
_GOODS: Final = (
    *("milk", "butter", "bread", "coffee", "tea", "apple juice", "oat flakes", "tomatoes"),
    *("rice", "pasta", "soap", "shampoo", "batteries", "candles", "chocolate", "biscuits"),
)
_SIZES: Final = ("250 g", "500 g", "1 kg", "1 l", "6 pcs")
_PLACES: Final = ("backroom", "aisle-1", "aisle-2", "aisle-3", "returns")

_Body = tuple[str, str, str | None, dict[str, Any]]
_Device = Callable[[], tuple[_Body, int]]
"""Gives the next event's type, source, zone and data, and the wait until the one after, in ns."""


def store_events(
    seed: int, count: int, *, store: str = "store-1", start_ns: int = _DEFAULT_START_NS
) -> Iterator[Event]:
    """Give the first ``count`` events of a store, in time order.

    Args:
        seed: the same seed, store and start give the same events, whatever the count.
        count: how many events.
        store: a name that makes stores of one seed differ.
        start_ns: device time of the opening, nanoseconds since 1970 UTC.
    """
    rng = random.Random(f"{seed}/{store}")
    articles = [_article(rng, number) for number in range(_ARTICLES)]
    devices: list[_Device] = [
        *(_till(rng, number, articles) for number in range(1, _TILLS + 1)),
        *(_room(rng, number) for number in range(1, _ROOMS + 1)),
        *(_fridge(rng, number) for number in range(1, _FRIDGES + 1)),
        *(_door(rng, number) for number in range(1, _DOORS + 1)),
        _stock(rng, articles),
    ]
    agenda = [(start_ns + rng.randrange(60 * 1000) * _MS_NS, at) for at in range(len(devices))]
    heapify(agenda)
    for _ in range(count):
        time_ns, at = agenda[0]
        (name, source, zone, data), wait_ns = devices[at]()
        heapreplace(agenda, (time_ns + wait_ns, at))
        yield Event(type=name, source=source, time_ns=time_ns, zone=zone, data=data)


def _article(rng: random.Random, number: int) -> dict[str, Any]:
    name = f"{rng.choice(_KINDS)} {rng.choice(_GOODS)} {rng.choice(_SIZES)}"
    return {
        "sku": f"{40_000_000 + number * 9_973 + rng.randrange(9_000)}",
        "name": name,
        "price": rng.randrange(2, 80) / 2 - rng.choice([0.01, 0.05, 0.51]),
        "tax": rng.choice([7, 19]),
    }


def _pick(rng: random.Random, articles: list[dict[str, Any]]) -> dict[str, Any]:
    """Few articles sell often: the square of a uniform draw has most of its mass near zero."""
    return articles[int(rng.random() ** 2.5 * len(articles))]


def _till(rng: random.Random, number: int, articles: list[dict[str, Any]]) -> _Device:
    basket, left, cashier = rng.randrange(10_000, 90_000), 0, 1

    def read() -> tuple[_Body, int]:
        nonlocal basket, left, cashier
        if left == 0:
            basket += 1
            left = min(40, 1 + int(rng.expovariate(1 / 5)))
            if rng.random() < 0.05:
                cashier = rng.randrange(1, 12)
        left -= 1
        article = _pick(rng, articles)
        data = {
            "basket": f"{number}-{basket}",
            "sku": article["sku"],
            "name": article["name"],
            "quantity": 1 if rng.random() < 0.8 else rng.randrange(2, 9),
            "price": round(article["price"], 2),
            "tax": article["tax"],
            "cashier": cashier,
            "loyalty": None,
        }
        wait_ms = 2_000 + rng.randrange(8_000) if left else 25_000 + rng.randrange(80_000)
        return ("pos.line", f"till-{number}", "front", data), wait_ms * _MS_NS

    return read


def _room(rng: random.Random, number: int) -> _Device:
    celsius, humidity, co2, light = 210 + rng.randrange(30), 400 + rng.randrange(100), 520, 420

    def read() -> tuple[_Body, int]:
        nonlocal celsius, humidity, co2, light
        celsius += rng.choice([-1, 0, 0, 0, 0, 1])
        humidity += rng.choice([-2, -1, 0, 0, 0, 1, 2])
        co2 = max(400, co2 + rng.randrange(-8, 9))
        if rng.random() < 0.1:
            light = rng.choice([0, 180, 420, 424, 431])
        data = {
            "temperature": celsius / 10,
            "humidity": humidity / 10,
            "co2": co2,
            "light": light,
            "occupied": light > 200 and rng.random() < 0.95,
        }
        wait_ms = 60_000 + rng.randrange(-20, 21)
        return ("climate", f"room-{number}", f"room-{number}", data), wait_ms * _MS_NS

    return read


def _fridge(rng: random.Random, number: int) -> _Device:
    target = rng.choice([20, 40, -180])
    tenths, open_for = target, 0

    def read() -> tuple[_Body, int]:
        nonlocal tenths, open_for
        if open_for == 0 and rng.random() < 0.04:
            open_for = rng.randrange(1, 4)
        if open_for:
            open_for -= 1
            tenths += rng.randrange(4, 15)
        else:
            tenths += rng.choice([-1, 0, 0, 1]) - (3 if tenths > target + 12 else 0)
        data = {
            "temperature": tenths / 10,
            "set_point": target / 10,
            "door_open": open_for > 0,
            "compressor": "on" if tenths > target else "off",
        }
        return ("fridge.temperature", f"fridge-{number}", "cold", data), 90 * _SECOND_NS

    return read


def _door(rng: random.Random, number: int) -> _Device:
    total, millivolts = rng.randrange(100_000), 3_000 + rng.randrange(200)

    def read() -> tuple[_Body, int]:
        nonlocal total, millivolts
        came, went = (int(rng.expovariate(0.4)) for _ in range(2))
        total += came
        if rng.random() < 0.02:
            millivolts -= 1
        data = {"in": came, "out": went, "total": total, "battery_mv": millivolts}
        return ("door.count", f"door-{number}", "entrance", data), 60 * _SECOND_NS

    return read


def _stock(rng: random.Random, articles: list[dict[str, Any]]) -> _Device:
    def read() -> tuple[_Body, int]:
        delivery = rng.random() < 0.25
        data = {
            "sku": _pick(rng, articles)["sku"],
            "quantity": rng.choice([6, 12, 24, 48]) if delivery else -rng.randrange(1, 9),
            "from": "backroom" if not delivery else None,
            "to": rng.choice(_PLACES),
            "reason": "delivery" if delivery else rng.choice(["refill", "refill", "waste"]),
            "reference": f"{rng.getrandbits(32):08x}" if delivery else None,
        }
        return ("stock.move", "scanner-1", "backroom", data), rng.randrange(500, 8_000) * _MS_NS

    return read
