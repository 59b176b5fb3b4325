"""``whimbrel-agent rules check|try``: edge rules, before they are trusted with anything."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from whimbrel_agent import exits
from whimbrel_agent.commands.failures import UsageError, guarded, say
from whimbrel_agent.configfile import load_config, read_toml
from whimbrel_agent.intake.bodies import MAX_LINE_BYTES
from whimbrel_agent.intake.jsontext import parse_json
from whimbrel_agent.intake.lines import event_of
from whimbrel_agent.rules.settings import read_rules
from whimbrel_agent.rules.trial import Outcome, Trial, line_of
from whimbrel_agent.rules.values import RuleConfig
from whimbrel_agent.settings import Table
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event, validate_event

_SHOWN_PROBLEMS: Final = 20
"""Lines that are no events and are named; all are counted."""


def run(options: argparse.Namespace) -> int:
    """Check rules, or try them on a file."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {"check": _check, "try": _try}
    return guarded(lambda: actions[options.action](options))


def _check(options: argparse.Namespace) -> int:
    rules = load_config(options.config).rules
    if options.json:
        print(json.dumps([_shown(rule) for rule in rules]))
        return exits.DONE
    for rule in rules:
        raw = f", raw events kept for {rule.raw_days:g} days" if rule.raw_days else ""
        print(f"{rule.name}: {rule.do}, by {', '.join(rule.key) or 'nothing'}{raw}")
        print(f"    when {rule.when}")
    print(f"{len(rules)} rules, all sound; the first one that wants an event takes it")
    return exits.DONE


def _shown(rule: RuleConfig) -> dict[str, Any]:
    return {"name": rule.name, "do": rule.do, "when": rule.when, "raw_days": rule.raw_days}


def _try(options: argparse.Namespace) -> int:
    rules = read_rules(Table(options.config, "", _only_rules(options.config)))
    if not rules:
        raise UsageError(f"{options.config} has no [[rules]]: nothing to try")
    reader = _Lines(options.file)
    trial = Trial(rules)
    for event in trial.run(reader.events()):
        if options.out:
            print(line_of(event))
    outcome = trial.outcome()
    # what would be sent may go into a pipe: the figures then stand beside it
    stream = sys.stderr if options.out else sys.stdout
    if options.json:
        print(json.dumps({**outcome.to_json(), "bad_lines": reader.bad}), file=stream)
    else:
        print(_table(outcome), file=stream)
    return exits.REFUSED if reader.bad else exits.DONE


def _only_rules(file: Path) -> dict[str, Any]:
    """Take the rules of a file alone: a trial needs no device, key or region."""
    return {"rules": read_toml(file).get("rules", [])}


class _Lines:
    """Events from lines of JSON."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.bad = 0

    def events(self) -> Iterator[Event]:
        if str(self._file) == "-":
            yield from self._read(sys.stdin.buffer)
            return
        with self._file.open("rb") as stream:
            yield from self._read(stream)

    def _read(self, stream: BinaryIO) -> Iterator[Event]:
        number, last_ns = 0, 0
        while line := stream.readline(MAX_LINE_BYTES):
            number += 1
            if not line.strip():
                continue
            try:
                event = event_of(parse_json(line), last_ns)
                validate_event(event)
            except FieldError as error:
                self.bad += 1
                if self.bad <= _SHOWN_PROBLEMS:
                    say(f"line {number}: {error}")
                continue
            last_ns = event.time_ns
            yield event


def _table(outcome: Outcome) -> str:
    lines = [f"{'':<22}{'raw':>14}{'sent':>14}{'saved':>9}"]
    for name, title in (
        ("events", "events"),
        ("json_bytes", "bytes as JSON"),
        ("packed_bytes", "bytes packed"),
    ):
        lines.append(
            f"{title:<22}{outcome.raw[name]:>14,}{outcome.sent[name]:>14,}"
            f"{outcome.saved_percent(name):>7.1f} %"
        )
    lines += ["", f"{outcome.untouched:,} events wanted by no rule"]
    for name, rule in outcome.rules.items():
        lines.append(
            f"{name}: {rule['taken']:,} taken, {rule['passed']:,} passed, "
            f"{rule['sent']:,} sent for others"
        )
        lines += [f"    {count:,} {reason}" for reason, count in rule["suppressed"].items()]
        lines += [f"    {n:,} passed as they are: {why}" for why, n in rule["passed_as_is"].items()]
    return "\n".join(lines)
