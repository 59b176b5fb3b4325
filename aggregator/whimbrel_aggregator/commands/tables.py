"""Plain text tables: columns as wide as their content, nothing that a terminal must understand.

Values come from devices and receivers, so control characters (which could steer a terminal) are
shown as their escapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def plain_text(value: object) -> str:
    """Return a value as printable text; None is a dash."""
    if value is None or value == "":
        return "-"
    text = str(value)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows under their heads, without trailing spaces."""
    texts = [list(heads), *([plain_text(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    )


def facts_table(facts: Iterable[tuple[str, object]]) -> str:
    """Return names and values, one pair a line."""
    pairs = [(name, plain_text(value)) for name, value in facts]
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in pairs)


def size_text(size_bytes: int) -> str:
    """Return bytes as people read them."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
