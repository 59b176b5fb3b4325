"""Trials: what they show is what the device would do; and a day of data once a second."""

from __future__ import annotations

import json
import math
import random
from fractions import Fraction

from edgerules.series import START_NS, Desk, reading, rule
from whimbrel_agent.rules.marks import COUNT
from whimbrel_agent.rules.trial import Trial, line_of
from whimbrel_protocol.event import Event

DAY_S = 86_400


def a_day(seed: int) -> list[Event]:
    """A cold room once a second: a slow wave, a compressor's saw and the sensor's noise."""
    chance = random.Random(seed)
    return [
        reading(
            round(3 + 1.5 * math.sin(n / 9_000) + (n % 1_200) / 1_200 + chance.gauss(0, 0.03), 2),
            n,
            source="cold-1",
        )
        for n in range(DAY_S)
    ]


def test_a_day_of_readings_keeps_its_band_and_loses_nine_bytes_of_ten() -> None:
    band = 0.25
    trial = Trial([rule("swinging-door", fields=["v"], band=band)])
    raw = a_day(1)
    kept = list(trial.run(raw))
    outcome = trial.outcome()
    assert outcome.saved_percent("packed_bytes") >= 90
    assert outcome.saved_percent("json_bytes") >= 90
    assert sum(event.extensions[COUNT] for event in kept) == DAY_S
    place = 0
    for event in raw:
        while kept[place + 1].time_ns < event.time_ns:
            place += 1
        left, right = kept[place], kept[place + 1]
        first, last = Fraction(left.data["v"]), Fraction(right.data["v"])
        share = Fraction(event.time_ns - left.time_ns, right.time_ns - left.time_ns)
        assert abs(first + (last - first) * share - Fraction(event.data["v"])) <= Fraction(band)


def test_a_trial_does_what_the_device_does() -> None:
    config = rule("window", fields=["v"], window_s=60)
    events = [reading(n, n * 7, source=f"s{n % 3}") for n in range(200)]
    desk = Desk(config)
    there: list[Event] = []
    for event in events:
        there += desk.tick((event.time_ns - START_NS) / 1e9)
        there += desk.take(event)
    assert [*Trial([config]).run(events)] == [*there, *desk.close()]


def test_figures_tell_what_is_saved_and_who_wanted_what() -> None:
    trial = Trial([rule("filter", when="data.v > 5")])
    sent = list(trial.run([reading(n, n) for n in range(10)]))
    outcome = trial.outcome()
    assert (outcome.raw["events"], outcome.sent["events"], outcome.untouched) == (10, 6, 6)
    assert outcome.saved_percent("events") == 40.0
    assert outcome.sent["json_bytes"] == sum(len(line_of(event)) + 1 for event in sent)
    assert outcome.rules["r"]["suppressed"] == {"filtered": 4}
    assert json.loads(line_of(sent[0]))["data"] == {"v": 0}
    assert Trial([]).outcome().saved_percent("events") == 0.0
