"""The small commands in this process, on a device without a running agent."""

import json
import logging
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from servers.agent import AgentServer
from whimbrel_agent import exits
from whimbrel_agent.commands import bufferfile, drain, keygen, offline, outlet, run, status
from whimbrel_agent.configfile import load_config
from whimbrel_agent.keyfile import read_key


@pytest.fixture
def device(tmp_path: Path) -> AgentServer:
    """A device's folder with key and configuration; nothing runs."""
    return AgentServer(tmp_path / "device")


def options(device: AgentServer, **more: Any) -> Namespace:
    return Namespace(config=device.config, json=True, **more)


def test_what_needs_an_agent_says_that_none_answers(
    device: AgentServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status.run(options(device)) == exits.NO_AGENT
    assert drain.run(options(device, timeout=1.0)) == exits.NO_AGENT
    assert capsys.readouterr().err.count("no agent answers") == 2


def test_an_outlet_over_the_buffer_answers_as_the_intake_does(device: AgentServer) -> None:
    with outlet.open_outlet(load_config(device.config)) as opened:
        assert isinstance(opened, outlet.BufferOutlet)
        body = b'{"type":"t","source":"s"}'
        good = opened.post(body, "application/json", query={}, headers={})
        assert (good.status, good.json()["count"]) == (202, 1)
        bad = opened.post(b"{}", "application/json", query={}, headers={})
        assert (bad.status, bad.json()["refused"][0]["field"]) == (400, "type")
        large = opened.post(b" " * 2_000_000, "application/json", query={}, headers={})
        assert large.status == 413


async def test_every_opening_takes_an_epoch_of_its_own(device: AgentServer) -> None:
    config = load_config(device.config)
    async with offline.opened_buffer(config) as buffer:
        first = buffer.epoch
    async with offline.opened_buffer(config) as buffer:
        assert buffer.epoch != first


def test_no_agent_starts_while_a_command_has_the_buffer(
    device: AgentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # run sends logs elsewhere
    with outlet.open_outlet(load_config(device.config)):
        assert run.run(options(device)) == exits.BUFFER


def test_an_export_never_overwrites(
    device: AgentServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "events.cbor"
    export = options(device, action="export", format="cbor", out=out)
    assert bufferfile.run(export) == exits.DONE
    assert out.stat().st_mode & 0o077 == 0
    assert bufferfile.run(export) == exits.REFUSED
    assert "exists" in capsys.readouterr().err


def test_verify_and_inspect_work_without_an_agent(
    device: AgentServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bufferfile.run(options(device, action="verify")) == exits.DONE
    assert json.loads(capsys.readouterr().out)["problems"] == []
    assert bufferfile.run(options(device, action="inspect")) == exits.DONE
    assert len(json.loads(capsys.readouterr().out)["buffer"]["lanes"]) == 4


def test_keygen_prints_the_public_half_of_the_key_it_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new.key"
    assert keygen.run(Namespace(config=tmp_path / "no.toml", out=path, json=True)) == exits.DONE
    shown = json.loads(capsys.readouterr().out)
    assert shown["public_key"] == read_key(path).public.to_text()
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "[device]\n", "[device]\nkey = 7\n", "no toml"])
def test_keygen_says_when_the_configuration_names_no_key(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(text)
    assert keygen.run(Namespace(config=config, out=None, json=False)) == exits.USAGE
    assert "key" in capsys.readouterr().err
