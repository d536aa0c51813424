"""Print what makes a shell complete our commands with Tab: bash, zsh or fish.

bash: ``iotcache-tui completion bash > ~/.local/share/bash-completion/completions/iotcache-tui``
zsh:  ``iotcache-tui completion zsh > "${fpath[1]}/_iotcache-tui"``
fish: ``iotcache-tui completion fish > ~/.config/fish/completions/iotcache-tui.fish``
"""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from iotcache.errors import UsageError
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.config.schema import Settings
    from iotcache.store.base import SeriesInfo

KINDS = ("devices", "sensors", "keys")
ASK_S = 2.0
"""A store that is away must not hold a prompt up for longer."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", nargs="?", metavar="SHELL", help="bash, zsh or fish")
    parser.add_argument(
        "--names",
        choices=KINDS,
        metavar="KIND",
        help="a name a line, as the scripts ask: " + ", ".join(KINDS),
    )


def run(args: argparse.Namespace) -> int:
    from iotcache_tui.cli.completion import SHELLS, safe_names, script

    if args.names is not None:
        from iotcache_tui.cli.options import load_settings

        settings = load_settings(args).settings
        series = asyncio.run(_series(settings))
        print("\n".join(safe_names(_names(args.names, series, settings))))
        return 0
    if args.shell not in SHELLS:
        raise UsageError(
            f"completion needs a shell: {', '.join(SHELLS)}"
            + (f", not '{printable(args.shell, 40)}'" if args.shell else "")
        )
    print(script(args.shell))
    return 0


def _names(kind: str, series: list[SeriesInfo], settings: Settings) -> list[str]:
    if kind == "devices":
        return [one.series.device for one in series]
    if kind == "sensors":
        return [one.series.sensor for one in series]
    from iotcache.keys import Keys

    keys = Keys(settings.cache.prefix)
    return [keys.latest(*one.series) for one in series]


async def _series(settings: Settings) -> list[SeriesInfo]:
    """What the store knows. Raises `IotCacheError`."""
    from iotcache.errors import StoreError
    from iotcache.store import open_store
    from iotcache_tui.cli.completion import NAMES_MOST
    from iotcache_tui.cli.running_stack import reached

    try:
        async with asyncio.timeout(ASK_S), open_store(reached(settings).store, read_only=True) as store:
            return list(await store.directory(limit=4 * NAMES_MOST))
    except TimeoutError:
        raise StoreError(f"the store did not answer within {ASK_S:.0f} s") from None
