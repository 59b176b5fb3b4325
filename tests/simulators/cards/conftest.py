from __future__ import annotations

import pytest

from servers.missing import missing
from whimbrel_sim.cards import preload


@pytest.fixture(scope="session")
def recorder() -> None:
    if why := preload.available():
        missing(why)
