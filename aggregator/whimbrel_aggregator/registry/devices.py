"""Enrolled devices as ingest needs them: in memory while they are in use, else in the journal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from whimbrel_aggregator.ingest.admission import Enrolment
from whimbrel_aggregator.journal.port import DeviceKey, EnrolledDevice, Journal
from whimbrel_protocol.keys import PublicKey

V = TypeVar("V")

CACHED_DEVICES: Final = 20_000
"""About 1 KB each: 20 MB at the most."""

CACHED_STRANGERS: Final = 5_000
"""Names of devices that are known not to be enrolled, so that strangers cost no reads."""


class UnknownYetError(LookupError):
    """The device was not looked up yet: call :meth:`Registry.load`."""


class Registry:
    """Answers from memory; what it does not know is loaded in one go for a whole group."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._version = 0
        # read by worker threads, changed by the loop's: plain dictionaries, oldest out first
        self._known: dict[DeviceKey, Enrolment] = {}
        self._strangers: dict[DeviceKey, None] = {}

    def enrolment(self, key: DeviceKey) -> Enrolment | None:
        """Return what is known of a device; None when it is not enrolled.

        Raises:
            UnknownYetError: it was not loaded.
        """
        known = self._known.get(key)
        if known is None and key not in self._strangers:
            raise UnknownYetError(str(key))
        return known

    def forget(self) -> None:
        """Forget everything: devices were enrolled or removed."""
        self._version += 1
        self._known = {}
        self._strangers = {}

    async def load(self, keys: Iterable[DeviceKey]) -> dict[DeviceKey, Enrolment | None]:
        """Read devices from the journal, remember and return them.

        Raises:
            JournalError: the journal cannot be read.
        """
        loaded: dict[DeviceKey, Enrolment | None] = {}
        for key in dict.fromkeys(keys):
            version = self._version
            enrolment = loaded[key] = _enrolment(await self._journal.device(key))
            if version != self._version:
                continue  # it may have changed while it was read: look again next time
            if enrolment is None:
                _keep(self._strangers, key, None, CACHED_STRANGERS)
            else:
                _keep(self._known, key, enrolment, CACHED_DEVICES)
        return loaded


def _keep(known: dict[DeviceKey, V], key: DeviceKey, value: V, limit: int) -> None:
    known[key] = value
    if len(known) > limit:
        del known[next(iter(known))]


def _enrolment(device: EnrolledDevice | None) -> Enrolment | None:
    if device is None or device.removed_ns is not None:
        return None
    keys = (PublicKey(raw) for raw in device.public_keys)
    return Enrolment(device.region, {key.key_id: key for key in keys})
