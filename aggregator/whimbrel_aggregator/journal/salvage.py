"""A new journal out of a damaged one: every intact frame, and what is known to be settled.

The steps survive a stop at any point: the new journal is built beside the damaged one under
``.salvaging`` and gets the name ``.salvaged`` only when it is whole. With ``replace`` the
damaged files are put aside then and it takes their place; until that is finished no aggregator
opens either (see :mod:`.storage`), and the same command goes on where it stopped.
"""

from __future__ import annotations

import mmap
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from whimbrel_protocol.keys import PublicKey
from whimbrel_protocol.names import Address
from whimbrel_protocol.sqlitepages import PageImage
from whimbrel_protocol.sqlitewal import scan_log

from .carving import MAX_LISTED, Carved, Carver
from .errors import JournalError
from .identities import DeviceRow
from .image import ImageReader, build_images
from .lock import JournalLock
from .placement import Placement, Planner
from .rebuilding import Progress, Rebuilder
from .remains import Remains, read_remains
from .schema import PAGE_SIZE_BYTES
from .storage import SALVAGED, Storage
from .values import DeviceKey, EnrolledDevice

_BUILDING: Final = ".salvaging"
_NO_LIMIT: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class SalvageReport:
    """What became of a damaged journal.

    Attributes:
        journal: the new one.
        kept_aside: the damaged one's name now; empty when it lies where it was.
        generation: of the new one, in hex.
        frames: frames saved.
        events: events in them.
        without_row: frames of these whose row was broken: they have no receive time.
        unsigned: frames of these by keys that are not known here, by key id.
        lost: sequences whose frame is gone, in words; the device is asked for them again.
        lost_frames: how many of them there are.
        lost_unknown: frames that were there and of which nothing is known any more.
        unproven: what looked like frames and could not be proven; left out.
        past_retention: old frames in free pages; left out.
        conflicts: frames that cover what another covers; left out.
        streams: streams whose settled ranges are kept.
        nameless_streams: streams whose device is not known any more.
        dictionaries: dictionaries saved.
        without_dictionary: frames saved whose dictionary is gone; their devices may have it.
        devices: devices carried over.
        damaged_rows: small rows that were not as they were written, by table.
        unreadable: tables that could not be read whole.
    """

    journal: str
    kept_aside: str
    generation: str
    frames: int
    events: int
    without_row: int
    unsigned: dict[str, int]
    lost: tuple[str, ...]
    lost_frames: int
    lost_unknown: int
    unproven: tuple[str, ...]
    past_retention: int
    conflicts: int
    streams: int
    nameless_streams: int
    dictionaries: int
    without_dictionary: int
    devices: int
    damaged_rows: dict[str, int] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()


def finish_salvage(damaged: Path, *, now_ns: int) -> Path | None:
    """Finish a salvage that was stopped while it put the new journal in place.

    Returns:
        Where the damaged journal lies now; None when there was nothing to finish.

    Raises:
        JournalError: it is in use, or the files cannot be renamed.
    """
    whole = _beside(damaged, SALVAGED)
    if not whole.exists():
        return None
    lock = JournalLock(damaged)
    try:
        return _install(damaged, whole, now_ns)
    except OSError as error:
        raise JournalError(f"salvage of {damaged}: {error}") from error
    finally:
        lock.release()


def salvage_journal(
    damaged: Path,
    *,
    generation: bytes,
    now_ns: int,
    out: Path | None = None,
    devices: Sequence[EnrolledDevice] = (),
    progress: Progress = lambda _done, _whole: None,
) -> SalvageReport:
    """Make a new journal from a damaged one that no process has open.

    Args:
        damaged: its file; the log is looked for beside it.
        generation: eight random bytes for the new journal.
        now_ns: for the name of what is kept aside.
        out: where the new journal goes; None puts it in the place of the damaged one.
        devices: enrolled devices from elsewhere: their keys prove frames, and where the
            damaged journal lost a device's row or keys these are enrolled.
        progress: called with frames written and frames in all.

    Raises:
        JournalError: it is in use, not there, no journal, or there is no room.
    """
    place = damaged if out is None else out
    if out is not None and out.exists():
        raise JournalError(f"journal {out} exists; name a file that does not")
    if not damaged.exists():
        raise JournalError(f"journal {damaged} does not exist")
    lock = JournalLock(damaged)
    try:
        whole = _beside(place, SALVAGED)
        report = _build(damaged, place, generation, devices, progress)
        if out is not None:
            whole.rename(out)
            _sync(out.parent)
            return report(kept_aside="")
        return report(kept_aside=str(_install(damaged, whole, now_ns)))
    except (OSError, sqlite3.Error) as error:
        raise JournalError(f"salvage of {damaged}: {error}") from error
    finally:
        lock.release()


Report = Callable[..., SalvageReport]


