"""The present mode and its listeners."""

from whimbrel_agent.power.modes import SETTINGS, Mode, ModeSettings
from whimbrel_agent.power.present import PresentPower


def test_mains_until_told_otherwise() -> None:
    present = PresentPower()
    assert (present.mode, present.settings) == (Mode.MAINS, SETTINGS[Mode.MAINS])
    assert "mains is assumed" in present.reason


def test_each_listener_learns_of_each_change() -> None:
    present = PresentPower()
    told: list[tuple[Mode, ModeSettings, str]] = []
    for _ in range(2):
        present.on_mode(lambda *change: told.append(change))
    present.change(Mode.LOW, "on battery at 15 %")
    assert told == [(Mode.LOW, SETTINGS[Mode.LOW], "on battery at 15 %")] * 2
    assert present.settings is SETTINGS[Mode.LOW]
