"""``iotcache-tui device ACTION [DEVICE …]``: what is known of a device, and what is decided about it.

``show`` reads its metadata and configuration through the cache; ``push`` makes a JSON object its
configuration; ``retire`` takes devices out of service, ``return`` puts them back, ``retired`` lists those
that are out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
from typing import TYPE_CHECKING, Any, Final

from iotcache.text import plural

if TYPE_CHECKING:
    from iotcache.config.schema import Settings
    from iotcache.model import DocumentRead
    from iotcache.onboarding import PushResult

UNKNOWN: Final = 3
ACTIONS: Final = ("show", "push", "retire", "return", "retired")
BROKER_PATIENCE_S = 10.0
_FILE_LIMIT_BYTES: Final = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags; ``--config`` and its like are common to all commands."""
    parser.add_argument("action", metavar="ACTION", choices=ACTIONS, help=", ".join(ACTIONS))
    parser.add_argument("devices", metavar="DEVICE", nargs="*", help="the devices' names")
    parser.add_argument(
        "--file", metavar="FILE", default="-", help="push: the JSON object (default: -, stdin)"
    )
    parser.add_argument(
        "--version", metavar="N", type=int, default=None, help="push: its version (default: the next)"
    )
    parser.add_argument(
        "--site", metavar="NAME", default="", help="push: the device's site, if not known yet"
    )
    parser.add_argument(
        "--publish", action="store_true", help="push: tell the device as well, retained, over the broker"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Carry out the action; exit status 3 when nothing is known of the device, 1 when a push changed nothing.

    Raises `IotCacheError`.
    """
    from iotcache.errors import UsageError
    from iotcache.nodelist.sources import listed
    from iotcache_simulator.stack.rundir import find_running
    from iotcache_tui.cli.options import load_settings

    action, devices = args.action, args.devices
    one = action in ("show", "push")
    if "" in devices or (one and len(devices) != 1) or (action == "retired") is bool(devices):
        wanted = {"show": "one device", "push": "one device", "retired": "no device"}.get(action, "devices")
        where = "; the configuration comes from --file or standard input" if action == "push" else ""
        raise UsageError(f"device {action} takes {wanted}, by name{where}")
    settings = listed(find_running(load_settings(args).settings))
    if action == "show":
        return _shown(asyncio.run(_show(settings, devices[0])), args.json)
    if action == "push":
        return _print_result(asyncio.run(_push(settings, devices[0], _object(args.file), args)), args.json)
    return asyncio.run(_service(settings, action, devices, args.json))


async def _show(settings: Settings, device: str) -> list[DocumentRead]:
    from iotcache.cache import DeviceCache

    async with DeviceCache.from_settings(settings, follow=True, read_only=True) as cache:
        return [await cache.meta(device), await cache.config(device)]


def _shown(reads: list[DocumentRead], as_json: bool) -> int:
    from iotcache.clock import utc_text
    from iotcache.errors import StoreError
    from iotcache.model import Source
    from iotcache.text import printable

    error = next((read.error for read in reads if read.error), "")
    if error:
        raise StoreError(error)
    if all(read.source is Source.NONE for read in reads):
        name = printable(reads[0].device, 80)
        print(
            f"device {name} has neither told of itself nor been configured, or is out of service",
            file=sys.stderr,
        )
        return UNKNOWN
    if as_json:
        print(json.dumps({"device": reads[0].device, **{read.kind.value: _fields(read) for read in reads}}))
        return 0
    for read in reads:
        if read.source is Source.NONE:
            print(f"{read.kind.value:<5} none")
            continue
        why = f", missed in the cache: {read.miss_reason.value}" if read.miss_reason else ""
        print(
            f"{read.kind.value:<5} version {read.version}, of {utc_text(read.at_us)}, "
            f"from {read.source.value}{why}"
        )
        for line in json.dumps(read.content, indent=2, ensure_ascii=False).split("\n"):
            print(f"      {printable(line, 500)}")
    return 0


def _fields(read: DocumentRead) -> dict[str, Any] | None:
    from iotcache.clock import utc_text

    if read.version is None:
        return None
    return {
        "version": read.version,
        "ts": utc_text(read.at_us),
        "source": read.source.value,
        "node": read.node,
        "ttl_s": read.ttl_s if read.ttl_s is not None and math.isfinite(read.ttl_s) else None,
        "miss_reason": read.miss_reason.value if read.miss_reason else None,
        "content": read.content,
    }


def _object(file: str) -> dict[str, Any]:
    """The JSON object in ``file``. Raises `UsageError`."""
    from iotcache.errors import UsageError
    from iotcache.text import printable

    name = "standard input" if file == "-" else printable(file, 120)
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(_FILE_LIMIT_BYTES + 1)
        else:
            with open(file, "rb") as opened:  # noqa: PTH123 (a size limit needs the handle)
                raw = opened.read(_FILE_LIMIT_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(raw) > _FILE_LIMIT_BYTES:
        raise UsageError(f"{name} is longer than {_FILE_LIMIT_BYTES} bytes")
    try:
        content = json.loads(raw)
    except json.JSONDecodeError as error:
        raise UsageError(f"{name} is no JSON from line {error.lineno}, column {error.colno} on") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is no JSON: {printable(str(error), 120)}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{name} holds no JSON object, and a configuration is one")
    return content


async def _push(
    settings: Settings, device: str, content: dict[str, Any], args: argparse.Namespace
) -> PushResult:
    from iotcache.cache import DeviceCache
    from iotcache.onboarding import push_config

    version = args.version if args.version is not None else content.get("version")
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        from iotcache.errors import UsageError

        raise UsageError('the object\'s "version" is a whole number, or left out for the next one')
    async with DeviceCache.from_settings(settings, follow=True) as cache:
        if not args.publish:
            return await push_config(cache, device, content, version=version, site=args.site)
        from uuid import uuid4

        from iotcache.errors import BrokerError
        from iotcache.mqtt import MqttLink

        async with MqttLink.from_settings(settings.broker, f"iotcache-push-{uuid4().hex[:12]}") as link:
            try:
                async with asyncio.timeout(BROKER_PATIENCE_S):
                    await link.until_connected()
            except TimeoutError:
                raise BrokerError(f"the broker at {link.name} does not answer: {link.reason}") from None
            topics = settings.ingest.topics
            return await push_config(
                cache, device, content, version=version, site=args.site, link=link, topics=topics
            )


def _print_result(pushed: PushResult, as_json: bool) -> int:
    from iotcache.text import printable

    if as_json:
        print(
            json.dumps(
                {
                    "device": pushed.device,
                    "version": pushed.version,
                    "stored": pushed.stored,
                    "standing": pushed.stored_version,
                    "cached": pushed.cached,
                    "topic": pushed.topic,
                }
            )
        )
    elif pushed.stored:
        where = f", published on {printable(pushed.topic, 200)}" if pushed.topic else ""
        print(f"{printable(pushed.device, 80)} has configuration {pushed.version} now{where}")
    elif pushed.stored_version:
        name = printable(pushed.device, 80)
        print(
            f"nothing changed: {name} has configuration {pushed.stored_version}, "
            f"and this is {pushed.version}",
            file=sys.stderr,
        )
    else:
        print(f"nothing changed: {printable(pushed.device, 80)} is out of service", file=sys.stderr)
    return 0 if pushed.stored else 1


async def _service(settings: Settings, action: str, devices: list[str], as_json: bool) -> int:
    from iotcache.cache import DeviceCache
    from iotcache.onboarding import recommission, retire
    from iotcache.text import printable

    async with DeviceCache.from_settings(settings, follow=True, read_only=action == "retired") as cache:
        if action == "retire":
            entries = await retire(cache, devices)
            if not as_json:
                print(
                    f"{len(devices)} out of service; {plural(entries, 'cache entry', 'cache entries')} "
                    "removed or to be removed"
                )
        elif action == "return":
            await recommission(cache, devices)
            if not as_json:
                print(f"{len(devices)} back in service")
        else:
            last = ""
            while page := await cache.store.documents.decommissioned(last):
                last = page[-1]
                for name in page:
                    print(json.dumps(name) if as_json else printable(name))
            return 0
    if as_json:
        print(json.dumps({"action": action, "devices": devices}))
    return 0
