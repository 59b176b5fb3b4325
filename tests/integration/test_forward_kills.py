"""Forwarders and databases killed with -9 in the middle of forwarding: what is outside in the
end equals the journal, each event once and in order."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from committed import forwarding_child
from committed.journal import Committer, address, events, open_journal
from servers.postgres import PostgresServer
from servers.waiting import wait_until

STORES = ("store-1", "store-2", "store-3")
EVENTS_PER_STORE = 8_000
FRAME_EVENTS = 200
LINE_BYTES = 400
MIN_KILLS = 5
TIMEOUT_S = 60.0


async def fill(path: Path) -> None:
    journal = await open_journal(path)
    committer = Committer(journal)
    for store in STORES:
        batches = [
            events(first, FRAME_EVENTS) for first in range(1, EVENTS_PER_STORE + 1, FRAME_EVENTS)
        ]
        await committer.commit(batches, address(store))
    await journal.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "journal.db"
    asyncio.run(fill(path))
    return path


@pytest.fixture
def journal(filled: Path, tmp_path: Path) -> Path:
    """A full journal that no forwarder has read yet."""
    return Path(shutil.copy(filled, tmp_path / "journal.db"))


@contextmanager
def child(journal: Path, kind: str, target: Path) -> Iterator[subprocess.Popen[bytes]]:
    script = Path(forwarding_child.__file__)
    environment = {**os.environ, "PYTHONPATH": str(script.parent.parent)}
    process = subprocess.Popen(
        [sys.executable, script, journal, kind, target], env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def size_of(folder: Path) -> int:
    total = 0
    for path in folder.glob("*.ndjson"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # it was finished between the two calls
            continue
    return total


def lines_in(folder: Path) -> int:
    """Whole lines now; files are renamed meanwhile, so the same one may be missed or met twice."""
    total = 0
    for path in folder.glob("*.ndjson"):
        try:
            total += path.read_bytes().count(b"\n")
        except FileNotFoundError:
            continue
    return total


def lines_of(folder: Path) -> list[tuple[str, int]]:
    found = []
    for path in sorted(folder.glob("*.ndjson")):
        for line in path.read_bytes().splitlines():
            fields = json.loads(line)
            found.append((fields["store"], fields["data"]["number"]))
    return found


@pytest.mark.timeout(300)
def test_files_hold_each_event_once_after_a_forwarder_was_killed_at_random(
    journal: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    whole_bytes = len(STORES) * EVENTS_PER_STORE * LINE_BYTES
    kills = 0
    while size_of(out) < whole_bytes * 0.8:
        with child(journal, "files", out):
            goal = size_of(out) + chance.randrange(1, whole_bytes // 8)
            wait_until(
                lambda: size_of(out) >= goal,  # noqa: B023
                timeout_s=TIMEOUT_S,
                what="progress",
            )
        kills += 1
    expected = len(STORES) * EVENTS_PER_STORE
    with child(journal, "files", out):
        wait_until(lambda: lines_in(out) >= expected, timeout_s=TIMEOUT_S, what="everything")
    lines = lines_of(out)
    assert kills >= MIN_KILLS
    for store in STORES:
        numbers = [number for name, number in lines if name == store]
        assert numbers == list(range(1, EVENTS_PER_STORE + 1)), f"seed {seed}, {store}"


def count_of(server: PostgresServer) -> int:
    try:
        with psycopg.connect(server.dsn, connect_timeout=2) as connection:
            [(count,)] = connection.execute("SELECT count(*) FROM events_acme").fetchall()
            return int(count)
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return -1


@pytest.mark.timeout(300)
def test_a_table_equals_the_journal_after_postgres_and_forwarder_were_killed(
    journal: Path, tmp_path: Path, postgres: PostgresServer
) -> None:
    dsn_file = tmp_path / "dsn"
    dsn_file.write_text(postgres.dsn)
    dsn_file.chmod(0o600)
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    expected = len(STORES) * EVENTS_PER_STORE
    with child(journal, "postgres", dsn_file):
        for _ in range(4):
            goal = max(0, count_of(postgres)) + chance.randrange(1, expected // 8)
            wait_until(lambda: count_of(postgres) >= goal, timeout_s=TIMEOUT_S, what="rows")  # noqa: B023
            postgres.restart()
    for _ in range(3):
        with child(journal, "postgres", dsn_file):
            goal = count_of(postgres) + chance.randrange(1, expected // 10)
            wait_until(
                lambda: count_of(postgres) >= min(goal, expected),  # noqa: B023
                timeout_s=TIMEOUT_S,
                what="rows",
            )
    with child(journal, "postgres", dsn_file):
        wait_until(lambda: count_of(postgres) >= expected, timeout_s=TIMEOUT_S, what="all rows")
        postgres.restart()
    with psycopg.connect(postgres.dsn) as connection:
        rows = connection.execute(
            "SELECT store, sequence, (data->>'number')::int FROM events_acme"
            " ORDER BY store, sequence"
        ).fetchall()
    assert rows == [
        (store, number, number) for store in STORES for number in range(1, EVENTS_PER_STORE + 1)
    ]
