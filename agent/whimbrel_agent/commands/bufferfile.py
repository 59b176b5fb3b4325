"""``whimbrel-agent buffer inspect|verify|export``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final

from whimbrel_agent import exits
from whimbrel_agent.commands.failures import guarded, say
from whimbrel_agent.commands.offline import opened_buffer
from whimbrel_agent.config import AgentConfig
from whimbrel_agent.configfile import load_config
from whimbrel_agent.control import SHOWN_FRAMES
from whimbrel_agent.intake.export import exported
from whimbrel_agent.localhttp.client import LocalClient, NoAgentError
from whimbrel_agent.plain import plain
from whimbrel_agent.status import buffer_table
from whimbrel_protocol.lanes import LANES

_MODE: Final = 0o600


def run(options: argparse.Namespace) -> int:
    """Inspect, verify or export, through the running agent or directly."""
    actions: dict[str, Callable[[argparse.Namespace, AgentConfig], int]] = {
        "inspect": _inspect,
        "verify": _verify,
        "export": _export,
    }
    return guarded(lambda: actions[options.action](options, load_config(options.config)))


def _inspect(options: argparse.Namespace, config: AgentConfig) -> int:
    try:
        with LocalClient(config.control.socket) as client:
            found = client.expect("GET", "/v1/buffer").json()
    except NoAgentError:
        found = asyncio.run(_inspect_offline(config))
    if options.json:
        print(json.dumps(found))
        return exits.DONE
    print(buffer_table(found["buffer"]))
    for lane, frames in found["first_frames"].items():
        for frame in frames:
            print(
                f"{lane:<10}{frame['first']} +{frame['span']}  {frame['count']} events  "
                f"{frame['size_bytes']} bytes  {frame['digest']}  "
                f"{'may have been sent' if frame['published'] else 'not sent'}"
            )
    return exits.DONE


async def _inspect_offline(config: AgentConfig) -> dict[str, Any]:
    async with opened_buffer(config) as buffer:
        frames = {
            lane: [plain(frame) for frame in await buffer.pending(lane, 0, SHOWN_FRAMES)]
            for lane in LANES
        }
        return {"buffer": plain(await buffer.stats()), "first_frames": frames}


def _verify(options: argparse.Namespace, config: AgentConfig) -> int:
    try:
        with LocalClient(config.control.socket) as client:
            report = client.expect("POST", "/v1/buffer/verify").json()
    except NoAgentError:
        report = asyncio.run(_verify_offline(config))
    if options.json:
        print(json.dumps(report))
    else:
        print(
            f"{report['frames']} pending frames, {report['receipted_frames']} receipted, "
            f"{report['staged_events']} events staged, {report['events']} events in all"
        )
        for problem in report["problems"]:
            print(f"problem: {problem}")
        if not report["problems"]:
            print("sound: every checksum, digest and the ledger agree")
    return exits.REFUSED if report["problems"] else exits.DONE


async def _verify_offline(config: AgentConfig) -> dict[str, Any]:
    async with opened_buffer(config) as buffer:
        report: dict[str, Any] = plain(await buffer.verify())
        return report


def _export(options: argparse.Namespace, config: AgentConfig) -> int:
    with ExitStack() as stack:
        out = sys.stdout.buffer if options.out is None else stack.enter_context(_new(options.out))
        try:
            with LocalClient(config.control.socket) as client:
                for piece in client.stream("GET", f"/v1/buffer/export?format={options.format}"):
                    out.write(piece)
        except NoAgentError:
            if options.out is not None and out.tell():
                say(f"{options.out} is not complete")
                raise
            asyncio.run(_export_offline(config, options.format, out))
        out.flush()
    return exits.DONE


async def _export_offline(config: AgentConfig, form: str, out: BinaryIO) -> None:
    async with opened_buffer(config) as buffer:
        async for piece in exported(buffer.export(), form):
            out.write(piece)


def _new(path: Path) -> BinaryIO:
    """Make a file that must not exist: an export is often the last copy of something."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "wb")
