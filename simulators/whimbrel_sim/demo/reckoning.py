"""The end of the demo: everything counted again from the files and the ledger, and compared.

Nothing here is taken from what the processes say of themselves, but the number of duplicates,
which only the region can see.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whimbrel_sim.journalfile import ID_FIELD, frame_bytes
from whimbrel_sim.ledger import Outcome
from whimbrel_sim.reconcile import Reconciliation, reconcile

from .stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoning:
    """What was put in and what came out.

    Attributes:
        journal: ledger against journal, event by event.
        archived: each id in the archive's files, and how often.
        delivered: each id that the cloud service was posted, and how often.
        duplicates: frames that reached the region more than once.
        frame_bytes: bytes of all frames in the journal: what crossed the air, once.
        json_bytes: bytes of the same events as JSON.
    """

    journal: Reconciliation
    archived: Counter[str]
    delivered: Counter[str]
    duplicates: int
    frame_bytes: int
    json_bytes: int

    @property
    def agrees(self) -> bool:
        """Whether accepted, committed, archived and delivered are the same events, once each."""
        return self.journal.agrees and not any(
            _differs(outlet, self.journal.committed) for outlet in (self.archived, self.delivered)
        )

    def lines(self) -> list[tuple[str, str]]:
        """Return the figures as (name, value)."""
        committed = self.journal.committed
        gaps = sum(self.journal.gapped.values())
        return [
            ("accepted by the agents", f"{self.journal.accepted:,}"),
            ("committed by the region", f"{committed:,}"),
            ("forwarded to files", _outlet(self.archived)),
            ("forwarded to the webhook", _outlet(self.delivered)),
            ("frames received twice or more", f"{self.duplicates:,}"),
            ("gaps (events given up)", f"{gaps:,}"),
            ("bytes per event, signed", f"{self.frame_bytes / max(committed, 1):.1f}"),
            ("the same events as JSON", f"{self.json_bytes / max(committed, 1):.1f}"),
        ]


def reckon(stage: Stage, region_status: dict[str, Any]) -> Reckoning:
    """Count everything again."""
    archived, json_bytes = _read_archive(stage.region.folder / "archive")
    return Reckoning(
        journal=reconcile(stage.ledger, stage.region.contents()),
        archived=archived,
        delivered=Counter(stage.receiver.ids),
        duplicates=int(region_status.get("ingest", {}).get("frames_duplicate", 0)),
        frame_bytes=frame_bytes(stage.region.journal_file),
        json_bytes=json_bytes,
    )


def accepted_so_far(stage: Stage) -> int:
    """Return how many events the tills were told are kept."""
    return stage.ledger.count(Outcome.ACCEPTED)


def _read_archive(folder: Path) -> tuple[Counter[str], int]:
    ids: Counter[str] = Counter()
    json_bytes = 0
    for path in sorted(folder.rglob("*.ndjson*")):
        for line in path.read_text().splitlines():
            event = json.loads(line)
            if ID_FIELD in event.get("data", {}):
                ids[event["data"][ID_FIELD]] += 1
                json_bytes += _size_as_json(event)
    return ids, json_bytes


def _size_as_json(event: dict[str, Any]) -> int:
    """Size of the event alone: type, source, time and data, without separators' spaces."""
    bare = {name: event[name] for name in ("type", "source", "time", "data") if name in event}
    return len(json.dumps(bare, separators=(",", ":")))


def _differs(outlet: Counter[str], committed: int) -> bool:
    return len(outlet) != committed or outlet.total() != committed


def _outlet(outlet: Counter[str]) -> str:
    doubled = outlet.total() - len(outlet)
    return f"{len(outlet):,}" + (f" ({doubled:,} of them more than once)" if doubled else "")
