"""Print every setting in force and where it came from; secrets are masked."""

from __future__ import annotations

import argparse
import json
from typing import Any

from iotcache.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", default="show", help="show (the only one)")
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def run(args: argparse.Namespace) -> int:
    if args.what != "show":
        raise UsageError(f"there is no 'config {args.what}'; there is 'config show'")
    from iotcache.config.fields import SECRETS, fields
    from iotcache.config.urls import mask
    from tui.cli.options import load_settings

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
