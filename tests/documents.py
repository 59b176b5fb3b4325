"""Reads the fenced blocks of our Markdown pages, so that tests can do what the pages say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\((?!https?:)([^)#]+)(#[^)]*)?\)")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language and text."""

    language: str
    text: str

    def commands(self) -> list[str]:
        """Return the block's command lines, joined over backslashes, without comments."""
        joined = self.text.replace("\\\n", " ")
        lines = [line.split("  # ")[0].split("    # ")[0].strip() for line in joined.splitlines()]
        return [line for line in lines if line and not line.startswith("#")]


def blocks_of(page: Path) -> list[Block]:
    """Return a page's blocks, in order."""
    return [Block(*found) for found in _FENCE.findall(page.read_text())]


def links_of(page: Path) -> list[Path]:
    """Return the files that a page links to."""
    return [page.parent / found[0] for found in _LINK.findall(page.read_text())]


def pages() -> list[Path]:
    """Return every page of the project."""
    found = [path for path in ROOT.rglob("*.md") if not _is_hidden(path)]
    return sorted(found)


def _is_hidden(path: Path) -> bool:
    return any(
        part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts
    )
