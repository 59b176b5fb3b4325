"""The systemd units are accepted by systemd's own checker and keep their sandbox."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from servers.missing import find_program

ROOT = Path(__file__).parents[2]
UNITS = [
    ROOT / "agent" / "systemd" / "whimbrel-agent.service",
    ROOT / "aggregator" / "systemd" / "whimbrel-aggregator.service",
]
MAX_EXPOSURE = 2.0
"""systemd's own score from 0 (safe) to 10; its word for anything up to 2 is OK."""


@pytest.fixture(params=UNITS, ids=lambda path: path.stem)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the unit with its program where this test runs, since verify looks for it."""
    source: Path = request.param
    copy = tmp_path / source.name
    copy.write_text(
        source.read_text().replace("/opt/whimbrel/bin", str(Path(sys.executable).parent))
    )
    return copy


def test_the_unit_verifies_without_a_word(unit: Path) -> None:
    done = subprocess.run(
        [str(find_program("systemd-analyze")), "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "whimbrel" in line]
    assert (done.returncode, ours) == (0, [])


def test_a_misspelt_setting_would_be_seen(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    done = subprocess.run(
        [str(find_program("systemd-analyze")), "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "WatchdogSecs" in done.stderr


def test_the_sandbox_keeps_the_exposure_low(unit: Path) -> None:
    done = subprocess.run(
        [
            str(find_program("systemd-analyze")),
            "security",
            "--offline=true",
            "--no-pager",
            str(unit),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None
    assert float(found.group(1)) <= MAX_EXPOSURE
