"""A trace met by tiers and policies, day by day.

At the end of each day the plan is made by `vna.workflow.tiering.plan`, as the daemon makes it, and is
followed as far as the rate allows. What is freed is free at once. Reads of far tiers fill the cache
as the archive's recall does: the rest of the series, then of its study.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import merge

from vna.archive import SeriesFacts, TierFacts, leaving
from vna.workflow.priors import Choice
from vna.workflow.simulation.outcome import CACHE, Day, Latencies, Outcome, PrefetchOutcome, Served
from vna.workflow.simulation.patients import Patients
from vna.workflow.simulation.setup import Setup
from vna.workflow.simulation.trace import Arrival, Read, Trace
from vna.workflow.tiering import plan

__all__ = ["replay"]

DAY_NS = 86_400 * 10**9
OLD_NS = 30 * DAY_NS
GB = 1e9


def replay(trace: Trace, setup: Setup) -> Outcome:
    """Return what a setup makes of a trace."""
    return _Replay(trace, setup).run()


@dataclass(slots=True)
class _Held:
    """A series, and the tiers (0 is the hottest) that keep it."""

    arrival: Arrival
    tiers: set[int]
    facts: SeriesFacts | None = None


@dataclass(slots=True)
class _Cached:
    """A series in the cache, whole from `ready` on; a prefetch of it that nobody has read yet."""

    size: int
    ready: int
    prefetched: bool


class _Cache:
    """The cache of far tiers: what was not read for longest leaves."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._held: OrderedDict[str, _Cached] = OrderedDict()

    @property
    def size(self) -> int:
        return self._size

    def get(self, series: str) -> _Cached | None:
        found = self._held.get(series)
        if found is not None:
            self._held.move_to_end(series)
        return found

    def put(self, series: str, size: int, ready: int, *, prefetched: bool) -> None:
        if size > self._limit:
            return
        self._held[series] = _Cached(size, ready, prefetched)
        self._size += size
        while self._size > self._limit:
            _, gone = self._held.popitem(last=False)
            self._size -= gone.size


