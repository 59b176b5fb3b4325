from __future__ import annotations

from whimbrel_sim.records.page import as_markdown
from whimbrel_sim.records.slices import Slice

SMOKE = Slice(
    kind="worlds", of="smoke", first=1, count=250, program="p1", commit="c1", digest="d",
    sums={"accepted": 80_000, "kills": 900, "device_s": 360_000, "cpu_s": 1800},
    faults={"link.cut": 300, "machine.kill": 500},
)  # fmt: skip
HERD = Slice(
    kind="worlds", of="herd", first=1, count=10, program="p2", commit="c2", digest="d",
    failures=((4, ("once", "order")),), sums={"accepted": 1, "cpu_s": 1800}, faults={"link.cut": 5},
)  # fmt: skip
IMAGES = Slice(
    kind="images", of="buffer", first=1, count=5, program="p2", commit="c3", digest="d",
    sums={"buffer: power cut": 3, "journal: kill": 2},
)  # fmt: skip


def test_each_scenario_has_a_line_and_the_sums_stand_below() -> None:
    page = as_markdown([SMOKE, HERD])
    assert "| smoke | 250 | 0 | 80,000 | 100 | 900 | 800 | 0.50 |" in page
    assert "| herd | 10 | 1 | 1 | 0 | 0 | 5 | 0.50 |" in page
    assert "| **together** | 260 | 1 | 80,001 | 100 | 900 | 805 | 1.00 |" in page
    assert "| link.cut | 305 |" in page


def test_images_have_a_table_of_their_own() -> None:
    page = as_markdown([SMOKE, IMAGES])
    assert "| buffer: power cut | 3 |" in page
    assert "| **together** | 5 |" in page
    assert "Disk images and" not in as_markdown([SMOKE])


def test_programs_and_failures_are_named() -> None:
    page = as_markdown([SMOKE, HERD, IMAGES])
    assert "| `p2` | c2, c3 | 15 | 1 |" in page
    assert "| herd | 4 | once, order | c2 |" in page
    assert as_markdown([SMOKE]).endswith("## Failures\n\nNone.\n")


def test_very_many_failures_are_counted() -> None:
    failures = tuple((seed, ("once",)) for seed in range(60))
    many = Slice(
        kind="worlds", of="x", first=0, count=60, program="p", commit="c", digest="d",
        failures=failures,
    )  # fmt: skip
    assert "... and 10 more." in as_markdown([many])


def test_an_empty_record_is_a_page_too() -> None:
    assert "| **together** | 0 |" in as_markdown([])
