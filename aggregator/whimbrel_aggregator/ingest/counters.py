"""Everything ingest counts, in one table: each message and each frame ends in one of these."""

from __future__ import annotations

from typing import Final

COUNTERS: Final = {
    # what came in
    "messages_received": "messages that came from a broker",
    "bytes_received": "their payload bytes",
    "births_received": "birth and will messages; they carry nothing that is trusted",
    "resumes_received": "resume messages taken for checking",
    "frames_received": "frames taken for checking",
    # dropped before they were looked at: the device sends again
    "dropped_queue_full": "messages dropped because the queue to the journal was full",
    "dropped_journal_full": "frames dropped because the journal or its disk was full",
    "dropped_journal_failed": "frames dropped because the journal failed",
    "dropped_journal_damaged": "frames dropped because the journal's row for them is damaged",
    "dropped_conflict": "frames dropped after another writer kept changing the partition",
    "dropped_over_limit": "frames dropped because their device was far over a limit",
    "dropped_stopping": "messages dropped while stopping",
    # refused without an answer
    "refused_retained": "retained messages: nothing of this protocol is retained",
    "refused_topic": "topics that are not of this protocol, or name a wrong partition",
    "refused_too_long": "payloads longer than the protocol allows",
    "refused_malformed": "payloads that are no frame or message of this protocol",
    "refused_kind": "messages of a kind that devices do not send",
    "refused_misaddressed": "signed address or lane differs from the topic",
    "refused_region": "signed for another region",
    "refused_signature": "signature does not belong to the device's key",
    # answered with hold
    "held_not_enrolled": "from a device that is not enrolled, or was removed",
    "held_unknown_key": "signed with a key that is not the device's",
    "held_dictionary": "frames that need a dictionary this region does not have",
    "held_streams": "frames that would open more streams than a device may have",
    # verdicts on good frames
    "frames_committed": "frames with events committed",
    "events_committed": "events in them",
    "bytes_committed": "their bytes",
    "gaps_committed": "frames without events committed",
    "sequences_gapped": "sequences in gaps of all committed frames",
    "frames_refused": "well signed frames beyond limits or versions, stored with a gap",
    "frames_duplicate": "frames that were committed before, receipted again",
    "frames_gap_void": "gap frames for events that were committed before",
    "frames_late_after_gap": "frames whose gap was committed before; not served",
    "frames_forked": "frames committed under a derived epoch: same range, other content",
    "frames_unknown_digest": "frames settled so long ago that the digest is gone",
    "frames_below_floor": "frames of epochs that were folded",
    "frames_out_of_order": "frames of in-order lanes that came too early; not committed",
    "frames_too_many_ranges": "frames that would leave too many holes; not committed",
    "frames_no_dictionary": "frames whose dictionary is not here; not committed",
    "dictionaries_received": "dictionaries taken for checking",
    "dictionaries_kept": "of these, kept durably or already there",
    "dictionaries_no_room": "of these, not kept since the device has too many that frames name",
    # answers
    "receipts_sent": "receipts signed and handed to the broker's client",
    "receipt_entries_sent": "frames named in them",
    "resume_answers_sent": "resume answers sent",
    "wants_sent": "messages that list holes to fill first",
    "dictionary_answers_sent": "messages on what dictionaries are kept or wanted",
    "holds_sent": "messages that tell a device to wait",
    "holds_limited": "of these, to a device over its rate or quota",
    "starts_delayed": "of these, to a device that returns together with many others",
    "holds_suppressed": "such messages not sent, since their rate is bounded",
    "credits_announced": "receipts that name no frame: there is credit again",
    "answers_dropped": "answers dropped because no broker was connected or its queue was full",
    "epochs_folded": "times that a device's oldest epochs were folded",
    # links
    "links_made": "connections made to a broker",
    "links_lost": "connections to a broker lost or refused",
}


class Counters:
    """Totals since the start; each only grows. Names outside :data:`COUNTERS` are errors."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values = dict.fromkeys(COUNTERS, 0)

    def add(self, name: str, count: int = 1) -> None:
        """Count ``count`` more of ``name``."""
        self._values[name] += count

    def __getitem__(self, name: str) -> int:
        return self._values[name]

    def totals(self) -> dict[str, int]:
        """Return a copy of all totals."""
        return dict(self._values)
