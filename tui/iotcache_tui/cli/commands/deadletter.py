"""Messages that could not be decoded: list and show them, drive them through again, or throw them away."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from iotcache.clock import utc_text
from iotcache.errors import UsageError
from iotcache.text import plural, printable, printable_bytes

if TYPE_CHECKING:
    from iotcache.config.schema import Settings
    from iotcache.store.base import Store, StoredDeadLetter

EXIT_TRUNCATED = 1
EXIT_UNKNOWN = 3
BATCH = 200
_AGE = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        metavar="ACTION",
        choices=("list", "show", "redrive", "purge"),
        help="list, show, redrive or purge",
    )
    parser.add_argument(
        "numbers", nargs="*", default=[], type=int, metavar="NUMBER", help="show, redrive, purge: which ones"
    )
    parser.add_argument("--limit", type=int, default=50, help="list: at most so many (default 50)")
    parser.add_argument("--reason", default="", help="list, redrive: only those whose reason holds this text")
    parser.add_argument("--all", action="store_true", help="redrive, purge: all of them")
    parser.add_argument(
        "--older-than", metavar="AGE", help="purge: those last seen before, for instance 7d or 12h"
    )
    parser.add_argument("--yes", action="store_true", help="purge: do not ask")
    parser.add_argument("--json", action="store_true", help="list, show: JSON")


def run(args: argparse.Namespace) -> int:
    from iotcache_tui.cli.options import load_settings
    from iotcache_tui.cli.running_stack import reached

    if args.limit < 1:
        raise UsageError(f"--limit is {args.limit}, allowed is 1 or more")
    if args.what == "show" and not args.numbers:
        raise UsageError("deadletter show needs a number: 'deadletter list' tells them")
    if args.what == "redrive" and not (args.numbers or args.all or args.reason):
        raise UsageError("deadletter redrive needs numbers, --reason TEXT or --all")
    if args.what == "purge" and bool(args.older_than) + args.all + bool(args.numbers) != 1:
        raise UsageError("deadletter purge needs one of: numbers, --older-than AGE, --all")
    args.numbers = list(dict.fromkeys(args.numbers))
    settings = reached(load_settings(args).settings)
    return asyncio.run(_run(args, settings))


async def _run(args: argparse.Namespace, settings: Settings) -> int:
    from iotcache.store import open_store

    if args.what == "redrive":
        return await _redrive(args, settings)
    async with open_store(settings.store, read_only=args.what != "purge") as store:
        if args.what == "list":
            return _print(args, await store.dead_letters.page(limit=args.limit, reason=args.reason))
        if args.what == "show":
            return _show(args, await store.dead_letters.find(args.numbers))
        return await _purge(args, store)


def _row(stored: StoredDeadLetter) -> dict[str, object]:
    message = stored.dead_letter
    return {
        "number": stored.number,
        "time": utc_text(message.received_us),
        "topic": printable(message.topic, 200),
        "bytes": len(message.payload),
        "truncated": message.truncated,
        "times": stored.times,
        "reason": printable(message.reason, 300),
    }


def _print(args: argparse.Namespace, dead_letters: object) -> int:
    assert isinstance(dead_letters, list)
    if args.json:
        import msgspec

        print(msgspec.json.encode([_row(stored) for stored in dead_letters]).decode())
        return 0
    if not dead_letters:
        print(_none(args))
        return 0
    print(f"{'Number':>8}  {'Last seen':24}  {'Times':>6}  {'Bytes':>9}  Topic: reason")
    for stored in dead_letters:
        row = _row(stored)
        print(
            f"{row['number']:>8}  {row['time']:24}  {row['times']:>6}  {row['bytes']:>9,}"
            f"{'+' if row['truncated'] else ' '} {row['topic']}: {row['reason']}"
        )
    if any(stored.dead_letter.truncated for stored in dead_letters):
        print("+ truncated: only these bytes of the message were kept, so that redrive leaves it out")
    return 0


def _none(args: argparse.Namespace) -> str:
    return "there are no dead letters" + (" with that reason" if args.reason else "")


def _show(args: argparse.Namespace, dead_letters: object) -> int:
    assert isinstance(dead_letters, list)
    missing = sorted(set(args.numbers) - {stored.number for stored in dead_letters})
    for stored in dead_letters:
        row, payload = _row(stored), stored.dead_letter.payload
        if args.json:
            import msgspec

            print(msgspec.json.encode({**row, "hex": payload.hex()}).decode())
            continue
        for name in ("number", "time", "times", "topic", "reason", "bytes"):
            print(f"{name:7} {row[name]}{' (truncated)' if name == 'bytes' and row['truncated'] else ''}")
        print(f"text    {printable_bytes(payload[:1_000], 1_000)}")
        for first in range(0, min(len(payload), 512), 16):
            part = payload[first : first + 16]
            shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
            print(f"hex     {first:06x}  {part.hex(' '):47}  {shown}")
        if len(payload) > 512:
            print(f"hex     … {plural(len(payload) - 512, 'byte')} more")
        print()
    return _missing(missing)


def _missing(numbers: Sequence[int]) -> int:
    """Name the letters that were asked for and are not there; the exit code."""
    for number in numbers:
        print(f"iotcache-tui: there is no dead letter {number}", file=sys.stderr)
    return EXIT_UNKNOWN if numbers else 0


async def _redrive(args: argparse.Namespace, settings: Settings) -> int:
    from iotcache.cache import DeviceCache
    from iotcache.worker.reader import message_reader
    from iotcache.worker.redrive import redrive

    reader = message_reader(settings.ingest)
    settled = readings = duplicates = documents = refused = truncated = 0
    missing: list[int] = []
    async with DeviceCache.from_settings(settings, follow=True) as cache:
        below: int | None = None
        while True:
            if args.numbers:
                dead_letters = await cache.store.dead_letters.find(args.numbers)
                missing = sorted(set(args.numbers) - {stored.number for stored in dead_letters})
            else:
                dead_letters = await cache.store.dead_letters.page(below, BATCH, args.reason)
            if not dead_letters:
                break
            done = await redrive(cache, reader, dead_letters)
            settled, refused = settled + done.letters, refused + done.refused
            readings, duplicates = readings + done.readings, duplicates + done.duplicates
            documents, truncated = documents + done.device_messages, truncated + done.truncated
            if args.numbers:
                break
            below = dead_letters[-1].number
    if not (settled or refused or truncated or missing):
        print(_none(args))
    elif settled or refused:
        print(
            f"decoded {settled:,} of {settled + refused:,}: readings new {readings:,}, known already "
            f"{duplicates:,}; births and configurations {documents:,}"
            + (f"; left {refused:,} ('deadletter list' says why)" if refused else "")
        )
    if truncated:
        print(
            f"iotcache-tui: {truncated:,} dead letter{'' if truncated == 1 else 's'} cannot be decoded again:"
            " only a part of the message was kept ('deadletter list' marks such with a +)",
            file=sys.stderr,
        )
    return _missing(missing) or (EXIT_TRUNCATED if truncated and args.numbers else 0)


async def _purge(args: argparse.Namespace, store: Store) -> int:
    before_us = 1 << 62
    if args.older_than:
        match = _AGE.fullmatch(args.older_than)
        if match is None:
            raise UsageError(
                f"--older-than '{printable(args.older_than, 20)}' is no age: write 7d, 12h or 30m"
            )
        before_us = round((time.time() - float(match[1]) * _UNITS[match[2]]) * 1e6)
    missing = []
    if args.numbers:
        numbers_found = {stored.number for stored in await store.dead_letters.find(args.numbers)}
        missing = sorted(set(args.numbers) - numbers_found)
        if not numbers_found:
            return _missing(missing)
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError("deadletter purge asks before it deletes: add --yes where nobody can answer")
        which = f"those older than {args.older_than}" if args.older_than else "all dead letters"
        if args.numbers:
            which = f"dead letter {', '.join(map(str, sorted(numbers_found)))}"
        answer = await asyncio.to_thread(input, f"Delete {which} of {store.url}? [y/N] ")
        if answer.strip().casefold() not in ("y", "yes"):
            print("nothing was deleted")
            return 0
    gone = 0
    if args.numbers:
        gone = await store.dead_letters.remove(args.numbers)
    else:
        while step := await store.dead_letters.remove_before(before_us, 2_000):
            gone += step
    print(f"{gone:,} dead letter{'' if gone == 1 else 's'} deleted")
    return _missing(missing)
