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
from typing import Final

from whimbrel_agent.dictionaries.sharing import Sharing
from whimbrel_agent.dictionaries.training import SIZES_BYTES, train
from whimbrel_agent.dictionaries.trials import (
    Judged,
    Judgement,
    Steps,
    cut_of,
    finish,
    judge,
    judge_shared,
    net_bytes,
)
from whimbrel_protocol import zstdcodec
from whimbrel_protocol.batch import encode_events, uncompressed
from whimbrel_protocol.dictionaries import Dictionary
from whimbrel_protocol.event import Event
from whimbrel_protocol.lead import DICTIONARY_NAME_BYTES
from whimbrel_protocol.shared import NOTHING_SHARED, Shared

SAMPLE_BYTES: Final = 96 * 1024
"""All samples together. A trial on them takes some 50 ms here and half a second on the slowest class
of devices; half as much leaves frames of 500 till lines 4 per cent larger."""

MAX_SAMPLE_BYTES: Final = 16 * 1024
"""Of one body: its heads and texts come first, and those are what repeats."""

LEAST_AHEAD: Final = 1_024
"""Frames that are taken to come yet, however few came: an hour of a busy till, three and a half
days of a sensor that is sealed every five minutes. With 256 till lines in frames of 20 took 6 per
cent more, since the largest dictionary came late."""

FIRST_FRAMES: Final = 4
MIN_SAMPLES: Final = 4

RECENT_EVENTS: Final = 4_096
RECENT_FRAMES: Final = 96
RECENT_BYTES: Final = 48 * 1024
"""The newest frames, whole, that a dictionary is judged on where something is shared beside what zstd refers
to; how often values come is learned from them. With half as many events frames of 500 took 3 per cent
more; twice as many frames take a trial twice as long."""


class Learner:
    """Collects samples, and says when to try and what came of it."""

    def __init__(self) -> None:
        self._samples: deque[bytes] = deque()
        self._recent: deque[tuple[int, bytes, Dictionary | None]] = deque(maxlen=RECENT_FRAMES)
        self._sharing = Sharing()
        self._size_bytes = 0
        self._next_try = FIRST_FRAMES
        self.frames = 0
        self.last = Judgement(take=False, reason="nothing was tried yet")

    def saw(self, events: Sequence[Event], columns: bytes, present: Dictionary | None) -> None:
        """Take note of a frame that was sealed, with the dictionary that it may name."""
        self.frames += 1
        self._sharing.saw(events, _shared_by(present))
        self._recent.append((len(events), columns, present))
        while not self._has_room():  # none, where each frame is larger
            self._recent.popleft()
        if len(events) == 1:  # what is smallest may be its row; a dictionary is for columns
            columns = encode_events(events, codec="none")
        body = uncompressed(columns, {} if present is None else {present.name: present})
        self._samples.append(body[:MAX_SAMPLE_BYTES])
        self._size_bytes += len(self._samples[-1])
        while self._size_bytes > SAMPLE_BYTES:
            self._size_bytes -= len(self._samples.popleft())

    def _has_room(self) -> bool:
        events = sum(count for count, _, _ in self._recent)
        size_bytes = sum(len(columns) for _, columns, _ in self._recent)
        return events <= RECENT_EVENTS and size_bytes <= RECENT_BYTES

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
        return finish(self.steps(present))

    def steps(self, present: Dictionary | None) -> Steps[Dictionary | None]:
        """Do what :meth:`learn` does in steps, with the frames that came before the first."""
        self._next_try = 2 * self.frames
        samples = list(self._samples)
        recent = [(columns, used) for _, columns, used in self._recent]
        before = _shared_by(present)
        shared = self._sharing.found(before)
        yield
        cut = cut_of(len(samples))
        judged = [(one, _plain_bytes(one)) for one in samples[cut:]]
        present_bytes = _packed_bytes(judged, present)
        tried = []
        for size_bytes in SIZES_BYTES:
            # contents only: a dictionary that has compressed holds a megabyte of the library's
            content = train(samples[:cut], size_bytes).content
            learned_bytes = _packed_bytes(judged, Dictionary(content))
            tried.append(Judged(len(judged), present_bytes, learned_bytes, content))
            yield
        alone = self._best(tried)
        if not recent or not (shared or before):
            return Dictionary(alone) if alone else None
        best = self._best((yield from judge_shared(recent, alone, shared, present)))
        return Dictionary(best) if best else None

    def _best(self, judged: Iterable[Judged]) -> bytes:
        """Return the content of what was judged best, empty where it does not pay."""
        ahead = max(self.frames, LEAST_AHEAD)
        trials = ((one.trial(ahead), one.content) for one in judged)
        best = max(trials, key=lambda one: net_bytes(one[0]), default=None)
        if best is None:
            return b""
        self.last = judge(best[0])
        return best[1] if self.last.take else b""


def _shared_by(present: Dictionary | None) -> Shared:
    return NOTHING_SHARED if present is None else present.shared


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
