"""Learning a dictionary from what was sealed, when that pays.

Samples are the newest bodies of frames, in bounded memory. After 4, 8, 16, ... frames of this
process dictionaries of three sizes are made from the older samples and judged on the newer ones:
the best must save, over as many frames as were seen (1,024 at least), twice what it costs to send
and keep. What has become useless is replaced the same way, since the present one is the measure.
Beside it goes what is shared (see ``sharing``); with that it is judged by sealing the newest
frames again. Pure but for the library that trains.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import zstandard

from whimbrel_agent.buffer.sharing import Sharing
from whimbrel_protocol import zstdcodec
from whimbrel_protocol.batch import decode_events, encode_events, uncompressed
from whimbrel_protocol.dictionaries import Dictionary, join_content, pack_dictionary
from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.lead import DICTIONARY_NAME_BYTES
from whimbrel_protocol.shared import NOTHING_SHARED, Shared

SAMPLE_BYTES: Final = 96 * 1024
"""All samples together. A trial on them takes some 50 ms here and half a second on the slowest class
of devices; half as much leaves frames of 500 till lines 4 per cent larger."""

MAX_SAMPLE_BYTES: Final = 16 * 1024
"""Of one body: its heads and texts come first, and those are what repeats."""

SIZES_BYTES: Final = (4 * 1024, 16 * 1024, 32 * 1024)
"""Sizes tried. Readings repeat little but their names: 4 KiB do as much for them as 16, at a third
of the cost. Lines with article descriptions take a sixth less with 16, and 5 per cent less again
with 32, the most that a dictionary may have."""

LEARNED_BYTES: Final = max(SIZES_BYTES)

LEAST_AHEAD: Final = 1_024
"""Frames that are taken to come yet, however few came: an hour of a busy till, three and a half
days of a sensor that is sealed every five minutes. With 256 till lines in frames of 20 took 6 per
cent more, since the largest dictionary came late."""

FIRST_FRAMES: Final = 4
MIN_SAMPLES: Final = 4

RECENT_BYTES: Final = 8 * 1024
RECENT_FRAMES: Final = 32
"""The newest frames, whole, that a dictionary with tables is judged on: some 1,000 events, which take as
long as one training."""

JUDGED_SHARE: Final = 4
"""One sample in four, the newest, is not learned from but judged on."""

TIMES_COST: Final = 2
"""What is saved must be so many times the bytes of sending it: once for the radio, once for
the region, which keeps it as long as a frame names it."""

_SEGMENT_BYTES: Final = 200
_DMER_BYTES: Final = 8
"""Parameters of the "cover" training; chosen once, since searching for them costs eight times as
much. 64 and 6 gave frames 5 to 50 per cent larger."""

_COUNTS_LOG: Final = 17
"""The training counts in a table of 2 to this. The library's 20 takes 11 MB, a third of what the
whole agent may have, and four times as long; its dictionaries are as good within 1 per cent. 14
gave frames up to a tenth larger."""

_LEVEL: Final = 1
"""At which the training learns its entropies: half a megabyte less than 3, within 1 per cent."""


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


class Learner:
    """Collects samples, and says when to try and what came of it."""

    def __init__(self) -> None:
        self._samples: deque[bytes] = deque()
        self._recent: deque[tuple[bytes, Dictionary | None]] = deque(maxlen=RECENT_FRAMES)
        self._sharing = Sharing()
        self._size_bytes = 0
        self._next_try = FIRST_FRAMES
        self.frames = 0
        self.last = Judgement(take=False, reason="nothing was tried yet")

    def saw(self, events: Sequence[Event], columns: bytes, present: Dictionary | None) -> None:
        """Take note of a frame that was sealed, with the dictionary that it may name."""
        self.frames += 1
        self._sharing.saw(events, _shared_by(present))
        self._recent.append((columns, present))
        while sum(len(one) for one, _ in self._recent) > RECENT_BYTES:
            self._recent.popleft()
        if len(events) == 1:  # what is smallest may be its row; a dictionary is for columns
            columns = encode_events(events, codec="none")
        body = uncompressed(columns, {} if present is None else {present.name: present})
        self._samples.append(body[:MAX_SAMPLE_BYTES])
        self._size_bytes += len(self._samples[-1])
        while self._size_bytes > SAMPLE_BYTES:
            self._size_bytes -= len(self._samples.popleft())

    @property
    def is_due(self) -> bool:
        """Whether it is time for a trial."""
        return self.frames >= self._next_try and len(self._samples) >= MIN_SAMPLES

    def pass_over(self) -> None:
        """Make no trial now; the next is due after as many frames again."""
        self._next_try = 2 * self.frames
        self.last = Judgement(take=False, reason="no room for another, or one waits to be kept")

    def learn(self, present: Dictionary | None) -> Dictionary | None:
        """Make a dictionary and return it if it pays against the present one, if any."""
        self._next_try = 2 * self.frames
        samples = list(self._samples)
        cut = _cut(len(samples))
        judged = [(one, _plain_bytes(one)) for one in samples[cut:]]
        present_bytes = _packed_bytes(judged, present)
        # contents only: a dictionary that has compressed holds a megabyte of the library's
        alone = self._best(
            self._trial(len(judged), present_bytes, _packed_bytes(judged, learned), learned)
            for learned in (train(samples[:cut], size_bytes) for size_bytes in SIZES_BYTES)
        )
        before = _shared_by(present)
        shared = self._sharing.found(before)
        if not shared and not before:
            return Dictionary(alone) if alone else None
        kept = alone or (b"" if present is None else present.zstd)
        frames = [
            decode_events(columns, {} if used is None else {used.name: used})
            for columns, used in self._recent
        ]
        contents = {alone, join_content(kept, shared)} - {b""}
        if shared.roster and not before.roster:
            cut = _cut(len(frames))
            frames, older = frames[cut:], frames[:cut]
            contents |= {join_content(_laid_out(older, shared), shared)}
        present_bytes = _sealed_bytes(frames, present)
        best = self._best(
            self._trial(len(frames), present_bytes, _sealed_bytes(frames, learned), learned)
            for learned in map(Dictionary, sorted(contents))
        )
        return Dictionary(best) if best else None

    def _trial(
        self, judged: int, present_bytes: int, learned_bytes: int, learned: Dictionary
    ) -> tuple[Trial, bytes]:
        """Return what judging a dictionary showed, and its content."""
        trial = Trial(
            frames=max(self.frames, LEAST_AHEAD),
            judged=judged,
            present_bytes=present_bytes,
            learned_bytes=learned_bytes,
            cost_bytes=len(pack_dictionary(learned.content)),
        )
        return trial, learned.content

    def _best(self, trials: Iterable[tuple[Trial, bytes]]) -> bytes:
        """Judge the best of some trials; return its content, empty where it does not pay."""
        best = max(trials, key=lambda one: net_bytes(one[0]), default=None)
        if best is None:
            return b""
        self.last = judge(best[0])
        return best[1] if self.last.take else b""


def _shared_by(present: Dictionary | None) -> Shared:
    return NOTHING_SHARED if present is None else present.shared


def _cut(samples: int) -> int:
    """Return how many of some samples are learned from."""
    return samples - max(1, samples // JUDGED_SHARE)


def _laid_out(frames: Sequence[Sequence[Event]], shared: Shared) -> bytes:
    """Return what zstd learns of frames as they will be; bodies so far say who is in them by name."""
    if not frames:
        return b""
    only = Dictionary(join_content(b"", shared))
    at_hand = {only.name: only}
    bodies = [uncompressed(encode_events(one, dictionary=only), at_hand) for one in frames]
    return train(bodies).content


def train(samples: Sequence[bytes], size_bytes: int = LEARNED_BYTES) -> Dictionary:
    """Return a dictionary of at most so many bytes; raw content where none can be trained."""
    pieces: list[bytes | bytearray | memoryview[int]] = [*samples]
    try:
        trained = zstandard.train_dictionary(
            size_bytes,
            pieces,
            k=_SEGMENT_BYTES,
            d=_DMER_BYTES,
            f=_COUNTS_LOG,
            accel=1,
            level=_LEVEL,
        )
        dictionary = Dictionary(trained.as_bytes())
        dictionary.compress(samples[-1])
    except (zstandard.ZstdError, ProtocolError):  # too few samples, or all of them alike
        return Dictionary(b"".join(samples)[-size_bytes:])
    return dictionary


def _sealed_bytes(frames: Sequence[Sequence[Event]], dictionary: Dictionary | None) -> int:
    return sum(len(encode_events(events, dictionary=dictionary)) for events in frames)


def _plain_bytes(body: bytes) -> int:
    return min(
        len(zstdcodec.compress(body, ())), len(zstdcodec.compress_with_words(body)), len(body)
    )


def _packed_bytes(judged: Sequence[tuple[bytes, int]], dictionary: Dictionary | None) -> int:
    """Return what bodies take, of which it is known what they take without a dictionary."""
    if dictionary is None:
        return sum(plain for _, plain in judged)
    return sum(
        min(plain, len(dictionary.compress(body)) + DICTIONARY_NAME_BYTES) for body, plain in judged
    )
