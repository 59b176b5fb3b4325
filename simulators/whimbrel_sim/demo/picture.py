"""A picture of the demo for the README: one moment of the live table, and the reckoning."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType

_WIDTH: Final = 96
_FONT_FACES: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


class Picture:
    """Collects views and writes them as one SVG, without fonts from elsewhere."""

    def __init__(self) -> None:
        self._console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True)

    def add(self, view: RenderableType) -> None:
        """Put a view below those that are there."""
        self._console.print(view)
        self._console.print()

    def save(self, path: Path) -> None:
        """Write the SVG."""
        svg = self._console.export_svg(title="scripts/demo", unique_id="demo")
        path.write_text(_FONT_FACES.sub("", svg))
