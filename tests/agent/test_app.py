"""The whole agent: in this process, and as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from servers.mosquitto import MosquittoServer
from servers.waiting import eventually, wait_until
from whimbrel_agent.app import serve
from whimbrel_agent.buffer.values import BufferLockedError
from whimbrel_agent.configfile import load_config
from whimbrel_agent.keyfile import KeyFileError, create_key, read_key
from whimbrel_agent.localhttp.client import LocalClient
from whimbrel_agent.parts import Parts
from whimbrel_agent.reporting import resident_bytes
from whimbrel_agent.status import status_table
from whimbrel_protocol.keys import PrivateKey
from worlds.region import BrokerRegion

REGION_KEY = PrivateKey(b"r" * 32)

CONFIG = """
[device]
tenant = "acme"
region = "eu-1"
store = "store-1"
device = "till-1"
key = "device.key"
region_key = "{region_key}"
[buffer]
path = "buffer.db"
[lanes.normal]
linger_s = 0.05
[uplink]
brokers = ["{broker}"]
[intake.http]
listen = "127.0.0.1:0"
[intake.machine]
every_s = 3600
[control]
socket = "{socket}"
"""


@pytest.fixture
def config_file(tmp_path: Path, free_port: int) -> Path:
    return write_config(tmp_path, f"mqtt://127.0.0.1:{free_port}")


def write_config(folder: Path, broker: str) -> Path:
    if not (folder / "device.key").exists():
        create_key(folder / "device.key")
    file = folder / "agent.toml"
    text = CONFIG.format(
        region_key=REGION_KEY.public.to_text(), broker=broker, socket=folder / "c.sock"
    )
    file.write_text(text)
    return file


def name_profile(file: Path, profile: str) -> None:
    text = file.read_text()
    file.write_text(text.replace("[device]", f'[device]\nprofile = "{profile}"'))


@asynccontextmanager
async def running(file: Path, **environment: str) -> AsyncIterator[Parts]:
    stop, started = asyncio.Event(), asyncio.Event()
    found: list[Parts] = []

    def ready(parts: Parts) -> None:
        found.append(parts)
        started.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(serve(load_config(file), stop=stop, ready=ready, environment=environment))
        await started.wait()
        yield found[0]
        stop.set()


async def post(port: object, lines: list[dict[str, Any]]) -> int:
    """POST events and return the status."""
    assert isinstance(port, int)
    body = "\n".join(json.dumps(line) for line in lines).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    status = int((await reader.readline()).split()[1])
    await reader.read()
    writer.close()
    await writer.wait_closed()
    return status


def sales(count: int) -> list[dict[str, Any]]:
    return [{"type": "sale", "source": "till", "data": {"n": n}} for n in range(count)]


async def test_events_posted_to_the_agent_reach_the_region(
    mosquitto: MosquittoServer, tmp_path: Path
) -> None:
    file = write_config(tmp_path, mosquitto.url)
    device_key = read_key(load_config(file).device.key_file)
    region = BrokerRegion(REGION_KEY, device_key.public)
    async with region.attached(mosquitto.host, mosquitto.port), running(file) as parts:
        assert await post(parts.listening["http_port"], sales(100)) == 202
        await eventually(lambda: len(region.events) == 100, timeout_s=30, what="100 events")
        assert [event.data["n"] for event in region.events] == list(range(100))


async def test_what_reaches_a_broker_is_accounted_for(
    mosquitto: MosquittoServer, tmp_path: Path
) -> None:
    file = write_config(tmp_path, mosquitto.url)
    async with running(file) as parts:
        await eventually(
            lambda: parts.uplink.figures().counts["resumes_sent"] > 0, timeout_s=30, what="a resume"
        )
        with LocalClient(load_config(file).control.socket) as client:
            answer = await asyncio.to_thread(client.expect, "GET", "/v1/status")
    work = answer.json()["energy"]["work"]
    assert work["frames"] >= 1
    assert work["bytes_up"] > 100
    assert work["radio_wakes"] >= 1


async def test_intakes_work_from_the_first_second_without_a_broker(config_file: Path) -> None:
    async with running(config_file) as parts:
        assert await post(parts.listening["http_port"], sales(3)) == 202
        assert parts.uplink.figures().counts["links_made"] == 0


async def test_what_is_staged_at_a_stop_is_sealed(config_file: Path) -> None:
    async with running(config_file) as parts:
        assert await post(parts.listening["http_port"], sales(3)) == 202
    async with running(config_file) as parts:
        stats = await parts.sealing._buffer.stats()
        assert (stats.lane("normal").staged_events, stats.lane("normal").pending_frames) == (0, 1)


async def test_status_tells_estimated_energy_and_measured_wear(config_file: Path) -> None:
    name_profile(config_file, "solar-box")
    async with running(config_file) as parts:
        assert await post(parts.listening["http_port"], sales(30)) == 202
        sum(range(3_000_000))  # the kernel counts processor time in ticks of 10 ms
        with LocalClient(load_config(config_file).control.socket) as client:
            answer = await asyncio.to_thread(client.expect, "GET", "/v1/status")
    energy = answer.json()["energy"]
    assert (energy["profile"], energy["profile_reason"]) == ("solar-box", "agent.toml names it")
    assert energy["work"]["commits"] > 0
    assert energy["work"]["cpu_s"] > 0
    assert energy["since_start"]["flash_j"] > 0
    causes = ("radio_j", "keepalive_j", "bytes_j", "cpu_j", "flash_j")
    total = sum(energy["since_start"][cause] for cause in causes)
    assert energy["since_start"]["agent_j"] == pytest.approx(total, abs=0.01)
    assert energy["wear"]["budget_mb_per_day"] == 200
    assert "solar-box (agent.toml names it)" in status_table(answer.json())


async def test_a_second_agent_on_the_buffer_is_refused(config_file: Path) -> None:
    async with running(config_file):
        with pytest.raises(BufferLockedError, match=str(os.getpid())):
            await serve(load_config(config_file), stop=asyncio.Event())


async def test_a_key_that_others_can_read_is_refused(config_file: Path) -> None:
    (config_file.parent / "device.key").chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        await serve(load_config(config_file), stop=asyncio.Event())


async def test_systemd_is_told_of_start_life_and_stop(config_file: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        async with running(
            config_file, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="60000000"
        ):
            told = [await asyncio.to_thread(manager.recv, 500) for _ in range(2)]
        told.append(manager.recv(500))
    assert told[0].startswith(b"READY=1\nSTATUS=")
    assert told[1].startswith(b"WATCHDOG=1\nSTATUS=")
    assert told[2].startswith(b"STOPPING=1\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_process_in_an_orderly_way(
    config_file: Path, number: signal.Signals
) -> None:
    log = config_file.parent / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "whimbrel_agent", "run", "--config", str(config_file)],
            stderr=stream,
        )
    try:
        wait_until(lambda: b'"ready"' in log.read_bytes(), timeout_s=30, what="the ready line")
        process.send_signal(number)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    messages = [json.loads(line)["message"] for line in log.read_text().splitlines()]
    assert messages[-1] == "stopped"


def test_resident_memory_is_this_process_s() -> None:
    assert 5_000_000 < resident_bytes() < 2_000_000_000
