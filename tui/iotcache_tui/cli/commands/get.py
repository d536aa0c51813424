"""``iotcache-tui get DEVICE SENSOR``: one read through the cache, and how it went."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from iotcache.config.schema import Settings
    from iotcache.model import Read

UNKNOWN: Final = 3
"""Exit status for a series that nobody knows."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags; ``--config`` and its like are common to all commands."""
    parser.add_argument("device", metavar="DEVICE", help="the device's name, as it calls itself")
    parser.add_argument("sensor", metavar="SENSOR", help="the sensor's name")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Read the series once and print it; exit status 3, and a sentence on stderr, when it is unknown.

    Raises `IotCacheError` when neither the cache nor the store could be asked.
    """
    from iotcache.errors import StoreError, UsageError
    from iotcache.model import Source
    from iotcache.nodelist.sources import listed
    from iotcache.text import printable
    from iotcache_simulator.stack.rundir import find_running
    from iotcache_tui.cli.options import load_settings

    if not args.device or not args.sensor:
        raise UsageError("get needs the names of a device and of a sensor, neither of them empty")
    settings = listed(find_running(load_settings(args).settings))
    answer = asyncio.run(read_once(settings, args.device, args.sensor))
    if answer.source is Source.NONE:
        if answer.error:
            raise StoreError(answer.error)
        device, sensor = printable(args.device, 80), printable(args.sensor, 80)
        print(f"nothing is known of sensor {sensor} of device {device}", file=sys.stderr)
        return UNKNOWN
    print(as_json(answer) if args.json else as_text(answer))
    return 0


async def read_once(settings: Settings, device: str, sensor: str) -> Read:
    """One read through the cache that ``settings`` name; nothing is left open."""
    from iotcache.cache import DeviceCache

    async with DeviceCache.from_settings(settings, follow=True, read_only=True) as cache:
        return await cache.read(device, sensor)


def as_json(read: Read) -> str:
    """The read as the one JSON object that scripts rely on. ``ttl_s`` is null for an entry without an end."""
    import json

    from iotcache.read_json import read_fields

    return json.dumps(read_fields(read))  # ASCII only: what devices name themselves may steer a terminal


def as_text(read: Read) -> str:
    """The read as a small block for a person; whatever a device named is made printable."""
    from iotcache.clock import utc_text
    from iotcache.text import printable

    if read.ttl_s is None:
        ttl_text = "not put back into the cache"
    elif math.isinf(read.ttl_s):
        ttl_text = "for ever"
    else:
        ttl_text = f"{read.ttl_s:.0f} s left"
    how = read.source.value
    if read.miss_reason is not None:
        how += f", missed in the cache: {read.miss_reason.value}"
    value = printable(str(read.value), 500)
    rows = (
        ("device", printable(read.device)),
        ("sensor", printable(read.sensor)),
        ("value", f"{value} {printable(read.unit, 40)}".rstrip()),
        ("time", utc_text(read.ts_us) + (", stale: its edge node or device is gone" if read.stale else "")),
        ("source", how),
        ("node", read.node or "none"),
        ("ttl", ttl_text),
        ("latency", f"{read.latency_ms:.1f} ms"),
    )
    return "\n".join(f"{name:<8} {text}" for name, text in rows)
