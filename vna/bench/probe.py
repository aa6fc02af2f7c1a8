"""What a server on this machine uses: processor time, memory, context switches, system calls."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

from vna.errors import NotFound

__all__ = ["Probe", "Usage"]

SWITCHES = re.compile(r"ctxt_switches:\s+(\d+)")
CLOCK, CALLS = "task-clock", "raw_syscalls:sys_enter"
PERF_STARTS_S = 0.1
GONE = (psutil.NoSuchProcess, psutil.AccessDenied, OSError)


class Usage(msgspec.Struct, frozen=True):
    """What a process tree used in a while; None where this machine does not tell.

    Resident memory, without what is shared or mapped from files, is that before the lanes connected, with all of them ready, and at the end.
    """

    cpu_s: float
    rss_before_bytes: int
    rss_ready_bytes: int
    rss_bytes: int
    context_switches: int
    system_calls: int | None = None


class Probe:
    """Watches the tree of processes under `pid`; with `calls`, perf counts its system calls.

    Counting calls costs the server about a tenth of a microsecond for each.
    """

    def __init__(self, pid: int, *, calls: bool = False) -> None:
        try:
            self._root = psutil.Process(pid)
        except psutil.NoSuchProcess:
            raise NotFound(f"there is no process {pid} on this machine") from None
        self._calls_wanted = calls
        self._rss_before = self._rss_ready = self._rss()
        self._before = (0.0, 0)
        self._perf: subprocess.Popen[str] | None = None

    def begin(self) -> None:
        """Start to count: the lanes are ready."""
        self._rss_ready = self._rss()
        self._before = self._totals()
        self._perf = self._count_calls()

    def end(self) -> Usage | None:
        """Return what was used since `begin`, and the memory resident now; None when it has ended.

        A process that has ended, or been replaced by another, takes with it what it used.
        """
        cpu_s, switches = self._totals()
        clock_s, calls = self._counted()
        if not self._root.is_running() or self._root.status() == psutil.STATUS_ZOMBIE:
            return None
        return Usage(
            cpu_s - self._before[0] if clock_s is None else clock_s,
            self._rss_before,
            self._rss_ready,
            self._rss(),
            max(0, switches - self._before[1]),
            calls,
        )

    def _rss(self) -> int:
        total = 0
        for process in self._tree():
            with suppress(*GONE):
                memory = process.memory_info()
                total += memory.rss - memory.shared
        return total

    def _tree(self) -> Iterator[psutil.Process]:
        with suppress(*GONE):
            yield self._root
            yield from self._root.children(recursive=True)

    def _totals(self) -> tuple[float, int]:
        """Return processor seconds, those of ended children included, and context switches."""
        cpu_s, switches = 0.0, 0
        for process in self._tree():
            with suppress(*GONE):
                times = process.cpu_times()
                cpu_s += times.user + times.system + times.children_user + times.children_system
                for status in Path(f"/proc/{process.pid}/task").glob("*/status"):
                    switches += sum(map(int, SWITCHES.findall(status.read_text())))
        return cpu_s, switches

    def _count_calls(self) -> subprocess.Popen[str] | None:
        perf = shutil.which("perf")
        if not (perf and self._calls_wanted):
            return None
        pids = ",".join(str(process.pid) for process in self._tree())
        command = [perf, "stat", "--field-separator=,", f"--event={CLOCK},{CALLS}"]
        process = subprocess.Popen([*command, f"--pid={pids}"], stderr=subprocess.PIPE, text=True)
        time.sleep(PERF_STARTS_S)
        return process

    def _counted(self) -> tuple[float | None, int | None]:
        """Return processor seconds and calls as perf counted them.

        Its clock is finer than that of /proc, and knows of children that nobody waited for.
        """
        if self._perf is None:
            return None, None
        self._perf.send_signal(signal.SIGINT)
        _, text = self._perf.communicate(timeout=30)
        found = {
            fields[2]: float(fields[0])
            for line in text.splitlines()
            if len(fields := line.split(",")) > 2 and fields[0].replace(".", "").isdigit()
        }
        milliseconds, calls = found.get(CLOCK), found.get(CALLS)
        return (
            None if milliseconds is None else milliseconds / 1000,
            None if calls is None else int(calls),
        )
