"""The page on edge rules, by a reader who pastes it: trials, a running agent, raw events."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from documents import ROOT, Block, blocks_of
from servers.agent import AgentServer
from whimbrel_agent.cli import main
from whimbrel_agent.configfile import load_config
from whimbrel_agent.localhttp.client import LocalClient
from whimbrel_agent.rules.values import KINDS

README = ROOT / "agent" / "README.md"


def blocks() -> list[Block]:
    """The section's blocks: settings, trials, raw events."""
    page = README.read_text()
    start = page.index("\n## Edge rules\n")
    section = page[start : page.index("\n## ", start + 4)]
    return [block for block in blocks_of(README) if block.text in section]


def readings() -> str:
    """An hour of a cold room, a meter and a door."""
    lines = []
    for second in range(3600):
        moment = f"2026-11-22T09:{second // 60:02d}:{second % 60:02d}Z"
        for source, kind, data in (
            ("cold-1", "temperature", {"celsius": 3 + (second % 600) / 300}),
            ("meter-1", "power", {"watts": 100 + second % 7}),
            ("door-1", "door", {"open": second % 900 < 60, "battery": 80}),
        ):
            event = {"type": kind, "source": source, "zone": "cold", "time": moment, "data": data}
            lines.append(json.dumps(event))
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    settings, *_ = blocks()
    (tmp_path / "rules.toml").write_text(settings.text)
    (tmp_path / "readings.ndjson").write_text(readings())
    return tmp_path


def words(command: str) -> list[str]:
    return shlex.split(command.partition(" > ")[0])[1:]


def test_its_trials_show_what_would_be_saved(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, as_json, out, *_ = blocks()[1].commands()
    assert main(words(table)) == 0
    assert "cold-rooms: 3,600 taken" in capsys.readouterr().out
    assert main(words(as_json)) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["raw"]["events"] == 10_800
    assert found["saved_percent"]["packed_bytes"] > 85
    assert found["rules"]["power"]["suppressed"] == {"summarised": 3_600}
    assert main(words(out)) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == found["sent"]["events"]
    assert "bytes packed" in printed.err


@pytest.mark.timeout(90)
def test_a_running_agent_follows_them_and_keeps_raw_events(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, commands, raw = blocks()
    _, _, _, check, status = commands.commands()
    with AgentServer(folder, more=settings.text) as agent:
        assert main(words(check)) == 0
        assert "3 rules, all sound" in capsys.readouterr().out
        lines = readings().encode()
        with LocalClient(agent.socket) as client:
            answer = client.request(
                "POST", "/v1/events?on_error=skip", lines, media_type="application/x-ndjson"
            )
            members = answer.json()
            assert (answer.status, members["count"]) == (202, 10_800)
            assert sum(run["count"] for run in members["accepted"] if run.get("ruled")) > 10_000
        assert main(words(status)) == 0
        assert "rule cold-rooms" in capsys.readouterr().out
        figures = agent.status()
        assert figures["rules"]["doors"]["taken"] == 3_600
        assert figures["buffer"]["accepted"] < 200
        (command,) = raw.commands()
        config = ["--config", str(agent.config)]
        assert main([*words(command), *config]) == 0
        there = capsys.readouterr().out.splitlines()
    assert main([*words(command), *config]) == 0  # without an agent, from the file itself
    assert capsys.readouterr().out.splitlines() == there
    values = [json.loads(line)["data"]["celsius"] for line in there]
    assert values == [3 + (second % 600) / 300 for second in range(3600)]


def test_it_names_every_kind_of_rule() -> None:
    assert all(f"| `{kind}` |" in README.read_text() for kind in KINDS)


def test_its_rules_load(folder: Path) -> None:
    agent = AgentServer(folder, more=blocks()[0].text)
    assert [rule.name for rule in load_config(agent.config).rules] == [
        *("cold-rooms", "power", "doors"),
    ]
