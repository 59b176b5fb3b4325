"""Request bodies to events, slice by slice. Pure: bytes in, events and problems out.

Every event remembers its place: the line of an NDJSON body (from 1), the index in an array, a
batch or a CBOR sequence (from 0). What cannot be read becomes a ``Problem`` with the same place;
nothing disappears.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from whimbrel_agent.intake.idempotency import fingerprint
from whimbrel_agent.intake.jsontext import OddNumberError, decode_json, odd_number, scan_json
from whimbrel_agent.intake.lines import event_of
from whimbrel_protocol.cbor import load_values
from whimbrel_protocol.errors import FieldError, RemoteProtocolError
from whimbrel_protocol.event import Event

__all__ = [
    "MAX_LINE_BYTES",
    "LineReader",
    "LineTooLongError",
    "Problem",
    "Slice",
    "items_of",
    "parse_cbor",
    "without_odd_numbers",
]

MAX_LINE_BYTES: Final = 512 * 1024
"""One line of NDJSON: an event of 64 KiB whose every byte is written as a six-byte escape, and
some room. Bounds what is kept of a line that has not ended yet."""

ToEvent = Callable[[Any, int], Event]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one line or item was not accepted."""

    place: int
    field: str
    value: str
    rule: str

    @classmethod
    def of(cls, place: int, error: FieldError) -> Problem:
        """Make one from the error of a field."""
        return cls(place, error.field, error.value, error.rule)


@dataclass(slots=True)
class Slice:
    """Events read so far and not handed on yet, with their places, and what was wrong.

    ``fingerprints`` are of the bytes that the events came as, 0 where nobody asked for them.
    """

    events: list[Event] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    fingerprints: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(
        self, place: int, value: Any, to_event: ToEvent, now_ns: int, fingerprint: int = 0
    ) -> None:
        """Take one decoded value."""
        try:
            event = to_event(value, now_ns)
        except FieldError as exc:
            self.problems.append(Problem.of(place, exc))
        else:
            self.events.append(event)
            self.places.append(place)
            self.fingerprints.append(fingerprint)

    def refuse(self, place: int, value: object, rule: str) -> None:
        """Take one line or item that could not be decoded."""
        self.problems.append(Problem.of(place, FieldError("event", value, rule)))


class LineTooLongError(Exception):
    """A line of NDJSON goes on past ``MAX_LINE_BYTES``; ``line`` is its number."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line} is longer than {MAX_LINE_BYTES} bytes")
        self.line = line


_SPACES: Final = " \t\r"
_BAD_JSON: Final = "must be one JSON object a line"


class LineReader:
    """Reads NDJSON that arrives in pieces.

    Args:
        now_ns: the time of events that bring none.
        keyed: whether the lines' fingerprints are wanted.
    """

    def __init__(self, now_ns: int, *, keyed: bool = False) -> None:
        self._now_ns = now_ns
        self._keyed = keyed
        self._rest = b""
        self._line = 0

    def feed(self, piece: bytes) -> Iterator[Slice]:
        """Take a piece of the body and give the slice of lines that it completes.

        Raises:
            LineTooLongError: the line that has not ended is over the limit.
        """
        end = piece.rfind(b"\n")
        if end < 0:
            self._rest += piece
        else:
            block, self._rest = self._rest + piece[:end], piece[end + 1 :]
            yield self._read(block)
        if len(self._rest) > MAX_LINE_BYTES:
            raise LineTooLongError(self._line + 1)

    def finish(self) -> Iterator[Slice]:
        """Give the last line, which may lack its line feed."""
        block, self._rest = self._rest, b""
        if block:
            yield self._read(block)

    def _read(self, block: bytes) -> Slice:
        into = Slice()
        if self._line == 0:
            block = block.removeprefix(b"\xef\xbb\xbf")  # what some tills put before a file
        try:
            text = block.decode()
        except UnicodeDecodeError:
            for line in block.split(b"\n"):
                self._read_bytes(line, into)
            return into
        self._read_text(text, into)
        return into

    def _read_bytes(self, line: bytes, into: Slice) -> None:
        try:
            text = line.decode()
        except UnicodeDecodeError as exc:
            self._line += 1
            into.refuse(self._line, line, f"must be UTF-8 (byte {exc.start} is not)")
        else:
            self._read_text(text, into)

    def _read_text(self, text: str, into: Slice) -> None:
        # One scan over the whole block, no copy of a line, no array around them: a value that
        # ends where its line ends is a good line, whatever stands in its neighbours.
        scan, find, starts = scan_json, text.find, text.startswith
        now_ns, keyed = self._now_ns, self._keyed
        add_event, add_place = into.events.append, into.places.append
        begin, size, number = 0, len(text), self._line
        while begin <= size:
            number += 1
            end = find("\n", begin)
            if end < 0:
                end = size
            stop = -1
            if starts("{", begin):
                try:
                    value, stop = scan(text, begin)
                except (StopIteration, ValueError, RecursionError):
                    stop = -1
            if stop != end:
                self._read_line(text[begin:end].strip(_SPACES), number, into)
            else:
                try:
                    add_event(event_of(value, now_ns))
                except FieldError as exc:
                    into.problems.append(Problem.of(number, exc))
                else:
                    add_place(number)
                    into.fingerprints.append(fingerprint(text[begin:end].encode()) if keyed else 0)
            begin = end + 1
        self._line = number

    def _read_line(self, line: str, number: int, into: Slice) -> None:
        """Read a line that is not exactly one value: blank, with spaces around it, or bad."""
        if not line:
            return
        try:
            value = decode_json(line)
        except RecursionError:
            into.refuse(number, line, "must not nest so deep")
        except OddNumberError as exc:
            into.problems.append(Problem.of(number, exc))
        except ValueError as exc:
            into.refuse(number, line, f"{_BAD_JSON} ({exc})")
        else:
            print_ = fingerprint(line.encode()) if self._keyed else 0
            into.add(number, value, event_of, self._now_ns, print_)


def without_odd_numbers(to_event: ToEvent) -> ToEvent:
    """Give a ``to_event`` that refuses values with an ``OddNumber`` in them, by its field."""

    def convert(value: Any, now_ns: int) -> Event:
        if (error := odd_number(value)) is not None:
            raise error
        return to_event(value, now_ns)

    return convert


def items_of(value: Any, to_event: ToEvent, now_ns: int) -> Slice:
    """Give the events of one object or of an array of them."""
    into = Slice()
    for place, item in enumerate(value if type(value) is list else [value]):
        into.add(place, item, to_event, now_ns)
    return into


def parse_cbor(body: bytes) -> list[Any]:
    """Decode a CBOR map, an array of maps, or a sequence of maps (RFC 8742).

    Raises:
        FieldError: it is none of these.
    """
    try:
        values = load_values(body)
    except RemoteProtocolError as exc:
        raise FieldError("body", body, f"must be CBOR ({exc})") from exc
    if len(values) == 1 and type(values[0]) is list:
        return values[0]
    return values
