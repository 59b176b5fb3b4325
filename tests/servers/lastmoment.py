"""A cancellation that comes together with the broker's answer: the moment a client may miss."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal

import aiomqtt
import pytest

Answer = Literal["_on_connect", "_on_subscribe"]
"""The callbacks for the broker's two answers, named alike in aiomqtt and in the agent."""

ANSWERS: tuple[Answer, ...] = ("_on_connect", "_on_subscribe")
TIMEOUT_S = 20.0


async def ends_when_cancelled_with(
    answer: Answer,
    work: Coroutine[Any, Any, Any],
    monkeypatch: pytest.MonkeyPatch,
    *,
    client_type: type = aiomqtt.Client,
) -> bool:
    """Run ``work``, cancel it once as ``answer`` arrives; say whether that ended it.

    ``client_type`` is the class whose callbacks hear the answers.
    """
    task = asyncio.create_task(work)
    original = getattr(client_type, answer)
    answered: list[object] = []

    def callback(client: object, *args: Any, **more: Any) -> None:
        original(client, *args, **more)
        if not answered:
            answered.append(args)
            task.cancel()

    monkeypatch.setattr(client_type, answer, callback)
    done, _ = await asyncio.wait([task], timeout=TIMEOUT_S)
    if not done:
        task.cancel()
        await asyncio.wait([task])
        return False
    return bool(answered) and task.cancelled()
