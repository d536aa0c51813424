"""``iotcache-tui simulate capture`` and ``… play``: real traffic into a file, and out of it again."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import sys
from pathlib import Path

from iotcache.config.schema import BrokerSettings
from iotcache.errors import BrokerError, UsageError
from iotcache.private_files import private_opener
from iotcache_simulator.capture.capture import Capture
from iotcache_simulator.capture.play import CapturePlayer
from iotcache_simulator.capture.recording import read
from iotcache_simulator.publish.partition import connected
from iotcache_simulator.stack.rundir import find_running
from iotcache_simulator.wire.target import target_of
from iotcache_simulator.wire.uplink import Uplink
from iotcache_tui.cli.options import load_settings
from iotcache_tui.cli.simulating.output import check_writable, until_signalled
from iotcache_tui.cli.simulating.values import topic_filter

EXIT_FAILED = 1
EXIT_UNREACHABLE = 3


def run_capture(args: argparse.Namespace) -> int:
    """Write messages down until ``--duration`` or a signal."""
    if not args.file:
        raise UsageError("simulate capture needs a file to write to: simulate capture FILE")
    check_writable("capture", args.file)
    broker = _broker(args)
    try:
        count = asyncio.run(_capture(args, broker))
    except BrokerError as error:
        print(f"iotcache-tui simulate capture: {error}", file=sys.stderr)
        return EXIT_UNREACHABLE
    except OSError as error:
        raise UsageError(f"{args.file}: {error.strerror}") from error
    print(f"{_messages(count)} in {args.file}", file=sys.stderr)
    return 0


async def _capture(args: argparse.Namespace, broker: BrokerSettings) -> int:
    try:
        topics = [topic_filter(text) for text in args.topic or ["iot/#"]]
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"argument --topic: {error}") from error
    qos = 1 if args.qos is None else min(args.qos, 1)
    with contextlib.ExitStack() as files:
        capture = Capture(
            broker,
            topics,
            lambda: files.enter_context(open(args.file, "wb", opener=private_opener)),
            qos=qos,
            duration_s=args.duration,
            connect_timeout_s=args.connect_timeout,
        )
        with until_signalled(capture.stop):
            await capture.run()
    return capture.messages


def run_play(args: argparse.Namespace) -> int:
    """Publish a recording again; 0 when all of it was confirmed."""
    if not args.file:
        raise UsageError("simulate play needs a recording: simulate play FILE")
    try:
        with Path(args.file).open("rb") as file:
            for _ in read(file, args.file):
                pass  # a broken line is to be found before anything is published
    except OSError as error:
        raise UsageError(f"{args.file}: {error.strerror}") from error
    return asyncio.run(_play(args, _broker(args)))


async def _play(args: argparse.Namespace, broker: BrokerSettings) -> int:
    stopped = asyncio.Event()
    uplink = Uplink(target_of(broker), f"iotcache-play-{secrets.token_hex(4)}", qos=1)
    with Path(args.file).open("rb") as file:  # noqa: ASYNC230  # a line at a time
        player = CapturePlayer(read(file, args.file), uplink, speed=args.speed)

        def stop() -> None:
            stopped.set()
            player.stop()

        with until_signalled(stop):
            async with uplink:
                if not await connected((uplink,), args.connect_timeout, stopped):
                    if not stopped.is_set():
                        print(f"iotcache-tui simulate play: {uplink.reason}", file=sys.stderr)
                        return EXIT_UNREACHABLE
                    return 0
                await player.run(args.patience)
                figures = f"{_messages(player.played)} played, {uplink.confirmed:,} confirmed"
    print(f"{figures} in {player.elapsed_s:.1f} s", file=sys.stderr)
    return 0 if uplink.confirmed == player.played else EXIT_FAILED


def _messages(count: int) -> str:
    return f"{count:,} message{'' if count == 1 else 's'}"


def _broker(args: argparse.Namespace) -> BrokerSettings:
    settings = load_settings(args).settings
    return (find_running(settings) if settings.broker.url == "embedded" else settings).broker
