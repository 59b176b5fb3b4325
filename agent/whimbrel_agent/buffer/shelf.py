"""Dictionaries that this device has: the one it seals with, and those that its frames name.

One is used only after the region of the present address has said, in the present generation of
its journal, that it keeps it (see ``protocol/README.md``). A newer one retires those before it;
a retired one goes when no frame in the buffer can name it any more. Functions here run inside
the caller's transaction and keep memory and rows together.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from typing import Final

from whimbrel_agent.buffer.schema import row_sum
from whimbrel_protocol.dictionaries import Dictionary, dictionary_name, pack_dictionary
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.messages import DictionaryOffer
from whimbrel_protocol.names import Address

MAX_HELD: Final = 8
"""Dictionaries in a buffer: with more than that named by waiting frames no new one is learned."""

OFFER_AGAIN_NS: Final = 60_000_000_000
"""An offer that is not answered is repeated after this, then after twice as long, and so on."""

WANTED_PAUSE_NS: Final = 2_000_000_000
"""Shorter than a frame waits before it is sent again and leads to the same question."""

MAX_OFFER_AGAIN_NS: Final = 24 * 3600 * 1_000_000_000
"""A region that knows nothing of dictionaries never answers."""


@dataclass(frozen=True, slots=True)
class Held:
    """A dictionary and where it is kept.

    ``through``: 0 while it may be used; once retired, no frame whose body has a greater id names
    it. ``address`` and ``generation`` are those of the region's last word that it is kept.
    """

    id: int
    dictionary: Dictionary
    through: int = 0
    address: str = ""
    generation: bytes = b""

    @property
    def live(self) -> bool:
        """Whether frames may still come to name it."""
        return self.through == 0

    def is_kept(self, address: Address, generation: bytes) -> bool:
        """Whether the region at an address has said so in this generation."""
        return bool(generation) and (self.address, self.generation) == (str(address), generation)


class Shelf:
    """The rows of ``dictionaries`` in memory."""

    def __init__(self) -> None:
        self._held: dict[bytes, Held] = {}
        self._offered: dict[bytes, tuple[int, int]] = {}
        self._answered: dict[bytes, int] = {}
        self.at_hand: dict[bytes, Dictionary] = {}

    def __len__(self) -> int:
        return len(self._held)

    def load(self, connection: sqlite3.Connection) -> list[str]:
        """Read the rows; return what is wrong with them."""
        problems = []
        before, self._held, self.at_hand = self.at_hand, {}, {}
        for number, name, content, *rest, total in connection.execute(
            "SELECT id, name, content, through, address, generation, sum FROM dictionaries"
        ):
            if row_sum(number, name, content, *rest) != total:
                problems.append(f"dictionary {number} has a wrong checksum")
                continue
            try:
                dictionary = before.get(name) or Dictionary(content)
            except RemoteProtocolError as error:
                problems.append(f"dictionary {number}: {error}")
                continue
            self._take(Held(number, dictionary, *rest))
        return problems

    def _take(self, held: Held) -> None:
        self._held[held.dictionary.name] = held
        self.at_hand[held.dictionary.name] = held.dictionary

    def get(self, name: bytes) -> Held | None:
        """Return a dictionary by its name."""
        return self._held.get(name)

    def live(self) -> list[Held]:
        """Return those that may be used, the oldest first."""
        return sorted((one for one in self._held.values() if one.live), key=lambda one: one.id)

    def for_sealing(self, address: Address, generation: bytes) -> Dictionary | None:
        """Return the newest that the region at an address keeps, if any."""
        kept = [one for one in self.live() if one.is_kept(address, generation)]
        return kept[-1].dictionary if kept else None

    def add(self, connection: sqlite3.Connection, content: bytes) -> None:
        """Put a new one on the shelf, not kept by any region yet."""
        number = 1 + max((one.id for one in self._held.values()), default=0)
        self.put(connection, Held(number, Dictionary(content)))

    def put(self, connection: sqlite3.Connection, held: Held) -> None:
        """Write one as it is now."""
        columns = (
            *(held.id, held.dictionary.name, held.dictionary.content),
            *(held.through, held.address, held.generation),
        )
        connection.execute(
            "INSERT OR REPLACE INTO dictionaries VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*columns, row_sum(*columns)),
        )
        self._take(held)

    def keep(
        self,
        connection: sqlite3.Connection,
        name: bytes,
        *,
        address: Address,
        generation: bytes,
        last_body: int,
    ) -> None:
        """Take the region's word that it keeps one; what it takes the place of is retired."""
        held = replace(self._held[name], address=str(address), generation=generation)
        self.put(connection, held)
        self._offered.pop(name, None)
        if held.live:
            for older in self.live():
                if older.id < held.id:
                    self.retire(connection, older, last_body)

    def retire(self, connection: sqlite3.Connection, held: Held, last_body: int) -> None:
        """See to it that no new frame names one."""
        self.put(connection, replace(held, through=max(1, last_body)))
        held.dictionary.rest()

    def forget(self, connection: sqlite3.Connection) -> None:
        """Drop retired ones that no frame in the buffer can name."""
        (oldest,) = connection.execute("SELECT min(id) FROM bodies").fetchone()
        for held in list(self._held.values()):
            if not held.live and (oldest is None or oldest > held.through):
                connection.execute("DELETE FROM dictionaries WHERE id = ?", (held.id,))
                del self._held[held.dictionary.name], self.at_hand[held.dictionary.name]
                self._offered.pop(held.dictionary.name, None)
                self._answered.pop(held.dictionary.name, None)

    # ---- offers

    def offers(self, address: Address, generation: bytes, now_ns: int) -> list[DictionaryOffer]:
        """Return what the region should be given now; nothing before it has answered a resume.

        Those in use that it has not said it keeps, and retired ones that it kept in another
        generation: it may have lost them, and frames that it has may name them.
        """
        due = []
        for held in list(self._held.values()):
            name = held.dictionary.name
            if not generation or held.is_kept(address, generation):
                continue
            if not held.live and held.address != str(address):
                continue
            count, next_ns = self._offered.get(name, (0, now_ns))
            if now_ns < next_ns:
                continue
            wait_ns = min(MAX_OFFER_AGAIN_NS, OFFER_AGAIN_NS << min(count, 20))
            self._offered[name] = (count + 1, now_ns + wait_ns)
            due.append(_offer(held, address, needed=not held.live or bool(held.address)))
        return due

    def wanted(self, name: bytes, address: Address, now_ns: int) -> DictionaryOffer | None:
        """Return the offer of one that the region at an address asked for, if it is here.

        None also shortly after the last: a question that is played again must not cost more.
        """
        held = self._held.get(name)
        if held is None or now_ns < self._answered.get(name, now_ns):
            return None
        self._answered[name] = now_ns + WANTED_PAUSE_NS
        return _offer(held, address, needed=True)


def _offer(held: Held, address: Address, *, needed: bool) -> DictionaryOffer:
    return DictionaryOffer(address, pack_dictionary(held.dictionary.content), needed)


def is_sound(name: object, content: object) -> bool:
    """Say whether a row of a damaged file proves itself: its name is its content's."""
    return type(content) is bytes and dictionary_name(content) == name
