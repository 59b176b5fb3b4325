"""Every receipt that leaves a region must name what its journal holds, and goes on holding."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from whimbrel_protocol.envelope import open_message
from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.messages import Receipt, Status
from whimbrel_sim.worlds.broker import Connection
from whimbrel_sim.worlds.invariants.journal import JournalAudit, Report
from whimbrel_sim.worlds.invariants.violation import Invariant
from whimbrel_sim.worlds.network import Message

_SHOWN = 3
_GAP_BYTES = 600  # a gap frame has no columns
_KEPT = 5_000


class ReceiptAudit:
    """Listens at a region's own connection, so that forged receipts of others do not count.

    ``heard`` is told each device and frame that a receipt calls committed, as it passes.
    """

    def __init__(
        self,
        journal: JournalAudit,
        report: Report,
        heard: Callable[[str, bytes], None] = lambda _where, _digest: None,
    ) -> None:
        self._journal = journal
        self._heard = heard
        self._report = report
        self._new: dict[str, dict[tuple[str, bytes], None]] = {}
        self._small: dict[bytes, bytes] = {}
        self.receipts = 0

    def tap(self, region: str, client: str, source: Connection, message: Message) -> None:
        """See a publication pass; ``client`` is how the region's clients are called."""
        if source.client.startswith(client):
            if message.topic.endswith("/receipt"):
                self._take(region, message.payload)
        elif len(message.payload) < _GAP_BYTES:
            self._small[hashlib.sha256(message.payload).digest()[:8]] = message.payload
            if len(self._small) > _KEPT:
                del self._small[next(iter(self._small))]

    def _take(self, region: str, payload: bytes) -> None:
        try:
            receipt = open_message(payload).message
        except ProtocolError as error:
            self._report(Invariant.RECEIPT, f"{region} sent a receipt that is none: {error}")
            return
        if not isinstance(receipt, Receipt):
            return
        self.receipts += 1
        where = f"{receipt.address.tenant}/{receipt.address.store}/{receipt.address.device}"
        new = self._new.setdefault(region, {})
        for entry in receipt.entries:
            if entry.status is Status.COMMITTED:
                new[where, entry.digest[:8]] = None
                self._heard(where, entry.digest[:8])

    def check(self, region: str, *, replaced: bool = False) -> None:
        """Compare with what the journal was just found to hold.

        Args:
            region: whose.
            replaced: the journal is another copy: look at all that was ever promised.
        """
        audit = self._journal.regions[region]
        for where, digest in self._new.pop(region, {}):
            if digest in audit.digests[where]:
                audit.promised[where].add(digest)
            elif not self._is_void_gap(digest):
                self._broken(region, where, [digest])
        if replaced:
            for where, promised in sorted(audit.promised.items()):
                lost = sorted(promised - audit.digests[where])
                if lost:
                    self._broken(region, where, lost)

    def _is_void_gap(self, digest: bytes) -> bool:
        """Whether it named a gap: where events were committed before, the word is that they are."""
        payload = self._small.get(digest)
        if payload is None:
            return False
        try:
            return not open_frame(payload).header.count
        except ProtocolError:
            return False

    def _broken(self, region: str, where: str, lost: list[bytes]) -> None:
        named = ", ".join(digest.hex() for digest in lost[:_SHOWN])
        self._report(
            Invariant.RECEIPT,
            f"{region} gave receipts for {len(lost)} frames of {where} that its journal "
            f"does not have ({named})",
        )

    def forgive(self, region: str) -> None:
        """Take what the journal has now as all that was promised: it was put back on purpose."""
        self._new.pop(region, None)
        audit = self._journal.regions[region]
        audit.promised.clear()
        for where, digests in audit.digests.items():
            audit.promised[where] = set(digests)
