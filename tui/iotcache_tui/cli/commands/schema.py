"""Print the JSON Schema of a file that people write: config, device-class, scenario.

``iotcache-tui schema config > config.schema.json``, then ``#:schema config.schema.json`` in the first line of
config.toml: an editor with taplo (Even Better TOML) completes keys, says what they mean and marks mistakes.
"""

from __future__ import annotations

import argparse
import json

from iotcache.config.fields import nearest
from iotcache.errors import UsageError
from iotcache.text import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="which one; without it the list of them")


def run(args: argparse.Namespace) -> int:
    from iotcache_tui.cli.schemas import SCHEMAS, schema

    if args.name is None:
        for name, (title, _) in SCHEMAS.items():
            print(f"{name:<14}{title}")
        return 0
    if args.name not in SCHEMAS:
        raise UsageError(
            f"there is no schema '{printable(args.name, 40)}'{nearest(args.name, SCHEMAS)}; "
            f"there are {', '.join(SCHEMAS)}"
        )
    print(json.dumps(schema(args.name), indent=2, ensure_ascii=False))
    return 0
