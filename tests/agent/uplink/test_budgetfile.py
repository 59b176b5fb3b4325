"""The budgets file: whole or put aside."""

from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_agent.uplink.budget import Spent
from whimbrel_agent.uplink.budgetfile import BudgetFile, DamagedBudgetsError, pack, unpack

LTE = Spent("links.lte", 24_322, 5_000_000)
OWN = Spent("uplink", 24_322, 7)


def test_what_was_stored_is_there_for_the_next_process(tmp_path: Path) -> None:
    file = BudgetFile(tmp_path / "budgets")
    assert file.before == {}
    file.store(LTE)
    file.store(OWN)
    file.store(Spent("uplink", 24_322, 9))
    again = BudgetFile(tmp_path / "budgets")
    assert again.before == {"links.lte": LTE, "uplink": Spent("uplink", 24_322, 9)}
    assert (tmp_path / "budgets").stat().st_mode & 0o777 == 0o600


def test_the_bytes_are_as_documented() -> None:
    data = pack({"uplink": OWN})
    assert data[:4] == b"WBB1"
    assert data[8:15] == b"\x06uplink"
    assert data[15:] == (24_322).to_bytes(4, "big") + (7).to_bytes(8, "big")


def test_every_changed_bit_is_noticed() -> None:
    data = pack({"links.lte": LTE, "uplink": OWN})
    for at in range(len(data) * 8):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(DamagedBudgetsError):
            unpack(bytes(changed))


def test_a_damaged_file_is_put_aside_and_counting_begins_at_zero(tmp_path: Path) -> None:
    path = tmp_path / "budgets"
    path.write_bytes(pack({"uplink": OWN})[:-1])
    file = BudgetFile(path)
    assert file.before == {}
    assert (tmp_path / "budgets.damaged").exists()
    file.store(OWN)
    assert BudgetFile(path).before == {"uplink": OWN}


def test_without_room_it_says_so_and_keeps_what_it_had(tmp_path: Path) -> None:
    file = BudgetFile(tmp_path / "budgets")
    file.store(OWN)
    (tmp_path / "budgets.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        file.store(Spent("uplink", 24_322, 8))
    assert BudgetFile(tmp_path / "budgets").before == {"uplink": OWN}
