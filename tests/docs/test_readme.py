"""The README's commands, run in its order with its settings, by a user who has only the page."""

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from documents import ROOT, blocks_of
from servers.missing import find_program
from servers.mosquitto import MosquittoServer
from servers.waiting import wait_until
from whimbrel_sim.ports import free_port

README = ROOT / "README.md"
START_TIMEOUT_S = 30.0
RUN_TIMEOUT_S = 60.0


class Reader:
    """Somebody at a shell in an empty folder."""

    def __init__(self, folder: Path, ports: dict[str, str]) -> None:
        self.folder = folder
        self.printed: dict[str, str] = {}
        self._ports = ports
        self._background: list[subprocess.Popen[bytes]] = []

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(self._localised(text))

    def run(self, command: str) -> str:
        """Run a command line to its end and return what it printed."""
        words = shlex.split(self._localised(command))
        words[0] = str(find_program(words[0]))
        done = subprocess.run(
            words,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}{done.stdout}"
        self.printed[command] = done.stdout
        return done.stdout

    def start(self, command: str, ready: str) -> None:
        """Leave a command running; wait until its log says ``ready``."""
        words = shlex.split(self._localised(command))
        words[0] = str(find_program(words[0]))
        log_file = self.folder / f"{Path(words[0]).name}.log"
        with log_file.open("wb") as log:
            self._background.append(
                subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT)
            )
        wait_until(
            lambda: ready in log_file.read_text(),
            timeout_s=START_TIMEOUT_S,
            what=f"{command} is ready",
        )

    def stop(self) -> None:
        for process in reversed(self._background):
            process.send_signal(signal.SIGTERM)
        for process in self._background:
            assert process.wait(20) == 0

    def _localised(self, text: str) -> str:
        for theirs, ours in self._ports.items():
            text = text.replace(theirs, ours)
        return text


@pytest.fixture
def reader(tmp_path: Path, mosquitto: MosquittoServer) -> Iterator[Reader]:
    api = free_port()
    person = Reader(
        tmp_path,
        {
            "127.0.0.1:1883": f"127.0.0.1:{mosquitto.port}",
            "127.0.0.1:8440": f"127.0.0.1:{free_port()}",
            '[journal]\npath = "journal.db"\n': (
                f'[journal]\npath = "journal.db"\n\n[api]\nlisten = "127.0.0.1:{api}"\n'
            ),
        },
    )
    yield person
    person.stop()


def _blocks(title: str) -> tuple[str, list[str]]:
    """Return the settings and the commands below one heading."""
    page = README.read_text()
    start = page.index(f"\n## {title}\n")
    end = page.find("\n## ", start + 4)
    part = page[start : end if end > 0 else len(page)]
    found = re.findall(r"^```(\w+)\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    settings = "".join(text for language, text in found if language == "toml")
    commands = [
        line.split("    # ")[0].strip()
        for language, text in found
        if language == "sh"
        for line in text.splitlines()
        if line.strip()
    ]
    return settings, commands


@pytest.mark.slow
def test_a_reader_of_the_page_alone_brings_an_event_from_a_store_to_the_region(
    reader: Reader,
) -> None:
    settings, commands = _blocks("Run an aggregator")
    install, keygen, run = commands
    _check_install(install)
    region_key = reader.run(keygen).strip()
    reader.write("aggregator.toml", settings)
    reader.start(run, "aggregator is ready")

    settings, commands = _blocks("Install an agent")
    install, keygen, run, enrol, emit, post, drain, status, events = commands
    _check_install(install)
    device_key = reader.run(keygen).strip()
    reader.write("agent.toml", settings.replace("REGION_KEY", region_key))
    reader.start(run, '"message": "ready"')
    reader.run(enrol.replace("DEVICE_KEY", device_key))
    reader.run(emit)
    assert '"accepted"' in reader.run(post)
    reader.run(drain)
    assert "acme/eu-1/store-12/till-3" in reader.run(status)
    table = reader.run(events)
    assert "door.opened" in table
    assert "sale" in table
    wait_until(
        lambda: _archived(reader.folder) == {"door.opened", "sale"},
        timeout_s=RUN_TIMEOUT_S,
        what="the archive has both events",
    )


def _archived(folder: Path) -> set[str]:
    text = "".join(path.read_text() for path in (folder / "archive").rglob("*.ndjson*"))
    return set(re.findall(r'"type": ?"([a-z.]+)"', text))


def _check_install(command: str) -> None:
    """Let pip resolve the project with its extra, without installing over this environment."""
    words = shlex.split(command)
    assert words[:2] == ["pip", "install"]
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps",
            "--no-index", "--no-build-isolation", *words[2:],
        ],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "does not provide the extra" not in done.stderr


def test_the_page_names_the_commands_that_this_project_lives_by() -> None:
    commands = [c for b in blocks_of(README) if b.language == "sh" for c in b.commands()]
    assert "scripts/demo" in commands
    assert "scripts/test" in commands


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_the_demo_agrees_with_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "whimbrel_sim.demo", "--quick", "--rate", "300"],
        capture_output=True, text=True, timeout=140, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "they agree: none lost, none doubled" in done.stdout
