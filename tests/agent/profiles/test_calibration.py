"""Calibration on synthetic logs: planted constants come back, and what the log lacks is said."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from whimbrel_agent.profiles.calibration import Calibration, calibrated, fit
from whimbrel_agent.profiles.library import load_profile
from whimbrel_agent.profiles.measuredlog import (
    COUNTERS,
    RADIO_COUNTERS,
    LogError,
    read_log,
    windows,
)
from whimbrel_agent.profiles.values import Basis
from whimbrel_agent.settings import ConfigError

PLANTED = {
    "idle_w": 0.52,
    "wake_j": 9.0,
    "up_j_per_byte": 5e-6,
    "cpu_j_per_core_s": 0.45,
    "write_j_per_byte": 4e-7,
}
TAIL_S = 10


def write_log(
    file: Path, *, seed: int, hours: float = 6.0, noise_w: float = 0.02, columns: str = "all"
) -> Path:
    """What a meter with noise sees of a device whose radio has a tail of ten seconds."""
    source = random.Random(seed)
    seconds = int(hours * 3600)
    extra = [0.0] * (seconds + TAIL_S + 1)
    counts = [0.0, 0.0, 0.0, 0.0]
    lines = []
    asleep_from = 0
    for second in range(seconds):
        if source.random() < 0.01 and second >= asleep_from:
            counts[0] += 1
            asleep_from = second + TAIL_S
            for later in range(TAIL_S):
                extra[second + later] += PLANTED["wake_j"] / TAIL_S
            size = source.randrange(200, 400_000)
            counts[1] += size
            extra[second] += size * PLANTED["up_j_per_byte"]
        if source.random() < 0.2:
            cpu_s = source.uniform(0, 0.8)
            counts[2] += cpu_s
            extra[second] += cpu_s * PLANTED["cpu_j_per_core_s"]
        if source.random() < 0.05:
            size = source.randrange(4096, 1_000_000)
            counts[3] += size
            extra[second] += size * PLANTED["write_j_per_byte"]
        watts = PLANTED["idle_w"] + extra[second] + source.gauss(0, noise_w)
        lines.append([float(second + 1), watts, *counts])
    header = ["time_s", "watts", *COUNTERS]
    keep = range(len(header)) if columns == "all" else [header.index(c) for c in columns.split()]
    text = [",".join(header[place] for place in keep)]
    text += [",".join(f"{line[place]!r}" for place in keep) for line in lines]
    file.write_text("\n".join(text) + "\n")
    return file


def fitted(file: Path, window_s: float = 60.0) -> Calibration:
    counters, readings = read_log(file)
    radio = [counters.index(name) for name in RADIO_COUNTERS if name in counters]
    return fit(counters, list(windows(readings, window_s, quiet_s=1.5 * TAIL_S, radio=radio)))


@pytest.mark.parametrize("seed", range(6))
def test_planted_constants_come_back(tmp_path: Path, seed: int) -> None:
    calibration = fitted(write_log(tmp_path / "log.csv", seed=seed))
    allowed = {"idle_w": 0.005, "wake_j": 0.015, "up_j_per_byte": 0.07}
    allowed |= {"cpu_j_per_core_s": 0.05, "write_j_per_byte": 0.07}
    for constant in calibration.constants:
        planted = PLANTED[constant.name]
        assert constant.value == pytest.approx(planted, rel=allowed[constant.name]), constant
    assert calibration.unseen == ()
    assert 300 < calibration.windows <= 360


def test_windows_that_cut_tails_would_make_wakes_too_cheap(tmp_path: Path) -> None:
    counters, readings = read_log(write_log(tmp_path / "log.csv", seed=0))
    cut = fit(counters, list(windows(readings, 30))).constant("wake_j")
    whole = fitted(tmp_path / "log.csv", 30).constant("wake_j")
    assert cut is not None
    assert whole is not None
    assert cut.value < 0.9 * PLANTED["wake_j"]
    assert whole.value == pytest.approx(PLANTED["wake_j"], rel=0.01)


def test_a_radio_that_is_never_silent_ends_its_windows_all_the_same(tmp_path: Path) -> None:
    lines = ["time_s,watts,bytes_up"] + [f"{n},2,{n}" for n in range(1001)]
    _, readings = read_log(rows(tmp_path / "log.csv", lines))
    found = list(windows(readings, 10, quiet_s=15, radio=[0]))
    assert [window.span_s for window in found] == [100.0] * 10


def test_the_stated_confidence_holds_about_as_often_as_it_says(tmp_path: Path) -> None:
    hits = [
        abs(constant.value - PLANTED[constant.name]) <= constant.plus_minus
        for seed in range(20)
        for constant in fitted(write_log(tmp_path / "log.csv", seed=100 + seed, hours=2)).constants
    ]
    assert sum(hits) >= 0.85 * len(hits)


def test_a_noisier_meter_is_less_sure(tmp_path: Path) -> None:
    good = fitted(write_log(tmp_path / "a.csv", seed=1, noise_w=0.01))
    bad = fitted(write_log(tmp_path / "b.csv", seed=1, noise_w=2.0))
    assert bad.constants[0].plus_minus > 2 * good.constants[0].plus_minus
    assert bad.residual_w > good.residual_w


def test_what_the_log_lacks_stays_as_it_was(tmp_path: Path) -> None:
    file = write_log(tmp_path / "log.csv", seed=3, columns="time_s watts radio_wakes cpu_s")
    calibration = fitted(file)
    assert calibration.unseen == ("up_j_per_byte", "write_j_per_byte")
    base = load_profile("battery-sensor-hub-lte")
    made = calibrated(base, calibration, log="log.csv", name="mine")
    assert made.radio.up_j_per_byte == base.radio.up_j_per_byte
    assert made.power.idle_w.basis is Basis.CALIBRATED


def test_the_new_profile_says_what_it_was_fitted_to(tmp_path: Path) -> None:
    base = load_profile("battery-sensor-hub-lte")
    calibration = fitted(write_log(tmp_path / "log.csv", seed=4))
    made = calibrated(base, calibration, log="log.csv", name="mine")
    assert (made.name, made.models, made.battery) == ("mine", (), base.battery)
    tail = made.radio.tail_w
    session_j = made.radio.promotion_j.value + tail.value * made.radio.tail_s.value
    assert session_j == pytest.approx(PLANTED["wake_j"], rel=0.015)
    assert tail.basis is Basis.CALIBRATED
    assert "fitted to log.csv: 6.0 h" in tail.source


def test_a_radio_without_a_tail_takes_the_wake_as_promotion(tmp_path: Path) -> None:
    base = load_profile("mains-gateway")
    calibration = fitted(write_log(tmp_path / "log.csv", seed=4))
    made = calibrated(base, calibration, log="log.csv", name="mine")
    assert made.radio.promotion_j.value == pytest.approx(PLANTED["wake_j"], rel=0.015)
    assert made.power.load_w.value >= made.power.idle_w.value


def test_a_log_in_milliwatts_is_noticed(tmp_path: Path) -> None:
    counters, readings = read_log(write_log(tmp_path / "log.csv", seed=5))
    wrong = [type(one)(one.time_s, one.watts * 1e6, one.counts) for one in readings]
    calibration = fit(counters, list(windows(wrong, 60)))
    with pytest.raises(ConfigError, match="must be a number from"):
        calibrated(load_profile("pi-4"), calibration, log="log.csv", name="mine")


def rows(file: Path, lines: Sequence[str]) -> Path:
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["time_s,power", "1,2"], "column watts is missing (there are: time_s, power)"),
        (["time_s,watts", "1,2", "1,2"], "line 3: time_s does not rise"),
        (["time_s,watts", "1,2", "2,off"], "line 3: watts is 'off', must be a number"),
        (["time_s,watts", "1,2", "2,nan"], "line 3: watts is 'nan', must be a number"),
        (["time_s,watts", "1"], "line 2: watts is None, must be a number"),
        ([""], "column time_s is missing (there are: none)"),
    ],
)
def test_a_wrong_log_is_named_with_its_line(tmp_path: Path, lines: list[str], said: str) -> None:
    file = rows(tmp_path / "log.csv", lines)
    with pytest.raises(LogError) as caught:
        read_log(file)
    assert said in str(caught.value)


def test_too_short_a_log_is_refused(tmp_path: Path) -> None:
    file = write_log(tmp_path / "log.csv", seed=1, hours=0.2)
    with pytest.raises(LogError, match=r"has \d+ windows, 5 constants need 25: measure longer"):
        fitted(file)


def test_counters_that_rise_in_step_are_named(tmp_path: Path) -> None:
    lines = ["time_s,watts,radio_wakes,bytes_up"]
    lines += [f"{n},{1 + n % 7},{(n // 40) ** 2},{100 * (n // 40) ** 2}" for n in range(1200)]
    with pytest.raises(LogError, match="bytes_up rises in step"):
        fitted(rows(tmp_path / "log.csv", lines), 10)


def test_a_restart_of_the_agent_costs_one_window(tmp_path: Path) -> None:
    lines = ["time_s,watts,cpu_s"] + [f"{n},2,{n if n < 30 else n - 30}" for n in range(61)]
    _, readings = read_log(rows(tmp_path / "log.csv", lines))
    found = list(windows(readings, 10))
    assert [window.rises for window in found] == [(10.0,)] * 5
    assert all(window.joules == pytest.approx(20) for window in found)
