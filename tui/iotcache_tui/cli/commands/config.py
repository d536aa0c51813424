"""Print every setting in force and where it came from (show), the commented default file (default), or every
act of the dashboard with its id and keys (keys), for [dashboard.keys].

Secrets are masked. ``iotcache-tui config default > config.toml`` makes a file to start from.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from iotcache.errors import UsageError
from iotcache.text import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", nargs="?", default="show", help="show (what is meant when left out), default or keys"
    )
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def default_file() -> Path:
    """The file that documents every key: in the installed package, or in the source tree."""
    import iotcache.config

    package = Path(iotcache.config.__file__).parent
    installed = package / "default.toml"
    return installed if installed.is_file() else package.parents[1] / "config.toml"


def run(args: argparse.Namespace) -> int:
    if args.what == "default":
        print(default_file().read_text("utf-8"), end="")
        return 0
    if args.what == "keys":
        return _keys(args)
    if args.what != "show":
        raise UsageError(
            f"there is no 'config {printable(args.what, 40)}'; there are 'config show', 'default' and 'keys'"
        )
    import msgspec

    from iotcache.config.fields import SECRETS, fields
    from iotcache.config.urls import mask
    from iotcache_tui.cli.options import load_settings

    loaded = load_settings(args)
    rows: list[tuple[str, Any, str]] = []
    for path in fields():
        value: Any = loaded.settings
        for name in path.split("."):
            value = getattr(value, name)
        if path in SECRETS:
            value = "***" if value else ""
        elif isinstance(value, str):
            value = mask(value)
        else:
            value = msgspec.to_builtins(value)
        rows.append((path, value, loaded.origins[path]))
    if args.json:
        print(json.dumps({path: {"value": value, "origin": origin} for path, value, origin in rows}))
        return 0
    wide = max(len(path) for path, _, _ in rows)
    shown = [json.dumps(value, ensure_ascii=False) for _, value, _ in rows]
    room = min(max(len(text) for text in shown), 40)
    for (path, _, origin), text in zip(rows, shown, strict=True):
        print(f"{path:<{wide}}  {text:<{room}}  {origin}")
    return 0


def _keys(args: argparse.Namespace) -> int:
    from iotcache_tui.cli.options import load_settings
    from iotcache_tui.keymap import check_keys, key_actions

    loaded = load_settings(args)
    keys = loaded.settings.dashboard.keys
    check_keys(keys, loaded.origins["dashboard.keys"])
    actions = key_actions(keys)
    if args.json:
        rows = [
            {"id": action.id or None, "keys": list(action.keys), "what": action.what, "screens": action.where}
            for action in actions
        ]
        print(json.dumps(rows))
        return 0
    wide = max(len(action.id) for action in actions)
    room = max(len(",".join(action.keys)) for action in actions)
    for action in actions:
        name, on = action.id or "(fixed)", ",".join(action.keys)
        print(f"{name:<{wide}}  {on:<{room}}  {action.what} ({action.where})")
    return 0
