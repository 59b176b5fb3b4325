"""``whimbrel-agent import``."""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from whimbrel_agent import exits
from whimbrel_agent.buffer.values import BufferFullError
from whimbrel_agent.clock import SystemClock
from whimbrel_agent.commands.failures import UsageError, guarded, say
from whimbrel_agent.commands.outlet import BufferOutlet, open_outlet
from whimbrel_agent.config import AgentConfig
from whimbrel_agent.configfile import load_config
from whimbrel_agent.control import IMPORT_FREE_SHARE
from whimbrel_agent.intake.bulk import Importer, ImportMismatchError, Summary, Target
from whimbrel_agent.intake.importslice import CHECKPOINT_PREFIX, Checkpoint, SliceToAccept
from whimbrel_agent.intake.mapping import KINDS, TIME_FORMATS, Column, RowMapping
from whimbrel_agent.intake.sources import CsvSource, NdjsonSource, Source, TableSource
from whimbrel_agent.localhttp.client import LocalClient, NoAgentError, RequestError
from whimbrel_protocol.cbor import load_value
from whimbrel_protocol.lanes import LANES

RETRY_S: Final = 0.5
RECONNECT_TRIES: Final = 120
"""A minute: an agent that is restarted, on a slow card, is back by then."""

BAR_CELLS: Final = 24
_BUSY: Final = frozenset({429, 503, 507})
_SUFFIXES: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
}
_ONE_BYTE_LINES: Final = re.compile(
    r"utf-?8(-sig)?|ascii|latin-?1|(iso-?8859-|cp125|windows-125)\d+"
)


def run(options: argparse.Namespace) -> int:
    """Import a file or a table."""
    return guarded(lambda: _import(options))


def _import(options: argparse.Namespace) -> int:
    source = _source(options)
    mapping = _mapping(options)
    import_id = options.id or _default_id(options.file, source, mapping)
    config = load_config(options.config)
    progress = Progress(source.total(), SystemClock())
    with _opened(config) as target:
        importer = Importer(
            import_id,
            source,
            mapping,
            target,
            skip=options.on_error == "skip",
            now_ns=SystemClock().wall_ns(),
        )
        try:
            summary = importer.run(progress.show)
        finally:
            progress.end()
    _report(summary, as_json=options.json)
    return exits.REFUSED if summary.checkpoint.skipped else exits.DONE


def _source(options: argparse.Namespace) -> Source:
    kind = _format(options)
    if kind is None:
        raise UsageError(f"{options.file} does not tell its format: say it with --format")
    if (kind == "sqlite") != (options.table is not None):
        raise UsageError("--table names the table of a SQLite file, and every such import needs it")
    if kind == "sqlite":
        return TableSource(options.file, options.table)
    if kind == "ndjson":
        return NdjsonSource(options.file)
    if _ONE_BYTE_LINES.fullmatch(options.encoding.lower()) is None:
        raise UsageError(
            f"--encoding is {options.encoding!r}: must be utf-8, latin-1, or a Windows code page"
        )
    delimiter = {"\\t": "\t", "tab": "\t"}.get(options.delimiter, options.delimiter)
    if len(delimiter) != 1:
        raise UsageError(f"--delimiter is {options.delimiter!r}: must be one character, or tab")
    return CsvSource(options.file, delimiter=delimiter, encoding=options.encoding)


def _mapping(options: argparse.Namespace) -> RowMapping:
    if options.type is None and _format(options) != "ndjson":
        raise UsageError("rows need a --type; only NDJSON lines can be whole events")
    if options.lane not in LANES:
        raise UsageError(f"--lane is {options.lane!r}: must be one of {', '.join(LANES)}")
    if options.time_format not in TIME_FORMATS and "%" not in options.time_format:
        raise UsageError(
            f"--time-format is {options.time_format!r}: must be one of "
            f"{', '.join(TIME_FORMATS)}, or a pattern such as '%d.%m.%Y %H:%M'"
        )
    if options.time_zone is not None:
        _check_zone(options.time_zone)
    return RowMapping(
        type=options.type,
        source=options.source,
        source_column=options.source_column,
        subject_column=options.subject_column,
        zone_column=options.zone_column,
        time_column=options.time_column,
        zone=options.zone,
        lane=options.lane,
        time_format=options.time_format,
        time_zone=options.time_zone,
        columns=tuple(_column(text) for text in options.map),
        infer=options.infer,
    )


def _format(options: argparse.Namespace) -> str | None:
    return options.format or _SUFFIXES.get(options.file.suffix.lower())


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as exc:
        raise UsageError(f"--time-zone is {name!r}: must be a zone such as Europe/Paris") from exc


def _column(text: str) -> Column:
    name, mark, rest = text.partition("=")
    column, colon, kind = rest.rpartition(":")
    if not colon or kind not in KINDS:
        column, kind = rest, "as-is"
    if not mark or not name or not column:
        raise UsageError(f"--map is {text!r}: must be NAME=COLUMN[:KIND], kinds {', '.join(KINDS)}")
    return Column(name, column, kind)


