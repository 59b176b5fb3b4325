"""Receipts that came in together, made ready to be settled together. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from whimbrel_protocol.messages import Receipt
from whimbrel_protocol.names import Address

MAX_SETTLED_ENTRIES: Final = 1024
"""Frames settled in one transaction; bounds how long accepts wait behind it."""


def take_some(receipts: deque[Receipt]) -> list[Receipt]:
    """Take receipts off the queue until their entries fill one transaction."""
    taken: list[Receipt] = []
    entries = 0
    while receipts and (not taken or entries + len(receipts[0].entries) <= MAX_SETTLED_ENTRIES):
        entries += len(receipts[0].entries)
        taken.append(receipts.popleft())
    return taken


def merged(receipts: Iterable[Receipt]) -> list[Receipt]:
    """Join verified receipts to the same address and of the same generation into one."""
    groups: dict[tuple[Address, bytes], list[Receipt]] = defaultdict(list)
    for receipt in receipts:
        groups[receipt.address, receipt.generation].append(receipt)
    return [
        replace(group[-1], entries=tuple(entry for one in group for entry in one.entries))
        for group in groups.values()
    ]
