"""What a person sees while a fleet runs: a table that is redrawn, or a line now and then."""

from __future__ import annotations

from collections import deque
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from .figures import Figures

RATE_S: Final = 10.0
"""Rates are taken over so long."""

LINE_S: Final = 10.0
"""Where there is no terminal, a line is printed so often."""

_MIB: Final = 1024 * 1024


class Screen:
    """Shows figures as they come."""

    def __init__(self, console: Console, agents: int) -> None:
        self._console = console
        self._agents = agents
        self._past: deque[tuple[float, Figures]] = deque()
        self._live: Live | None = None
        self._next_line_s = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, phase: str, figures: Figures, now_s: float) -> None:
        """Show figures; ``now_s`` is any clock that never goes back."""
        self._past.append((now_s, figures))
        while now_s - self._past[0][0] > RATE_S:
            self._past.popleft()
        if self._live is not None:
            self._live.update(self.table(phase), refresh=True)
        elif now_s >= self._next_line_s:
            self._next_line_s = now_s + LINE_S
            told = "  ".join(f"{name} {value}" for name, value in self.rows())
            self._console.print(f"{phase}: {told}", highlight=False, soft_wrap=True)

    def table(self, phase: str) -> Table:
        """Draw the present figures."""
        table = Table(title=f"fleet, {phase}", title_justify="left", show_header=False)
        table.add_column()
        table.add_column(justify="right")
        for name, value in self.rows():
            table.add_row(name, value)
        return table

    def rows(self) -> list[tuple[str, str]]:
        """Return the present figures as (name, value)."""
        figures = self._past[-1][1]
        return [
            ("devices up", f"{figures.up:,} of {self._agents:,}"),
            ("accepted", f"{figures.accepted:,}"),
            ("delivered", f"{figures.delivered:,}"),
            ("backlog", f"{figures.backlog:,}"),
            ("events/s delivered", f"{self._rate('delivered'):,.0f}"),
            ("receipts/s", f"{self._rate('receipts'):,.0f}"),
            ("bytes/s sent", f"{self._rate('bytes_sent'):,.0f}"),
            ("bytes sent", f"{figures.bytes_sent:,}"),
            ("frames resent", f"{figures.frames_resent:,}"),
            ("drops (gaps)", f"{figures.dropped:,}"),
            ("posts tried again", f"{figures.retries:,}"),
            ("memory", f"{figures.memory_bytes / _MIB:,.0f} MiB"),
        ]

    def _rate(self, name: str) -> float:
        (first_s, first), (last_s, last) = self._past[0], self._past[-1]
        if last_s <= first_s:
            return 0.0
        gained: int = getattr(last, name) - getattr(first, name)
        return max(0.0, gained / (last_s - first_s))
