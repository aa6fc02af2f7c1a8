"""One scenario on two or more checkouts of this project, in turns: what a change gave, in one run.

    bench/turns.py frame ../before . --rounds 6 --seconds 1.2 --lanes 8

Each checkout is built (`make build`) and runs in an environment of its own; the client is this one's. All
are started, filled with the same studies, and asked in turns, another one first in each round. Prints each
turn, and medians: operations a second, milliseconds of the server's and of the client's processor time for
each, and the median time of one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from peers.vna import Vna
from plan import STOCK

from vna.bench import SCENARIOS, Load, fill, measure, prepare

FIRST_RUN = 1000


class Checkout(Vna):
    """The archive of one checkout."""

    def __init__(self, folder: Path, tree: Path) -> None:
        super().__init__(folder)
        self.binary = tree.resolve() / ".venv/bin/vna"

    def command(self) -> tuple[list[str], dict[str, str]]:
        """Return the command line with the checkout's own program."""
        (_, *rest), environment = super().command()
        return [str(self.binary), *rest], environment


def take_turns(options: argparse.Namespace) -> None:
    """Measure, and print."""
    templates = prepare(STOCK.modality)
    found: list[list[tuple[float, float, float, float]]] = [[] for _ in options.trees]
    with ExitStack() as stack:
        servers = []
        for tree in options.trees:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            servers.append(stack.enter_context(Checkout(folder, tree)))
            if "stock" in SCENARIOS[options.scenario].needs:
                fill(servers[-1].target, Load(), STOCK, templates)
        for turn in range(options.rounds * len(servers)):
            number, place = divmod(turn, len(servers))
            which = (number + place) % len(servers)
            load = Load(options.lanes, options.seconds, run=FIRST_RUN + turn)
            server = servers[which]
            result = measure(
                options.scenario, server.target, load, STOCK, templates, pid=server.pid
            )
            main, usage = result.main, result.server
            if main is None or usage is None:
                sys.exit(f"{options.trees[which]}: nothing was measured: {dict(result.errors)}")
            each = 1000 / main.count
            figures = (main.per_s, usage.cpu_s * each, result.client_cpu_s * each, main.p50_ms)
            found[which].append(figures)
            show(f"{number + 1} {options.trees[which]}", figures)
    for tree, turns in zip(options.trees, found, strict=True):
        show(f"median {tree}", tuple(map(statistics.median, zip(*turns, strict=True))))


def show(what: str, figures: tuple[float, ...]) -> None:
    """Print a line."""
    rate, server, client, p50 = figures
    print(f"{what:40} {rate:9.1f}/s  CPU {server:.3f} ms  client {client:.3f} ms  p50 {p50:.2f} ms")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("scenario", choices=sorted(SCENARIOS))
    parser.add_argument("trees", nargs="+", type=Path, help="built checkouts")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.2)
    parser.add_argument("--lanes", type=int, default=8)
    take_turns(parser.parse_args())


if __name__ == "__main__":
    main()
