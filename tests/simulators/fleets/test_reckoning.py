"""The reckoning over what sinks hold, as it lies in files; Postgres is met in the trial."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from whimbrel_sim.cli import main
from whimbrel_sim.fleets.holders import (
    FilesHolder,
    Holder,
    HolderError,
    JournalHolder,
    PostgresHolder,
    WebhookHolder,
)
from whimbrel_sim.fleets.ledgerfile import LedgerFile, PlaceRun
from whimbrel_sim.fleets.reckoning import reckon, reckon_until
from whimbrel_sim.fleets.roster import Roster, ledger_folder

ROSTER = Roster(
    run="0badcafe", tenant="sim", region="eu-1", region_key="", brokers=("mqtt://127.0.0.1:1",),
    stores=1, devices=1,
)  # fmt: skip
SENDER = ROSTER.sender(ROSTER.members[0])
EPOCH = 5 << 40


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A fleet of one till with three accepted events at sequences 1 to 3."""
    folder = tmp_path / "fleet"
    ROSTER.save(folder)
    ledger = LedgerFile(ledger_folder(folder) / "part-0.ledger")
    ledger.accept(ledger.begin(SENDER, "normal", ["till"] * 3), [PlaceRun(EPOCH, "normal", 1, 3)])
    ledger.close()
    return folder


def event(number: int, **changed: Any) -> dict[str, Any]:
    """One of the till's events in the form that sinks write."""
    return {
        "id": f"{SENDER}-{number}",
        "tenant": "sim",
        "store": "sim-1",
        "device": "dev-1",
        "lane": "normal",
        "epoch": f"{EPOCH:020d}",
        "sequence": f"{number:020d}",
        **changed,
    }


def archive(folder: Path, *events: dict[str, Any], name: str = "current.ab.0.ndjson") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(one) + "\n" for one in events))
    return folder


def test_every_event_once_and_in_order_agrees(fleet: Path, tmp_path: Path) -> None:
    finished = "20260101T000000Z-00000001.ndjson"
    archive(tmp_path / "a", event(1), name=finished)
    archive(tmp_path / "a", event(2), event(3))
    assert reckon(fleet, [FilesHolder(tmp_path / "a")]).agrees


def test_missing_doubled_and_misordered_events_are_named(fleet: Path, tmp_path: Path) -> None:
    again = event(3, epoch=f"{EPOCH + 1:020d}")
    found = reckon(fleet, [FilesHolder(archive(tmp_path / "a", event(3), event(2), again))])
    text = "\n".join(found.lines())
    assert "missing: device sim-1/dev-1 lane normal number 1" in text
    assert "twice: device sim-1/dev-1 lane normal number 3" in text
    assert "out of order: device sim-1/dev-1 lane normal number 2" in text
    assert "once: no event arrives a second time" in text
    named = found.to_json()["holders"]["files"]["missing"]
    assert named == [
        {"device": "sim-1/dev-1", "lane": "normal", "number": 1, "epoch": EPOCH, "sequence": 1}
    ]


def test_other_peoples_events_are_none_of_its_business(fleet: Path, tmp_path: Path) -> None:
    others = [
        event(1, tenant="acme"),
        event(1, store="store-12"),
        event(1, id="another-run/sim-1/dev-1-1"),
        event(1, id="4711"),
    ]
    found = reckon(
        fleet, [FilesHolder(archive(tmp_path / "a", *others, event(1), event(2), event(3)))]
    )
    assert found.agrees


def test_an_event_of_its_own_that_nobody_posted_disagrees(fleet: Path, tmp_path: Path) -> None:
    folder = archive(tmp_path / "a", *(event(number) for number in range(1, 5)))
    assert reckon(fleet, [FilesHolder(folder)]).results["files"].strangers == 1


def test_a_webhook_may_deliver_again_but_not_at_another_place(fleet: Path, tmp_path: Path) -> None:
    record = tmp_path / "record"
    batches = [[event(1), event(2)], [event(1), event(2)], event(3)]
    record.write_text("".join(json.dumps(one) + "\n" for one in batches))
    result = reckon(fleet, [WebhookHolder(record)]).results["webhook"]
    assert result.agrees
    assert result.redelivered == 2
    with record.open("a") as file:
        file.write(json.dumps([event(2, epoch="7")]) + "\n")
    assert reckon(fleet, [WebhookHolder(record)]).results["webhook"].twice == (f"{SENDER}-2",)


def test_a_line_that_is_no_event_disagrees_and_a_torn_one_is_waited_for(
    fleet: Path, tmp_path: Path
) -> None:
    folder = archive(tmp_path / "a", event(1), event(2), event(3))
    current = folder / "current.ab.0.ndjson"
    with current.open("a") as file:
        file.write('{"id": "torn')
    assert reckon(fleet, [FilesHolder(folder)]).agrees
    with current.open("a") as file:
        file.write("\n")
    (why,) = reckon(fleet, [FilesHolder(folder)]).results["files"].unreadable
    assert why.startswith("current.ab.0.ndjson line 4")


def test_it_looks_again_while_events_may_still_come(fleet: Path, tmp_path: Path) -> None:
    folder = archive(tmp_path / "a", event(1))
    looks = []

    def arrive(found: object) -> None:
        looks.append(found)
        archive(folder, event(1), event(2), event(3))

    assert reckon_until(fleet, [FilesHolder(folder)], wait_s=60, tell=arrive).agrees
    assert len(looks) == 1


def test_what_time_cannot_mend_is_not_waited_for(fleet: Path, tmp_path: Path) -> None:
    folder = archive(tmp_path / "a", event(1), event(1))
    looks: list[object] = []
    assert not reckon_until(fleet, [FilesHolder(folder)], wait_s=60, tell=looks.append).agrees
    assert looks == []


@pytest.mark.parametrize(
    "holder",
    [
        FilesHolder(Path("/nonexistent")),
        WebhookHolder(Path("/nonexistent")),
        JournalHolder(Path("/nonexistent")),
        PostgresHolder("postgresql://postgres@127.0.0.1:9/none"),
    ],
    ids=lambda holder: holder.name,
)
def test_a_holder_that_cannot_be_read_says_which(fleet: Path, holder: Holder) -> None:
    with pytest.raises(HolderError):
        reckon(fleet, [holder])


def test_the_command_tells_and_exits_by_what_it_found(
    fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = archive(tmp_path / "a", event(1), event(2), event(3))
    assert main(["reconcile", str(fleet), "--files", str(folder)]) == 0
    assert "files: agrees: 3 accepted, 3 committed" in capsys.readouterr().out
    archive(folder, event(1), event(3))
    assert main(["reconcile", str(fleet), "--files", str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["holders"]["files"]["missing"][0]["number"] == 2


def test_the_command_without_anything_to_compare_with_says_what_to_name(
    fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconcile", str(fleet)]) == 2
    assert "name --journal" in capsys.readouterr().err
    assert main(["reconcile", "/nonexistent", "--files", "/nonexistent"]) == 2
    assert "holds no fleet" in capsys.readouterr().err
