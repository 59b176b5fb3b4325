"""What a person sees while the demo runs: one table, redrawn, and the acts as they come."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .figures import Figures
from .reckoning import Reckoning
from .stage import Stage, Store

_BAR: Final = 24


def live_view(stage: Stage, figures: Figures, act: str, elapsed_s: float) -> RenderableType:
    """Draw the stage as it is now."""
    table = Table(expand=False, title_justify="left")
    for name in ("store", "agent", "accepted", "waiting in its buffer", "delivered"):
        table.add_column(name, justify="left" if name in ("store", "agent") else "right")
    most = max((_buffer(store).get("pending", 0) for store in stage.stores), default=0)
    for store in stage.stores:
        table.add_row(*_store_row(store, max(most, 1)))
    headline = Text.assemble((f"{elapsed_s:5.1f} s  ", "dim"), (act, "bold"))
    return Group(headline, table, _region_line(figures.region))


def final_view(reckoning: Reckoning) -> RenderableType:
    """Draw the reckoning."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in reckoning.lines():
        table.add_row(name, value)
    verdict = (
        Text("they agree: none lost, none doubled", "bold green")
        if reckoning.agrees
        else Text(f"THEY DISAGREE: {reckoning.journal}", "bold red")
    )
    return Panel(Group(table, Text(), verdict), title="reckoning", expand=False)


def _buffer(store: Store) -> dict[str, Any]:
    found: dict[str, Any] = store.status.get("buffer", {})
    return found


def _store_row(store: Store, most: int) -> tuple[Text | str, ...]:
    buffer = _buffer(store)
    pending = buffer.get("pending", 0)
    filled = round(_BAR * pending / most) if pending else 0
    bar = Text("█" * filled + "·" * (_BAR - filled), "yellow" if pending else "dim")
    return (
        store.name,
        _state(store),
        f"{buffer.get('accepted', 0):,}",
        Text.assemble(bar, f" {pending:>6,}"),
        f"{buffer.get('delivered', 0):,}",
    )


def _state(store: Store) -> Text:
    if store.is_killed:
        return Text("killed", "bold red")
    if not store.status:
        return Text("starting", "dim")
    uplink = store.status.get("uplink") or {}
    link = str(uplink.get("link", "starting"))
    return Text(link, "green" if link == "up" else "yellow")


def _region_line(region: dict[str, Any]) -> Text:
    if not region:
        return Text("region: starting", "dim")
    ingest = region.get("ingest", {})
    outlets = "   ".join(
        f"{one['name']} {one['delivered']:,}" for one in region.get("forwarders", [])
    )
    return Text(
        f"region: {region.get('frames', 0):,} frames committed, "
        f"{ingest.get('frames_duplicate', 0):,} duplicates refused   forwarded: {outlets}"
    )
