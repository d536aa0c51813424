"""``iotcache-tui nodes``: the cache nodes and their ring: list it, try another one on paper, change it.

``list`` asks each node how it stands, and who follows the ring. ``whatif --add NODE --remove NODE
--weight NODE=N`` works out what another list would come to and changes nothing. ``add NODE``,
``remove NODE``, ``weight NODE=N`` and ``apply`` (the list of the settings) do the same, and with ``--yes``
change the ring for all clients while they read and write; Ctrl-C undoes a change that is under way, ``undo``
that of another program. Exit status 1 when no node answers, or the change was not made.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotcache.cluster import Cluster
    from iotcache.config.schema import Settings
    from iotcache.config.urls import NodeAddress

ACTIONS = ("list", "whatif", "add", "remove", "weight", "apply", "undo")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags; ``--config`` and its like are common to all commands."""
    parser.add_argument("action", metavar="ACTION", choices=ACTIONS, help=", ".join(ACTIONS))
    parser.add_argument(
        "nodes_named", metavar="NODE", nargs="*",
        help="for add host:port or host:port=weight, for remove a node, for weight host:port=weight",
    )  # fmt: skip
    for name, metavar, text in (
        ("add", "NODE", "whatif: a node more, host:port or host:port=weight; repeatable"),
        ("remove", "NODE", "whatif: a node less; repeatable"),
        ("weight", "NODE=N", "whatif: another weight, host:port=weight; repeatable"),
    ):
        parser.add_argument(f"--{name}", metavar=metavar, action="append", default=[], help=text)
    parser.add_argument(
        "--yes", action="store_true", help="change the ring; without it only say what would be"
    )
    parser.add_argument(
        "--keys-per-s", metavar="N", type=int, default=20_000,
        help="most entries a second that are handed over (default 20000)",
    )  # fmt: skip
    parser.add_argument(
        "--for", metavar="TIME", dest="look_for", default="2s",
        help="how long to look at the nodes' rates (default 2s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Carry out the action. Raises `IotCacheError`."""
    from iotcache.nodelist.sources import listed
    from iotcache_simulator.stack.rundir import find_running
    from iotcache_tui.cli.commands.advise import seconds_of
    from iotcache_tui.cli.options import load_settings

    _check(args)
    seconds = seconds_of(args.look_for)
    wanted = load_settings(args).settings
    _check_source(args, wanted)
    settings = listed(wanted)
    if isinstance(settings.cache.nodes, str):
        settings = find_running(settings)
    return asyncio.run(_run(args, wanted, settings, seconds))


def _check(args: argparse.Namespace) -> None:
    """Raises `UsageError` for words that do not go together."""
    from iotcache.errors import UsageError

    action, named = args.action, args.nodes_named
    flags = bool(args.add or args.remove or args.weight)
    if action == "whatif" and not flags:
        raise UsageError("nodes whatif takes a change: --add NODE, --remove NODE or --weight NODE=N")
    if flags and action != "whatif":
        raise UsageError(
            f"--add, --remove and --weight are for nodes whatif: nodes {action} takes nodes alone"
        )
    if bool(named) is not (action in ("add", "remove", "weight")):
        takes = "nodes" if not named else "no nodes"
        raise UsageError(f"nodes {action} takes {takes}")
    if args.keys_per_s < 1:
        raise UsageError(f"--keys-per-s is {args.keys_per_s}: allowed is a whole number from 1 on")


def _check_source(args: argparse.Namespace, wanted: Settings) -> None:
    """Raises `UsageError` where the list is somebody else's to change: workers would only change it back."""
    from iotcache.config.node_lists import is_node_list
    from iotcache.errors import UsageError

    if is_node_list(wanted.cache.nodes) and args.action in ("add", "remove", "weight"):
        raise UsageError(
            f"the list of nodes is kept at {wanted.cache.nodes}: change it there, and workers take it over"
        )


async def _run(args: argparse.Namespace, wanted: Settings, settings: Settings, seconds: float) -> int:
    from iotcache.cluster import Cluster
    from iotcache.config.urls import parse_node

    listed = [parse_node(text) for text in settings.cache.nodes]
    looks_only = args.action in ("list", "whatif")
    async with Cluster.from_settings(
        listed, settings.cache, observe=looks_only, follow=True, role="nodes"
    ) as cluster:
        if args.action == "list":
            return await _list(args, wanted, cluster, seconds)
        if args.action == "undo":
            return await _undo(cluster)
        return await _change(args, settings, cluster, listed, seconds)


async def _list(args: argparse.Namespace, wanted: Settings, cluster: Cluster, seconds: float) -> int:
    import msgspec

    from iotcache.nodelist.loads import node_loads
    from iotcache_tui.cli import nodes_text

    loads = await node_loads(cluster, seconds)
    _check_answers(cluster, loads)
    document = nodes_text.nodes_document(
        wanted, cluster.ring(), await cluster.ring_followers(), cluster.health(), loads
    )
    print(msgspec.json.encode(document).decode() if args.json
          else "\n".join(nodes_text.list_lines(document)))  # fmt: skip
    return 0


async def _undo(cluster: Cluster) -> int:
    from iotcache.cluster import RingPhase

    if cluster.ring().phase is RingPhase.STEADY:
        print("no change of the ring is under way")
        return 0
    await cluster.undo_resize()
    print("the change was undone")
    return 0


async def _change(
    args: argparse.Namespace,
    settings: Settings,
    cluster: Cluster,
    listed: Sequence[NodeAddress],
    seconds: float,
) -> int:
    """Say what a change comes to; with ``--yes``, make it."""
    import msgspec

    from iotcache.nodelist.loads import node_loads
    from iotcache.nodelist.whatif import changed, forecast, ring_change
    from iotcache_tui.cli import nodes_acting, nodes_text

    before = list(cluster.node_addresses)
    named = args.nodes_named
    match args.action:
        case "whatif":
            after = changed(before, add=args.add, remove=args.remove, weight=args.weight)
        case "apply":
            after = tuple(listed)
        case action:
            after = changed(before, **{action: named})
    if nodes_text.is_same(before, after):
        print("the ring has these nodes and weights already")
        return 0
    if args.action != "whatif":
        await _check_joining(before, after, settings)
    loads = await node_loads(cluster, seconds)
    _check_answers(cluster, loads)
    comes_to = forecast(
        ring_change(settings.cache.placement, before, after), loads, keys_per_s=args.keys_per_s
    )
    if not args.json:
        unasked = [node.name for node in before if node.name not in loads]
        print("\n".join(nodes_text.forecast_lines(comes_to, unasked)))
    result = None
    if args.yes and args.action != "whatif":
        result = await nodes_acting.change(cluster, after, keys_per_s=args.keys_per_s, quiet=args.json)
    if args.json:
        print(msgspec.json.encode(nodes_text.forecast_document(comes_to, result)).decode())
    elif result is not None:
        print(
            "\n".join(nodes_text.result_lines(result, comes_to, after, follows_config=args.action == "apply"))
        )
    elif args.action != "whatif":
        print("nothing was changed: --yes does it")
    return 1 if result is not None and result.undone else 0


def _check_answers(cluster: Cluster, loads: object) -> None:
    """Raises `NodeError` where no node answers."""
    from iotcache.errors import NodeError

    if not loads:
        reasons = ", ".join(f"{node.name}: {node.reason or node.state}" for node in cluster.health())
        raise NodeError(f"no node answers ({reasons})")


async def _check_joining(
    before: Sequence[NodeAddress], after: Sequence[NodeAddress], settings: Settings
) -> None:
    """Raises `NodeError` for a node that is to join and does not answer."""
    from iotcache.errors import NodeError
    from iotcache.nodelist.following import silent_nodes

    names = {node.name for node in before}
    if silent := await silent_nodes([node for node in after if node.name not in names], settings.cache):
        raise NodeError(f"{', '.join(silent)} does not answer: start it first")
