"""The control socket by real requests, over a real buffer."""

import asyncio
import random
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from whimbrel_agent.buffer.runner import ThreadRunner
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferConfig
from whimbrel_agent.clock import SystemClock
from whimbrel_agent.control import CONTROL_LIMITS, Control
from whimbrel_agent.intake.http import EventIntake
from whimbrel_agent.intake.importslice import SliceToAccept
from whimbrel_agent.localhttp.client import Answer, LocalClient
from whimbrel_agent.localhttp.service import LocalService
from whimbrel_agent.status import Status
from whimbrel_protocol.cbor import load_value, load_values
from whimbrel_protocol.event import Event
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import ClockQuality
from whimbrel_protocol.names import Address

ADDRESS = Address(tenant="acme", region="eu-1", store="store-12", device="till-3")
EVENT = Event(type="t", source="s", time_ns=1, data={"n": 1})


class Ask:
    """Asks the control socket; ``sealed`` counts how often the uplink was told of frames."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.sealed = 0

    def told(self) -> None:
        self.sealed += 1

    def _request(self, method: str, target: str, body: bytes, media_type: str) -> Answer:
        with LocalClient(self._path) as client:
            return client.request(method, target, body, media_type=media_type)

    async def __call__(
        self, method: str, target: str, body: bytes = b"", media_type: str = "application/json"
    ) -> Answer:
        return await asyncio.to_thread(self._request, method, target, body, media_type)


@pytest.fixture
async def ask(tmp_path: Path) -> AsyncIterator[Ask]:
    runner, clock, key = ThreadRunner(), SystemClock(), PrivateKey(bytes(32))
    path = tmp_path / "control.sock"
    asker = Ask(path)
    buffer = await Buffer.open(
        BufferConfig(path=tmp_path / "buffer.db", max_bytes=1024 * 1024),
        ADDRESS,
        key,
        clock=clock,
        random=random.Random(7),
        runner=runner,
    )

    async def status() -> Status:
        return Status(
            version="1",
            pid=1,
            address=ADDRESS,
            key_id=key.public.key_id,
            started_wall_ns=0,
            wall_ns=1,
            clock=ClockQuality.SYNCED,
            memory_bytes=1,
            buffer=await buffer.stats(),
        )

    control = Control(buffer, EventIntake(buffer, clock), status, asker.told)
    service = LocalService(control.handle, CONTROL_LIMITS, name="control", socket_path=path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    async with asyncio.TaskGroup() as group:
        group.create_task(service.run())
        yield asker
        await service.stop()
    await buffer.close()
    await runner.close()
    assert not path.exists()


async def test_events_status_and_export_agree(ask: Ask) -> None:
    assert (await ask("POST", "/v1/events", b'{"type":"t","source":"s"}')).status == 202
    status = (await ask("GET", "/v1/status")).json()
    assert status["buffer"]["accepted"] == status["buffer"]["pending"] == 1
    assert status["address"]["device"] == "till-3"
    (exported,) = load_values((await ask("GET", "/v1/buffer/export?format=cbor")).body)
    assert exported["type"] == "t"
    assert (await ask("GET", "/v1/buffer")).json()["buffer"]["epoch"] == status["buffer"]["epoch"]
    assert (await ask("POST", "/v1/buffer/verify")).json()["problems"] == []


async def test_a_drain_says_what_is_left(ask: Ask) -> None:
    assert (await ask("POST", "/v1/drain?timeout_s=0")).json()["drained"]
    await ask("POST", "/v1/events", b'{"type":"t","source":"s"}')
    answer = (await ask("POST", "/v1/drain?timeout_s=0")).json()
    assert (answer["drained"], answer["pending"], answer["sealed_frames"]) == (False, 1, 1)
    assert ask.sealed == 1  # the uplink was told of the frame


async def test_an_imports_slice_counts_once(ask: Ask) -> None:
    first = SliceToAccept([EVENT, EVENT], b"one", None).pack()
    assert load_value((await ask("GET", "/v1/imports/a")).body) is None
    assert (await ask("POST", "/v1/imports/a", first)).json() == {"count": 2}
    assert load_value((await ask("GET", "/v1/imports/a")).body) == b"one"
    # the answer was lost and the importer sends it again
    assert (await ask("POST", "/v1/imports/a", first)).status == 409
    assert (await ask("POST", "/v1/imports/b", first)).status == 200
    status = (await ask("GET", "/v1/status")).json()
    assert status["buffer"]["accepted"] == 4


async def test_an_import_leaves_room_for_others(ask: Ask) -> None:
    noise = random.Random(1)
    expected: bytes | None = None
    for number in range(1_000):
        events = [
            Event(type="t", source="s", time_ns=1, data={"x": noise.randbytes(1_000)})
            for _ in range(50)
        ]
        part = SliceToAccept(events, b"%d" % number, expected)
        answer = await ask("POST", "/v1/imports/a", part.pack())
        if answer.status != 200:
            break
        expected = part.checkpoint
        await ask("POST", "/v1/drain?timeout_s=0")  # seals
    assert answer.status == 429
    assert answer.headers["retry-after"] == "1"
    status = (await ask("GET", "/v1/status")).json()
    assert status["buffer"]["gapped"] == 0
    assert (await ask("POST", "/v1/events", b'{"type":"t","source":"s"}')).status == 202


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("GET", "/", b"", 404),
        ("GET", "/v1/events", b"", 405),
        ("POST", "/v1/status", b"", 405),
        ("DELETE", "/v1/imports/a", b"", 405),
        ("GET", "/v1/imports/a%20b", b"", 400),
        ("GET", "/v1/imports/", b"", 400),
        ("POST", "/v1/imports/a", b"\xff", 400),
        ("POST", "/v1/imports/a", b"\x83\x40\xf6\x81\x40", 400),
        ("POST", "/v1/drain?timeout_s=nan", b"", 400),
        ("POST", "/v1/drain?timeout_s=-1", b"", 400),
        ("GET", "/v1/buffer/export?format=xml", b"", 400),
    ],
)
async def test_odd_requests_are_refused(
    ask: Ask, method: str, target: str, body: bytes, status: int
) -> None:
    assert (await ask(method, target, body)).status == status
