"""What makes a kind's entropy true: every draw shows in the event, and in its time."""

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from random import Random

import pytest

from whimbrel_sim.workloads.catalogue import draw_articles
from whimbrel_sim.workloads.device import Device, Kind, Pace, Site, Teller, toward
from whimbrel_sim.workloads.distributions import Distribution, Markov
from whimbrel_sim.workloads.hours import BLACK_FRIDAY, ORDINARY, Day
from whimbrel_sim.workloads.kinds import KINDS
from whimbrel_sim.workloads.record import Drawn, Fields, Record, Switch
from whimbrel_sim.workloads.storeday import START_NS

each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))

START_MS = START_NS // 10**6
STATES = 25
DRAWS = 40


class Noted(Drawn):
    """What was drawn, and which fields the last draw drew."""

    def __init__(self, before: Drawn) -> None:
        super().__init__(before)
        self.names: set[str] = set()

    def __setitem__(self, name: str, value: object) -> None:
        super().__setitem__(name, value)
        self.names.add(name)


def site(day: Day = ORDINARY) -> Site:
    return Site(day, draw_articles(Random("articles")))


def states(kind: Kind, place: Site) -> Iterator[tuple[Teller, Drawn, int]]:
    """Tellers of a device after some events, with what was drawn last and when."""
    rng = Random(f"states/{kind.name}")
    teller, drawn = kind.start(rng, 1, place), Drawn()
    time_ms = START_MS
    for _ in range(STATES):
        for _ in range(1 + int(rng.random() * 30)):
            kind.record.draw(rng, drawn)
            time_ms = kind.pace.after(ORDINARY, time_ms, drawn["ticks"], 1.0)
            teller.tell(drawn, time_ms)
        yield teller, drawn, time_ms


def hidden_draws(kind: Kind) -> set[str]:
    """Fields in which two draws from one state may differ and yet look the same."""
    place = site()
    hidden: set[str] = set()

    def look(teller: Teller, drawn: Drawn, time_ms: int) -> str:
        at_ms = kind.pace.after(ORDINARY, time_ms, drawn["ticks"], 1.0)
        own = deepcopy(teller, {id(place.articles): place.articles})
        return repr((at_ms, own.tell(drawn, at_ms)))

    for teller, before, time_ms in states(kind, place):
        rng = Random(time_ms)
        by_look: dict[str, Noted] = {}
        last = None
        for _ in range(DRAWS):
            drawn = Noted(before)
            kind.record.draw(rng, drawn)
            seen = look(teller, drawn, time_ms)
            other = by_look.setdefault(seen, drawn)
            hidden |= {name for name in drawn.names if other[name] != drawn[name]}
            if last is not None and last.names == drawn.names:
                for name in drawn.names:  # all the same but for one field
                    mixed = {**drawn, name: last[name]}
                    if mixed != drawn and look(teller, mixed, time_ms) == seen:
                        hidden.add(name)
            last = drawn
    return hidden


@each_kind
def test_every_draw_shows_in_the_event_or_its_time(kind: Kind) -> None:
    assert hidden_draws(kind) == set()


@pytest.mark.parametrize(
    ("name", "left_out", "hidden"),
    [
        ("till", {"cashier"}, "cashier_step"),
        ("till", {"sku", "name", "price", "tax"}, "article"),
        ("fridge", {"defrost"}, "defrost"),
        ("shelf", {"error_g", "weight_g"}, "noise_g"),
        ("counter", {"people", "total_in", "total_out"}, "group"),
        ("screen", {"frames_lost"}, "frames_lost"),
        ("battery", {"rssi_dbm"}, "radio_step"),
        ("room", {"humidity"}, "humidity_step"),
    ],
)
def test_a_draw_that_hides_is_found(name: str, left_out: set[str], hidden: str) -> None:
    """Sabotage: events that leave out what tells of a draw."""
    kind = KINDS[name]

    class Hiding:
        def __init__(self, setup: Random, number: int, place: Site) -> None:
            self.inner = kind.start(setup, number, place)

        def tell(self, drawn: Drawn, time_ms: int) -> tuple[str, dict[str, object]]:
            told, data = self.inner.tell(drawn, time_ms)
            return told, {key: value for key, value in data.items() if key not in left_out}

    assert hidden in hidden_draws(replace(kind, start=Hiding))


