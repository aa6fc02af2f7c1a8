"""The page: goals first, then plots, then every figure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from html import escape

from vna.bench.comparison import Comparison, Figures, Goal, Sample, figures
from vna.bench.report.charts import Bar, Point, bars, colour, lines

__all__ = ["page"]

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --dim: #656d76; --line: #d0d7de; --card: #fff;
  --back: #f6f8fa; --good: #1a7f37; --bad: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #8d96a0; --line: #30363d;
  --card: #161b22; --back: #0d1117; --good: #3fb950; --bad: #f85149; } }
body { margin: 0 auto; max-width: 1180px; padding: 28px 20px 60px; background: var(--back);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 4px; font-size: 26px; } h2 { margin: 36px 0 10px; font-size: 19px; }
p, .facts { color: var(--dim); margin: 4px 0; max-width: 90ch; }
.grid { stroke: var(--line); } .spread { stroke: var(--ink); opacity: .55; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(420px, 1fr)); gap: 14px; }
.plots svg { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 8px; width: 100%; box-sizing: border-box; }
svg text { font: 11.5px system-ui, sans-serif; fill: var(--dim); }
svg text.title { font-size: 13px; font-weight: 600; fill: var(--ink); }
svg polyline { stroke-width: 2; }
table { border-collapse: collapse; background: var(--card); border: 1px solid var(--line);
  font-size: 13px; width: 100%; }
.wide { overflow-x: auto; }
th, td { padding: 5px 9px; border-bottom: 1px solid var(--line); text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; }
th { color: var(--dim); font-weight: 600; }
td.step { font-weight: 600; padding-top: 12px; } .server::before { content: "■ "; color: var(--c); }
.met { color: var(--good); font-weight: 600; } .missed { color: var(--bad); font-weight: 600; }
.unknown { color: var(--dim); } .tiles { display: flex; gap: 14px; flex-wrap: wrap; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 10px 18px; } .tile b { display: block; font-size: 24px; }
"""


def page(found: Comparison) -> str:
    """Return the report of a comparison as one HTML document."""
    table = found.figures()
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>Bench of {escape(found.began[:10])}</title><style>{STYLE}</style>",
        *_head(found),
        *_goals(found.goals),
        *_plots(found.samples, table),
        *_table(table),
        "</html>",
    ]
    return "\n".join(parts)


def _head(found: Comparison) -> Iterator[str]:
    machine = found.machine
    yield "<h1>An archive beside its peers</h1>"
    yield (
        f"<p class=facts>{escape(found.began)}, {found.seconds / 60:.0f} minutes, {found.rounds} "
        f"rounds in turns, medians with the lowest and highest round. "
        f"{escape(machine.processor)}, {machine.processors} processors (the client shares them), "
        f"{machine.memory_gb:g} GB, Linux {escape(machine.kernel)}, {escape(machine.filesystem)}, "
        f"TCP by {escape(machine.congestion_control)}, "
        f"Python {escape(machine.python)}, load average at the end {machine.load_average:g}.</p>"
    )
    for name, what in found.servers.items():
        yield (
            f'<p class=facts><span class=server style="--c:{colour(name)}"><b>{escape(name)}</b>'
            f"</span> {escape(what)}</p>"
        )


def _goals(goals: list[Goal]) -> Iterator[str]:
    if not goals:
        return
    kinds = [("met", True), ("missed", False), ("unknown", None)]
    names = {True: "met", False: "missed", None: "not measured"}
    yield "<h2>Goals</h2><div class=tiles>"
    for css, met in kinds:
        count = sum(goal.met is met for goal in goals)
        yield f"<div class=tile><b class={css}>{count}</b>{names[met]}</div>"
    yield "</div><br><div class=wide><table><tr><th>goal<th>limit<th>this run<th></tr>"
    for goal in goals:
        css = next(name for name, met in kinds if met is goal.met)
        cells = (escape(text) for text in (goal.text, goal.limit, goal.value))
        yield f"<tr><td>{'<td>'.join(cells)}<td class={css}>{names[goal.met]}</tr>"
    yield "</table></div>"


