"""``iotcache-tui simulate capture`` and ``… play``: real traffic into a file, and out of it again."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from iotcache.config.schema import BrokerSettings
from iotcache.errors import BrokerError, UsageError
from iotcache.private_files import private_opener
from iotcache_simulator.capture.capture import Capture
from iotcache_simulator.capture.play import CapturePlayer
from iotcache_simulator.capture.recording import Recorded, read
from iotcache_simulator.capture.tables import anomalies, label_lines, measurements
from iotcache_simulator.fleet.messages import zone_of
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
    check_writable("--labels", args.labels)
    try:
        with _messages_of(args) as messages:
            for _ in messages:
                pass  # a broken line is to be found before anything is published
        if args.labels is not None or args.truth is not None:
            _write_labels(args)
    except OSError as error:
        raise UsageError(f"{error.filename or args.file}: {error.strerror}") from error
    return asyncio.run(_play(args, _broker(args)))


def _is_table(file: str) -> bool:
    return file.endswith(".csv") or Path(file).is_dir()


@contextlib.contextmanager
def _messages_of(args: argparse.Namespace) -> Iterator[Iterator[Recorded]]:
    """The messages of a recording, or of tables, a line at a time."""
    if _is_table(args.file):
        yield (one.message() for one in measurements(Path(args.file), zone_of(args.zone)))
        return
    if args.zone or args.truth or args.labels:
        raise UsageError("--zone, --truth and --labels go with tables: a .csv file, or a folder of some")
    with Path(args.file).open("rb") as file:
        yield read(file, args.file)


def _write_labels(args: argparse.Namespace) -> None:
    """The measurements that the benchmark calls anomalies. Raises `UsageError` or `OSError`."""
    if args.labels is None or args.truth is None:
        raise UsageError(
            "--truth and --labels go together: which times are anomalies, and where to write them"
        )
    zone = zone_of(args.zone)
    windows = anomalies(Path(args.truth).read_bytes(), zone, args.truth)
    with Path(args.labels).open("wb") as out:
        out.writelines(label_lines(measurements(Path(args.file), zone), windows))


async def _play(args: argparse.Namespace, broker: BrokerSettings) -> int:
    stopped = asyncio.Event()
    uplink = Uplink(target_of(broker), f"iotcache-play-{secrets.token_hex(4)}", qos=1)
    with _messages_of(args) as messages:
        player = CapturePlayer(messages, uplink, speed=args.speed)

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
