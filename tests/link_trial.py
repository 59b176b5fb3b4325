"""The measuring part of ``scripts/link-trial``; runs in the region's network namespace."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from servers.mosquitto import MosquittoServer
from servers.waiting import wait_until
from whimbrel_sim.bench.posting import by_socket, get_json, post_all
from whimbrel_sim.fleet import Agent, Region, Settings

HERE = "10.77.0.2"
RATE_BIT_S = 2_000_000
LOAD_BYTES = 9_000_000
PING = """
import socket, sys, time
ping = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ping.settimeout(2)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    sent = time.monotonic()
    ping.sendto(b"x", ("10.77.0.2", 7777))
    try:
        ping.recv(10)
        print(time.monotonic() - sent)
    except TimeoutError:
        print(2.0)
    time.sleep(0.02)
"""
FLOOD = """
import socket
to = socket.create_connection(("10.77.0.2", 7778))
while True:
    to.sendall(bytes(65536))
"""


class Trial:
    """One agent behind the slow link."""

    def __init__(self, folder: Path, device: str, broker: str, settings: Settings) -> None:
        self._device = device
        self.region = Region(folder / "region", [broker])
        everything: Settings = {
            "intake.http": {"socket": "intake.sock"}, "buffer": {"max_bytes": 256 * 2**20},
            **settings,
        }  # fmt: skip
        self.agent = Agent(folder / "agent", self.region, broker, settings=everything)
        self.region.enrol(self.agent)

    def inside(self, *command: str, **more: Any) -> subprocess.Popen[str]:
        """Start a command in the device's namespace."""
        return subprocess.Popen(["ip", "netns", "exec", self._device, *command], text=True, **more)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run both ends, with a backlog to send."""
        self.region.program.start()
        log = (self.agent.folder / "agent.log").open("w")
        run = ("-m", "whimbrel_agent", "run", "--config", str(self.agent.config_file))
        agent = self.inside(sys.executable, *run, stderr=log)
        try:
            intake = by_socket(self.agent.folder / "intake.sock")
            wait_until((self.agent.folder / "intake.sock").exists, timeout_s=30, what="the agent")
            lines = [
                json.dumps(
                    {"type": "load", "source": "trial", "lane": "bulk",
                     "data": {"noise": os.urandom(3_000).hex()}}
                ).encode() + b"\n"
                for _ in range(LOAD_BYTES // 3_000)
            ]  # fmt: skip
            post_all(intake, [b"".join(lines[at : at + 50]) for at in range(0, len(lines), 50)])
            wait_until(lambda: bool(self.window()["rate_bytes_per_s"]), timeout_s=60, what="a rate")
            yield
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait(30)
            self.region.program.kill()

    def uplink(self) -> dict[str, Any]:
        """What the agent says of its uplink."""
        found: dict[str, Any] = get_json(
            by_socket(self.agent.folder / "control.sock"), "/v1/status"
        )["uplink"]
        return found

    def window(self) -> dict[str, Any]:
        window: dict[str, Any] = self.uplink()["window"]
        return window

    def pings(self, seconds: float) -> list[float]:
        """Round trips of small packets from the device."""
        said = self.inside(sys.executable, "-c", PING, str(seconds), stdout=subprocess.PIPE)
        return sorted(float(line) for line in said.communicate()[0].split())


def received_bytes() -> int:
    return int(Path("/sys/class/net/down0/statistics/rx_bytes").read_text())


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def part(values: list[float], of: float) -> float:
    return 1000 * values[int(of * (len(values) - 1))]


def measure(trial: Trial, title: str, seconds: float, base_ms: float, sink: Sink) -> None:
    """Print the figures of some seconds."""
    before, others, begin = received_bytes(), sink.taken, time.monotonic()
    most = 0.0
    watch = threading.Event()

    def look() -> None:
        nonlocal most
        while not watch.wait(0.2):
            uplink = trial.uplink()
            rate = uplink["window"]["rate_bytes_per_s"]
            if rate and uplink["in_flight_frames"] > 1:
                most = max(most, uplink["in_flight_bytes"] / rate)

    watcher = threading.Thread(target=look)
    watcher.start()
    pings = trial.pings(seconds)
    watch.set()
    watcher.join()
    spent_s = time.monotonic() - begin
    all_bits = 8 * (received_bytes() - before) / spent_s
    other_bits = 8 * (sink.taken - others) / spent_s * 1.036  # their headers
    window = trial.window()
    say(
        f"{title}: agent {100 * (all_bits - other_bits) / RATE_BIT_S:.0f} % of the link "
        f"({(all_bits - other_bits) / 1000:.0f} kbit/s), others {100 * other_bits / RATE_BIT_S:.0f} %; "
        f"ping rises by {part(pings, 0.5) - base_ms:.0f} ms (median), {part(pings, 0.95) - base_ms:.0f} ms "
        f"(p95); at most {most:.2f} s of the rate in flight; the agent says {8 * window['rate_bytes_per_s'] / 1000:.0f} "
        f"kbit/s, {1000 * window['queueing_s']:.0f} ms queueing, window {window['background_bytes']}",
    )


class Sink:
    """Answers pings, swallows floods."""

    def __init__(self) -> None:
        self.taken = 0
        self._echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._echo.bind((HERE, 7777))
        self._flood = socket.create_server((HERE, 7778))
        for work in (self._answer, self._swallow):
            threading.Thread(target=work, daemon=True).start()

    def _answer(self) -> None:
        while True:
            self._echo.sendto(*self._echo.recvfrom(10))

    def _swallow(self) -> None:
        while True:
            taken, _ = self._flood.accept()
            while data := taken.recv(65_536):
                self.taken += len(data)


def main() -> int:
    device = sys.argv[1]
    sink = Sink()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with MosquittoServer(folder / "broker", host=HERE) as broker:
            url = f"mqtt://{HERE}:{broker.port}"
            trial = Trial(folder / "polite", device, url, {})
            base_ms = part(trial.pings(3), 0.5)
            say(f"2 Mbit/s, 400 ms of queue, ping {base_ms:.0f} ms without load")
            with trial.running():
                time.sleep(3)
                measure(trial, "alone", 15, base_ms, sink)
                flood = trial.inside(sys.executable, "-c", FLOOD)
                time.sleep(5)
                measure(trial, "beside one TCP connection, after 5 s", 12, base_ms, sink)
                flood.kill()
            capped = Trial(folder / "capped", device, url, {"uplink": {"rate_limit": "500 kbit/s"}})
            with capped.running():
                time.sleep(5)
                measure(capped, "under a cap of 500 kbit/s", 20, base_ms, sink)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
