"""Print the JSON Schema of a file that people write, or of what a command prints with --json.

``iotcache-tui schema --out schemas`` writes those of files into a folder: the line ``#:schema
./schemas/config.schema.json`` at the top of config.toml lets an editor with taplo (Even Better TOML) complete
keys, say what they mean and mark mistakes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from iotcache.config.fields import nearest
from iotcache.errors import UsageError
from iotcache.text import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="which one; without it the list of them")
    parser.add_argument("--out", metavar="DIR", help="write those of files, or NAME's, into this folder")


def run(args: argparse.Namespace) -> int:
    from iotcache_tui.cli.schemas import FILES, SCHEMAS

    if args.name is not None and args.name not in SCHEMAS:
        raise UsageError(
            f"there is no schema '{printable(args.name, 40)}'{nearest(args.name, SCHEMAS)}; "
            f"there are {', '.join(SCHEMAS)}"
        )
    if args.out is not None:
        _write(Path(args.out), [args.name] if args.name else list(FILES))
    elif args.name is not None:
        print(_text(args.name), end="")
    else:
        for name, kind in SCHEMAS.items():
            print(f"{name:<17}{kind.title}")
    return 0


def _text(name: str) -> str:
    from iotcache_tui.cli.schemas import schema

    return json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"


def _write(folder: Path, names: list[str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / f"{name}.schema.json").write_text(_text(name), "utf-8")
    except OSError as error:
        raise UsageError(f"--out {printable(str(folder))}: {error.strerror}") from error