class _Replay:
    def __init__(self, trace: Trace, setup: Setup) -> None:
        self._trace = trace
        self._setup = setup
        self._tiers = setup.tiers
        self._names = [tier.name for tier in setup.tiers]
        self._place = {name: place for place, name in enumerate(self._names)}
        self._copies = {place: tier.settings.copies for place, tier in enumerate(setup.tiers)}
        self._stored = [0.0] * len(setup.tiers)
        self._series: dict[str, _Held] = {}
        self._studies: dict[str, list[_Held]] = {}
        self._patients = Patients(setup.prefetches, setup.prefetching, trace.known)
        self._movable: dict[str, _Held] = {}
        self._accessed: dict[str, int] = {}
        self._cache = _Cache(setup.cache_bytes)
        self._first, self._whole, self._old = Latencies(), Latencies(), Latencies()
        self._moved_today = 0
        self._waiting = 0
        self._prefetched = 0
        served = {name: Served() for name in [*self._names, CACHE]}
        self._outcome = Outcome(setup.name, self._names, served)
        if setup.prefetches:
            self._outcome.prefetch = PrefetchOutcome()

    def run(self) -> Outcome:
        """Meet the trace."""
        trace = self._trace
        begin = bisect_left(trace.arrivals, trace.begin, key=lambda each: each.time)
        for arrival in trace.arrivals[:begin]:
            self._keep(arrival)
        self._follow(trace.begin, self._setup.moved_a_day * 10_000)  # all that was due before
        self._outcome.moved.clear()
        day = trace.begin + DAY_NS
        counted: Iterable[Arrival | Read] = trace.arrivals[begin:]
        events = merge(counted, trace.reads, key=lambda each: each.time)
        for event in events:
            while event.time >= day:
                self._end_day(day)
                day += DAY_NS
            if isinstance(event, Read):
                self._read(event)
            else:
                self._prefetch(event.time, self._keep(event))
        while day < trace.end:
            self._end_day(day)
            day += DAY_NS
        self._end_day(day)
        return self._report()

    # arrivals ---------------------------------------------------------------------------------
    def _keep(self, arrival: Arrival) -> list[Choice]:
        """Have a series on the hot tier; return the priors that rules choose for it."""
        held = _Held(arrival, {0})
        self._series[arrival.series] = held
        self._studies.setdefault(arrival.study, []).append(held)
        self._movable[arrival.series] = held
        self._stored[0] += self._tiers[0].stored(arrival.bytes)
        return self._patients.keep(arrival)

    def _prefetch(self, now: int, chosen: Sequence[Choice]) -> None:
        """Bring priors into the cache, one after the other, behind those that are on their way."""
        counts = self._outcome.prefetch
        if counts is None:
            return
        self._prefetched = max(self._prefetched, now)
        for choice in chosen:
            fetched, self._prefetched = self._bring(
                choice.study_uid, self._prefetched, self._setup.prefetching.rate_bytes_s
            )
            counts.studies += bool(fetched)
            counts.bytes += fetched

    def _bring(self, study: str, now: int, rate: int = 0) -> tuple[int, int]:
        """Bring what is far of a study into the cache; return the bytes, and when that is done.

        A prefetch does so at a `rate`, in bytes per second.
        """
        fetched = 0
        for held in self._studies.get(study, ()):
            tier = self._tiers[min(held.tiers)]
            size = held.arrival.bytes
            if tier.settings.far and self._cache.get(held.arrival.series) is None:
                stored = tier.stored(size)
                now += int(max(tier.takes_s(stored), stored / rate if rate else 0) * 1e9)
                self._cache.put(held.arrival.series, size, now, prefetched=bool(rate))
                fetched += size
        return fetched, now

    # reads ------------------------------------------------------------------------------------
    def _read(self, read: Read) -> None:
        held = self._series[read.series]
        tier = self._tiers[min(held.tiers)]
        size = read.bytes or held.arrival.bytes
        cached = self._cache.get(read.series) if tier.settings.far else None
        there = cached is not None and cached.ready <= read.time
        place = CACHE if there else tier.name
        source = self._tiers[0] if there else tier
        served = self._outcome.served[place]
        served.reads += 1
        served.bytes += size
        first = source.takes_s(size / read.reads)
        if cached is not None:
            if not there:  # on its way: it comes, or a request of its own is sooner
                first = min(first, (cached.ready - read.time) / 1e9)
            self._note_prefetched(cached, in_time=there)
        elif tier.settings.far:
            done = read.time + int(tier.takes_s(tier.stored(held.arrival.bytes)) * 1e9)
            self._cache.put(read.series, held.arrival.bytes, done, prefetched=False)
            self._bring(read.study, done)
        self._first.add(first)
        self._whole.add(source.takes_s(size))
        if read.time - held.arrival.time > OLD_NS:
            self._old.add(first)
        self._accessed[held.arrival.study] = read.time
        for other in self._studies[held.arrival.study]:
            other.facts = None

    def _note_prefetched(self, cached: _Cached, *, in_time: bool) -> None:
        counts = self._outcome.prefetch
        if cached.prefetched and counts is not None:
            cached.prefetched = False
            counts.in_time += in_time
            counts.late += not in_time

    # movement ---------------------------------------------------------------------------------
    def _follow(self, now: int, budget: float) -> None:
        """Plan, and move as much as may be."""
        facts = [self._facts(held) for held in self._movable.values()]
        moves = list(plan(facts, self._tier_facts(), self._setup.policies, now))
        self._waiting = 0
        for move in moves:
            if move.bytes > budget:
                self._waiting += 1
                continue
            budget -= move.bytes
            self._move(self._series[move.series_uid], self._place[move.to])
            name = f"{move.source} to {move.to}"
            self._outcome.moved[name] = self._outcome.moved.get(name, 0) + move.bytes
            self._moved_today += move.bytes

    def _move(self, held: _Held, to: int) -> None:
        gone = leaving(held.tiers, to, self._copies)
        size = held.arrival.bytes
        if to not in held.tiers:
            self._stored[to] += self._tiers[to].stored(size)
        for place in gone:
            self._stored[place] -= self._tiers[place].stored(size)
        held.tiers = (held.tiers | {to}) - gone
        held.facts = None
        if min(held.tiers) == len(self._tiers) - 1:
            del self._movable[held.arrival.series]  # nothing is below

    def _facts(self, held: _Held) -> SeriesFacts:
        if held.facts is None:
            arrival = held.arrival
            held.facts = SeriesFacts(
                study_uid=arrival.study,
                series_uid=arrival.series,
                modality=arrival.modality,
                department=arrival.department,
                station=arrival.station,
                instances=arrival.instances,
                bytes=arrival.bytes,
                study_date=arrival.study_date,
                received=arrival.time,
                accessed=max(arrival.time, self._accessed.get(arrival.study, 0)),
                tier=self._names[min(held.tiers)],
                tiers=frozenset(self._names[place] for place in held.tiers),
            )
        return held.facts

    def _tier_facts(self) -> list[TierFacts]:
        found = []
        for tier, stored in zip(self._tiers, self._stored, strict=True):
            each = tier.settings
            space = each.capacity_bytes
            found.append(
                TierFacts(
                    each.name,
                    each.copies,
                    each.high_watermark_percent,
                    each.low_watermark_percent,
                    space,
                    int(stored) if space else 0,
                )
            )
        return found

    # counting ---------------------------------------------------------------------------------
    def _end_day(self, now: int) -> None:
        self._moved_today = 0
        self._follow(now, self._setup.moved_a_day)
        stored = dict(zip(self._names, self._stored, strict=True)) | {CACHE: self._cache.size}
        self._outcome.days.append(Day(stored, self._moved_today))

    def _report(self) -> Outcome:
        outcome = self._outcome
        days = len(outcome.days)
        reads = sum(served.reads for served in outcome.served.values())
        for served in outcome.served.values():
            served.share = served.reads / reads if reads else 0.0
        outcome.waiting = self._waiting
        outcome.moved_per_month = sum(day.moved for day in outcome.days) / days * 30
        costs = {tier.name: tier.cost_per_gb_month for tier in self._tiers}
        for name, cost in (costs | {CACHE: self._tiers[0].cost_per_gb_month}).items():
            mean = sum(day.stored[name] for day in outcome.days) / days
            outcome.cost_by_tier[name] = mean / GB * cost
        outcome.cost_per_month = sum(outcome.cost_by_tier.values())
        outcome.first_p50_ms, outcome.first_p95_ms = map(self._first.percentile_ms, (50, 95))
        outcome.old_p50_ms, outcome.old_p95_ms = map(self._old.percentile_ms, (50, 95))
        outcome.whole_p50_ms, outcome.whole_p95_ms = map(self._whole.percentile_ms, (50, 95))
        return outcome
