"""psutil's battery."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from whimbrel_agent.power.reading import PowerReadError, PowerReading
from whimbrel_agent.power.sensors import PsutilSource


class Battery(NamedTuple):
    """As psutil gives it."""

    percent: Any
    secsleft: int
    power_plugged: bool | None


@pytest.mark.parametrize(
    ("battery", "reading"),
    [
        (Battery(63.5, 3_600, False), PowerReading(on_mains=False, percent=63.5)),
        (Battery(100, -2, True), PowerReading(on_mains=True, percent=100)),
        (Battery(0, -1, None), PowerReading(percent=0)),
        (Battery(-1, -1, False), PowerReading(on_mains=False)),
        (Battery(-2, -2, True), PowerReading(on_mains=True)),
        (Battery(None, -1, None), PowerReading()),
        (None, PowerReading()),
    ],
)
def test_sentinels_are_absent(battery: Battery | None, reading: PowerReading) -> None:
    assert PsutilSource(lambda: battery).read() == reading


def test_no_battery_is_silent() -> None:
    assert PsutilSource(lambda: None).silent
    assert not PsutilSource(lambda: Battery(5, 5, None)).silent


def test_a_failure_is_one_of_reading() -> None:
    def sensors() -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(PowerReadError, match="Input/output error"):
        PsutilSource(sensors).read()


def test_psutil_itself_can_be_asked() -> None:
    source = PsutilSource()
    assert source.silent or source.read() != PowerReading()
