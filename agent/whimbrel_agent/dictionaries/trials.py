"""What a new dictionary would save, and whether it pays.

What zstd refers to is judged on bodies, what is shared beside it (see ``sharing``) by sealing whole frames
again. Either is learned from the older ones and judged on the newest. Pure.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from whimbrel_agent.dictionaries.hindsight import Hindsight, as_of
from whimbrel_agent.dictionaries.histograms import StreamValues
from whimbrel_agent.dictionaries.training import train
from whimbrel_protocol.batch import decode_events, encode_events, uncompressed
from whimbrel_protocol.columns.histograms import Histograms
from whimbrel_protocol.dictionaries import Dictionary, join_content, pack_dictionary
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import MAX_TABLES_BYTES
from whimbrel_protocol.shared import NOTHING_SHARED, Shared, write_shared

LAID_OUT_BYTES: Final = 8 * 1024
"""What is learned beside tables and histograms. 32 KiB made frames at most 4 per cent smaller, and took more
than that to send; with 4 KiB frames of 20 till lines were 4 per cent larger."""

LAID_OUT_FRAMES: Final = 32
"""Of these as many, the newest that are not judged on, are laid out as they will be, for zstd."""

JUDGED_SHARE: Final = 4
"""One sample in four, the newest, is not learned from but judged on."""

TIMES_COST: Final = 2
"""What is saved must be so many times the bytes of sending it: once for the radio, once for
the region, which keeps it as long as a frame names it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What judging a new dictionary showed.

    Attributes:
        frames: frames that it is expected to serve.
        judged: samples that it was judged on.
        present_bytes: they take as things are.
        learned_bytes: they take with the new one.
        cost_bytes: of sending it.
    """

    frames: int
    judged: int
    present_bytes: int
    learned_bytes: int
    cost_bytes: int

    @property
    def saved_per_frame(self) -> float:
        """Bytes that a frame takes less with the new one."""
        return (self.present_bytes - self.learned_bytes) / max(1, self.judged)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether to take the new dictionary, and why."""

    take: bool
    reason: str


def net_bytes(trial: Trial) -> float:
    """Return what a new dictionary saves beyond what it must."""
    return trial.saved_per_frame * trial.frames - TIMES_COST * trial.cost_bytes


def judge(trial: Trial) -> Judgement:
    """Return whether a new dictionary pays within the frames that are expected."""
    per_frame = trial.saved_per_frame
    saved = per_frame * trial.frames
    figures = (
        f"saves {per_frame:.0f} bytes a frame, {saved:.0f} in {trial.frames} frames, and costs "
        f"{trial.cost_bytes}"
    )
    if net_bytes(trial) < 0:
        return Judgement(take=False, reason=f"does not pay: {figures}")
    return Judgement(take=True, reason=f"pays: {figures}")


T = TypeVar("T")

Steps = Generator[None, None, T]
"""Work in pieces of some milliseconds, so that others can come between; returns what it is done for."""

Sealed = tuple[bytes, Dictionary | None]
"""Columns of a frame, and the dictionary that they may name."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What frames take as things are, and with a dictionary of some content."""

    frames: int
    present_bytes: int
    learned_bytes: int
    content: bytes

    def trial(self, ahead: int) -> Trial:
        """Return what this shows when so many frames are expected."""
        cost_bytes = len(pack_dictionary(self.content))
        return Trial(ahead, self.frames, self.present_bytes, self.learned_bytes, cost_bytes)


def finish(steps: Steps[T]) -> T:
    """Do all steps at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            done: T = end.value
            return done


def cut_of(samples: int) -> int:
    """Return how many of some samples are learned from."""
    return samples - max(1, samples // JUDGED_SHARE)


def judge_shared(
    recent: Sequence[Sealed], alone: bytes, shared: Shared, present: Dictionary | None
) -> Steps[list[Judged]]:
    """Judge on the newest frames what is shared, with what zstd could refer to beside it.

    Args:
        recent: frames, the newest last.
        alone: what was learned for zstd alone; may be empty.
        shared: what was found.
        present: the dictionary in use.
    """
    cut = cut_of(len(recent))
    hindsight = Hindsight(shared, NOTHING_SHARED if present is None else present.shared)
    known_before = {number: set(values) for number, values in hindsight.known.items()}
    streams = StreamValues(shared, hindsight.known)
    for sealed in recent[:cut]:
        _note(sealed, streams, hindsight)
        yield
    for sealed in recent[cut:]:
        streams.judge(_opened(sealed))
        yield
    whole = _within(shared, (yield from streams.found()))
    del streams  # values of thousands of events
    newest = recent[max(0, cut - LAID_OUT_FRAMES) : cut]
    laid_out = yield from _laid_out(newest, whole, as_of(whole, known_before))
    zstd = alone or (b"" if present is None else present.zstd)
    parts = ((alone, NOTHING_SHARED), (zstd, shared), (zstd, whole), (laid_out, whole))
    judged_on = [_opened(sealed) for sealed in recent[cut:]]
    present_bytes = _sealed_bytes(judged_on, present)
    judged = []
    for content, (_, one) in {join_content(*pair): pair for pair in parts}.items():
        if content:
            learned_bytes = _sealed_with(judged_on, content, as_of(one, hindsight.known))
            judged.append(Judged(len(judged_on), present_bytes, learned_bytes, content))
            yield
    return judged


def _note(sealed: Sealed, streams: StreamValues, hindsight: Hindsight) -> None:
    """Learn from one frame, and let go of it: the events of one may be a megabyte."""
    events = _opened(sealed)
    streams.saw(events)
    hindsight.saw(events)


def _opened(sealed: Sealed) -> list[Event]:
    columns, used = sealed
    return decode_events(columns, {} if used is None else {used.name: used})


def _within(shared: Shared, histograms: Histograms) -> Shared:
    """Return what is shared with as many of the histograms, the first ones, as there is room for."""
    kept = histograms.all
    while True:
        whole = replace(shared, histograms=Histograms(kept))
        if not kept or len(write_shared(whole)) <= MAX_TABLES_BYTES:
            return whole
        kept = kept[: len(kept) // 2]


def _laid_out(frames: Sequence[Sealed], shared: Shared, before: Shared) -> Steps[bytes]:
    """Return what zstd learns of frames as they will be; bodies so far say who is in them by name.

    Args:
        frames: to lay out.
        shared: what they will have.
        before: the same, of what was known before they came.
    """
    if not shared or not frames:
        return b""
    only = Dictionary(join_content(b"", shared), before)
    bodies = []
    for sealed in frames:
        bodies.append(_body_of(_opened(sealed), only))
        yield
    return train(bodies, LAID_OUT_BYTES).content


def _body_of(events: Sequence[Event], only: Dictionary) -> bytes:
    return uncompressed(encode_events(events, dictionary=only), {only.name: only})


def _sealed_with(frames: Sequence[Sequence[Event]], content: bytes, shared: Shared) -> int:
    """Return what frames take with a dictionary, which is gone then: it holds a megabyte of zstd's."""
    return _sealed_bytes(frames, Dictionary(content, shared))


def _sealed_bytes(frames: Sequence[Sequence[Event]], dictionary: Dictionary | None) -> int:
    return sum(len(encode_events(events, dictionary=dictionary)) for events in frames)
