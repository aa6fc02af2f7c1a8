"""Where the time of one C-STORE goes: the steps of a worker that serves one association, as the kernel saw them.

    bench/steps.py WORKER        while one sender stores, one object after the other

needs perf, and its rights. Nothing in the worker is changed for it: a step ends with a system call, or with
a thread that runs again.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

EVENTS = (
    "sched:sched_switch,sched:sched_waking,"
    "syscalls:sys_enter_recvfrom,syscalls:sys_exit_recvfrom,"
    "syscalls:sys_enter_sendto,syscalls:sys_exit_sendto,"
    "syscalls:sys_enter_pwrite64,syscalls:sys_enter_pwritev,"
    "syscalls:sys_enter_fdatasync,syscalls:sys_exit_fdatasync"
)
LINE = re.compile(r"\s*(\d+)\s+(\d+)\.(\d{6}):\s+\w+:(\w+):\s*(.*)")
LARGE = 256
"""Bytes of a read that is more than a command."""
FAILED = 1 << 40
"""Results from here on are errors: negative numbers."""


class Event(NamedTuple):
    """What a thread did, and when, in microseconds; `other` is the thread that it wakes or yields to."""

    thread: int
    at: int
    what: str
    other: int
    value: int


def record(seconds: float) -> Iterator[Event]:
    """Yield what all threads of the machine do for so long."""
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/perf.data"
        command = ["perf", "record", "-q", "-a", "-m", "2048", "-e", EVENTS, "-o", out]
        subprocess.run([*command, "--", "sleep", str(seconds)], check=True)
        fields = ["perf", "script", "-i", out, "-F", "tid,time,event,trace"]
        text = subprocess.run(fields, check=True, capture_output=True, text=True).stdout
    for line in text.splitlines():
        if found := LINE.match(line):
            thread, whole, part, what, trace = found.groups()
            other = re.search(r"(?:next_|\b)pid=(\d+)", trace.rpartition("==>")[2])
            value = int(trace, 16) if what.startswith("sys_exit") else 0
            at = int(whole) * 1_000_000 + int(part)
            yield Event(int(thread), at, what, int(other[1]) if other else 0, value)


class Worker(NamedTuple):
    """The threads that a store passes; the committer is the one that wakes the thread that appends."""

    loop: int
    committer: int
    append: int


def threads(worker: int, events: list[Event]) -> Worker:
    """Return who is who in a worker."""
    tasks = list(Path(f"/proc/{worker}/task").iterdir())
    append = {int(task.name) for task in tasks if (task / "comm").read_text() == "append\n"}
    own = {int(task.name) for task in tasks} - append
    for event in events:
        if event.what == "sched_waking" and event.thread in own and event.other in append:
            return Worker(worker, event.thread, event.other)
    sys.exit("nothing was stored meanwhile")


MOMENTS = {
    ("sys_exit_recvfrom", "loop", ""): "received",
    ("sched_waking", "loop", "committer"): "proposed",
    ("sched_switch", "", "committer"): "committer runs",
    ("sched_waking", "committer", "append"): "judged",
    ("sched_switch", "", "append"): "append runs",
    ("sys_enter_pwrite64", "append", ""): "copied",
    ("sys_enter_pwritev", "append", ""): "copied",
    ("sys_enter_fdatasync", "append", ""): "written",
    ("sys_exit_fdatasync", "append", ""): "synced",
    ("sched_waking", "append", "committer"): "told",
    ("sched_waking", "committer", "loop"): "committed",
    ("sched_switch", "", "loop"): "loop runs",
    ("sys_exit_sendto", "loop", ""): "answered",
}
"""The moments of a store: what is done, by which thread of the worker, to which."""


def moments(who: Worker, events: list[Event]) -> Iterator[tuple[str, int]]:
    """Yield the name and the time of each moment."""
    names = dict(zip(who, who._fields, strict=True))
    for thread, at, what, other, value in events:
        by = "" if what == "sched_switch" else names.get(thread, "?")
        name = MOMENTS.get((what, by, names.get(other, "")))
        if name and (name != "received" or LARGE < value < FAILED):
            yield name, at


STEPS = (
    ("the sender's turn, receiving", "answered", "received"),
    ("parting, BLAKE3, CRC, the proposal", "received", "proposed"),
    ("the committer wakes", "proposed", "committer runs"),
    ("judging, records", "committer runs", "judged"),
    ("the thread that appends wakes", "judged", "append runs"),
    ("copying into aligned memory", "append runs", "copied"),
    ("write", "copied", "written"),
    ("fdatasync", "written", "synced"),
    ("the committer wakes", "told", "committer runs"),
    ("the index transaction ends", "committer runs", "committed"),
    ("the loop wakes", "committed", "loop runs"),
    ("the answer is sent", "loop runs", "answered"),
    ("all", "answered", "answered"),
)


def main() -> None:
    """Print the median of each step."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("worker", type=int, help="process id of the worker")
    parser.add_argument("--seconds", type=float, default=0.5)
    asked = parser.parse_args()
    events = list(record(asked.seconds))
    found: list[list[int]] = [[] for _ in STEPS]
    last: dict[str, int] = {}
    before = 0
    for name, at in moments(threads(asked.worker, events), events):
        for times, (_, begin, end) in zip(found, STEPS, strict=True):
            # A step is one of this store, and the first of its kind since it began.
            if name == end and begin in last and last.get(end, 0) <= last[begin]:
                times.append(at - last[begin])
        last[name] = at
        before += name == "answered"
    print(f"{before} stores, medians in microseconds")
    for (step, _, _), times in zip(STEPS, found, strict=True):
        if times:
            print(f"{statistics.median(times):8.0f}  {step}")


if __name__ == "__main__":
    main()
