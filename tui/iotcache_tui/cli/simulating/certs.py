"""``iotcache-tui simulate certs DIR``: a test authority, and certificates of a broker and of each device."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from iotcache.errors import UsageError
from iotcache.text import plural
from iotcache_simulator.fleet.classes import load_classes, preset_classes
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.wire.certificates import DEVICES, TestAuthority
from iotcache_tui.cli.options import load_settings

_HOSTS = ("localhost", "127.0.0.1", "::1")


def run_certs(args: argparse.Namespace) -> int:
    """Make what is missing, and the broker's certificate anew."""
    if not args.file:
        raise UsageError("simulate certs needs a folder to write to: simulate certs DIR")
    if args.preset is not None and args.classes:
        raise UsageError("--preset says which devices there are: not with --class")
    fleet = load_settings(args).settings.simulator
    classes = load_classes(args.classes) if args.preset is None else preset_classes(args.preset)
    roster = Roster(fleet.seed, fleet.devices if args.devices is None else args.devices, classes)
    folder = Path(args.file)
    try:
        authority = TestAuthority(folder, args.days)
        authority.server(args.host or _HOSTS)
        made = sum(authority.device(name) for name in roster.names)
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"--host: {error}") from error
    print(
        f"{plural(made, 'device')} of {len(roster)} in {folder / DEVICES}, "
        f"{folder / 'server.crt'} for the broker, {folder / 'ca.crt'} to trust them by",
        file=sys.stderr,
    )
    return 0