def _default_id(path: Path, source: Source, mapping: RowMapping) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem)[:48].strip("-.") or "import"
    return f"{stem}-{source.fingerprint(mapping.description).hex()[:8]}"


class AgentTarget:
    """A running agent; restarts of it are waited for."""

    def __init__(self, client: LocalClient, socket: Path) -> None:
        self._client = client
        self._socket = socket

    def checkpoint(self, import_id: str) -> bytes | None:
        """Give the agent's checkpoint of an import."""
        value = load_value(self._client.expect("GET", f"/v1/imports/{import_id}").body)
        return value if value is None else bytes(value)

    def accept(self, import_id: str, part: SliceToAccept) -> None:
        """Hand a slice over until the agent has it, whatever happens in between."""
        body = part.pack()
        while True:
            try:
                self._client.expect(
                    "POST", f"/v1/imports/{import_id}", body, media_type="application/cbor"
                )
            except RequestError as exc:
                if exc.answer.status in _BUSY:
                    _wait(float(exc.answer.headers.get("retry-after", "1")))
                    continue
                if exc.answer.status != 409:
                    raise
                # sent twice: the first one's answer was lost with an agent's restart
                if self.checkpoint(import_id) != part.checkpoint:
                    raise ImportMismatchError(str(exc)) from exc
            except NoAgentError:
                self._reconnect()
                continue
            return

    def _reconnect(self) -> None:
        for last in range(RECONNECT_TRIES):
            try:
                self._client = LocalClient(self._socket)
            except NoAgentError:
                if last == RECONNECT_TRIES - 1:
                    raise
                _wait(RETRY_S)
            else:
                return


class BufferTarget:
    """A buffer that this process has opened."""

    def __init__(self, outlet: BufferOutlet) -> None:
        self._runner = outlet.runner
        self._buffer = outlet.buffer

    def checkpoint(self, import_id: str) -> bytes | None:
        """Give the buffer's checkpoint of an import."""
        return self._runner.run(self._buffer.checkpoint(CHECKPOINT_PREFIX + import_id))

    def accept(self, import_id: str, part: SliceToAccept) -> None:
        """Accept a slice.

        Raises:
            BufferFullError: nothing drains the buffer while no agent runs.
        """
        self._runner.run(self._accept(import_id, part))

    async def _accept(self, import_id: str, part: SliceToAccept) -> None:
        stats = await self._buffer.stats()
        if stats.free_bytes < stats.max_bytes * IMPORT_FREE_SHARE:
            raise BufferFullError(
                f"the buffer has {stats.free_bytes} bytes free: start the agent, so that it "
                "drains, and run the import again; it goes on where it is"
            )
        await self._buffer.accept(
            part.events, checkpoint=(CHECKPOINT_PREFIX + import_id, part.checkpoint)
        )


@contextmanager
def _opened(config: AgentConfig) -> Iterator[Target]:
    with open_outlet(config) as outlet:
        if isinstance(outlet, BufferOutlet):
            yield BufferTarget(outlet)
        else:
            yield AgentTarget(outlet.client, config.control.socket)


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


class Progress:
    """A bar on stderr when that is a terminal; silent otherwise."""

    def __init__(self, total: int, clock: SystemClock) -> None:
        self._total = max(1, total)
        self._clock = clock
        self._begun_ns = clock.mono_ns()
        self._first_rows: int | None = None
        self._on = sys.stderr.isatty()

    def show(self, here: Checkpoint) -> None:
        """Draw the bar as far as the checkpoint is."""
        if not self._on:
            return
        if self._first_rows is None:
            self._first_rows = here.rows
        share = 1.0 if here.done else min(1.0, here.position / self._total)
        full = round(share * BAR_CELLS)
        seconds = max(1e-3, (self._clock.mono_ns() - self._begun_ns) / 1e9)
        rate = (here.rows - self._first_rows) / seconds
        print(
            f"\r[{'#' * full}{'.' * (BAR_CELLS - full)}] {share:4.0%}  {here.rows:,} rows  "
            f"{rate:,.0f}/s ",
            end="",
            file=sys.stderr,
            flush=True,
        )

    def end(self) -> None:
        """Leave the line."""
        if self._on and self._first_rows is not None:
            print(file=sys.stderr)


def _report(summary: Summary, *, as_json: bool) -> None:
    here = summary.checkpoint
    for problem in summary.problems:
        say(f"row {problem.place}: {problem.field} is {problem.value}: {problem.rule}")
    if as_json:
        print(
            json.dumps(
                {
                    "import": summary.import_id,
                    "count": here.count,
                    "digest": here.digest.hex(),
                    "rows": here.rows,
                    "skipped": here.skipped,
                    "resumed_at_row": summary.resumed_at,
                }
            )
        )
        return
    again = f", resumed after row {summary.resumed_at:,}" if summary.resumed_at else ""
    print(
        f"import {summary.import_id}: {here.count:,} events from {here.rows:,} rows, "
        f"{here.skipped:,} skipped{again}"
    )
    print(f"digest {here.digest.hex()}")
    print(f"confirm with: whimbrel-aggregator verify --import {summary.import_id}")
