"""Machines: crashes between any two effects, restarts, sleep, clocks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from whimbrel_protocol.errors import WhimbrelError
from whimbrel_protocol.lanes import ClockQuality
from whimbrel_sim.worlds.cardport import NoRecorderError
from whimbrel_sim.worlds.clocks import START_NS, AgentClock, MachineClock, RegionClock
from whimbrel_sim.worlds.machine import RESTART_S, Machine, Process, ProcessDeadError, WorldRunner
from whimbrel_sim.worlds.timeline import Timeline
from worlds.virtual import in_virtual_time, virtual_loop

HOUR_NS = 3600 * 10**9


class Counting(Machine):
    """Writes a number into a file every second, with one runner's work each."""

    def __init__(self, root: Path) -> None:
        self.timeline = Timeline()
        clock = MachineClock(virtual_loop(), Random(1))
        super().__init__("m", root, clock=clock, random=Random(1), timeline=self.timeline)
        self.written: list[int] = []
        self.cleaned_up: list[str] = []
        self.error: Exception | None = None

    async def main(self, process: Process) -> None:
        runner = WorldRunner(process)
        try:
            while not process.stop.is_set():
                if self.error is not None:
                    raise self.error
                await runner.run(self.write)
                await asyncio.sleep(1)
        finally:
            await self.clean_up(process, runner)

    async def clean_up(self, process: Process, runner: WorldRunner) -> None:
        try:
            await runner.run(lambda: self.cleaned_up.append("file"))
        except ProcessDeadError:
            self.cleaned_up.append("reached nothing")

    def write(self) -> None:
        self.written.append(len(self.written))
        (self.folder / "file").write_text(str(len(self.written)))

    @property
    def file(self) -> str:
        return (self.folder / "file").read_text()


class Told(WhimbrelError):  # noqa: N818  a program's own words
    pass


class TestKill:
    @in_virtual_time
    async def test_files_stay_as_they_are(self, tmp_path: Path) -> None:
        machine = Counting(tmp_path)
        machine.start()
        await asyncio.sleep(3.5)
        written = len(machine.written)
        machine.crash(power_cut=False, why="test")
        await asyncio.sleep(1)
        assert (machine.file, len(machine.written)) == (str(written), written)

    @in_virtual_time
    async def test_cleaning_up_reaches_nothing(self, tmp_path: Path) -> None:
        machine = Counting(tmp_path)
        machine.start()
        await asyncio.sleep(1)
        machine.crash(power_cut=False, why="test")
        await asyncio.sleep(1)
        assert machine.cleaned_up == ["reached nothing"]

    @in_virtual_time
    async def test_what_a_dead_process_still_writes_does_not_reach_the_card(
        self, tmp_path: Path
    ) -> None:
        machine = Counting(tmp_path)
        machine.start()
        await asyncio.sleep(1)
        old = machine.folder
        machine.crash(power_cut=False, why="test")
        assert machine.folder != old
        assert not old.exists()

    @in_virtual_time
    async def test_it_starts_again_after_its_time(self, tmp_path: Path) -> None:
        machine = Counting(tmp_path)
        machine.start()
        await asyncio.sleep(1)
        machine.crash(power_cut=False, why="test", down_s=7)
        running = []
        for _ in range(2):
            await asyncio.sleep(6)
            running.append(machine.running)
        assert (running, machine.starts) == ([False, True], 2)

    @in_virtual_time
    async def test_a_second_one_meanwhile_changes_nothing(self, tmp_path: Path) -> None:
        machine = Counting(tmp_path)
        machine.start()
        await asyncio.sleep(1)
        for _ in range(2):
            machine.crash(power_cut=False, why="test")
        await asyncio.sleep(2 * RESTART_S)
        assert (machine.starts, machine.lives) == (2, 1)

    @in_virtual_time
    async def test_it_is_no_defect(self, tmp_path: Path) -> None:
        machine = Counting(tmp_path)
        machine.start()
        await asyncio.sleep(1)
        machine.crash(power_cut=False, why="test")
        await asyncio.sleep(20)
        assert (machine.failures, machine.gave_up) == ([], [])

    @in_virtual_time
    async def test_others_are_told_before_and_after(self, tmp_path: Path) -> None:
        machine, told = Counting(tmp_path), list[str]()
        machine.watch_crashes(
            lambda: told.append(f"before, running: {machine.running}"),
            lambda power_cut: told.append(f"after, power cut: {power_cut}"),
        )
        machine.start()
        await asyncio.sleep(1)
        machine.crash(power_cut=False, why="test")
        assert told == ["before, running: True", "after, power cut: False"]

    @in_virtual_time
    async def test_a_sleeping_process_can_be_killed(self, tmp_path: Path) -> None:
        machine = Counting(tmp_path)
        machine.start()
        await asyncio.sleep(1)
        machine.sleep()
        machine.crash(power_cut=False, why="test")
        await asyncio.sleep(2 * RESTART_S)
        assert (machine.running, machine.starts) == (True, 2)


