"""Record what the dashboard would show, without a screen: a flight recorder for ``replay FILE``."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from typing import Final

from iotcache.errors import IotCacheError, UsageError
from iotcache.text import plural, printable

FRAME_S: Final = 1.0
KEYFRAME_S: Final = 60.0
LOOKS_PER_S: Final = 50.0
"""Most reads a second: what happens shows in a sample as well, and nobody waits for a single row."""
ANSWERS_WAIT_S: Final = 5.0
_TIMES: Final = {"m": 60.0, "h": 3_600.0, "d": 86_400.0}
_SIZES: Final = {"MB": 10**6, "GB": 10**9, "MIB": 1 << 20, "GIB": 1 << 30}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the newest part; older ones lie beside it")
    parser.add_argument("--keep", metavar="TIME", default="24h", help="how far back: 30m, 24h, 7d (24h)")
    parser.add_argument(
        "--max", metavar="SIZE", default="200MB", help="most of all parts: 200MB, 2GB (200MB)"
    )
    parser.add_argument(
        "--record-values",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="with what devices measured (yes)",
    )


def keep_s(text: str) -> float:
    """``30m``, ``24h`` or ``7d`` in seconds. Raises `UsageError`."""
    found = re.fullmatch(r"(\d{1,5})([mhd])", text)
    if not found or not int(found[1]):
        raise UsageError(f"--keep is '{printable(text, 20)}': write a time such as 30m, 24h or 7d")
    return int(found[1]) * _TIMES[found[2]]


def most_bytes(text: str) -> int:
    """``200MB`` or ``2GiB`` in bytes. Raises `UsageError`."""
    found = re.fullmatch(r"(\d{1,6})(MB|GB|MIB|GIB)", text.upper())
    if not found or not int(found[1]):
        raise UsageError(f"--max is '{printable(text, 20)}': write a size such as 200MB or 2GB")
    return int(found[1]) * _SIZES[found[2]]


def run(args: argparse.Namespace) -> int:
    """Record until Ctrl-C or a SIGTERM. Raises `IotCacheError` when nothing can be recorded any more."""
    from iotcache.config.parts import looks_per_s
    from iotcache.logs import set_up
    from iotcache_tui.cli.commands.snapshot import attached
    from iotcache_tui.cli.options import load_settings
    from iotcache_tui.feed.live import LiveFeed
    from iotcache_tui.record.recorder import Recorder
    from iotcache_tui.record.rotation import Rotation
    from iotcache_tui.shutdown import leave_on_signals
    from iotcache_tui.state.dashboard import DashboardState
    from iotcache_tui.state.nodes.model import WatchNodes

    rotation = Rotation(keep_s(args.keep), most_bytes(args.max))
    settings = load_settings(args).settings
    set_up(settings.log)
    # One batch a frame: what nodes are asked about misses costs as much for one of them as for fifty.
    looks = min(looks_per_s(settings), LOOKS_PER_S)
    feed = LiveFeed(attached(settings), reads_per_s=looks, tick_s=FRAME_S)
    recorder = Recorder(Path(args.file), values=args.record_values, rotation=rotation, keyframe_s=KEYFRAME_S)
    state = DashboardState()
    stopping = leave_on_signals()
    feed.start()
    print(f"recording to {printable(args.file)}, the last {args.keep}, {args.max} at most", flush=True)
    watching, ask_at_s = 0, 0.0
    try:
        while not stopping.wait(FRAME_S):
            now_s = time.monotonic()
            for drained in feed.mailbox.drain_all():
                state.apply(drained)
                recorder.add(now_s, time.time(), drained, state)
            if any(answer.done and answer.ticket == watching for answer in feed.mailbox.take_answers()):
                watching = 0
            if not watching and now_s >= ask_at_s:
                watching, ask_at_s = feed.ask(WatchNodes()), now_s + ANSWERS_WAIT_S
            if state.failure or recorder.problem:
                raise IotCacheError(state.failure or recorder.problem)
        return 0
    finally:
        feed.stop()
        recorder.close()
        if recorder.frames_lost:
            print(
                f"iotcache-tui: the disk was too slow for {plural(recorder.frames_lost, 'frame')}",
                file=sys.stderr,
            )
