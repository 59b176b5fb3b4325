"""Imports by the real command line, with kills of the importer and of the agent."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from servers.agent import AgentServer
from servers.waiting import wait_until
from whimbrel_protocol.cbor import load_values
from whimbrel_protocol.event import Event
from whimbrel_protocol.importdigest import ImportDigest

ROWS = 20_000


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv"
    rows = (
        f"{number},SKU{number % 97:03},{number % 7 + 1},{number * 0.25:.2f},"
        f"2011-12-{number % 28 + 1:02} 10:{number % 60:02}:00\r\n"
        for number in range(ROWS)
    )
    path.write_text("number,sku,quantity,price,sold\r\n" + "".join(rows))
    return path


def import_sales(sales: Path) -> list[str | Path]:
    return [
        *("import", sales, "--id", "sales", "--type", "sale", "--source", "till-3"),
        *("--time-column", "sold", "--time-format", "%Y-%m-%d %H:%M:%S"),
        *("--time-zone", "Europe/London", "--map", "number=number:int"),
        *("--map", "sku=sku", "--map", "price=price:decimal"),
    ]


def check_journal(agent: AgentServer, summary: dict[str, Any]) -> None:
    """Count and digest of what is in the buffer are those that the import printed."""
    done = agent.run_command("buffer", "export", "--format", "cbor")
    assert done.returncode == 0, done.stderr.decode()
    events = [Event(**fields) for fields in load_values(done.stdout)]
    assert [event.data["number"] for event in events] == list(range(ROWS))
    assert [event.extensions["importrow"] for event in events] == list(range(ROWS))
    digest = ImportDigest()
    for event in events:
        digest.add(event)
    assert (digest.count, digest.text) == (summary["count"], summary["digest"])


def accepted(agent: AgentServer) -> int:
    return int(agent.status()["buffer"]["accepted"])


def test_kills_of_importer_and_agent_lose_and_double_no_row(tmp_path: Path, sales: Path) -> None:
    with AgentServer(tmp_path / "agent") as agent:
        for share in (0.1, 0.3):
            importer = subprocess.Popen(
                agent.command_line(*import_sales(sales)), stdout=subprocess.DEVNULL
            )
            wait_until(lambda: accepted(agent) > ROWS * share, timeout_s=60, what="rows")  # noqa: B023
            importer.kill()
            importer.wait()
        importer = subprocess.Popen(
            agent.command_line(*import_sales(sales), "--json"), stdout=subprocess.PIPE
        )
        wait_until(lambda: accepted(agent) > ROWS * 0.6, timeout_s=60, what="more rows")
        agent.restart()
        output, _ = importer.communicate(timeout=60)
        assert importer.returncode == 0
        summary = json.loads(output)
        assert summary["count"] == ROWS
        assert summary["resumed_at_row"] >= ROWS * 0.3
        check_journal(agent, summary)

        again = agent.answer_of(*import_sales(sales))
        assert (again["digest"], again["resumed_at_row"]) == (summary["digest"], ROWS)
        assert accepted(agent) == ROWS


def test_an_import_without_an_agent_goes_into_the_buffer(tmp_path: Path, sales: Path) -> None:
    agent = AgentServer(tmp_path / "agent")
    done = agent.run_command(*import_sales(sales))
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "import sales: 20,000 events from 20,000 rows, 0 skipped"
    with agent:
        check_journal(agent, {"count": ROWS, "digest": lines[1].removeprefix("digest ")})


def test_an_import_larger_than_the_buffer_stops_without_pushing_anything_out(
    tmp_path: Path,
) -> None:
    path = tmp_path / "noise.ndjson"
    path.write_text("".join(f'{{"x": "{os.urandom(500).hex()}"}}\n' for _ in range(4_000)))
    agent = AgentServer(tmp_path / "agent", max_bytes=1024 * 1024)
    done = agent.run_command("import", path, "--type", "noise")
    assert done.returncode == 4
    assert b"goes on where it is" in done.stderr
    found = agent.answer_of("buffer", "inspect")["buffer"]
    ledger = next(lane["ledger"] for lane in found["lanes"] if lane["lane"] == "bulk")
    assert ledger["accepted"] == ledger["pending"] > 100
    assert sum(ledger["gapped"].values()) == 0


def test_a_progress_bar_is_drawn_on_a_terminal_only(tmp_path: Path, sales: Path) -> None:
    agent = AgentServer(tmp_path / "agent")
    assert agent.run_command(*import_sales(sales)).stderr == b""
    reader, writer = os.openpty()
    other = AgentServer(tmp_path / "other")
    subprocess.run(
        other.command_line(*import_sales(sales)),
        stderr=writer,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    os.close(writer)
    drawn = b""
    while True:
        try:
            piece = os.read(reader, 65_536)
        except OSError:  # the terminal's other end is gone
            break
        drawn += piece
    os.close(reader)
    assert b"[########################] 100%  20,000 rows" in drawn
