"""Retrieval with DCMTK's getscu and movescu as the receiving side, which write every object to disk."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

from peers import Server
from peers.dcmtk import program
from peers.server import SINK

from vna.bench import Load, Probe, Result, Stock, timed
from vna.errors import Unavailable

LIMIT_S = 300


def retrieve(server: Server, scenario: str, stock: Stock) -> Result:
    """Get or move the first study of the stock once; Unavailable when not all of it came."""
    study = stock.study(0)["study"]
    keys = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    title = ["-aec", server.ae_title]
    address = ["127.0.0.1", str(server.dimse_port)]
    if scenario == "move":
        tool = ["movescu", "-aet", SINK, "-aem", SINK, "+P", str(server.sink_port)]
    else:
        tool = ["getscu"]
    with tempfile.TemporaryDirectory(dir=server.folder) as out:
        command = [program(tool[0]) or "", *tool[1:], *title, "-od", out, *keys, *address]
        probe = Probe(server.pid, calls=True)
        probe.begin()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        done = subprocess.run(
            command,
            env=os.environ | {"TCP_NODELAY": "1"},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        seconds = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        usage = probe.end()
        files = [path.stat().st_size for path in Path(out).iterdir()]
    if len(files) != stock.instances:
        raise Unavailable(f"{tool[0]} received {len(files)} of {stock.instances}: {done.stderr}")
    return Result(
        f"{scenario} with {tool[0]}",
        "instance",
        Load(lanes=1),
        seconds,
        {"instance": timed(len(files), sum(files), seconds)},
        {},
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        usage,
    )