def surprise_bits(record: Record, before: Drawn, drawn: Drawn) -> float:
    """What an ideal coder, who knows the declaration, needs for one event."""
    if isinstance(record, Switch):
        case = drawn[record.name]
        chance = chance_of(record.which, before.get(record.name), case)
        inner = (record.always, record.cases[case])
        return -math.log2(chance) + sum(surprise_bits(one, before, drawn) for one in inner)
    assert isinstance(record, Fields)
    return -sum(
        math.log2(chance_of(one, before.get(name), drawn[name]))
        for name, one in record.fields.items()
    )


def chance_of(distribution: Distribution, before: object, value: object) -> float:
    if isinstance(distribution, Markov) and before is not None:
        return distribution.rows[before].probability(value)
    return distribution.probability(value)


@each_kind
def test_an_ideal_coder_needs_the_entropy_in_the_mean(kind: Kind) -> None:
    rng = Random(f"ideal/{kind.name}")
    drawn: Drawn = {}
    count, bits = 25_000, 0.0
    for _ in range(count):
        before = dict(drawn)
        kind.record.draw(rng, drawn)
        bits += surprise_bits(kind.record, before, drawn)
    assert bits / count == pytest.approx(kind.entropy_bits, rel=0.01)


@each_kind
@pytest.mark.parametrize(("day", "rate"), [(ORDINARY, 1.0), (BLACK_FRIDAY, 3.0), (ORDINARY, 0.2)])
def test_the_ticks_can_be_read_from_two_times(kind: Kind, day: Day, rate: float) -> None:
    rng = Random(5)
    drawn: Drawn = {}
    time_ms = START_MS + 8 * 3_600_000
    for _ in range(2_000):
        kind.record.draw(rng, drawn)
        after_ms = kind.pace.after(day, time_ms, drawn["ticks"], rate)
        assert kind.pace.ticks_between(day, time_ms, after_ms, rate) == drawn["ticks"]
        time_ms = after_ms


@each_kind
@pytest.mark.parametrize(("day", "rate"), [(ORDINARY, 1.0), (BLACK_FRIDAY, 2.0), (ORDINARY, 0.5)])
def test_a_device_has_as_many_events_a_day_as_it_says(kind: Kind, day: Day, rate: float) -> None:
    days = 5
    count = 0
    for number in range(1, 3):
        rng = Random(f"{kind.name}/{number}")
        device = Device(
            kind, number, setup=rng, rng=rng, site=site(day), start_ms=START_MS, rate=rate
        )
        count += len(device.take_until(START_NS + days * 86_400 * 10**9))
    assert count / days / 2 == pytest.approx(kind.events_per_day(day, rate), rel=0.1)


def test_a_tick_is_never_under_a_millisecond() -> None:
    pace = Pace(tick_ms=5, by_rush=True)
    assert pace.tick_at(ORDINARY, START_MS + 18 * 3_600_000, 100.0) == 1
    assert pace.tick_at(ORDINARY, START_MS, 1.0) == 50


def test_a_rate_beyond_its_limits_is_refused() -> None:
    for rate in (0.0, 1_000.0):
        with pytest.raises(ValueError, match="rate is"):
            Device(
                KINDS["till"], 1, setup=Random(1), rng=Random(1), site=site(),
                start_ms=START_MS, rate=rate,
            )  # fmt: skip


def test_a_step_can_be_read_whichever_side_the_walk_is_on() -> None:
    for value in range(-5, 6):
        assert len({toward(value, step, 0) for step in range(-3, 4)}) == 7
    assert toward(5, -1, 0) == 4
    assert toward(-5, -1, 0) == -4
