"""Planted faults of the aggregator. See :mod:`.sabotage`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from whimbrel_aggregator.ingest import commit, verdict
from whimbrel_aggregator.ingest.answers import Answerer
from whimbrel_aggregator.ingest.commit import Committer, DictionaryWord, GroupResult, Offered
from whimbrel_aggregator.ingest.receipts import Settled
from whimbrel_aggregator.ingest.verdict import Candidate, Decision, Lookup, Verdict, View
from whimbrel_aggregator.journal.port import (
    Append,
    AppendResult,
    DeviceKey,
    Journal,
    PartitionKey,
)
from whimbrel_protocol.epoch import fork_epoch, ordinal_of
from whimbrel_protocol.messages import DictionaryStatus

from .patching import put

LATE_COMMIT_S: Final = 0.3
"""How long "receipt before commit" leaves between the two."""


def dedup_off() -> None:
    """Commit a frame that was committed before once more, under an epoch of its own."""
    decide, plainly = verdict.decide, verdict._commit  # noqa: SLF001

    def decide_anew(candidate: Candidate, view: View) -> Decision | Lookup:
        decision = decide(candidate, view)
        if not isinstance(decision, Decision) or decision.verdict is not Verdict.DUPLICATE:
            return decision
        epoch = fork_epoch(os.urandom(8), ordinal_of(candidate.key.epoch))
        key = replace(candidate.key, epoch=epoch)
        view.streams[key] = None
        return replace(plainly(candidate, key), verdict=Verdict.FORK)

    put(verdict, "decide", decide_anew)
    put(commit, "decide", decide_anew)


def receipt_before_commit() -> None:
    """Send receipts for what is about to be committed, and commit it some time later."""
    answerers: list[Answerer] = []
    judged_now: list[Settled] = []
    begin_answerer, begin_committer = Answerer.__init__, Committer.__init__
    appends_of = Committer._appends  # noqa: SLF001

    class Late:
        """The journal, with an append that lets the receipts go first."""

        def __init__(self, journal: Journal) -> None:
            self._journal = journal

        def __getattr__(self, name: str) -> Any:
            return getattr(self._journal, name)

        async def append(self, appends: Sequence[Append]) -> list[AppendResult]:
            await answerers[-1].settled(GroupResult(settled=list(judged_now)))
            await asyncio.sleep(LATE_COMMIT_S)
            return list(await self._journal.append(appends))

    def remember(answerer: Answerer, *given: Any, **ports: Any) -> None:
        begin_answerer(answerer, *given, **ports)
        answerers.append(answerer)

    def begin(committer: Committer, journal: Journal, **ports: Any) -> None:
        begin_committer(committer, Late(journal), **ports)

    def appends(
        committer: Committer, judged: list[Settled], view: View, heads: dict[PartitionKey, int]
    ) -> list[Append]:
        judged_now[:] = judged
        return appends_of(committer, judged, view, heads)

    put(Answerer, "__init__", remember)
    put(Committer, "__init__", begin)
    put(Committer, "_appends", appends)


def dictionaries_forgotten() -> None:
    """Say that dictionaries are kept and keep none, and commit the frames that name them."""
    new_frame = commit._new_frame  # noqa: SLF001

    async def say_so(committer: Committer, offers: Sequence[Offered]) -> list[DictionaryWord]:
        del committer
        return [(one.address, one.dictionary.name, DictionaryStatus.KEPT) for one in offers]

    async def taken_as_kept(committer: Committer, named: tuple[DeviceKey, bytes]) -> bool:
        del committer, named
        return True

    put(Committer, "keep", say_so)
    put(Committer, "_is_kept", taken_as_kept)
    put(commit, "_new_frame", lambda settled: replace(new_frame(settled), dictionary=b""))
