"""Runs one recorded workload; started under the recorder, which watches its folder.

``python -m whimbrel_sim.cards.driver PART SEED FOLDER [SABOTAGE]``
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

from . import preload
from .partlist import PARTS


def main() -> None:
    """Run a part's workload, with marks in the log of its folder."""
    name, seed, folder, *sabotages = sys.argv[1:]
    if sabotages:
        from .sabotages import SABOTAGES  # noqa: PLC0415  it imports what it breaks

        SABOTAGES[sabotages[0]].apply()
    root = Path(folder)

    def mark(one: list[Any]) -> None:
        preload.mark(root, json.dumps(one).encode())

    asyncio.run(PARTS[name].record(root, mark, random.Random(f"{name} {seed}")))


if __name__ == "__main__":
    main()
