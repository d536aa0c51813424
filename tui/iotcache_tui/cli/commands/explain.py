"""``iotcache-tui explain``: what the decoder makes of a message, which mapping took it, and why not.

For what nobody reads it names a preset, or proposes a mapping to be pasted into the configuration. Give a
topic and a payload; a ``--file`` with the payload, or without a topic with a line a message, as
``mosquitto_sub -v`` prints them (``-`` is standard input); or ``--listen`` to a broker. It writes nothing.
Exit status 1 when there is a message of which nothing is used.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from iotcache.errors import UsageError
from iotcache.text import plural

if TYPE_CHECKING:
    from iotcache.config.schema import Settings
    from iotcache_tui.cli.explaining import Gathering

_FILE_LIMIT_BYTES = 64 * 1024 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", nargs="?", metavar="TOPIC", help="the message's topic")
    parser.add_argument("payload", nargs="?", metavar="PAYLOAD", help="its payload, as text")
    parser.add_argument(
        "--file", metavar="FILE", help="the payload, or lines of topic and payload; - is stdin"
    )
    parser.add_argument(
        "--listen", metavar="S", type=float, help="listen to the broker for S seconds, and explain each kind"
    )
    parser.add_argument(
        "--topic", metavar="FILTER", action="append", dest="filters", default=[],
        help="--listen: only to these topics (default: all); repeatable",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="a JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Print the explanations. Raises `IotCacheError`."""
    import msgspec

    from iotcache_tui.cli import explaining
    from iotcache_tui.cli.options import load_settings

    _check(args)
    settings = load_settings(args).settings
    explainer = explaining.explainer_for(settings.ingest)
    gathered = explaining.Gathering()
    if args.listen is not None:
        asyncio.run(_listen(args, settings, gathered))
        found = gathered.explained(explainer)
    else:
        now_us = time.time_ns() // 1_000
        found = ((explainer.explain(topic, payload, now_us), 1, 1) for topic, payload in _messages(args))
    unread = count = 0
    presets: set[str] = set()
    for explanation, messages, topics in found:
        count += 1
        unread += explaining.is_unread(explanation)
        presets |= {explanation.preset} - {""}
        if args.json:
            print(msgspec.json.encode(explaining.as_json(explanation, messages, topics)).decode())
        else:
            print("\n".join(explaining.described(explanation, messages, topics)))
    if len(presets) > 1 and not args.json:
        names = ", ".join(f'"{name}"' for name in sorted(presets))
        print(f"all these presets at once: ingest.preset = [{names}]")
    if not count:
        print("no message came" if args.listen is not None else "there is no message in it", file=sys.stderr)
    if gathered.more:
        print(f"left out: {plural(gathered.more, 'message')} of further kinds", file=sys.stderr)
    return 1 if unread or not count else 0


def _check(args: argparse.Namespace) -> None:
    if args.listen is not None:
        if args.topic is not None or args.file is not None:
            raise UsageError("--listen explains what comes: leave out TOPIC, PAYLOAD and --file")
        if not 0 < args.listen <= 86_400:
            raise UsageError(f"--listen is {args.listen:g}, allowed is a number of seconds up to 86400")
        return
    if args.filters:
        raise UsageError("--topic goes with --listen")
    if args.payload is not None and args.file is not None:
        raise UsageError("PAYLOAD and --file are both given: keep one of them")
    if args.payload is None and args.file is None:
        raise UsageError("explain needs TOPIC and PAYLOAD, a --file, or --listen S")


def _messages(args: argparse.Namespace) -> Iterator[tuple[str, bytes]]:
    from iotcache_tui.cli.explaining import lines_of

    if args.payload is not None:
        yield args.topic, args.payload.encode("utf-8", "surrogateescape")
        return
    raw = _read(args.file)
    if args.topic is not None:
        yield args.topic, raw
    else:
        yield from lines_of(raw.decode("utf-8", "replace"))


def _read(name: str) -> bytes:
    try:
        if name == "-":
            raw = sys.stdin.buffer.read(_FILE_LIMIT_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                raw = file.read(_FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"--file {name} cannot be read: {error.strerror}") from error
    if len(raw) > _FILE_LIMIT_BYTES:
        raise UsageError(f"--file {name} is over {_FILE_LIMIT_BYTES // 1_048_576} MiB")
    return raw


async def _listen(args: argparse.Namespace, settings: Settings, gathered: Gathering) -> None:
    import secrets

    from iotcache.errors import BrokerError
    from iotcache.mqtt import MqttLink
    from iotcache_tui.cli.running_stack import reached

    filters = args.filters or ["#"]
    if settings.broker.url == "embedded":
        settings = reached(settings)
    link = MqttLink.from_settings(
        settings.broker,
        f"iotcache-explain-{secrets.token_hex(4)}",
        subscriptions=[(text, 0) for text in filters],
    )
    async with link:
        try:
            async with asyncio.timeout(10):
                await link.until_connected()
        except TimeoutError:
            raise BrokerError(link.reason or f"the broker at {link.name} was never reached") from None
        try:
            async with asyncio.timeout(args.listen):
                while True:
                    batch = await link.batch(1_000)
                    for message in batch:
                        gathered.add(message.topic, message.payload, message.received_us)
                    link.ack(batch)
        except TimeoutError:
            return
