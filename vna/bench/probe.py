"""What a server on this machine uses: processor time, memory, context switches, system calls."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

__all__ = ["Probe", "Usage"]

SWITCHES = re.compile(r"ctxt_switches:\s+(\d+)")
GONE = (psutil.NoSuchProcess, psutil.AccessDenied, OSError)


class Usage(msgspec.Struct, frozen=True):
    """What a process tree used in a while; None where this machine does not tell."""

    cpu_s: float
    rss_bytes: int
    context_switches: int
    system_calls: int | None = None


class Probe:
    """Watches the tree of processes under `pid`."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._before = (0.0, 0)
        self._perf: subprocess.Popen[str] | None = None

    def begin(self) -> None:
        """Start to count."""
        self._before = self._totals()
        self._perf = self._count_calls()

    def end(self) -> Usage:
        """Return what was used since `begin`, and the memory resident now."""
        cpu_s, switches = self._totals()
        rss = 0
        for process in self._tree():
            with suppress(*GONE):
                rss += process.memory_info().rss
        return Usage(
            cpu_s - self._before[0], rss, max(0, switches - self._before[1]), self._calls()
        )

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
        if not perf:
            return None
        pids = ",".join(str(process.pid) for process in self._tree())
        command = [perf, "stat", "--field-separator=,", "--event=raw_syscalls:sys_enter"]
        return subprocess.Popen([*command, f"--pid={pids}"], stderr=subprocess.PIPE, text=True)

    def _calls(self) -> int | None:
        if self._perf is None:
            return None
        self._perf.send_signal(signal.SIGINT)
        _, text = self._perf.communicate(timeout=30)
        found = re.search(r"^(\d+),", text, re.MULTILINE)
        return int(found[1]) if found else None