def _plots(samples: list[Sample], table: dict[tuple[str, str], Figures]) -> Iterator[str]:
    yield "<h2>Against concurrency</h2><div class=plots>"
    for scenario, title, across in (
        ("store", "C-STORE, CT of 0.5 MB", "associations"),
        ("frame", "WADO-RS, one frame of 0.5 MB", "connections"),
    ):
        chosen = [s for s in samples if s.result.scenario == scenario and _is_ct(s)]
        yield _over_lanes(chosen, f"{title}: rate", across, "per second", _rates)
        yield _over_lanes(chosen, f"{title}: p50, p99 dashed", across, "ms", _times, log_up=True)
        yield _over_lanes(chosen, f"{title}: CPU", across, "server ms each", _costs)
    yield "</div>"
    grown = [sample for sample in samples if sample.studies]
    if grown:
        yield "<h2>Against the size of the archive</h2><div class=plots>"
        for scenario in dict.fromkeys(sample.result.scenario for sample in grown):
            chosen = [sample for sample in grown if sample.result.scenario == scenario]
            yield _over_size(chosen, f"{scenario}: p50 of one connection")
        yield "</div>"
    fixed = {key: value for key, value in table.items() if not _grows(key, grown)}
    yield "<h2>Rates</h2><div class=plots>"
    yield from _bars(fixed, "per second", lambda f: (f.per_s, f.lowest_per_s, f.highest_per_s))
    yield "</div><h2>Processor time of the server, per operation</h2><div class=plots>"
    yield from _bars(fixed, "ms", lambda f: (f.cpu_ms, f.cpu_ms, f.cpu_ms))
    yield "</div>"


def _is_ct(sample: Sample) -> bool:
    return sample.result.load.mix == "CT"


def _grows(key: tuple[str, str], grown: list[Sample]) -> bool:
    return any(sample.label == key[0] for sample in grown)


Spread = tuple[float, float, float]


def _rates(found: Figures) -> dict[str, Spread]:
    return {"": (found.per_s, found.lowest_per_s, found.highest_per_s)}


def _times(found: Figures) -> dict[str, Spread]:
    return {
        " p50": (found.p50_ms, found.p50_ms, found.p50_ms),
        " p99": (found.p99_ms, found.p99_ms, found.p99_ms),
    }


def _costs(found: Figures) -> dict[str, Spread]:
    return {"": (found.cpu_ms, found.cpu_ms, found.cpu_ms)}


def _over_lanes(
    samples: list[Sample],
    title: str,
    across: str,
    up: str,
    values: Callable[[Figures], dict[str, Spread]],
    *,
    log_up: bool = False,
) -> str:
    lanes = {sample.label: sample.result.load.lanes for sample in samples}
    return _curves(samples, lanes, title, across, up, values, log_up=log_up)


def _over_size(samples: list[Sample], title: str) -> str:
    sizes = {sample.label: sample.studies for sample in samples}

    def p50(found: Figures) -> dict[str, Spread]:
        return {"": (found.p50_ms, found.p50_ms, found.p50_ms)}

    return _curves(samples, sizes, title, "studies", "ms", p50, log_up=True)


def _curves(  # noqa: PLR0917  # one plot is that much
    samples: list[Sample],
    places: dict[str, int],
    title: str,
    across: str,
    up: str,
    values: Callable[[Figures], dict[str, Spread]],
    *,
    log_up: bool,
) -> str:
    series: dict[str, list[Point]] = {}
    for (label, server), found in figures(samples).items():
        for name, spread in values(found).items():
            series.setdefault(server + name, []).append(Point(places[label], *spread))
    ordered = {name: sorted(found) for name, found in series.items()}
    return lines(title, across, up, ordered, log_up=log_up)


def _bars(
    table: dict[tuple[str, str], Figures], unit: str, values: Callable[[Figures], Spread]
) -> Iterator[str]:
    for label in dict.fromkeys(label for label, _ in table):
        rows = []
        for (step, server), found in table.items():
            if step == label:
                value, low, high = values(found)
                text = f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
                rows.append(Bar(server, value, low, high, text))
        yield bars(label, unit, sorted(rows, key=lambda row: -row.value))


def _table(table: dict[tuple[str, str], Figures]) -> Iterator[str]:
    titles = (
        "per s",
        "lowest",
        "highest",
        "MB/s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "server CPU ms",
        "client CPU ms",
        "RSS MB",
        "switches",
        "calls",
        "errors",
    )
    yield "<h2>Every figure</h2><p>CPU, context switches and system calls are per operation.</p>"
    yield f"<div class=wide><table><tr><th>server<th>{'<th>'.join(titles)}</tr>"
    for label in dict.fromkeys(label for label, _ in table):
        yield f'<tr><td class=step colspan="{len(titles) + 1}">{escape(label)}</td></tr>'
        for (step, server), found in table.items():
            if step == label:
                name = f'<span class=server style="--c:{colour(server)}">{escape(server)}</span>'
                yield f"<tr><td>{name}<td>{'<td>'.join(_cells(found))}</tr>"
    yield "</table></div>"


def _cells(found: Figures) -> Iterable[str]:
    yield from (f"{each:,.1f}" for each in (found.per_s, found.lowest_per_s, found.highest_per_s))
    yield f"{found.octets_per_s / 1e6:,.1f}"
    times = (found.p50_ms, found.p90_ms, found.p99_ms, found.cpu_ms, found.client_cpu_ms)
    yield from (f"{each:,.3f}" for each in times)
    yield f"{found.rss_mb:,.0f}"
    yield f"{found.switches:,.1f}"
    yield "" if found.calls is None else f"{found.calls:,.1f}"
    yield str(found.errors)
