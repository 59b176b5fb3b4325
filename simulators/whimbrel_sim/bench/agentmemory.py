"""The memory of an agent that learns dictionaries, while it is linked and uses them.

The agent, its intakes and its settings are those of ``drain``, but for ``dictionaries``; region and
broker are up, so that what it learns is kept and used. That it was is checked.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from whimbrel_sim.storemix import store_events

from .corpora import MIX_SEED
from .figures import Bench, Better, Key, Measurement, Reading
from .kernel import MEBIBYTE, memory_of
from .plant import Plant, every_intake
from .posting import bodies_of, post_all

BODY: Final = 200
BLOCK: Final = 20_000
"""Events whose bodies are prepared at once."""

SETTLE_TIMEOUT_S: Final = 120.0


def measure(bench: Bench) -> list[Reading]:
    """Post events to an agent that learns, and read its highest memory."""
    assert bench.mosquitto is not None
    local = bench.mosquitto(bench.folder / "local", {"log_type": "error"})
    settings = {**every_intake(local), "buffer": {"dictionaries": True}}
    count = bench.size(300_000, 6_000)
    source = iter(store_events(MIX_SEED, count))
    try:
        local.start()
        with Plant(bench.folder, bench.mosquitto, settings=settings) as plant:
            plant.region.program.start()
            plant.uplink.start()
            while block := list(islice(source, BLOCK)):
                post_all(plant.intake, bodies_of(block, BODY), connections=2)
            plant.wait(plant.is_settled, SETTLE_TIMEOUT_S, "the agent to settle its events")
            memory = memory_of(plant.agent.program.pid)
            counters = plant.status()["buffer"]["counters"]
    finally:
        local.kill()
    frames = {name: frames for name, frames in counters.items() if name.startswith("codec_")}
    return [
        Reading(
            "agent_rss_mb.dictionaries",
            memory.peak_bytes / MEBIBYTE,
            f"as agent_rss_mb, {count:,} events while linked; {memory.now_bytes / MEBIBYTE:.1f} at "
            f"the end; {frames.get('codec_zstd-tables', 0)} of {sum(frames.values())} frames were "
            "sealed with what was learned",
        )
    ]


MEASUREMENTS: Final = (
    Measurement(
        name="agent.memory",
        keys=(Key("agent_rss_mb.dictionaries", "MiB", Better.LOWER, 44),),
        measure=measure,
        needs_mosquitto=True,
    ),
)
