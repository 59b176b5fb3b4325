"""What may stand before a buffer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from whimbrel_agent.buffer.places import Places
from whimbrel_protocol.event import Event


class Gate(Protocol):
    """Stands before the buffer and decides what of a group is kept; see ``rules.gate``."""

    async def accept(
        self,
        events: Sequence[Event],
        keys: Sequence[bytes | None] | None,
        fingerprints: Sequence[int] | None,
        checkpoint: tuple[str, bytes] | None,
    ) -> Places:
        """Do what :meth:`Buffer.accept` promises."""
        ...
