"""``iotcache-tui where KEY``: which cache node owns a key. Asks no node: placement is pure arithmetic."""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags; ``--config`` and its like are common to all commands."""
    parser.add_argument(
        "key", metavar="KEY", help="a cache key, prefix included, such as dev-1:temperature:latest"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the owner as ``host:port`` (or socket path), alive or not.

    Raises `UsageError` for what cannot be a key, `StackError` when embedded nodes are asked for and no
    stack is running.
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
    nodes = [parse_node(text) for text in settings.cache.nodes]
    order = [nodes[index].name for index in placement(settings.cache.placement, nodes).order(args.key)]
    if args.json:
        print(
            json.dumps(
                {
                    "key": args.key,
                    "node": order[0],
                    "placement": settings.cache.placement,
                    "stand_ins": order[1:],
                }
            )
        )
    else:
        print(order[0])
    return 0
