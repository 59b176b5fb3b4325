"""RECEIPT: what a region promised must be in its journal, and stay there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from committed.journal import EPOCH
from whimbrel_protocol.envelope import seal_message
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.messages import Credit, Receipt, ReceiptEntry, Status
from whimbrel_sim.worlds.books import Books
from whimbrel_sim.worlds.invariants.journal import JournalAudit
from whimbrel_sim.worlds.invariants.receipts import ReceiptAudit
from whimbrel_sim.worlds.invariants.violation import Invariant
from whimbrel_sim.worlds.witness import Witness
from worlds.committed import ADDRESS, Reports, accepted, committer, numbered
from worlds.virtual import Client, in_virtual_time, make_broker

REGION = "region-eu-1-"
DOWN = "wb/1/down/acme/store-1/till-1/receipt"


class Bench:
    """A journal with two frames, and the audit of a region's receipts."""

    def __init__(self, folder: Path) -> None:
        self.journal_path = folder / "journal.db"
        self.reports = Reports()
        books = Books()
        accepted(books, 5)
        self.journal = JournalAudit(books, self.reports)
        self.audit = ReceiptAudit(self.journal, self.reports)
        self.digests: list[bytes] = []

    async def commit(self) -> None:
        async with committer(self.journal_path) as commits:
            await commits.commit([numbered([1]), numbered([2])])
        witness = Witness(self.journal_path)
        for kept in witness.new_frames():
            assert kept.frame is not None
            self.digests.append(kept.frame.digest)
        witness.close()

    async def promise(
        self, *digests: bytes, client: str = f"{REGION}77", status: Status = Status.COMMITTED
    ) -> None:
        entries = tuple(
            ReceiptEntry(EPOCH, "normal", 1, 1, digest, status, 4 * (status is Status.GAPPED))
            for digest in digests
        )
        receipt = Receipt(ADDRESS, bytes(8), entries, 1, 1, Credit(1, 1))
        await self.publish(seal_message(receipt, PrivateKey(bytes(32))), client)

    async def publish(self, payload: bytes, client: str = f"{REGION}77") -> None:
        """Let a client publish, with the audit listening at the broker."""

        @in_virtual_time
        async def at_a_broker() -> None:
            broker = make_broker()
            broker.taps.append(lambda *seen: self.audit.tap("eu-1", REGION, *seen))
            sender = await Client(broker, client).connect()
            sender.connection.publish(DOWN, payload)
            await asyncio.sleep(1)

        await asyncio.to_thread(at_a_broker)

    def check(self, *, replaced: bool = False) -> list[Invariant]:
        self.journal.look("eu-1", self.journal_path)
        self.audit.check("eu-1", replaced=replaced)
        return self.reports.invariants

    def lose_a_frame(self) -> None:
        self.journal.begin_anew()
        self.journal_path.unlink()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_receipt_for_what_is_there_breaks_nothing(bench: Bench) -> None:
    await bench.commit()
    await bench.promise(*bench.digests)
    assert bench.check() == []
    assert bench.audit.receipts == 1
    bench.journal.close()


async def test_a_receipt_for_what_is_not_there_is_found(bench: Bench) -> None:
    await bench.commit()
    await bench.promise(bench.digests[0], b"another!")
    assert bench.check() == [Invariant.RECEIPT]
    assert b"another!".hex() in bench.reports.found[0][1]
    bench.journal.close()


async def test_it_is_reported_once(bench: Bench) -> None:
    await bench.commit()
    await bench.promise(b"another!")
    bench.check()
    assert bench.check() == [Invariant.RECEIPT]
    bench.journal.close()


async def test_a_promise_that_another_copy_of_the_journal_lost_is_found(bench: Bench) -> None:
    await bench.commit()
    await bench.promise(*bench.digests)
    before = bench.check()
    bench.lose_a_frame()
    assert (before, bench.check(replaced=True)) == ([], [Invariant.RECEIPT])
    bench.journal.close()


async def test_a_loss_that_an_operator_chose_is_forgiven(bench: Bench) -> None:
    await bench.commit()
    await bench.promise(*bench.digests)
    bench.check()
    bench.lose_a_frame()
    bench.audit.forgive("eu-1")
    assert bench.check(replaced=True) == []
    bench.journal.close()


async def test_what_others_publish_does_not_count(bench: Bench) -> None:
    await bench.commit()
    await bench.promise(b"another!", client="enemy")
    assert (bench.check(), bench.audit.receipts) == ([], 0)
    bench.journal.close()


async def test_only_committed_frames_are_promised(bench: Bench) -> None:
    await bench.commit()
    await bench.promise(b"another!", status=Status.GAPPED)
    await bench.promise(b"another!", status=Status.COMMITTED_UNKNOWN)
    assert bench.check() == []
    bench.journal.close()


async def test_a_receipt_that_is_none_is_found(bench: Bench) -> None:
    await bench.publish(b"no receipt")
    assert bench.reports.invariants == [Invariant.RECEIPT]
