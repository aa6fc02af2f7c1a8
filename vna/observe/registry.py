"""Metrics whose numbers are in memory that all processes of an archive share.

Each process adds to a row of its own, and whoever is asked for the metrics reads all rows: nothing
is sent, nothing is locked between processes, and what a process has counted outlives it. The rows
have the same cells in the same order, as all processes run the same table. Which values a label may
have is part of that table: nothing that came from a peer or a data set can become a label.
"""

from __future__ import annotations

import mmap
import os
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from math import inf
from typing import TypeAlias, TypeVar

from vna.errors import Unavailable

__all__ = ["OTHER", "Counter", "Gauge", "Histogram", "Metric", "Reading", "Registry"]

OTHER = "other"
"""Where it is among the values of a label, it stands for all that are not."""
CELL_BYTES = 8

Labels: TypeAlias = Mapping[str, Sequence[str]]
Cells: TypeAlias = "array[float] | memoryview[float]"


class Metric:
    """One row of the table: a name, what it means, and the values that its labels may have."""

    kind = ""

    def __init__(self, name: str, about: str, labels: Labels) -> None:
        self.name = name
        self.about = about
        self.labels = {label: tuple(values) for label, values in labels.items()}
        self.series = list(product(*self.labels.values()))


class Reading(Metric):
    """A gauge of the whole archive: whoever is asked for the metrics looks it up then."""

    kind = "gauge"


class _Counted(Metric):
    """A metric with cells: `size` of them for each combination of values."""

    size = 1

    def __init__(self, registry: Registry, name: str, about: str, labels: Labels) -> None:
        super().__init__(name, about, labels)
        self.first = registry.width
        self.width = len(self.series) * self.size
        self._registry = registry
        self._places = {
            series: self.first + number * self.size for number, series in enumerate(self.series)
        }

    def place(self, values: tuple[str, ...]) -> int:
        """Return the first cell of a series. KeyError for a value that the table does not have."""
        place = self._places.get(values)
        if place is None:
            known = zip(values, self.labels.values(), strict=True)
            place = self._places[tuple(v if v in those else OTHER for v, those in known)]
        return place


T = TypeVar("T", bound=_Counted)


class Counter(_Counted):
    """A number that only grows."""

    kind = "counter"

    def add(self, *values: str, by: float = 1) -> None:
        """Count one more, or `by`, of the series with these label values. Any thread."""
        place, registry = self._places.get(values), self._registry
        if place is None:
            place = self.place(values)
        with registry.lock:
            registry.cells[place] += by


class Gauge(_Counted):
    """A number that comes and goes, in each process another; gone with its process."""

    kind = "gauge"

    def set(self, value: float, *values: str) -> None:
        """Say what the number is now. Any thread."""
        self._registry.cells[self.place(values)] = value

    def here(self, *values: str) -> float:
        """Return what the number is in this process."""
        return self._registry.cells[self.place(values)]

    def fewest(self, processes: Iterable[int], *values: str) -> float:
        """Return the least that the number is in these processes; infinite in none."""
        rows, place = self._registry.rows, self.place(values)
        return min((rows[process][place] for process in processes), default=inf)


class Histogram(_Counted):
    """How often a value was at most so large; their sum."""

    kind = "histogram"

    def __init__(
        self, registry: Registry, name: str, about: str, labels: Labels, bounds: Sequence[float]
    ) -> None:
        self.bounds = tuple(bounds)
        self.size = len(self.bounds) + 2  # a cell for what is larger than all bounds, and the sum
        super().__init__(registry, name, about, labels)

    def observe(self, value: float, *values: str) -> None:
        """Count one value. Any thread."""
        place, registry = self._places.get(values), self._registry
        if place is None:
            place = self.place(values)
        with registry.lock:
            registry.cells[place + bisect_left(self.bounds, value)] += 1
            registry.cells[place + self.size - 1] += value


class Registry:
    """All metrics, and where this process counts: by itself, until it is given a shared row."""

    def __init__(self) -> None:
        self.metrics: list[Metric] = []
        self.width = 0
        self.lock = threading.Lock()
        self._alone = array("d")
        self.cells: Cells = self._alone
        self.rows: list[Cells] = [self.cells]

    def counter(self, name: str, about: str, **labels: Sequence[str]) -> Counter:
        """Add a counter to the table."""
        return self._counted(Counter(self, name, about, labels))

    def gauge(self, name: str, about: str, **labels: Sequence[str]) -> Gauge:
        """Add a gauge of each process to the table."""
        return self._counted(Gauge(self, name, about, labels))

    def histogram(
        self, name: str, about: str, bounds: Sequence[float], **labels: Sequence[str]
    ) -> Histogram:
        """Add a histogram with these upper bounds to the table."""
        return self._counted(Histogram(self, name, about, labels, bounds))

    def reading(self, name: str, about: str, **labels: Sequence[str]) -> Reading:
        """Add a gauge of the whole archive to the table."""
        reading = Reading(name, about, labels)
        self.metrics.append(reading)
        return reading

    def _counted(self, metric: T) -> T:
        self.metrics.append(metric)
        self.width += metric.width
        self._alone.extend(bytes(metric.width))
        return metric

    def create(self, rows: int) -> int:
        """Make shared memory for so many processes; return its descriptor. Unavailable."""
        try:
            descriptor = os.memfd_create("vna-metrics")
            os.ftruncate(descriptor, rows * self.width * CELL_BYTES)
        except OSError as error:
            raise Unavailable(f"no memory for metrics: {error.strerror}") from error
        return descriptor

    def share(self, descriptor: int, row: int) -> None:
        """Count in a row of shared memory from here on; what it has counted stands."""
        memory = memoryview(mmap.mmap(descriptor, 0)).cast("d")
        if len(memory) % self.width:
            raise Unavailable("the memory for metrics is of another version")
        self.rows = [*(memory[at : at + self.width] for at in range(0, len(memory), self.width))]
        self.cells = self.rows[row]
        self.clear_gauges(row)

    def clear_gauges(self, row: int) -> None:
        """Forget what a process said of itself that has ended, or begins."""
        for metric in self.metrics:
            if isinstance(metric, Gauge):
                for cell in range(metric.first, metric.first + metric.width):
                    self.rows[row][cell] = 0.0
