"""``whimbrel-aggregator salvage``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

from whimbrel_aggregator import exits
from whimbrel_aggregator.clock import SystemClock, system_random
from whimbrel_aggregator.commands.failures import UsageError, guarded
from whimbrel_aggregator.commands.progress import shown_progress
from whimbrel_aggregator.commands.tables import facts_table, plain_text
from whimbrel_aggregator.journal.port import EnrolledDevice
from whimbrel_aggregator.journal.salvage import SalvageReport, finish_salvage, salvage_journal
from whimbrel_aggregator.registry.records import device_from_json
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.messages import GENERATION_BYTES

MAX_DEVICES_BYTES: Final = 64 * 1024 * 1024
"""A list of 100,000 devices is 30 MB."""


def run(options: argparse.Namespace) -> int:
    """Make a new journal out of a damaged one."""
    return guarded(lambda: _salvage(options))


def _salvage(options: argparse.Namespace) -> int:
    now_ns = SystemClock().wall_ns()
    if options.replace:
        aside = finish_salvage(options.damaged, now_ns=now_ns)
        if aside is not None:
            _tell_finished(options, aside)
            return exits.DONE
    devices = [] if options.devices is None else read_devices(options.devices)
    with shown_progress("writing frames") as progress:
        report = salvage_journal(
            options.damaged,
            generation=system_random().randbytes(GENERATION_BYTES),
            now_ns=now_ns,
            out=options.out,
            devices=devices,
            progress=progress,
        )
    print(json.dumps(asdict(report)) if options.json else _text(report))
    lost = report.lost_frames or report.lost_unknown or report.unproven
    return exits.WRONG if lost else exits.DONE


def read_devices(path: Path) -> list[EnrolledDevice]:
    """Read what ``devices list --json`` printed.

    Raises:
        UsageError: it is something else, or cannot be read.
    """
    try:
        if path.stat().st_size > MAX_DEVICES_BYTES:
            raise UsageError(f"{path} is longer than {MAX_DEVICES_BYTES} bytes")
        listed = json.loads(path.read_bytes())["devices"]
        return [device_from_json(one) for one in listed]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    except FieldError as error:
        raise UsageError(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is not what 'whimbrel-aggregator devices list --json' prints"
        ) from error


def _tell_finished(options: argparse.Namespace, aside: Path) -> None:
    if options.json:
        print(json.dumps({"journal": str(options.damaged), "kept_aside": str(aside)}))
    else:
        print(f"finished the salvage of {options.damaged}; the damaged journal is {aside}")


def _text(report: SalvageReport) -> str:
    facts: list[tuple[str, object]] = [
        ("journal", report.journal),
        ("damaged one", report.kept_aside or "where it was"),
        ("generation", report.generation),
        ("frames", report.frames),
        ("events", report.events),
        ("frames without a row", report.without_row),
        ("by unknown keys", sum(report.unsigned.values())),
        ("lost frames", report.lost_frames),
        ("lost, not known which", report.lost_unknown),
        ("not proven", len(report.unproven)),
        ("streams", report.streams),
        ("devices", report.devices),
        ("frames without their dictionary", report.without_dictionary),
    ]
    lines = [facts_table(facts)]
    lines += [f"lost: {plain_text(one)}" for one in report.lost]
    lines += [f"not proven, left out: {plain_text(one)}" for one in report.unproven]
    lines += [f"signed by a key not known here: {key}" for key in report.unsigned]
    lines += [f"damaged rows of {name}: {count}" for name, count in report.damaged_rows.items()]
    lines += [f"not readable to its end: {name}" for name in report.unreadable]
    lines.append("devices send again what they still have; then rebind the forwarders")
    return "\n".join(lines)
