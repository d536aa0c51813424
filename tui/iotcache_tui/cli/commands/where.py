"""``iotcache-tui where KEY``: which cache node owns a key, on the ring that the nodes have announced.

Where no node answers, the list of the settings counts: placement itself is pure arithmetic.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotcache.config.schema import CacheSettings
    from iotcache.config.urls import NodeAddress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags; ``--config`` and its like are common to all commands."""
    parser.add_argument(
        "key", metavar="KEY", help="a cache key, prefix included, such as dev-1:temperature:latest"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the owner as ``host:port`` (or socket path), alive or not.

    Raises `UsageError` for what cannot be a key, `StackError` when embedded nodes are asked for and no
    stack is running, `RingMismatch` where the nodes are used with another placement.
    """
    from iotcache.cluster.placement import placement
    from iotcache.cluster.wire.protocol import checked_key
    from iotcache.config.urls import parse_node
    from iotcache.errors import KeyFormatError, UsageError
    from iotcache.nodelist.sources import listed
    from iotcache_simulator.stack.rundir import find_running
    from iotcache_tui.cli.options import load_settings

    try:
        checked_key(args.key)
    except KeyFormatError as error:
        raise UsageError(str(error)) from error
    settings = load_settings(args).settings
    settings = listed(settings)
    if isinstance(settings.cache.nodes, str):
        settings = find_running(settings)
    nodes: Sequence[NodeAddress] = [parse_node(text) for text in settings.cache.nodes]
    nodes, epoch = asyncio.run(_announced(nodes, settings.cache))
    order = [nodes[index].name for index in placement(settings.cache.placement, nodes).order(args.key)]
    if epoch is None:
        print("no node answers: by the list of the settings", file=sys.stderr)
    if args.json:
        print(
            json.dumps(
                {
                    "key": args.key,
                    "node": order[0],
                    "placement": settings.cache.placement,
                    "stand_ins": order[1:],
                    "epoch": epoch,
                }
            )
        )
    else:
        print(order[0])
    return 0


async def _announced(
    listed: Sequence[NodeAddress], cache: CacheSettings
) -> tuple[Sequence[NodeAddress], int | None]:
    """The ring that the nodes have announced, and its epoch; where none answers, ``listed`` and ``None``."""
    from iotcache.cluster import Cluster
    from iotcache.model import NodeState

    async with Cluster.from_settings(listed, cache, observe=True, follow=True) as cluster:
        if not any(node.state is NodeState.UP for node in cluster.health()):
            return listed, None
        return cluster.node_addresses, cluster.ring().epoch
