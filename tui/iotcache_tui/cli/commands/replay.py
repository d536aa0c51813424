"""Play a recording of the dashboard: the same screens over what happened then, with pause, seek and speed."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from iotcache.errors import UsageError
from iotcache.text import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a file that --record wrote")
    parser.add_argument("--speed", type=float, default=1.0, help="0.25 to 32 (default 1)")
    parser.add_argument(
        "--from", metavar="TIME", dest="start", default="0", help="begin at 90, 1:30 or 0:01:30"
    )
    parser.add_argument(
        "--to", metavar="TIME", default="", help="with --export: end there (default: the end)"
    )
    parser.add_argument(
        "--export", metavar="OUT", help="write the stretch into a recording of its own, and show nothing"
    )


def seconds(text: str, flag: str) -> float:
    """``90``, ``1:30`` or ``0:01:30`` in seconds. Raises `UsageError`."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text):
        raise UsageError(f"{flag} '{printable(text, 20)}' is no time: write 90, 1:30 or 0:01:30")
    total = 0.0
    for part in text.split(":"):
        total = total * 60 + float(part)
    return total


def run(args: argparse.Namespace) -> int:
    from iotcache_tui.record.player import SPEEDS

    start = seconds(args.start, "--from")
    if not SPEEDS[0] <= args.speed <= SPEEDS[-1]:
        raise UsageError(f"--speed is {args.speed:g}, allowed is {SPEEDS[0]:g} to {SPEEDS[-1]:g}")
    path = Path(args.file)
    if args.export:
        from iotcache_tui.record.export import export

        end = seconds(args.to, "--to") if args.to else float("inf")
        length_s = export(path, Path(args.export), start, end)
        print(f"{printable(args.export)}: {length_s:.1f} s")
        return 0
    if args.to:
        raise UsageError("--to goes with --export")

    from iotcache_tui.cli.commands.dashboard import require_keys, require_terminal
    from iotcache_tui.cli.options import load_settings
    from iotcache_tui.record.player import RecordingPlayer, ReplayClock, ReplayFeed

    player = RecordingPlayer(path)
    loaded = load_settings(args)
    settings = loaded.settings
    require_keys(loaded)
    require_terminal()

    from iotcache_tui.app import IotCacheApp
    from iotcache_tui.preferences import PreferencesFile

    player.set_speed(args.speed)
    if start:
        player.seek(player.start_s + start)
    feed = ReplayFeed(player)
    app = IotCacheApp(
        feed,
        settings.dashboard,
        clock=ReplayClock(player),
        read_only=True,
        first="lab" if player.of_a_lesson else "fleet",
        preferences_file=PreferencesFile.of_user(),
        theme_named=loaded.commanded("dashboard.theme"),
    )
    try:
        app.run()
    finally:
        feed.stop()
    if app.state.failure:
        print(f"iotcache-tui: {printable(app.state.failure, 500)}", file=sys.stderr)
    return app.return_code or 0
