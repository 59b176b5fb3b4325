"""The bars: joules of the radio a day, by policy."""

from __future__ import annotations

from typing import Final

from whimbrel_sim.energy.comparison import BOUND, Comparison
from whimbrel_sim.energy.lettering import ADVANCE, HEIGHT
from whimbrel_sim.energy.png import Canvas
from whimbrel_sim.energy.policies import OURS

__all__ = ["draw"]

_PALETTE: Final = ((255, 255, 255), (35, 40, 48), (150, 158, 170), (20, 110, 150), (216, 222, 229))
_GROUND, _INK, _OTHERS, _OURS, _LINE = range(5)

_SCALE: Final = 2
_MARGIN: Final = 24
_LABELS: Final = 18 * ADVANCE * _SCALE
_BARS: Final = 520
_FIGURES: Final = 22 * ADVANCE * _SCALE
_STEP: Final = 40
_THICK: Final = 24
_HEAD: Final = 80
_FOOT: Final = 8


def draw(comparison: Comparison) -> bytes:
    """Return a PNG of the comparison."""
    rows = comparison.rows
    width = 2 * _MARGIN + _LABELS + _BARS + _FIGURES
    height = _HEAD + _STEP * len(rows) + _FOOT
    canvas = Canvas(width, height, _PALETTE)
    canvas.write(_MARGIN, 20, "Radio energy by policy, joules a day", _INK, scale=_SCALE)
    about = f"{comparison.load}, LTE: {comparison.items:,} items, {comparison.seeds} seeds"
    canvas.write(_MARGIN, 46, about, _OTHERS, scale=_SCALE)
    most = max(row.joules_per_day for row in rows)
    left = _MARGIN + _LABELS
    canvas.bar(left - 4, _HEAD - 6, 2, _STEP * len(rows), _LINE)
    for place, row in enumerate(rows):
        y = _HEAD + place * _STEP
        text_y = y + (_THICK - HEIGHT * _SCALE) // 2
        ours = row.policy == OURS
        ink = _OURS if ours else _INK
        length = max(1, round(_BARS * row.joules_per_day / most))
        canvas.write(_MARGIN, text_y, row.policy, ink, scale=_SCALE)
        canvas.bar(left, y, length, _THICK, _OURS if ours else _OTHERS)
        figure = f"{row.joules_per_day:,.0f}"
        if row.policy != BOUND:
            figure += f" ({row.times_bound:.2f} x bound)"
        canvas.write(left + length + 10, text_y, figure, ink, scale=_SCALE)
    return canvas.to_png()
