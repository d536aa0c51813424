"""``iotcache-tui nodes``: the cache nodes, and what another list of them would come to.

``nodes list`` asks each node how it stands. ``nodes whatif --add host:port[=weight] --remove NODE
--weight host:port=weight`` works out, before anything is done, how much of all keys would move, how many
entries and bytes that is, how long it takes, and what it costs the store; it changes nothing. Exit status 1
when no node answers.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotcache.config.schema import Settings
    from iotcache.model import NodeHealth
    from iotcache.nodelist.whatif import NodeLoad


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags; ``--config`` and its like are common to all commands."""
    parser.add_argument("action", metavar="ACTION", choices=("list", "whatif"), help="list or whatif")
    for name, metavar, text in (
        ("add", "NODE", "whatif: a node more, host:port or host:port=weight; repeatable"),
        ("remove", "NODE", "whatif: a node less; repeatable"),
        ("weight", "NODE=N", "whatif: another weight, host:port=weight; repeatable"),
    ):
        parser.add_argument(f"--{name}", metavar=metavar, action="append", default=[], help=text)
    parser.add_argument(
        "--for", metavar="TIME", dest="look_for", default="2s",
        help="how long to look at the nodes' rates (default 2s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Carry out the action. Raises `IotCacheError`."""
    import msgspec

    from iotcache.config.urls import parse_node
    from iotcache.errors import NodeError, UsageError
    from iotcache.nodelist.sources import listed
    from iotcache.nodelist.whatif import changed, forecast, ring_change
    from iotcache_simulator.stack.rundir import find_running
    from iotcache_tui.cli import nodes_text
    from iotcache_tui.cli.commands.advise import seconds_of
    from iotcache_tui.cli.options import load_settings

    changes = bool(args.add or args.remove or args.weight)
    if changes is (args.action == "list"):
        raise UsageError(
            "nodes list takes no --add, --remove and --weight"
            if changes
            else "nodes whatif takes a change: --add NODE, --remove NODE or --weight NODE=N"
        )
    seconds = seconds_of(args.look_for)
    wanted = load_settings(args).settings
    settings = listed(wanted)
    if isinstance(settings.cache.nodes, str):
        settings = find_running(settings)
    before = [parse_node(text) for text in settings.cache.nodes]
    after = changed(before, add=args.add, remove=args.remove, weight=args.weight) if changes else ()
    health, loads = asyncio.run(_look(settings, seconds))
    if not loads:
        reasons = ", ".join(f"{node.name}: {node.reason or node.state}" for node in health)
        raise NodeError(f"no node answers ({reasons})")
    placement = settings.cache.placement
    if args.action == "list":
        nodes = nodes_text.nodes_document(wanted, before, placement, health, loads)
        document, lines = msgspec.json.encode(nodes), nodes_text.list_lines(nodes)
    else:
        worked_out = forecast(ring_change(placement, before, after), loads)
        unasked = [node.name for node in before if node.name not in loads]
        document = msgspec.json.encode(nodes_text.forecast_document(worked_out))
        lines = nodes_text.forecast_lines(worked_out, unasked)
    print(document.decode() if args.json else "\n".join(lines))
    return 0


async def _look(settings: Settings, seconds: float) -> tuple[tuple[NodeHealth, ...], dict[str, NodeLoad]]:
    from iotcache.cluster import Cluster
    from iotcache.config.urls import parse_node
    from iotcache.nodelist.loads import node_loads

    addresses = [parse_node(text) for text in settings.cache.nodes]
    async with Cluster.from_settings(addresses, settings.cache, observe=True) as cluster:
        return cluster.health(), await node_loads(cluster, seconds)
