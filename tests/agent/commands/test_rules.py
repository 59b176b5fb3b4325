"""``rules check|try`` and ``raw`` where something is wrong."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from servers.agent import AgentServer
from whimbrel_agent import exits
from whimbrel_agent.cli import main
from whimbrel_agent.commands import raw, rules

FILTER = '[[rules]]\nname = "a"\nwhen = "data.v > 5"\ndo = "filter"\n'
ASKED = ["raw", "--source", "s", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z"]


def test_lines_that_are_no_events_are_named_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.toml").write_text(FILTER)
    lines = b'{"type":"t","source":"s","data":{"v":6}}\n\n{"type":"t"}\nnonsense\n'
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    words = ["rules", "try", "-", "--config", str(tmp_path / "r.toml"), "--json"]
    assert main(words) == exits.REFUSED
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["raw"]["events"], found["sent"]["events"], found["bad_lines"]) == (1, 0, 2)
    assert "line 3: source" in printed.err
    assert "line 4:" in printed.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no [[rules]]"),
        (FILTER.replace(">", "=>"), "[rules a] when cannot be used: at character 8"),
    ],
)
def test_rules_that_cannot_be_tried_are_a_wrong_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (tmp_path / "r.toml").write_text(text)
    assert main(["rules", "try", "x.ndjson", "--config", str(tmp_path / "r.toml")]) == exits.USAGE
    assert said in capsys.readouterr().err


def test_a_wrong_rule_stops_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent = AgentServer(tmp_path / "device", more=FILTER.replace("filter", "fliter"))
    assert main(["run", "--config", str(agent.config)]) == exits.USAGE
    assert "do is 'fliter', must be one of" in capsys.readouterr().err
    assert rules.run is not None


def test_check_shows_the_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent = AgentServer(tmp_path / "device", more=FILTER)
    assert main(["rules", "check", "--json", "--config", str(agent.config)]) == exits.DONE
    assert json.loads(capsys.readouterr().out) == [
        {"name": "a", "do": "filter", "when": "data.v > 5", "raw_days": 0}
    ]


def test_raw_events_that_are_not_there_are_a_wrong_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = AgentServer(tmp_path / "device", more=FILTER)
    config = ["--config", str(agent.config)]
    assert main([*ASKED, *config]) == exits.USAGE
    assert "no rule has kept raw events" in capsys.readouterr().err
    (agent.config.parent / "raw.db").write_bytes(b"")
    assert main([*ASKED, *config]) == exits.DONE
    assert main([*ASKED[:-1], "noon", *config]) == exits.USAGE
    assert "to is 'noon'" in capsys.readouterr().err
    assert raw.run is not None
