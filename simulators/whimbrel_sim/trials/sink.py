"""A PostgreSQL that takes a tenth of what comes, and then one that hangs.

The database stands behind a proxy. First it is throttled to a part of what it took when it was
free: its forwarder falls behind, credit goes to zero, the agents spool; then it is let go. After
that it hangs and works by turns, and the delay of a webhook's deliveries is taken in both states: its
forwarder must not notice.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Final

from whimbrel_sim.bench.kernel import MEBIBYTE, memory_of
from whimbrel_sim.fleets.trial import Database
from whimbrel_sim.sabotage import Sabotage
from whimbrel_sim.world import Broker

from .database import FarDatabase
from .hanging import SOLO, Hanging
from .holding import PostgresRows, WebhookInbox
from .lines import Line, PartReport
from .sinkplan import SinkPlan
from .stage import Say, Stage
from .throttling import Throttling

MEMORY_CAP_BYTES: Final = 150 * MEBIBYTE
"""What the benchmark allows an aggregator (``aggregator_rss_mb``)."""

_FORWARDS: Final = """
[[forward]]
name = "postgres"
kind = "postgres"
dsn_file = "dsn"
hang_s = {hang_s}
max_backlog_bytes = {max_backlog_bytes}

[[forward]]
name = "webhook"
kind = "webhook"
url = "{url}"
[forward.select]
store = ["{solo}"]
"""


async def run_sink(
    plan: SinkPlan, broker: Broker, database: Database, folder: Path, *, seed: int,
    sabotage: Sabotage | None, say: Say,
) -> PartReport:  # fmt: skip
    """Run the part; the database is started when it does not run."""
    async with (
        Stage(folder, broker, seed=seed, sabotage=sabotage, say=say) as stage,
        WebhookInbox() as inbox,
    ):
        if not database.running:
            await asyncio.to_thread(database.start)
        host, port = address_of(database.dsn)
        proxy = await stage.proxy(host, port)
        folder.joinpath("region").mkdir(parents=True, exist_ok=True)
        secret = folder / "region" / "dsn"
        secret.touch(mode=0o600)
        secret.write_text(database.dsn.replace(f"{host}:{port}", f"{proxy.host}:{proxy.port}"))
        await stage.open_region(
            _FORWARDS.format(
                hang_s=plan.hang_s, max_backlog_bytes=plan.max_backlog_bytes, url=inbox.url,
                solo=SOLO,
            )
        )  # fmt: skip
        far = FarDatabase(stage, proxy, PostgresRows(database.dsn))
        throttling, hanging = Throttling(plan, stage, far), Hanging(plan, stage, far, inbox)
        lines = await throttling.run() if plan.throttles else []
        lines += await hanging.run()
        memory = memory_of(stage.region.program.pid)
        cap = Line(
            "the aggregator's memory stays under its cap",
            memory.peak_bytes <= MEMORY_CAP_BYTES,
            f"{memory.peak_bytes / MEBIBYTE:.0f} MiB at most, of {MEMORY_CAP_BYTES // MEBIBYTE}",
        )
        figures = {**throttling.figures, **hanging.figures, "peak_memory_bytes": memory.peak_bytes}
        return PartReport(
            part="sink", lines=(*lines, cap), figures={**figures, "plan": asdict(plan)}
        )


def address_of(dsn: str) -> tuple[str, int]:
    """Return host and port of a DSN such as ``postgresql://user@host:port/name``."""
    host, _, port = dsn.partition("@")[2].partition("/")[0].rpartition(":")
    return host, int(port)
