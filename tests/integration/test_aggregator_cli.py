"""The command line with real processes: the same answers with and without a running aggregator."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from committed.journal import KEY, Committer, address, event, events, open_journal
from servers.ports import free_port
from servers.waiting import wait_until
from whimbrel_protocol.importdigest import ImportDigest

TIMEOUT_S = 30.0
PUBLIC_KEY = KEY.public.to_text()


class Installation:
    """A folder with key, configuration and journal, and its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "aggregator.toml"
        self.journal = folder / "journal.db"
        self.port = free_port()
        self.config.write_text(
            f"""
            [region]
            name = "eu-1"
            key = "region.key"
            [broker]
            urls = ["mqtt://127.0.0.1:{free_port()}"]
            [journal]
            path = "journal.db"
            min_free_bytes = 0
            [api]
            listen = "127.0.0.1:{self.port}"
            [[forward]]
            name = "files"
            kind = "files"
            dir = "out"
            """
        )

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "whimbrel_aggregator", *arguments]
        return subprocess.Popen(
            [*command, "--config", str(self.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            start_new_session=True,
            **options,
        )

    def run(self, *arguments: str, status: int = 0) -> str:
        process = self.start(*arguments)
        out, error = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == status, (out, error)
        return out if status == 0 or out else error

    def bare(self, *arguments: str, status: int = 0) -> str:
        """Run a command that takes no configuration."""
        done = subprocess.run(
            [sys.executable, "-m", "whimbrel_aggregator", *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == status, (done.stdout, done.stderr)
        return done.stdout or done.stderr

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", status=status))

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        log = (self.folder / "log").open("a")
        command = [sys.executable, "-m", "whimbrel_aggregator", "run", "--config", str(self.config)]
        process = subprocess.Popen(command, stderr=log, start_new_session=True, text=True)
        before = (self.folder / "log").read_text().count("aggregator is ready")
        try:
            wait_until(
                lambda: (
                    process.poll() is not None
                    or (self.folder / "log").read_text().count("aggregator is ready") > before
                ),
                timeout_s=TIMEOUT_S,
                what="the aggregator",
            )
            assert process.poll() is None, (self.folder / "log").read_text()
            yield process
        finally:
            process.terminate()
            try:
                process.wait(TIMEOUT_S)
            finally:
                process.kill()
                log.close()

    def commit(self, *stores: str, count: int = 5, rows: bool = False) -> None:
        asyncio.run(self._commit(stores, count, rows=rows))

    async def _commit(self, stores: tuple[str, ...], count: int, *, rows: bool) -> None:
        journal = await open_journal(self.journal)
        committer = Committer(journal)
        for store in stores:
            await committer.commit([imported(count) if rows else events(1, count)], address(store))
        await journal.close()


def imported(count: int) -> list[Any]:
    return [event(row, extensions={"import": "sales", "importrow": row}) for row in range(count)]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(tmp_path)
    made.run("keygen", "--out", str(tmp_path / "region.key"))
    return made


def test_keygen_never_overwrites_and_keeps_the_key_private(installation: Installation) -> None:
    key = installation.folder / "region.key"
    before = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    assert "never overwritten" in installation.run("keygen", status=2)
    assert key.read_bytes() == before
    made = installation.json("keygen", "--out", str(installation.folder / "other.key"))
    assert len(made["public_key"]) == 44


def test_events_are_the_same_with_and_without_a_running_aggregator(
    installation: Installation,
) -> None:
    installation.commit("store-1", "store-2", count=700)
    asked = ("events", "--store", "store-2", "--since", "2026-11-22")
    offline = installation.run(*asked)
    with installation.running():
        assert installation.run(*asked) == offline
    lines = [json.loads(line) for line in offline.splitlines()]
    assert [one["data"]["number"] for one in lines] == list(range(1, 701))
    assert {one["store"] for one in lines} == {"store-2"}


def test_a_table_shows_no_control_characters(installation: Installation) -> None:
    asyncio.run(_commit_one(installation.journal, event(1, type="a\x1b[31mb", data={"t": "\x07é"})))
    shown = installation.run("events", "--format", "table")
    assert "a\\x1b[31mb" in shown
    assert "é" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


async def _commit_one(path: Path, one: Any) -> None:
    journal = await open_journal(path)
    await Committer(journal).commit([[one]])
    await journal.close()


def test_wrong_arguments_are_told_with_the_rule(installation: Installation) -> None:
    assert "--since" in installation.run("events", "--since", "yesterday", status=2)
    assert "query.store" in installation.run("events", "--store", "Store", status=2)
    assert "at least 1" in installation.run("events", "--limit", "0", status=2)


def test_following_needs_a_running_aggregator(installation: Installation) -> None:
    assert "no aggregator runs" in installation.run("events", "--follow", status=3)


def test_following_survives_a_restart_without_loss_or_repeat(installation: Installation) -> None:
    installation.commit("store-1", count=3)
    with installation.running():
        follower = installation.start("events", "--follow", "--since", "2026-01-01", "--limit", "6")
        assert follower.stdout is not None
        first = [json.loads(follower.stdout.readline()) for _ in range(3)]
    installation.commit("store-2", count=3)
    with installation.running():
        out, error = follower.communicate(timeout=TIMEOUT_S)
    assert follower.returncode == 0, error
    found = first + [json.loads(line) for line in out.splitlines()]
    assert [(one["store"], one["data"]["number"]) for one in found] == [
        (store, number) for store in ("store-1", "store-2") for number in (1, 2, 3)
    ]


def test_devices_are_kept_with_and_without_a_running_aggregator(
    installation: Installation,
) -> None:
    place = ("acme", "store-1", "till-1")
    made = installation.json("devices", "add", *place, "--key", PUBLIC_KEY, "--label", "door")
    assert made["public_keys"] == [PUBLIC_KEY]
    with installation.running():
        assert installation.json("devices", "list")["devices"] == [made]
        other = ("--key", "A" * 43 + "=")
        assert "replace" in installation.run("devices", "add", *place, *other, status=1)
        assert "public_key" in installation.run("devices", "add", *place, "--key", "x", status=2)
        assert "is removed" in installation.run("devices", "remove", *place)
    assert installation.json("devices", "list")["devices"] == []
    assert "till-1" in installation.run("devices", "list", "--removed")
    assert installation.json("devices", "list", "--strangers") == {"strangers": []}
    assert installation.run("devices", "list", "--strangers").startswith("TENANT")


def test_status_and_forwarders_answer_as_json_and_text(installation: Installation) -> None:
    installation.commit("store-1")
    assert installation.json("status")["reason"] == "the aggregator does not run"
    with installation.running():
        wait_until(
            lambda: installation.json("forwarders", "list")["forwarders"][0]["delivered"] == 5,
            timeout_s=TIMEOUT_S,
            what="forwarding",
        )
        [forwarder] = installation.json("forwarders", "list")["forwarders"]
        status = installation.json("status")
        assert (status["region"], status["frames"]) == ("eu-1", 1)
        assert status["reason"] == "no broker is connected"
        assert "eu-1" in installation.run("status")
        assert "transactional" in installation.run("forwarders", "list")
    assert (forwarder["name"], forwarder["state"]) == ("files", "running")
    assert installation.json("forwarders", "list")["forwarders"][0]["state"] == "absent"
    assert "detached" in installation.run("forwarders", "detach", "files")
    assert "attached" in installation.run("forwarders", "detach", "files", status=1)
    assert installation.json("forwarders", "parked") == {"parked": []}


def test_backup_restore_and_rebind_bring_a_region_back(installation: Installation) -> None:
    installation.commit("store-1")
    backup = installation.folder / "backup.db"
    with installation.running():
        wait_until(
            lambda: (
                installation.json("forwarders", "list")["forwarders"][0]["lag_frames"] == 0
                and installation.json("forwarders", "list")["forwarders"][0]["delivered"] == 5
            ),
            timeout_s=TIMEOUT_S,
            what="forwarding",
        )
        generation = installation.json("status")["generation"]
        assert installation.json("backup", str(backup))["size_bytes"] > 0
        assert "in use" in installation.run("restore", str(backup), "--replace", status=4)
    assert "exists" in installation.run("restore", str(backup), status=4)
    installation.run("restore", str(backup), "--replace")
    with installation.running():
        assert installation.json("status")["generation"] != generation
        wait_until(
            lambda: installation.json("forwarders", "list")["forwarders"][0]["state"] == "stopped",
            timeout_s=TIMEOUT_S,
            what="the stop",
        )
        assert "generation" in installation.run("forwarders", "list")
        installation.run("forwarders", "rebind", "files")
        wait_until(
            lambda: installation.json("forwarders", "list")["forwarders"][0]["state"] == "running",
            timeout_s=TIMEOUT_S,
            what="running again",
        )
    lines = [
        json.loads(line)["data"]["number"]
        for path in (installation.folder / "out").glob("*.ndjson")
        for line in path.read_text().splitlines()
    ]
    assert lines == [1, 2, 3, 4, 5]


def test_verify_tells_a_sound_journal_from_a_damaged_one(installation: Installation) -> None:
    installation.commit("store-1", count=200)
    report = installation.json("verify")
    assert (report["sound"], report["events"], report["frames"]) == (True, 200, 1)
    data = bytearray(installation.journal.read_bytes())
    # the frame's bytes are the biggest thing in the file; its middle is surely in them
    at = data.index(b"number")
    data[at] ^= 1
    installation.journal.write_bytes(data)
    assert not installation.json("verify", status=1)["sound"]


def test_an_import_is_confirmed_by_count_and_digest(installation: Installation) -> None:
    installation.commit("store-1", count=300, rows=True)
    digest = ImportDigest()
    for one in imported(300):
        digest.add(one)
    asked = ("verify", "--import", "sales")
    with installation.running():
        found = installation.json(*asked, "--count", "300", "--digest", digest.text)
    assert found["confirmed"]
    assert found["devices"][0] == {
        "device": "acme/store-1/till-1",
        "count": 300,
        "digest": digest.text,
        "complete": True,
        "repeated": 0,
        "waiting": 0,
    }
    assert "not 301" in installation.run(*asked, "--count", "301", status=1)
    assert "no event" in installation.run("verify", "--import", "other", status=1)


def test_a_second_aggregator_refuses_the_journal(installation: Installation) -> None:
    with installation.running():
        text = installation.config.read_text()
        installation.config.write_text(text.replace(str(installation.port), "0"))
        assert "in use" in installation.run("status", status=4)


def test_a_damaged_journal_is_refused_salvaged_and_goes_on(installation: Installation) -> None:
    installation.json("devices", "add", "acme", "store-1", "till-1", "--key", PUBLIC_KEY)
    listed = installation.folder / "devices.json"
    listed.write_text(installation.run("devices", "list", "--json"))
    installation.commit("store-1", "store-2", count=300)
    asked = ("events", "--since", "2026-11-22")
    before = installation.run(*asked)
    damaged = bytearray(installation.journal.read_bytes())
    for page in (2, 5, 7, 8, 9):  # meta, devices, their keys, streams and their index
        damaged[(page - 1) * 4096 : page * 4096] = bytes(4096)
    installation.journal.write_bytes(damaged)
    assert "salvage" in installation.run(*asked, status=4)
    command = ("salvage", str(installation.journal))
    assert "not what" in installation.bare(*command, "--replace", "--devices", __file__, status=2)
    copy = installation.folder / "copy.db"
    shown = installation.bare(*command, "--out", str(copy))
    assert "by unknown keys" in shown
    assert copy.stat().st_mode & 0o777 == 0o600
    told = json.loads(installation.bare(*command, "--replace", "--devices", str(listed), "--json"))
    assert (told["frames"], told["lost_frames"], told["devices"]) == (2, 0, 1)
    assert Path(told["kept_aside"]).read_bytes() == damaged
    assert installation.run(*asked) == before
    assert installation.json("verify")["sound"] is True
    with installation.running():
        assert installation.run(*asked) == before
        shown = installation.json("devices", "list")["devices"]
        assert [one["public_keys"] for one in shown] == [[PUBLIC_KEY]]


@pytest.mark.parametrize("command", ["events", "devices", "forwarders", "verify", "restore"])
def test_help_teaches_with_examples(command: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "whimbrel_aggregator", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"  whimbrel-aggregator {command}" in shown
