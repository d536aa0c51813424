"""Print what makes a shell complete our commands with Tab: bash, zsh or fish.

bash: ``iotcache-tui completion bash > ~/.local/share/bash-completion/completions/iotcache-tui``
zsh:  ``iotcache-tui completion zsh > "${fpath[1]}/_iotcache-tui"``
fish: ``iotcache-tui completion fish > ~/.config/fish/completions/iotcache-tui.fish``
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from iotcache.errors import UsageError
from iotcache.text import printable
from iotcache_tui.cli.options import is_flagged
from iotcache_tui.cli.shell_names import NAMES_MOST, SHELLS, safe_names

if TYPE_CHECKING:
    from pathlib import Path

    from iotcache.config import LoadedSettings
    from iotcache.config.schema import Settings
    from iotcache.store.base import SeriesInfo

KINDS = ("devices", "sensors", "keys", "nodes", "contexts")
ASK_S = 2.0
"""A store that is away must not hold a prompt up for longer."""
_SERIES_MOST: Final = 4 * NAMES_MOST


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", nargs="?", metavar="SHELL", help="bash, zsh or fish")
    parser.add_argument(
        "--names",
        choices=KINDS,
        metavar="KIND",
        help="a name a line, as the scripts ask: " + ", ".join(KINDS),
    )


def run(args: argparse.Namespace) -> int:
    if args.names is not None:
        from iotcache_tui.cli.options import load_settings

        print("\n".join(_found(args, load_settings(args))))
        return 0
    if args.shell not in SHELLS:
        raise UsageError(
            f"completion needs a shell: {', '.join(SHELLS)}"
            + (f", not '{printable(args.shell, 40)}'" if args.shell else "")
        )
    from iotcache_tui.cli.completion import script

    print(script(args.shell))
    return 0


def _found(args: argparse.Namespace, loaded: LoadedSettings) -> list[str]:
    """The names that are asked for; what can be remembered of them for the next Tab is.

    Raises `IotCacheError`.
    """
    from iotcache_tui.cli.running_stack import reached

    kind, settings, store = args.names, loaded.settings, None
    if kind == "contexts":
        names = [one.name for one in loaded.contexts]
        lasts = True
    elif kind == "nodes":
        names = _nodes(settings)
        lasts = bool(names)
    else:
        settings = reached(settings)
        store = _file_of(settings)
        names = _names(kind, _series(settings, store), settings)
        lasts = store is not None
    names = safe_names(names)
    from iotcache_tui.cli.remembered_names import REMEMBERED, remember

    if lasts and kind in REMEMBERED and not is_flagged(args):
        remember(kind, _origins(), names=names, store=None if store is None else str(store.absolute()))
    return names


def _origins() -> list[str]:
    """What says where the names are, without flags: files of settings, and those of running stacks."""
    import os
    from pathlib import Path

    import platformdirs

    from iotcache_simulator.stack.rundir import runtime_folder

    named = os.environ.get("IOTCACHE_CONFIG")
    here, user = Path("config.toml").absolute(), platformdirs.user_config_path("iotcache") / "config.toml"
    files = [Path(named).expanduser()] if named else [here, user]
    return [str(one) for one in (*files, runtime_folder())]


def _names(kind: str, series: Sequence[SeriesInfo], settings: Settings) -> list[str]:
    if kind == "devices":
        return [one.series.device for one in series]
    if kind == "sensors":
        return [one.series.sensor for one in series]
    from iotcache.keys import Keys

    keys = Keys(settings.cache.prefix)
    return [keys.latest(*one.series) for one in series]


def _nodes(settings: Settings) -> list[str]:
    """Raises `IotCacheError`."""
    from iotcache.config.urls import parse_node
    from iotcache_tui.cli.running_stack import reached

    nodes = settings.cache.nodes
    if isinstance(nodes, str):
        nodes = reached(settings).cache.nodes
    return [] if isinstance(nodes, str) else [parse_node(one).name for one in nodes]


def _file_of(settings: Settings) -> Path | None:
    """The file of a store of SQLite."""
    from iotcache.config.urls import parse_store

    return parse_store(settings.store.url).path if settings.store.url != "none" else None


def _series(settings: Settings, file: Path | None) -> Sequence[SeriesInfo]:
    """What the store knows. Raises `IotCacheError`."""
    if file is None:
        import asyncio

        return asyncio.run(_asked(settings))
    # At a Tab an event loop would take longer to load than the file to be read.
    from iotcache.store.sqlite.reader import SqliteReader

    reader = SqliteReader(file, busy_timeout_s=ASK_S)
    try:
        return reader.directory(0, _SERIES_MOST)
    finally:
        reader.close()


async def _asked(settings: Settings) -> Sequence[SeriesInfo]:
    import asyncio

    from iotcache.errors import StoreError
    from iotcache.store import open_store

    try:
        async with asyncio.timeout(ASK_S), open_store(settings.store, read_only=True) as store:
            return await store.directory(limit=_SERIES_MOST)
    except TimeoutError:
        raise StoreError(f"the store did not answer within {ASK_S:.0f} s") from None