@in_virtual_time
async def test_a_plain_card_knows_no_power_cuts(tmp_path: Path) -> None:
    machine = Counting(tmp_path)
    machine.start()
    await asyncio.sleep(1)
    with pytest.raises(NoRecorderError):
        machine.crash(power_cut=True, why="test")
    process = machine.process
    if process is not None:  # it is for the test to end it
        process.end()
    await asyncio.sleep(1)


class TestFuse:
    @pytest.mark.parametrize("calls", range(1, 12))
    @in_virtual_time
    async def test_it_ends_the_process_at_the_nth_effect(self, tmp_path: Path, calls: int) -> None:
        machine = Counting(tmp_path)
        machine.start()
        process = machine.process
        assert process is not None
        process.fuse = calls
        while process.alive:  # noqa: ASYNC110  a look costs nothing in virtual time
            await asyncio.sleep(0.5)
        # each work is an effect when it is handed in, before it and after it
        assert len(machine.written) == calls // 3

    @in_virtual_time
    async def test_work_that_was_done_is_on_the_card_though_nobody_heard_of_it(
        self, tmp_path: Path
    ) -> None:
        machine = Counting(tmp_path)
        machine.start()
        process = machine.process
        assert process is not None
        process.fuse = 3  # after the first work, before its answer
        await asyncio.sleep(1)
        assert (machine.file, process.alive) == ("1", False)


class TestEnd:
    @in_virtual_time
    async def test_an_error_that_the_program_explains_is_no_defect(self, tmp_path: Path) -> None:
        machine = Counting(tmp_path)
        machine.error = Told("the disk is full")
        machine.start()
        await asyncio.sleep(1)
        assert (machine.failures, machine.gave_up) == ([], ["Told: the disk is full"])

    @in_virtual_time
    async def test_it_starts_again_after_any_error(self, tmp_path: Path) -> None:
        machine = Counting(tmp_path)
        machine.error = Told("the disk is full")
        machine.start()
        await asyncio.sleep(1)
        machine.error = None
        await asyncio.sleep(RESTART_S)
        assert (machine.running, machine.starts) == (True, 2)

    @pytest.mark.parametrize(
        "error", [KeyError("x"), ExceptionGroup("g", [Told("said"), KeyError("x")])]
    )
    @in_virtual_time
    async def test_a_defect_is_reported(self, tmp_path: Path, error: Exception) -> None:
        machine = Counting(tmp_path)
        machine.error = error
        machine.start()
        await asyncio.sleep(1)
        assert len(machine.failures) == 1
        assert "KeyError" in machine.failures[0]

    @in_virtual_time
    async def test_a_group_of_explained_errors_is_explained(self, tmp_path: Path) -> None:
        machine = Counting(tmp_path)
        machine.error = ExceptionGroup("g", [Told("one"), Told("two")])
        machine.start()
        await asyncio.sleep(1)
        assert (machine.failures, machine.gave_up) == ([], ["Told: one; Told: two"])

    @in_virtual_time
    async def test_an_orderly_stop_cleans_up_and_starts_nothing(self, tmp_path: Path) -> None:
        machine = Counting(tmp_path)
        machine.start()
        await asyncio.sleep(1)
        await machine.stop()
        await asyncio.sleep(20)
        assert (machine.running, machine.starts) == (False, 1)
        assert machine.cleaned_up == ["file"]

    @in_virtual_time
    async def test_a_start_of_what_runs_changes_nothing(self, tmp_path: Path) -> None:
        machine = Counting(tmp_path)
        machine.start()
        first = machine.process
        machine.start()
        assert machine.process is first
        await machine.stop()

    @in_virtual_time
    async def test_the_first_of_several_wishes_to_start_counts(self, tmp_path: Path) -> None:
        machine = Counting(tmp_path)
        machine.start_after(3)
        machine.start_after(1)
        running = []
        for _ in range(2):
            await asyncio.sleep(2)
            running.append(machine.running)
        assert running == [False, True]
        await machine.stop()


