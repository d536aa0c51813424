"""Verify the promises under faults: of the cluster client simulated, of the whole pipeline by killing it.

``verify cluster`` simulates the cluster client deterministically, and checks that no read is ever stale.
``verify chaos`` runs broker, cache nodes, store, worker and a fleet, kills, freezes and restarts them at
seeded moments, and holds what is stored and cached against what was sent.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from iotcache.errors import UsageError
from iotcache.text import plural

if TYPE_CHECKING:
    from iotcache_simulator.clustersim.run import SimulationTotals, Worlds

_SEED_MOST = 1 << 31
_SHOWN = 10
_CHAOS_ONLY = ("kills", "seconds", "store_kind", "workers", "rate", "report", "junit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", choices=("cluster", "chaos"), help="the cluster client, simulated; or the pipeline, killed"
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="runs: default 200 simulations, or 1 of chaos")
    parser.add_argument("--steps", type=int, metavar="N", help="or: as many as it takes for N steps")
    parser.add_argument("--seed", type=int, metavar="S", help="the first seed, or with --trace the only one")
    parser.add_argument("--trace", action="store_true", help="tell everything that happens in one simulation")
    parser.add_argument(
        "--shrink", action="store_true", help="with --seed: the shortest list of steps that still fails"
    )
    parser.add_argument("--resize", action="store_true", help="cluster: only worlds whose ring changes")
    parser.add_argument("--hot", action="store_true", help="cluster: only worlds whose hot keys have copies")
    parser.add_argument("--processes", type=int, default=0, metavar="N", help="(default: one a core)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chaos = parser.add_argument_group("chaos")
    chaos.add_argument("--kills", type=int, metavar="N", help="kills, freezes and restarts (default 10)")
    chaos.add_argument("--for", type=float, metavar="S", dest="seconds", help="seconds of load (default 20)")
    chaos.add_argument("--store-kind", choices=("sqlite", "postgres"), help="(default sqlite)")
    chaos.add_argument("--workers", type=int, metavar="N", help="workers that share the load (default 1)")
    chaos.add_argument("--rate", type=float, metavar="R", help="readings a second (default 300)")
    chaos.add_argument("--report", metavar="FILE", help="write what was found as JSON (-: standard output)")
    chaos.add_argument("--junit", metavar="FILE", help="write the verdict as JUnit XML")


def run(args: argparse.Namespace) -> int:
    for flag, value, most in (
        ("--seeds", args.seeds, 10_000_000),
        ("--steps", args.steps, 10**12),
        ("--processes", args.processes, 256),
        ("--seed", args.seed, _SEED_MOST),
    ):
        if value is not None and not 0 <= value <= most:
            raise UsageError(f"{flag} is {value}, allowed is 0 to {most:,}")
    if args.what == "chaos":
        if args.resize:
            raise UsageError("--resize goes with verify cluster, not with verify chaos")
        if args.hot:
            raise UsageError("--hot goes with verify cluster, not with verify chaos")
        from iotcache_tui.cli.simulating.chaos import run_chaos

        return run_chaos(args)
    for flag in _CHAOS_ONLY:
        if getattr(args, flag) is not None:
            name = "for" if flag == "seconds" else flag.replace("_", "-")
            raise UsageError(f"--{name} goes with verify chaos, not with verify cluster")
    if args.seeds is not None and args.steps is not None:
        raise UsageError(
            "--seeds and --steps exclude each other: say how many simulations, or how many steps"
        )
    if args.trace or args.shrink:
        if args.seed is None:
            raise UsageError("--trace and --shrink are about one simulation: say which with --seed")
        return _one(args.seed, _worlds(args), shrunk=args.shrink, trace=args.trace)
    return _many(args)


def _worlds(args: argparse.Namespace) -> Worlds:
    from iotcache_simulator.clustersim.run import Worlds

    if args.hot and args.resize:
        raise UsageError("--hot and --resize exclude each other: worlds of --hot change their rings as well")
    return Worlds.HOT if args.hot else Worlds.RESIZE if args.resize else Worlds.ANY


def _one(seed: int, worlds: Worlds, *, shrunk: bool, trace: bool) -> int:
    """Tell what happens in the simulation of one seed."""
    from iotcache_simulator.clustersim.run import draw_of
    from iotcache_simulator.clustersim.shrink import shrink
    from iotcache_simulator.clustersim.world import simulate

    plan = draw_of(worlds)(seed)
    if shrunk and simulate(plan).violations:
        plan = shrink(plan)
    if shrunk:
        facts = {name: getattr(plan, name) for name in plan.__struct_fields__ if name != "steps"}
        print(", ".join(f"{name} {value}" for name, value in facts.items()))
        for step in plan.steps:
            print(step.text())
    outcome = simulate(plan, print if trace else None)
    for text in outcome.violations:
        print(f"VIOLATION {text}")
    print(_sentence(1, outcome.steps, outcome.reads, outcome.writes_confirmed, int(bool(outcome.violations))))
    return 1 if outcome.violations else 0


def _many(args: argparse.Namespace) -> int:
    from iotcache_simulator.clustersim.run import Worlds, verify

    seeds = args.seeds if args.seeds is not None else 0 if args.steps is not None else 200

    def show(totals: SimulationTotals) -> None:
        if sys.stderr.isatty() and totals.seeds % 16 == 0:
            print(
                f"\r{plural(totals.seeds, 'simulation')}, {plural(totals.steps, 'step')}",
                end="",
                file=sys.stderr,
            )

    worlds = _worlds(args)
    totals = verify(
        args.seed or 0, seeds=seeds, steps=args.steps or 0, processes=args.processes, worlds=worlds,
        progress=show,
    )  # fmt: skip
    if sys.stderr.isatty():
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    if args.json:
        import msgspec

        print(msgspec.json.encode(totals).decode())
        return 1 if totals.failed else 0
    for outcome in totals.failed[:_SHOWN]:
        print(
            f"seed {outcome.seed}: {plural(len(outcome.violations), 'violation')}, "
            f"first: {outcome.violations[0]}"
        )
    if totals.failed:
        flag = "" if worlds is Worlds.ANY else f"--{worlds.value} "
        print(f"see one with: iotcache-tui verify cluster {flag}--seed {totals.failed[0].seed} --trace")
    print(_sentence(totals.seeds, totals.steps, totals.reads, totals.writes_confirmed, len(totals.failed)))
    return 1 if totals.failed else 0


def _sentence(seeds: int, steps: int, reads: int, writes: int, failed: int) -> str:
    return (
        f"{plural(seeds, 'simulation')}, {plural(steps, 'step')}, {plural(reads, 'read')} checked, "
        f"{plural(writes, 'confirmed write')}, "
        f"{failed} with violations"
    )
