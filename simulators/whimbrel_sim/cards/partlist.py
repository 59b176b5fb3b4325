"""The parts by name."""

from __future__ import annotations

from typing import Any, Final

from .parts import BufferPart, JournalPart

PARTS: Final[dict[str, Any]] = {part.name: part for part in (BufferPart(), JournalPart())}