class TestSleep:
    @in_virtual_time
    async def test_nothing_happens_until_it_wakes(self, tmp_path: Path) -> None:
        machine = Counting(tmp_path)
        machine.start()
        await asyncio.sleep(2.5)
        written = [len(machine.written)]
        machine.sleep()
        await asyncio.sleep(100)
        written.append(len(machine.written))
        machine.wake()
        await asyncio.sleep(2.5)
        written.append(len(machine.written))
        assert written == [3, 3, 6]
        await machine.stop()

    @in_virtual_time
    async def test_a_wake_of_what_is_awake_changes_nothing(self, tmp_path: Path) -> None:
        machine = Counting(tmp_path)
        machine.wake()
        machine.start()
        machine.wake()
        await asyncio.sleep(1)
        assert machine.timeline.counts["wakes"] == 0
        await machine.stop()


@in_virtual_time
async def test_other_contents_take_the_card_s_place(tmp_path: Path) -> None:
    machine = Counting(tmp_path / "machine")
    image = tmp_path / "image"
    image.mkdir()
    (image / "file").write_text("of the image")
    machine.replace_contents(image)
    assert machine.file == "of the image"
    assert (image / "file").exists()


class TestClock:
    @in_virtual_time
    async def test_it_begins_at_the_world_s_start(self) -> None:
        wall_ns = MachineClock(virtual_loop(), Random(1)).wall_ns()
        assert wall_ns == pytest.approx(START_NS, abs=10_000)

    @in_virtual_time
    async def test_it_goes_with_the_loop(self) -> None:
        clock = MachineClock(virtual_loop(), Random(1))
        before = clock.wall_ns(), clock.mono_ns()
        await asyncio.sleep(3600)
        after = clock.wall_ns(), clock.mono_ns()
        assert [a - b for a, b in zip(after, before, strict=True)] == pytest.approx(
            [HOUR_NS, HOUR_NS], abs=10_000
        )

    @in_virtual_time
    async def test_drift_adds_up(self) -> None:
        clock = MachineClock(virtual_loop(), Random(1))
        clock.drift_ppm = 200.0
        before = clock.wall_ns(), clock.mono_ns()
        await asyncio.sleep(3600)
        after = clock.wall_ns(), clock.mono_ns()
        gained_ns = [a - b - HOUR_NS for a, b in zip(after, before, strict=True)]
        assert gained_ns == pytest.approx([720_000_000, 720_000_000], abs=100_000)

    @in_virtual_time
    async def test_a_jump_moves_the_wall_time_alone(self) -> None:
        clock = MachineClock(virtual_loop(), Random(1))
        wall_ns, mono_ns = clock.wall_ns(), clock.mono_ns()
        clock.offset_ns -= HOUR_NS
        assert (clock.wall_ns(), clock.mono_ns()) == (wall_ns - HOUR_NS, mono_ns)

    @in_virtual_time
    async def test_no_time_is_before_1970(self) -> None:
        clock = MachineClock(virtual_loop(), Random(1))
        clock.offset_ns = -2 * START_NS
        assert clock.wall_ns() == 0

    @in_virtual_time
    async def test_a_boot_begins_the_monotonic_time_anew_and_has_another_name(self) -> None:
        clock = MachineClock(virtual_loop(), Random(1))
        await asyncio.sleep(100)
        before = clock.boot
        clock.begin_boot()
        assert clock.mono_ns() == 10**9
        assert clock.boot != before

    @in_virtual_time
    async def test_it_says_what_it_knows(self) -> None:
        clock = MachineClock(virtual_loop(), Random(1))
        clock.known = ClockQuality.UNSYNCED
        assert clock.quality() is ClockQuality.UNSYNCED

    @in_virtual_time
    async def test_boots_are_named_as_each_port_wants_them(self) -> None:
        agents, regions = (kind(virtual_loop(), Random(1)) for kind in (AgentClock, RegionClock))
        assert isinstance(agents, AgentClock)
        assert isinstance(regions, RegionClock)
        assert agents.boot_id.hex() == regions.boot_id


@in_virtual_time
async def test_what_a_process_spawned_ends_with_it(tmp_path: Path) -> None:
    machine = Counting(tmp_path)
    machine.start()
    assert machine.process is not None
    visit = machine.process.spawn(asyncio.Event().wait(), "visit")
    machine.crash(power_cut=False, why="test")
    await asyncio.wait([visit])
    assert visit.cancelled()
