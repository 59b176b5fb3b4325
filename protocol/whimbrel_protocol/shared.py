"""What both sides know beside a frame: tables, formulas, roster and histograms of one dictionary.

A body like a frame's (``columns.regions``). In the head: ``varint`` number of tables, 0 to 64, and these
(see ``tables``); rows times columns, over all of them, are at most 16,384. Then, where there are
formulas, ``varint`` their number, 1 to 16, and these (see ``formulas``). Without formulas there is at
least one table. Then the roster (see ``columns.roster``) and the histograms (see ``histograms``): what is
not there is left out at the end, and empty before something else. Names are numbered over all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from whimbrel_protocol.columns.histograms import NO_HISTOGRAMS, Histograms
from whimbrel_protocol.columns.names import NameReader, NameWriter
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.columns.roster import NO_ROSTER, Roster, put_roster, read_roster
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.formulas import Formula, put_formula, read_formula
from whimbrel_protocol.histograms import put_histograms, read_histograms
from whimbrel_protocol.limits import MAX_FORMULAS, MAX_TABLE_VALUES, MAX_TABLES
from whimbrel_protocol.tables import Table, put_table, read_table

__all__ = ["NOTHING_SHARED", "Shared", "read_shared", "write_shared"]


@dataclass(frozen=True, slots=True)
class Shared:
    """Tables, formulas, series and histograms; columns name them by their places."""

    tables: tuple[Table, ...] = ()
    formulas: tuple[Formula, ...] = ()
    roster: Roster = NO_ROSTER
    histograms: Histograms = NO_HISTOGRAMS

    def __bool__(self) -> bool:
        return bool(self.tables or self.formulas or self.roster or self.histograms)


NOTHING_SHARED: Final = Shared()


def write_shared(shared: Shared) -> bytes:
    """Return what is shared as bytes."""
    out = BodyWriter()
    names = NameWriter(out)
    put_varint(out.head, len(shared.tables))
    for table in shared.tables:
        put_table(out, names, table)
    if shared.formulas or shared.roster or shared.histograms:
        put_varint(out.head, len(shared.formulas))
        for formula in shared.formulas:
            put_formula(out, names, formula)
    if shared.roster or shared.histograms:
        put_roster(out, names, shared.roster)
    if shared.histograms:
        put_histograms(out, names, shared.histograms)
    return out.finish()[0]


def read_shared(data: bytes) -> Shared:
    """Give back what is shared.

    Raises:
        RemoteProtocolError: malformed, or beyond a limit.
    """
    body = BodyReader(data)
    names = NameReader(body)
    tables: list[Table] = []
    values = MAX_TABLE_VALUES
    for _ in range(body.head.varint(MAX_TABLES, "number of tables")):
        tables.append(read_table(body, names, values))
        values -= tables[-1].value_count
    formulas: tuple[Formula, ...] = ()
    if body.head.left():
        count = body.head.varint(MAX_FORMULAS, "number of formulas")
        formulas = tuple(read_formula(body, names) for _ in range(count))
        if not formulas and not body.head.left():
            raise RemoteProtocolError("dictionary says that it has formulas, and names none")
    roster = read_roster(body, names) if body.head.left() else NO_ROSTER
    histograms = read_histograms(body, names) if body.head.left() else NO_HISTOGRAMS
    body.close()
    shared = Shared(tuple(tables), formulas, roster, histograms)
    if not shared:
        raise RemoteProtocolError(f"dictionary has no tables: must be 1 to {MAX_TABLES}")
    return shared
