"""Slices of what worlds came to, and of what was found on disk images."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence

from whimbrel_sim.cards.examining import Finding
from whimbrel_sim.worlds.outcome import COUNTED, Outcome, digest_of, totals

from .slices import DECIMALS, IMAGES, MARK_BYTES, WORLDS, Slice


def world_slice(outcomes: Sequence[Outcome], *, program: str, commit: str) -> Slice:
    """Return the slice that neighbouring seeds' outcomes make."""
    ordered = sorted(outcomes, key=lambda one: one.seed)
    added = totals(ordered)
    times = {"virtual_s": added.virtual_s, "device_s": added.device_s, "cpu_s": added.cpu_s}
    marks = b"".join(bytes.fromhex(one.digest)[:MARK_BYTES] or bytes(2) for one in ordered)
    return Slice(
        kind=WORLDS,
        of=ordered[0].scenario,
        first=ordered[0].seed,
        count=len(ordered),
        program=program,
        commit=commit,
        digest=digest_of(ordered),
        marks=base64.b64encode(marks).decode(),
        failures=tuple((one.seed, one.broken) for one in ordered if one.failed),
        sums={name: added.counts.get(name, 0) for name in COUNTED}
        | {name: round(value, DECIMALS) for name, value in times.items()},
        faults=dict(sorted(added.faults.items())),
    )


def image_slice(
    findings: Sequence[Finding], *, seed: int, size: int, program: str, commit: str
) -> Slice:
    """Return the slice that one whole sweep makes.

    Args:
        findings: of all its images and faults, in any order.
        seed: of the sweep.
        size: images in every sweep of the record: sweep 2 begins where 1 ends.
        program: see :class:`.Slice`.
        commit: see :class:`.Slice`.
    """
    ordered = sorted(findings, key=lambda one: (one.part, one.image))
    kinds = Counter(f"{one.part}: {one.crash.partition(' after ')[0]}" for one in ordered)
    digest = hashlib.sha256()
    for one in ordered:
        digest.update(f"{one.part} {one.image} {one.cut} {one.crash} {one.problem}\n".encode())
    return Slice(
        kind=IMAGES,
        of="buffer and journal",
        first=(seed - 1) * size + 1,
        count=len(ordered),
        program=program,
        commit=commit,
        digest=digest.hexdigest(),
        failures=tuple((one.image, (one.part, one.crash)) for one in ordered if one.problem),
        sums=dict(sorted(kinds.items())),
    )
