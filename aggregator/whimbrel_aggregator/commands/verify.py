"""``whimbrel-aggregator verify``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from whimbrel_aggregator import exits
from whimbrel_aggregator.commands.failures import UsageError, guarded
from whimbrel_aggregator.commands.progress import shown_progress
from whimbrel_aggregator.commands.tables import facts_table, plain_text, table
from whimbrel_aggregator.configfile import load_config
from whimbrel_aggregator.importcheck import ImportState, check_import
from whimbrel_aggregator.journal.verify import VerifyReport, verify_journal


def run(options: argparse.Namespace) -> int:
    """Verify the journal, or confirm an import."""
    return guarded(lambda: _verify(options))


def _verify(options: argparse.Namespace) -> int:
    path = options.journal or load_config(options.config).journal.path
    if options.import_id is not None:
        return _confirm(options, path)
    if options.count is not None or options.digest is not None:
        raise UsageError("--count and --digest go with --import ID")
    with shown_progress("verifying frames") as progress:
        report = verify_journal(path, progress=progress)
    print(json.dumps(_report_json(report)) if options.json else _report_text(report))
    return exits.DONE if report.sound else exits.WRONG


def _report_json(report: VerifyReport) -> dict[str, Any]:
    return {
        "sound": report.sound,
        "generation": report.generation,
        "partitions": report.partitions,
        "streams": report.streams,
        "frames": report.frames,
        "events": report.events,
        "gapped": report.gapped,
        "forks": report.forks,
        "unsigned": report.unsigned,
        "problems_found": report.problems_found,
        "problems": [{"where": one.where, "what": one.what} for one in report.problems],
    }


def _report_text(report: VerifyReport) -> str:
    lines = [
        facts_table(
            [
                ("generation", report.generation),
                ("partitions", report.partitions),
                ("streams", report.streams),
                ("frames", report.frames),
                ("events", report.events),
                ("gapped", report.gapped),
                ("forked frames", report.forks),
                ("by removed keys", report.unsigned),
                ("problems", report.problems_found),
            ]
        )
    ]
    lines += [f"{plain_text(one.where)}: {plain_text(one.what)}" for one in report.problems]
    return "\n".join(lines)


def _confirm(options: argparse.Namespace, path: Path) -> int:
    with shown_progress("reading frames") as progress:
        states, unreadable = check_import(path, options.import_id, progress=progress)
    found = [_state_json(device, state) for device, state in sorted(states.items())]
    wrong = [reason for one in found for reason in _wrong(one, options)]
    if not found:
        wrong.append(f"the journal has no event of an import {options.import_id!r}")
    confirmed = not wrong
    if options.json:
        answer = {
            "import": options.import_id,
            "confirmed": confirmed,
            "wrong": wrong,
            "unreadable_frames": unreadable,
            "devices": found,
        }
        print(json.dumps(answer))
    else:
        rows = [(one["device"], one["count"], one["digest"]) for one in found]
        print(table(("DEVICE", "COUNT", "DIGEST"), rows))
        for reason in wrong:
            print(plain_text(reason))
    return exits.DONE if confirmed else exits.WRONG


def _state_json(device: str, state: ImportState) -> dict[str, Any]:
    return {
        "device": device,
        "count": state.digest.count,
        "digest": state.digest.text,
        "complete": state.complete,
        "repeated": state.repeated,
        "waiting": len(state.waiting),
    }


def _wrong(one: dict[str, Any], options: argparse.Namespace) -> list[str]:
    reasons = []
    if one["repeated"]:
        reasons.append(f"{one['device']}: {one['repeated']} rows are there more than once")
    if one["waiting"]:
        reasons.append(
            f"{one['device']}: row {one['count']} is missing, {one['waiting']} later ones are there"
        )
    if options.count is not None and one["count"] != options.count:
        reasons.append(f"{one['device']}: count is {one['count']}, not {options.count}")
    if options.digest is not None and one["digest"] != options.digest.lower():
        reasons.append(f"{one['device']}: digest is {one['digest']}, not {options.digest}")
    return reasons
