"""Flags that every command takes, and the settings they make."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from iotcache.errors import UsageError
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.config import LoadedSettings

_SHORT_HANDS = {"broker": "broker.url", "nodes": "cache.nodes", "store": "store.url"}
VALUE_FLAGS = frozenset({"--config", "--context", "--set", *(f"--{name}" for name in _SHORT_HANDS)})
"""Common flags; each takes a value."""


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``, ``--set`` and the short hands for where the servers are."""
    group = parser.add_argument_group("settings")
    group.add_argument("--config", metavar="FILE", help="configuration file (TOML)")
    group.add_argument("--context", metavar="NAME", help="settings of [context.NAME] in that file")
    group.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="assignments",
        help="any key: cache.ttl.jitter=0; repeatable",
    )  # fmt: skip
    group.add_argument("--broker", metavar="URL", help="broker.url: mqtt://host:port")
    group.add_argument("--nodes", metavar="LIST", help="cache.nodes: host:port,host:port,…")
    group.add_argument("--store", metavar="URL", help="store.url: sqlite:///file or postgresql://…")


def flags_of(args: argparse.Namespace) -> dict[str, object]:
    """Dotted keys that the command line set. Raises `UsageError` for a ``--set`` without ``=``."""
    flags: dict[str, object] = {}
    for assignment in args.assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            shown = printable(assignment, 60)
            raise UsageError(f"--set '{shown}' is no KEY=VALUE, for instance --set broker.url=embedded")
        flags[key.strip()] = value
    for name, key in _SHORT_HANDS.items():
        value = getattr(args, name, None)
        if value is not None:
            flags[key] = value
    return flags


def is_flagged(args: argparse.Namespace) -> bool:
    """Whether the command line says anything of the settings."""
    return bool(flags_of(args)) or args.config is not None or args.context is not None


def load_settings(args: argparse.Namespace) -> LoadedSettings:
    """The settings in force for this command line. Raises `ConfigError` or `UsageError`."""
    from iotcache.config import load

    spelled = {
        key: f"--{name}" for name, key in _SHORT_HANDS.items() if getattr(args, name, None) is not None
    }
    return load(flags_of(args), args.config, spelled=spelled, context=args.context)
