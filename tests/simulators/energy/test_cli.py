"""The command, at a small size."""

from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_sim.energy.cli import main


def test_it_prints_tables_and_draws_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--seeds", "1", "--days", "0.5", "--png", str(tmp_path / "e.png")]) == 0
    said = capsys.readouterr()
    assert said.out.count("| lower bound |") == 5
    assert said.err == ""
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
