"""The plain card: whatever was written is there after a kill."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from whimbrel_sim.worlds.cardport import NoRecorderError, plain_card


def test_an_image_after_a_kill_has_everything(tmp_path: Path) -> None:
    folder = tmp_path / "card"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_bytes(b"not synced")
    plain_card(folder).image_after_kill(tmp_path / "image")
    assert (tmp_path / "image" / "sub" / "file").read_bytes() == b"not synced"


def test_a_power_cut_is_refused_with_what_to_do(tmp_path: Path) -> None:
    card = plain_card(tmp_path)
    with pytest.raises(NoRecorderError, match="recorder"):
        card.image_after_power_cut(tmp_path / "image", Random(1))
    card.close()
