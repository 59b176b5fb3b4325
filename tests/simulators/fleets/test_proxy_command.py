"""``whimbrel-sim proxy`` as a process between a client and a real broker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import aiomqtt
import pytest

from servers.broker import BrokerProcess
from servers.ports import free_port
from servers.waiting import eventually
from whimbrel_sim.cli import main

TIMEOUT_S = 20.0
SCENARIO = '[[fault]]\nkind = "link.delay"\ndelay_s = 0.01\n[[fault]]\nkind = "link.duplicate"\nchance = 1\ndirection = "up"\n'


async def test_it_plays_a_scenario_and_tells_its_counters(
    mosquitto: BrokerProcess, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    (tmp_path / "day.toml").write_text(SCENARIO)
    words = ["--listen", f"127.0.0.1:{port}", "--to", f"127.0.0.1:{mosquitto.port}"]
    with log.open("wb") as out:
        proxy = subprocess.Popen(  # noqa: ASYNC220  it only starts here
            [
                sys.executable,
                "-m",
                "whimbrel_sim.cli",
                "proxy",
                *words,
                "--scenario",
                str(tmp_path / "day.toml"),
            ],
            stdout=out,
            stderr=out,
        )
    try:
        await eventually(
            lambda: "link.delay" in log.read_text(), timeout_s=TIMEOUT_S, what="the scenario"
        )
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe("t/#", qos=1)
            await client.publish("t/x", b"1", qos=1)
            async with aiomqtt.Client("127.0.0.1", mosquitto.port) as far:
                await far.publish("t/end", b"end", qos=1)
            got = []
            async for message in client.messages:
                got.append(message.payload)
                if message.payload == b"end":
                    break
        assert got.count(b"1") == 2
        proxy.send_signal(signal.SIGUSR1)
        await eventually(
            lambda: '"connections"' in log.read_text(), timeout_s=TIMEOUT_S, what="the counters"
        )
        (tmp_path / "day.toml").write_text('[[fault]]\nkind = "link.flip"\nchance = 0\n')
        proxy.send_signal(signal.SIGHUP)
        await eventually(
            lambda: "link.flip" in log.read_text(), timeout_s=TIMEOUT_S, what="the new scenario"
        )
        (tmp_path / "day.toml").write_text('[[fault]]\nkind = "link.gone"\n')
        proxy.send_signal(signal.SIGHUP)
        await eventually(
            lambda: "known: link.delay" in log.read_text(), timeout_s=TIMEOUT_S, what="the refusal"
        )
        proxy.send_signal(signal.SIGTERM)
        assert proxy.wait(TIMEOUT_S) == 0
    finally:
        proxy.kill()
        proxy.wait()
    counts = json.loads(log.read_text().splitlines()[-1])
    assert counts["up.duplicated"] == 1
    assert counts["up.chunks_delayed"] > 0


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--listen", "nowhere", "--to", "127.0.0.1:1883"], "--listen must be like"),
        (["--listen", "127.0.0.1:1884", "--to", "127.0.0.1:99999"], "--to must be like"),
    ],
)
def test_a_wrong_address_says_what_is_right(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["proxy", *words]) == 2
    assert problem in capsys.readouterr().err


def test_a_wrong_scenario_says_what_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "day.toml"
    file.write_text('[[fault]]\nkind = "link.gone"\n')
    words = ["--listen", "127.0.0.1:1884", "--to", "127.0.0.1:1883", "--scenario", str(file)]
    assert main(["proxy", *words]) == 2
    assert "known: link.delay" in capsys.readouterr().err
