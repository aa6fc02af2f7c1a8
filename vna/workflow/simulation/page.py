"""The report of a simulation: one HTML file that needs nothing else, setups side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape

from vna.workflow.simulation.outcome import CACHE, Day, Outcome

__all__ = ["FIGURES", "simulation_page"]

WIDTH, HEIGHT = 480, 240
LEFT, RIGHT, TOP, BOTTOM = 64, 92, 30, 34
GB = 1e9
INKS = ("#2da44e", "#d1242f", "#d9730d", "#1f6feb", "#8250df", "#0a8a78", "#57606a")
BAR_INK = "#1f6feb"
STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --dim: #656d76; --line: #d0d7de; --card: #fff;
  --back: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #8d96a0; --line: #30363d;
  --card: #161b22; --back: #0d1117; } }
body { margin: 0 auto; max-width: 1180px; padding: 28px 20px 60px; background: var(--back);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 4px; font-size: 26px; } h2 { margin: 30px 0 10px; font-size: 19px; }
p { color: var(--dim); margin: 4px 0; max-width: 90ch; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 14px; }
.plots svg { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 8px; width: 100%; box-sizing: border-box; }
svg text { font: 11.5px system-ui, sans-serif; fill: var(--dim); }
svg text.title { font-size: 13px; font-weight: 600; fill: var(--ink); }
.rule { stroke: var(--line); }
table { border-collapse: collapse; background: var(--card); border: 1px solid var(--line);
  font-size: 13px; }
th, td { padding: 5px 12px; border-bottom: 1px solid var(--line); text-align: right;
  font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
"""

FIGURES: Sequence[tuple[str, Callable[[Outcome], str]]] = (
    ("cost per month", lambda each: f"{each.cost_per_month:,.2f}"),
    ("first object, p50", lambda each: f"{each.first_p50_ms:,.1f} ms"),
    ("first object, p95", lambda each: f"{each.first_p95_ms:,.1f} ms"),
    ("first object of old series, p50", lambda each: f"{each.old_p50_ms:,.1f} ms"),
    ("first object of old series, p95", lambda each: f"{each.old_p95_ms:,.1f} ms"),
    ("whole series, p50", lambda each: f"{each.whole_p50_ms:,.1f} ms"),
    ("whole series, p95", lambda each: f"{each.whole_p95_ms:,.1f} ms"),
    ("moved per month", lambda each: f"{each.moved_per_month / GB:,.1f} GB"),
    ("series still to move", lambda each: f"{each.waiting:,}"),
)
"""Figures of an outcome, in words."""


def simulation_page(about: str, outcomes: Sequence[Outcome]) -> str:
    """Return the report as one HTML document; `about` says what was replayed."""
    names = [CACHE, *dict.fromkeys(name for each in outcomes for name in each.tiers)]
    inks = {name: INKS[number % len(INKS)] for number, name in enumerate(names)}
    highest = max(sum(day.stored.values()) for each in outcomes for day in each.days) or 1.0
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>Tiers, simulated</title><style>{STYLE}</style>",
        f"<h1>Tiers, simulated</h1><p>{escape(about)}</p>",
        *_table(outcomes),
        "<h2>What is where</h2><div class=plots>",
        *(_areas(each, inks, highest) for each in outcomes),
        "</div><h2>Where reads are served from</h2><div class=plots>",
        *(_bars(f"{each.name}: reads of series", _shares(each), "{:.1f} %") for each in outcomes),
        "</div><h2>Cost per month</h2><div class=plots>",
        *(_bars(f"{each.name}: by tier", each.cost_by_tier, "{:,.2f}") for each in outcomes),
        "</div><h2>Moved in 30 days</h2><div class=plots>",
        *(_bars(f"{each.name}: GB", _months(each.days), "{:,.1f}") for each in outcomes),
        "</div></html>",
    ]
    return "\n".join(parts)


def _table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    heads = "".join(f"<th>{escape(each.name)}" for each in outcomes)
    yield f"<h2>Figures</h2><table><tr><th>{heads}</tr>"
    for name, figure in FIGURES:
        cells = "".join(f"<td>{escape(figure(each))}" for each in outcomes)
        yield f"<tr><td>{escape(name)}{cells}</tr>"
    if any(each.prefetch for each in outcomes):
        cells = "".join(
            f"<td>{each.prefetch.in_time:,} of {each.prefetch.in_time + each.prefetch.late:,}"
            if each.prefetch
            else "<td>"
            for each in outcomes
        )
        yield f"<tr><td>series prefetched and read, there in time{cells}</tr>"
    yield "</table>"


def _shares(outcome: Outcome) -> dict[str, float]:
    return {name: served.share * 100 for name, served in outcome.served.items()}


def _months(days: Sequence[Day]) -> dict[str, float]:
    return {
        f"days {start + 1}-{start + 30}": sum(day.moved for day in days[start : start + 30]) / GB
        for start in range(0, len(days), 30)
    }


def _areas(outcome: Outcome, inks: Mapping[str, str], highest: float) -> str:
    """Return the bytes of each tier over the days, one above the other, the coldest lowest."""
    days, names = outcome.days, [CACHE, *outcome.tiers]
    right = WIDTH - RIGHT

    def at(day: int, value: float) -> str:
        x = LEFT + (right - LEFT) * day / max(len(days) - 1, 1)
        y = HEIGHT - BOTTOM - value / highest * (HEIGHT - TOP - BOTTOM)
        return f"{x:.1f},{y:.1f}"

    parts = [_head(f"{outcome.name}: GB stored", HEIGHT)]
    for share in (0.0, 0.5, 1.0):
        y = HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" class="rule"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{highest * share / GB:,.0f}", "end"))
    parts.append(_text(LEFT, HEIGHT - 14, "day 1", "start"))
    parts.append(_text(right, HEIGHT - 14, f"day {len(days)}", "end"))
    below = [0.0] * len(days)
    for number, name in enumerate(reversed(names)):
        above = [low + day.stored[name] for low, day in zip(below, days, strict=True)]
        edge = [at(day, value) for day, value in enumerate(above)]
        edge += [at(day, value) for day, value in reversed(list(enumerate(below)))]
        ink = inks[name]
        parts.append(
            f'<polygon points="{" ".join(edge)}" fill="{ink}" opacity=".8">'
            f"<title>{escape(name)}: {days[-1].stored[name] / GB:,.1f} GB at the end</title></polygon>"
        )
        y = HEIGHT - BOTTOM - 6 - 16 * number
        parts.append(f'<rect x="{right + 10}" y="{y - 8}" width="9" height="9" fill="{ink}"/>')
        parts.append(_text(right + 23, y, name, "start"))
        below = above
    return "".join([*parts, "</svg>"])


def _bars(title: str, rows: Mapping[str, float], form: str) -> str:
    """Return a bar for each value."""
    longest = max(rows.values(), default=0.0) or 1.0
    height = TOP + 22 * len(rows) + 6
    parts = [_head(title, height)]
    for number, (name, value) in enumerate(rows.items()):
        y = TOP + 22 * number
        size = value / longest * (WIDTH - 190)
        parts += [
            _text(102, y + 13, name, "end"),
            f'<rect x="108" y="{y + 2}" width="{size:.1f}" height="14" rx="2" fill="{BAR_INK}"/>',
            _text(114 + size, y + 13, form.format(value), "start"),
        ]
    return "".join([*parts, "</svg>"])


def _head(title: str, height: int) -> str:
    label = escape(title)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">' + _text(
        4, 16, title, "start", "title"
    )


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{css}>{escape(text)}</text>'
