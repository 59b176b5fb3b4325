from __future__ import annotations

import asyncio

import pytest

from regions.frames import Device
from regions.ingesting import enrol
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.registry.devices import Registry, UnknownYetError

TILL = Device()


async def test_a_device_is_known_after_it_was_loaded(journal: SqliteJournal) -> None:
    await enrol(journal, TILL)
    registry = Registry(journal)
    with pytest.raises(UnknownYetError):
        registry.enrolment(TILL.device_key)
    loaded = await registry.load([TILL.device_key])
    known = registry.enrolment(TILL.device_key)
    assert known is not None
    assert known == loaded[TILL.device_key]
    assert known.keys[TILL.key.public.key_id] == TILL.key.public


async def test_a_stranger_is_remembered_as_one_until_devices_change(
    journal: SqliteJournal,
) -> None:
    registry = Registry(journal)
    assert await registry.load([TILL.device_key]) == {TILL.device_key: None}
    assert registry.enrolment(TILL.device_key) is None
    await enrol(journal, TILL)
    registry.forget()
    with pytest.raises(UnknownYetError):
        registry.enrolment(TILL.device_key)
    assert (await registry.load([TILL.device_key]))[TILL.device_key] is not None


async def test_a_removed_device_is_not_enrolled(journal: SqliteJournal) -> None:
    await enrol(journal, TILL)
    await journal.remove(TILL.device_key, 5)
    assert await Registry(journal).load([TILL.device_key]) == {TILL.device_key: None}


async def test_what_changed_while_it_was_read_is_not_remembered(journal: SqliteJournal) -> None:
    registry = Registry(journal)
    async with asyncio.TaskGroup() as tasks:
        loading = tasks.create_task(registry.load([TILL.device_key]))
        await asyncio.sleep(0)
        registry.forget()
    assert loading.result() == {TILL.device_key: None}
    with pytest.raises(UnknownYetError):
        registry.enrolment(TILL.device_key)


async def test_the_memory_is_bounded(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whimbrel_aggregator.registry.devices.CACHED_DEVICES", 3)
    registry = Registry(journal)
    devices = [Device(f"till-{number}") for number in range(5)]
    for device in devices:
        await enrol(journal, device)
    await registry.load([device.device_key for device in devices])
    with pytest.raises(UnknownYetError):
        registry.enrolment(devices[0].device_key)
    assert registry.enrolment(devices[4].device_key) is not None
