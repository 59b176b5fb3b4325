"""How often an agent wakes that is connected and has nothing to do.

One agent, one region, nothing pending; HTTP and topics of a local broker are its intakes. The
machine's metrics are off: they are work, each minute. Counted is how often any of its threads gave
up the processor by itself to wait (proc(5): voluntary_ctxt_switches), each of which is one
wake-up. The keep-alives of both connections are in the figure.
"""

from __future__ import annotations

from threading import Event as Moment
from time import perf_counter
from typing import Final

from whimbrel_sim.fleet import Settings

from .figures import Bench, Better, Key, Measurement, Reading
from .kernel import wakeups_of
from .plant import START_TIMEOUT_S, Plant

IDLE_S: Final = 180.0
"""Three keep-alives of each connection."""

SETTLE_S: Final = 5.0


def measure(bench: Bench) -> list[Reading]:
    """Connect an agent, leave it alone, and count."""
    assert bench.mosquitto is not None
    local = bench.mosquitto(bench.folder / "local", {"log_type": "error"})
    settings: Settings = {
        "intake.mqtt": {"broker": f"mqtt://{local.host}:{local.port}", "topics": ["shop/#"]},
    }
    seconds = 1.0 if bench.quick else IDLE_S
    pause = Moment()
    try:
        local.start()
        with Plant(bench.folder, bench.mosquitto, settings=settings) as plant:
            plant.region.program.start()
            plant.uplink.start()
            plant.wait(
                lambda: _is_idle(plant), START_TIMEOUT_S, "the agent to agree with its region"
            )
            pause.wait(SETTLE_S)
            pid = plant.agent.program.pid
            begin, before = perf_counter(), wakeups_of(pid)
            pause.wait(seconds)
            count, spent_s = wakeups_of(pid) - before, perf_counter() - begin
    finally:
        local.kill()
    return [
        Reading(
            "idle_wakeups_per_minute",
            60 * count / spent_s,
            f"{count} in {spent_s:.0f} s, two connections with a keep-alive of 60 s each",
        )
    ]


def _is_idle(plant: Plant) -> bool:
    uplink = plant.status()["uplink"]
    return bool(uplink["resume"] == "done" and uplink["in_flight_frames"] == 0)


MEASUREMENTS: Final = (
    Measurement(
        name="idle",
        keys=(Key("idle_wakeups_per_minute", "1/min", Better.LOWER, 6),),
        measure=measure,
        needs_mosquitto=True,
    ),
)
