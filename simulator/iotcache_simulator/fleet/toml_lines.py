"""Where in a TOML text a key stands. The parser does not say, and a person wants to know."""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*(\[\[|\[)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""^\s*["']?([^"'=#]+?)["']?\s*=""")


def line_of(text: str, path: tuple[str | int, ...]) -> int:
    """The line (from 1) of the key at ``path``, or of the nearest table or key around it."""
    lines = text.splitlines()
    best, best_depth = 1, 0
    table: list[str | int] = []
    counts: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if (header := _HEADER.match(line)) is not None:
            name = header[2]
            table = list(name.split("."))
            if header[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
                table.append(counts[name])
            found = table
        elif (key := _KEY.match(line)) is not None:
            found = [*table, *(part.strip() for part in key[1].split("."))]
        else:
            continue
        depth = len(found)
        if depth > best_depth and tuple(found) == path[:depth]:
            best, best_depth = number, depth
    if best_depth < len(path):
        best = _inside(lines, best, path[best_depth:])
    return best


def _inside(lines: list[str], first: int, rest: tuple[str | int, ...]) -> int:
    """The line within a value that begins on line ``first``: the nth ``{`` of an array of inline tables."""
    wanted = next((step for step in rest if isinstance(step, int)), None)
    if wanted is None:
        return first
    seen = -1
    for number, line in enumerate(lines[first - 1 :], first):
        for _ in range(line.count("{")):
            seen += 1
            if seen == wanted:
                return number
        if number > first and (_HEADER.match(line) or line.startswith("]")):
            break
    return first
