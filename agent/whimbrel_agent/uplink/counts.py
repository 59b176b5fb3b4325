"""The uplink's counters: one table of names and meanings, so that none is a stray string."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

COUNTERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "links_made": "connections that a broker accepted",
        "links_failed": "connections that could not be made",
        "links_lost": "connections that ended by themselves",
        "links_rested": "connections let go of since the radio rests",
        "frames_sent": "frames handed to a broker, repetitions included",
        "frames_resent": "of these, repetitions",
        "bytes_sent": "bytes of frames handed to a broker",
        "frames_committed": "frames in flight that a receipt said were committed",
        "frames_gapped": "frames in flight that a receipt said became gaps",
        "frames_unknown": "frames in flight that were settled long ago, digest unknown",
        "frames_gone": "frames that were no longer there when their turn came",
        "frames_rechecked": "frames whose own bytes were checked after many sends",
        "frames_quarantined": "frames put aside since their own check failed",
        "timeouts": "times a receipt did not come in time",
        "resumes_sent": "resume questions asked",
        "resumes_applied": "resume answers taken",
        "receipts": "receipts taken",
        "wants": "wants followed",
        "wants_repeated": "wants about what is being filled already",
        "holds": "holds obeyed",
        "dictionaries_sent": "dictionaries handed to a broker, repetitions included",
        "probes": "single frames sent without credit",
        "generations": "changes of the region's journal generation",
        "down_retained": "down messages ignored: retained, which the region never does",
        "down_malformed": "down messages ignored: not a message of this protocol",
        "down_version": "down messages ignored: of another protocol version",
        "down_wrong_key": "down messages ignored: signed by another key than the region's",
        "down_forged": "down messages ignored: the signature does not hold",
        "down_misaddressed": "down messages ignored: for another device",
        "down_unexpected": "down messages ignored: a kind that no region sends",
        "down_replayed": "down messages ignored: an answer or generation from before",
        "down_unasked": "down messages ignored: nothing of ours was waiting for them",
        "down_dropped": "down messages dropped: the queue of incoming messages was full",
    }
)


class Counts:
    """Counters by name; an unknown name is a mistake in this program."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(COUNTERS, 0)

    def add(self, name: str, count: int = 1) -> None:
        """Count.

        Raises:
            KeyError: the name is not in the table.
        """
        self._counts[name] += count

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def values(self) -> Mapping[str, int]:
        """Return all counters as they are now."""
        return MappingProxyType(dict(self._counts))
