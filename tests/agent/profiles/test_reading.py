"""What is said about a profile's mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from documents import ROOT
from whimbrel_agent.profiles.reading import MAX_FILE_BYTES, read_profile
from whimbrel_agent.profiles.values import Basis, Durability
from whimbrel_agent.settings import ConfigError

SOUND = (ROOT / "firmware-profiles" / "battery-sensor-hub-lte.toml").read_text()


def problem(folder: Path, text: str) -> str:
    file = folder / "mine.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_profile(file)
    return str(caught.value).removeprefix(f"{file}: ")


def test_a_profile_is_read_with_its_sources(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(SOUND)
    profile = read_profile(file)
    assert profile.radio.kind == "lte"
    assert profile.radio.tail_s.value == 10.0
    assert profile.radio.tail_s.basis is Basis.ASSUMED
    assert "operator" in profile.radio.tail_s.source
    assert profile.battery is not None
    assert profile.battery.capacity_wh.value == 74.0
    assert profile.defaults.durability is Durability.WINDOW
    assert profile.lanes["bulk"].linger_s == 3600.0
    assert profile.lanes["high"].batch_events is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("metered = true\n", "", "[radio] metered is missing (bytes cost money); add metered"),
        ("metered = true", "metered = 1", "[radio] metered is 1, must be true or false"),
        ('kind = "lte"', 'kind = "5g"', "[radio] kind is '5g', must be one of ethernet, wifi"),
        ("keepalive_s", "keep_alive_s", "keepalive_s is missing"),
        (
            "keepalive_s = 1200",
            "keepalive_s = 1200\nkeepalives = 1",
            "[defaults] keepalives is not a known setting; did you mean keepalive_s?",
        ),
        ("tail_s = { value = 10.0,", "tail_s = { value = -1,", "[radio.tail_s] value is -1, must"),
        ("tail_s = { value = 10.0,", "tail_s = { value = nan,", "[radio.tail_s] value is nan"),
        ("tail_s = { value = 10.0,", "tail_s = {", "[radio.tail_s] value is missing"),
        (
            'tail_s = { value = 10.0, basis = "assumed"',
            "tail_s = { value = 10.0",
            "[radio.tail_s] basis is missing (how far to trust it); add basis",
        ),
        ("schema = 1", "schema = 2", "schema is 2, this program reads 1; install a newer one"),
        ("[memory]", "[memery]", "[memory] is missing; add the table"),
        (
            "agent_bytes = 67_108_864",
            "agent_bytes = 1_000_000_000",
            "[memory] agent_bytes is 1000000000, must be at most total_bytes (419430400)",
        ),
        ("idle_w = { value = 0.39", "idle_w = { value = 3.9", "must be at most load_w (2 W)"),
        ("window_s = 5.0\n", "", 'window_s is 0 with durability "window", must be above 0'),
        ('durability = "window"', 'durability = "full"', 'must be 0, or durability "window"'),
        ("[lanes.high]", "[lanes.urgent]", "[lanes] urgent is not a known setting"),
        (
            'name = "battery-sensor-hub-lte"',
            'name = "Battery Hub"',
            "name is 'Battery Hub', must be a name of a-z, 0-9 and -",
        ),
        ("[power]", "[power", "is not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_remedy(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in SOUND
    assert said in problem(tmp_path, SOUND.replace(old, new, 1))


def test_what_is_no_profile_at_all_is_named(tmp_path: Path) -> None:
    assert "larger than" in problem(tmp_path, "#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_profile(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 0"):
        read_profile(tmp_path / "latin.toml")
