"""What a journal raises."""

from __future__ import annotations

from whimbrel_protocol.errors import WhimbrelError


class JournalError(WhimbrelError):
    """Base class of what a journal raises."""


class JournalInUseError(JournalError):
    """Another process has this journal open."""


class JournalVersionError(JournalError):
    """The file was written by a newer program, or is no journal; it was left unchanged."""


class JournalFullError(JournalError):
    """The byte cap is reached or the disk is full; nothing of the group was committed."""


class JournalDamagedError(JournalError):
    """The storage gave back something else than what was written."""


class JournalFailedError(JournalError):
    """The storage refused an operation; whether it took place is not known."""


class CursorGenerationError(JournalError):
    """A cursor belongs to another generation of the journal (it was restored since).

    Attributes:
        consumer: whose cursor it is.
        cursor_generation: the generation it was written in.
        journal_generation: the generation of the journal now.
    """

    def __init__(self, consumer: str, cursor_generation: bytes, journal_generation: bytes) -> None:
        super().__init__(
            f"cursor of {consumer!r} belongs to journal generation {cursor_generation.hex()}, but "
            f"the journal is generation {journal_generation.hex()}: it was restored since; check "
            f"what {consumer!r} already has, then rebind or detach it"
        )
        self.consumer = consumer
        self.cursor_generation = cursor_generation
        self.journal_generation = journal_generation


class UnknownConsumerError(JournalError):
    """No consumer of this name is attached."""


class ParkedFullError(JournalError):
    """A consumer has as many parked records as it may; it must stop until they are cleared."""
