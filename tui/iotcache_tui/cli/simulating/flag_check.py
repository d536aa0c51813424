"""Which flags of ``iotcache-tui simulate`` go with what: one that would do nothing is a mistake.

A ``--verify`` that nobody follows would let a broken pipeline pass.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from iotcache.errors import UsageError

_SHARED = {
    "readers": {
        "rate",
        "duration",
        "seed",
        "popularity",
        "workload",
        "keys",
        "batch",
        "require",
        "junit",
        "report",
    },
    "capture": {"duration", "qos", "connect_timeout", "topic", "output"},
    "play": {"speed", "connect_timeout", "patience", "zone", "truth", "labels"},
    "certs": {"devices", "classes", "preset", "host", "days"},
}
_NOT_OF_THE_FLEET = {"popularity", "workload", "keys", "batch", "truth", "host", "days"}
_NAMES = {"classes": "--class", "output": "-o", "since": "--from", "stats": "--no-stats"}


def check_flags(args: argparse.Namespace, defaults: Mapping[str, object]) -> None:
    """Raises `UsageError` for a flag given that ``args.what`` does not follow.

    ``defaults`` are the flags of the command, by destination, with their values when not given.
    """
    for flag, default in defaults.items():
        if flag in {"what", "file"} or getattr(args, flag) == default:
            continue
        for_whom = [what for what in ("fleet", *_SHARED) if _follows(what, flag)]
        if args.what not in for_whom:
            name = _NAMES.get(flag) or f"--{flag.replace('_', '-')}"
            raise UsageError(f"{name} goes with {' and '.join(for_whom)}, not with {args.what}")


def _follows(what: str, flag: str) -> bool:
    return flag in _SHARED[what] if what in _SHARED else flag not in _NOT_OF_THE_FLEET
