"""Tills and sensors: they post to an agent and write down what it answered."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Final

from whimbrel_agent.buffer.places import Places
from whimbrel_agent.buffer.values import BufferError  # noqa: A004  the product's
from whimbrel_protocol.event import Event

from .books import Sender, Told
from .device import Device
from .goods import line_of
from .scenario import Lines

ANSWER_TIMEOUT_S: Final = 20.0
"""A till that waited so long for its answer does not know whether the event was taken."""

AGAIN_S: Final = 1.0

COUPON_EVERY: Final = 7
"""Each so manieth line has a field more, so that series of one time take turns in a frame."""


class Producer:
    """Posts one sender's events to a device until it is told to stop."""

    def __init__(self, sender: Sender, device: Device, load: Lines, random: Random) -> None:
        self.sender = sender
        self.device = device
        self.load = load
        self.rate = 1.0
        self._random = random

    async def run(self, stop: asyncio.Event) -> None:
        """Post until ``stop``."""
        loop = asyncio.get_running_loop()
        share = self._random.random()  # of the first wait, so that steady ones are not in step
        while not stop.is_set():
            wait_s, share = share * self._wait_s() / self.rate, 1.0
            try:
                async with asyncio.timeout(wait_s):
                    await stop.wait()
            except TimeoutError:
                events = self.load.events
                count = events if self.load.steady else 1 + self._random.randrange(events)
                await self._post(self.sender.offer(count, loop.time()), stop)

    def _wait_s(self) -> float:
        every_s = self.load.every_s
        return every_s if self.load.steady else self._random.expovariate(1 / every_s)

    async def _post(self, numbers: range, stop: asyncio.Event) -> None:
        events = [self._event(number) for number in numbers]
        while True:
            outcome = await self._try(numbers, events)
            self._note(numbers, accepted=outcome)
            if outcome is not None or not self.load.keyed or stop.is_set():
                return
            await asyncio.sleep(AGAIN_S * (1 + self._random.random()))

    def _note(self, numbers: range, *, accepted: bool | None) -> None:
        said = {True: "accepted", False: "refused", None: "no answer"}[accepted]
        if accepted and self.sender.places:
            told = self.sender.places[-1]
            said = f"{said} to {told.epoch:x} from {told.first}"
        numbered = f"{numbers.start}..{numbers.stop - 1}"
        self.device.timeline.note(self.sender.name, f"{numbered} {said}")

    async def _try(self, numbers: range, events: list[Event]) -> bool | None:
        """Post once; None means that nobody knows what became of it."""
        process, parts = self.device.process, self.device.parts
        if process is None or parts is None or not process.alive:
            if not self.load.keyed:
                self.sender.refuse(numbers)
                return False
            return None
        keys = [f"{self.sender.name}/{n}".encode() for n in numbers] if self.load.keyed else None
        fingerprints = [n + 1 for n in numbers] if self.load.keyed else None
        task = process.spawn(
            parts.buffer.accept(events, keys=keys, fingerprints=fingerprints), self.sender.name
        )
        await asyncio.wait([task], timeout=ANSWER_TIMEOUT_S)
        if not task.done() or task.cancelled():
            return None
        error = task.exception()
        if isinstance(error, BufferError):
            if not process.alive or parts is not self.device.parts:
                return None
            if not self.load.keyed:
                self.sender.refuse(numbers)
            return False
        if error is not None:
            self.device.failures.append(f"{self.device.name}: {type(error).__name__}: {error}")
            return None
        self.sender.accept(numbers, _told(self.sender.where, numbers, task.result()))
        return True

    def _event(self, number: int) -> Event:
        data: dict[str, object] = {"n": number, "v": self._random.randrange(1000)}
        data |= {f"w{place}": self._random.random() for place in range(self.load.numbers)}
        if self.load.articles:
            data |= line_of(self._random.randrange(self.load.articles), number)
            if number % COUPON_EVERY == 0:
                data["coupon"] = True
        if self.load.padding_bytes:
            padding = self._random.randbytes(self._random.randrange(self.load.padding_bytes) // 2)
            data["note"] = padding.hex()
        return Event(
            type="reading",
            source=self.sender.name,
            time_ns=self.device.clock.wall_ns(),
            data=data,
            lane=self.load.lane,
        )


def _told(where: str, numbers: range, places: Places) -> list[Told]:
    told, number = [], numbers.start
    for run in places.runs:
        told.append(Told(number, where, run.epoch, run.lane, run.first, run.events))
        number += run.events
    return told
