"""Plots as SVG text: lines with spread, and rows of bars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

__all__ = ["Bar", "Point", "bars", "colour", "lines"]

WIDTH, HEIGHT = 480, 280
LEFT, RIGHT, TOP, BOTTOM = 58, 106, 30, 44
COLOURS = {
    "vna": "#1f6feb",
    "vna-1": "#79b0ff",
    "orthanc": "#d9730d",
    "orthanc-stock": "#f2b36b",
    "storescp": "#5a8f29",
    "dcmqrscp": "#9bbf6f",
    "pynetdicom": "#8250df",
    "nginx": "#0a8a78",
    "floor": "#57606a",
}
OTHERS = ("#bf3989", "#9a6700", "#116329", "#6e7781")


class Point(NamedTuple):
    """A median at `x`, with the lowest and highest round."""

    x: float
    y: float
    low: float
    high: float


class Bar(NamedTuple):
    """A value of a server, its spread, and what is written beside it."""

    server: str
    value: float
    low: float
    high: float
    text: str


def colour(name: str) -> str:
    """Return the colour of a server (`name`, or the first word of it), the same in every plot."""
    server = name.partition(" ")[0]
    return COLOURS.get(server) or OTHERS[sum(map(ord, server)) % len(OTHERS)]


def lines(
    title: str, across: str, up: str, series: Mapping[str, Sequence[Point]], *, log_up: bool = False
) -> str:
    """Return a plot of lines over a logarithmic axis.

    A series is named by its server, or by server and percentile: `vna p99` is dashed.
    """
    points = [point for found in series.values() for point in found]
    if not points:
        return ""
    xs = sorted({point.x for point in points})
    low = min(point.low for point in points) if log_up else 0.0
    scale = _Scale(max(point.high for point in points), low, log=log_up)

    def at_x(x: float) -> float:
        if len(xs) == 1:
            return (LEFT + WIDTH - RIGHT) / 2
        share = math.log(x / xs[0]) / math.log(xs[-1] / xs[0])
        return LEFT + 14 + share * (WIDTH - LEFT - RIGHT - 28)

    parts = [_frame(title, across, up)]
    for tick in scale.ticks():
        y = scale.at(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" class="grid"/>')
        parts.append(_text(LEFT - 6, y + 4, short(tick), "end"))
    parts += [_text(at_x(x), HEIGHT - BOTTOM + 16, short(x), "middle") for x in xs]
    for number, server in enumerate(dict.fromkeys(name.partition(" ")[0] for name in series)):
        parts.append(_legend(number, server, colour(server)))
    for name, found in series.items():
        ink, dash = colour(name), ' stroke-dasharray="5 4"' if name.endswith("p99") else ""
        path = " ".join(f"{at_x(p.x):.1f},{scale.at(p.y):.1f}" for p in found)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{ink}"{dash}/>')
        for p in found:
            x = at_x(p.x)
            whisker = f"M{x:.1f} {scale.at(p.low):.1f}V{scale.at(p.high):.1f}"
            hint = escape(f"{name}, {short(p.x)}: {p.y:,.2f} ({p.low:,.2f} to {p.high:,.2f})")
            parts.append(f'<path d="{whisker}" stroke="{ink}" opacity=".5"/>')
            parts.append(
                f'<circle cx="{x:.1f}" cy="{scale.at(p.y):.1f}" r="3.5" fill="{ink}">'
                f"<title>{hint}</title></circle>"
            )
    return "".join([*parts, "</svg>"])


def bars(title: str, unit: str, rows: Sequence[Bar]) -> str:
    """Return a row of bars, longest first, with the spread as a thin line."""
    if not rows:
        return ""
    longest = max(row.high for row in rows) or 1.0
    height = TOP + 24 * len(rows) + 6
    room = WIDTH - 96 - 112
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        _text(4, 18, title, "start", "title"),
        _text(WIDTH - 4, 18, unit, "end"),
    ]
    for number, row in enumerate(rows):
        y = TOP + 24 * number
        size = max(1.0, row.value / longest * room)
        low, high = (96 + value / longest * room for value in (row.low, row.high))
        box = f'x="96" y="{y + 3}" width="{size:.1f}" height="15" rx="2"'
        parts += [
            _text(90, y + 14, row.server, "end"),
            f'<rect {box} fill="{colour(row.server)}"/>',
            f'<path d="M{low:.1f} {y + 10.5}H{high:.1f}" class="spread"/>',
            _text(max(96 + size, high) + 6, y + 15, row.text, "start"),
        ]
    return "".join([*parts, "</svg>"])


class _Scale:
    """The vertical axis: from zero, or logarithmic from `low`."""

    def __init__(self, high: float, low: float, *, log: bool) -> None:
        self._log = log and low > 0
        self._high = (high or 1.0) * (1.3 if self._log else 1.08)
        self._low = low / 1.3 if self._log else 0.0

    def at(self, value: float) -> float:
        """Return where a value is drawn."""
        if self._log:
            share = math.log(max(value, self._low) / self._low) / math.log(self._high / self._low)
        else:
            share = value / self._high
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> Iterable[float]:
        """Yield round values to label."""
        if not self._log:
            step = _round_step(self._high / 5)
            return [n * step for n in range(int(self._high / step) + 1)]
        first = math.floor(math.log10(self._low))
        last = math.ceil(math.log10(self._high))
        found = [m * 10.0**n for n in range(first, last + 1) for m in (1, 2, 5)]
        return [value for value in found if self._low <= value <= self._high]


def _round_step(size: float) -> float:
    power = 10.0 ** math.floor(math.log10(size))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= size)


def short(value: float) -> str:
    """Return a number in few characters."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if letter == 'k' else limit):g}{letter}"
    return f"{value:.3g}" if value < 1_000 else f"{value:g}"


def _frame(title: str, across: str, up: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        + _text(4, 16, title, "start", "title")
        + _text((LEFT + WIDTH) / 2, HEIGHT - 8, across, "middle")
        + f'<text transform="translate(13 {HEIGHT / 2:.0f}) rotate(-90)" '
        f'text-anchor="middle">{escape(up)}</text>'
    )


def _legend(number: int, name: str, ink: str) -> str:
    y = TOP + 10 + 15 * number
    x = WIDTH - RIGHT + 12
    mark = f'<rect x="{x}" y="{y - 8}" width="9" height="9" rx="2" fill="{ink}"/>'
    return mark + _text(x + 13, y, name, "start")


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{css}>{escape(text)}</text>'