def _build(
    damaged: Path,
    place: Path,
    generation: bytes,
    devices: Sequence[EnrolledDevice],
    progress: Progress,
) -> Report:
    """Build the new journal under its last but one name."""
    work = _beside(place, _BUILDING)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700, parents=True)
    try:
        log = damaged.with_name(damaged.name + "-wal")
        scan = scan_log(log.read_bytes() if log.exists() else b"", page_bytes=PAGE_SIZE_BYTES)
        images = build_images(damaged, scan, work)
        reader = ImageReader(images[0])
        with closing(reader):
            remains = read_remains(reader)
        _take_in(remains, devices)
        with ExitStack() as stack:
            pages = [PageImage(_mapped(image, stack), PAGE_SIZE_BYTES) for image in images]
            carver = Carver(pages, _known_keys(remains, devices))
            carved = carver.carve()
            placement = Planner(carved, remains).plan()
            if not (placement.frames or placement.settled or remains.devices):
                raise JournalError(f"nothing of a journal was found in {damaged}")
            new = work / "journal"
            storage = Storage(new, max_bytes=_NO_LIMIT, min_free_bytes=0, new_generation=generation)
            try:
                rebuilder = Rebuilder(storage, remains, placement, carved.dictionaries)
                rebuilder.build(carver.read, progress)
                storage.checkpoint()
            finally:
                storage.close()
        _sync(new)
        new.rename(_beside(place, SALVAGED))
        _sync(place.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return _reporter(place, generation, carved, remains, placement)


def _mapped(image: Path, stack: ExitStack) -> mmap.mmap:
    file = stack.enter_context(image.open("rb"))
    return stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


# ---------------------------------------------------------------------------------------- keys


def _take_in(remains: Remains, devices: Iterable[EnrolledDevice]) -> None:
    """Enrol what the damaged journal lost and the operator's list has."""
    rows = {row.key: row for row in remains.devices.values()}
    number = max(remains.devices, default=0)
    for device in devices:
        row = rows.get(device.key)
        if row is None:
            number += 1
            row = DeviceRow(
                number,
                device.key,
                0,
                device.region,
                device.label,
                device.enrolled_ns,
                *(device.removed_ns, device.state.epoch_floor, device.state.forks),
                device.state.seen_ns,
            )
            remains.devices[number] = row
        if row.removed_ns is None and row.enrolled_ns is not None:
            remains.keys.setdefault(row.id, list(device.public_keys))


def _known_keys(
    remains: Remains, devices: Iterable[EnrolledDevice]
) -> Callable[[Address, bytes], Iterable[PublicKey]]:
    known: dict[tuple[DeviceKey, bytes], set[bytes]] = {}
    listed = [(row.key, remains.keys.get(row.id, [])) for row in remains.devices.values()]
    listed += [(device.key, list(device.public_keys)) for device in devices]
    for device, keys in listed:
        for raw in keys:
            known.setdefault((device, PublicKey(raw).key_id), set()).add(raw)
    made: dict[bytes, PublicKey] = {}

    def keys_of(address: Address, key_id: bytes) -> list[PublicKey]:
        device = DeviceKey(address.tenant, address.store, address.device)
        return [made.setdefault(raw, PublicKey(raw)) for raw in known.get((device, key_id), ())]

    return keys_of


# ----------------------------------------------------------------------------- files and report


def _install(damaged: Path, whole: Path, now_ns: int) -> Path:
    """Put the damaged files aside and the new journal in their place; repeatable after a stop."""
    stamp = datetime.fromtimestamp(now_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = _beside(damaged, f".damaged-{stamp}")
    for suffix in ("", "-wal"):
        part = _beside(damaged, suffix)
        if part.exists():
            part.rename(_beside(aside, suffix))
    _beside(damaged, "-shm").unlink(missing_ok=True)
    _sync(damaged.parent)
    whole.rename(damaged)
    _sync(damaged.parent)
    return aside


def _reporter(
    place: Path, generation: bytes, carved: Carved, remains: Remains, placement: Placement
) -> Report:
    kept = [one.found for placed in placement.frames.values() for one in placed]

    def report(*, kept_aside: str) -> SalvageReport:
        return SalvageReport(
            journal=str(place),
            kept_aside=kept_aside,
            generation=generation.hex(),
            frames=len(kept),
            events=sum(one.frame.count for one in kept),
            without_row=sum(one.rowid is None for one in kept),
            unsigned={key.hex(): count for key, count in sorted(carved.unknown_keys.items())},
            lost=tuple(
                f"{loss.key.device_key} {loss.key.lane} {loss.first}..{loss.last} of epoch "
                f"{loss.key.epoch:#x}"
                for loss in placement.losses[:MAX_LISTED]
            ),
            lost_frames=len(placement.losses),
            lost_unknown=placement.lost_unknown,
            unproven=tuple(carved.unproven),
            past_retention=placement.past_retention,
            conflicts=placement.conflicts,
            streams=len(placement.settled),
            nameless_streams=placement.nameless_streams,
            dictionaries=len(carved.dictionaries),
            without_dictionary=placement.without_dictionary,
            devices=sum(row.enrolled_ns is not None for row in remains.devices.values()),
            damaged_rows=dict(remains.damaged),
            unreadable=tuple(sorted(remains.unreadable)),
        )

    return report


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
