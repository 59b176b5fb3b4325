"""Casting: whom faults strike and when, drawn so that one line does not disturb another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from whimbrel_sim.worlds import casting
from whimbrel_sim.worlds.casting import Ends, schedule
from whimbrel_sim.worlds.faults import KINDS, Kind
from whimbrel_sim.worlds.loop import VirtualTimeLoop
from whimbrel_sim.worlds.scenario import Scenario, ScenarioError, load_scenario, names, parse
from whimbrel_sim.worlds.world import World
from worlds.virtual import in_virtual_time, virtual_loop

HEAD = 'story = "x"\nduration_s = 100\n[fleet]\nregions = 2\nstores = 2\ndevices = 3\n'
DEVICES = 12


class Stage:
    """Worlds in which faults are noted and do nothing."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.struck: list[tuple[str, str, float]] = []
        self.ended: list[tuple[str, float]] = []
        noted = {
            name: Kind(kind.targets, self._strike(name), kind.meaning, kind.settings)
            for name, kind in KINDS.items()
        }
        monkeypatch.setattr(casting, "KINDS", noted)
        self.worlds = 0

    def _strike(self, kind: str) -> Callable[..., Callable[[], None]]:
        def strike(_world: World, target: object, _settings: object) -> Callable[[], None]:
            name: str = getattr(target, "name", "")
            self.struck.append((kind, name, round(virtual_loop().time(), 3)))
            return lambda: self.ended.append((name, round(virtual_loop().time(), 3)))

        return strike

    def play(self, faults: str, *, seed: int = 1) -> list[tuple[str, str, float]]:
        """Return what is struck in a world of its own."""
        self.worlds += 1
        self.struck, self.ended = [], []
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(self._play(parse("mine", HEAD + faults), seed))
        return self.struck

    async def _play(self, scenario: Scenario, seed: int) -> None:
        world = World(scenario, seed, self.folder / str(self.worlds))
        schedule(world)
        await asyncio.sleep(200)
        world.audit.close()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def fault(kind: str, *more: str) -> str:
    return "\n".join(["[[fault]]", f'kind = "{kind}"', *more, ""])


def test_any_strikes_one(stage: Stage) -> None:
    assert len(stage.play(fault("machine.kill"))) == 1


def test_each_strikes_all_machines(stage: Stage) -> None:
    struck = stage.play(fault("machine.kill", 'on = "each"'))
    assert len({name for _, name, _ in struck}) == len(struck) == DEVICES + 2


def test_devices_leaves_the_regions_out(stage: Stage) -> None:
    struck = stage.play(fault("machine.kill", 'on = "devices"'))
    assert len(struck) == DEVICES
    assert all("/" in name for _, name, _ in struck)


@pytest.mark.parametrize(
    ("kind", "count"), [("broker.drop", 2), ("region.old_journal", 2), ("rush", DEVICES)]
)
def test_each_kind_strikes_what_it_is_for(stage: Stage, kind: str, count: int) -> None:
    assert len(stage.play(fault(kind, 'on = "each"'))) == count


@pytest.mark.parametrize(("on", "count"), [("store-1-2", 3), ("store-1-2/till-1", 1), ("eu-2", 1)])
def test_a_name_strikes_its_bearer_or_a_whole_store(stage: Stage, on: str, count: int) -> None:
    struck = stage.play(fault("machine.kill", f'on = "{on}"'))
    assert len(struck) == count
    assert all(name.startswith(on) for _, name, _ in struck)


def test_a_name_that_fits_nothing_is_an_error_with_the_names_that_do(stage: Stage) -> None:
    with pytest.raises(ScenarioError, match=r"broker.drop on 'eu-1'.*broker-1, broker-2"):
        stage.play(fault("broker.drop", 'on = "eu-1"'))


def test_a_share_strikes_so_many_of_them_at_least_one(stage: Stage) -> None:
    half = stage.play(fault("rush", 'on = "each"', "share = 0.5"))
    few = stage.play(fault("rush", 'on = "each"', "share = 0.001"))
    assert (len(half), len(few)) == (DEVICES // 2, 1)


def test_it_strikes_at_a_drawn_time_for_its_time(stage: Stage) -> None:
    [(_, name, at_s)] = stage.play(fault("link.cut", "at_s = [10, 50]", "for_s = 20"))
    assert 10 <= at_s <= 50
    [(ended, ended_s)] = stage.ended
    assert ended == name
    assert ended_s == pytest.approx(at_s + 20, abs=0.02)


def test_each_time_is_drawn_anew(stage: Stage) -> None:
    struck = stage.play(fault("link.cut", "at_s = [0, 100]", "times = 10"))
    assert len({at_s for *_, at_s in struck}) == 10


def test_how_often_it_strikes_is_drawn_from_the_seed(stage: Stage) -> None:
    line = fault("link.cut", "times = [0, 20]")
    counts = [len(stage.play(line, seed=seed)) for seed in range(8)]
    assert len(set(counts)) > 3


def test_a_seed_draws_the_same_again_and_another_seed_something_else(stage: Stage) -> None:
    line = fault("machine.kill", "at_s = [0, 100]", "times = 5")
    first, again, other = [stage.play(line, seed=seed) for seed in (3, 3, 4)]
    assert (first == again, first == other) == (True, False)


@pytest.mark.parametrize("other_times", ["0", "1", "[1, 9]"])
@pytest.mark.parametrize("comes_first", [True, False])
def test_what_one_line_draws_changes_nothing_of_the_others(
    stage: Stage, other_times: str, comes_first: bool
) -> None:
    kept = fault("machine.kill", "at_s = [0, 100]", "times = 5")
    other = fault("link.cut", "at_s = [0, 100]", f"times = {other_times}")
    silent = fault("link.cut", "times = 0")
    both = stage.play(other + kept if comes_first else kept + other)
    alone = stage.play(silent + kept if comes_first else kept)
    assert [one for one in both if one[0] == "machine.kill"] == alone


@in_virtual_time
async def test_every_shipped_scenario_strikes_somebody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Stage(tmp_path, monkeypatch)
    for name in names():
        scenario = load_scenario(name)
        world = World(scenario, 1, tmp_path / name)
        for number, line in enumerate(scenario.faults):
            assert casting._targets(world, line, world.random("fault", number))
        world.audit.close()


class TestEnds:
    def test_a_fault_ends_once(self) -> None:
        ends, ended = Ends(), list[str]()
        token = ends.add(lambda: ended.append("one"))
        ends.now(token)
        ends.now(token)
        ends.all_now()
        assert ended == ["one"]

    def test_all_end_as_they_began(self) -> None:
        ends, ended = Ends(), list[int]()
        for number in range(3):
            ends.add(lambda number=number: ended.append(number))  # type: ignore[misc]
        ends.all_now()
        assert (ended, ends.over) == ([0, 1, 2], True)

    @in_virtual_time
    async def test_nothing_begins_after_the_end(self, stage: Stage) -> None:
        world = World(parse("mine", HEAD + fault("link.cut", "at_s = 50")), 1, stage.folder / "w")
        schedule(world).all_now()
        await asyncio.sleep(100)
        assert stage.struck == []
        world.audit.close()
