"""``iotcache-tui bench [NAME]``: ourselves and our peers side by side, as a table or as JSON."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags; ``--config`` and its like are common to all commands."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="which one; without it, all")
    parser.add_argument("--list", action="store_true", help="list the benchmarks and end")
    parser.add_argument("--rounds", metavar="N", type=int, default=7, help="rounds to take the median of (7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a benchmark")


def run(args: argparse.Namespace) -> int:
    """Measure and print. Raises `UsageError` for an unknown name, or where a server program is missing."""
    from iotcache.errors import UsageError
    from iotcache_tui.bench import BENCHES
    from iotcache_tui.bench.report import table

    names = [name for name, _, _ in BENCHES]
    if args.list:
        for name, summary, _ in BENCHES:
            print(f"{name:<10} {summary}")
        return 0
    if args.name is not None and args.name not in names:
        raise UsageError(f"there is no benchmark {args.name!r}; there are: {', '.join(names)}")
    if args.rounds < 1:
        raise UsageError(f"--rounds {args.rounds} is no number of rounds: 1 or more")
    for name, _, module in BENCHES:
        if args.name in (None, name):
            report = asyncio.run(importlib.import_module(module).run(args.rounds))
            print(json.dumps(report.as_json()) if args.json else table(report), flush=True)
    return 0
