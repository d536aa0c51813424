"""Wherever the program tells how many of something there are, one reads as one (`iotcache.text.plural`)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from iotcache.text import plural

ROOT = Path(__file__).parents[1]
SOURCES = ("iotcache", "simulator/iotcache_simulator", "tui/iotcache_tui")
NOUNS = """
    acts alerts answers arms bytes characters classes clients commands connections days devices
    entries evictions expectations failures fallbacks faults fields files fills frames gaps items
    keys kills levels lines messages metrics minutes mismatches nodes objects outages pages parts
    processes promises queries readers readings reads repairs requests rounds rows runs samples
    scenarios seconds seeds sensors servers sessions simulations sites slabs steps tables texts
    threads topics values violations visitors windows workers
"""
"""What is counted anywhere in the program."""
_NO_ADJECTIVE = "makes|takes|answers|holds|has|are|with|for|of|in|on|to|by|and|or"
_NOUN = re.compile(rf" (?:(?!(?:{_NO_ADJECTIVE})\b)[a-z]+ )?(?:{'|'.join(NOUNS.split())})\b(?!/s| a second)")
"""A rate is a figure and no number of things: "1 gets/s" is how it is written."""
_FRACTION = re.compile(r".?\.[1-9]f")
_LIMIT = re.compile(r"[A-Z_.0-9]+|rate\(.*")
NEVER_ONE = {
    "iotcache/advisor/rules_ttl.py": ("misses * 2",),
    "iotcache/decode/malformed_json.py": ("int(found[1])",),
    "iotcache/decode/device_messages.py": ("message.size",),
    "iotcache/decode/decoder.py": ("size",),
    "iotcache/decode/incoming.py": ("ahead_d",),
    "iotcache/nodelist/discovery_text.py": ("length",),
    "iotcache/nodelist/file_text.py": ("len(content)",),
    "iotcache/nodelist/listing.py": ("len(nodes)",),
    "iotcache/mqtt/codec/framing.py": ("length",),
    "iotcache/mqtt/codec/primitives.py": ("value",),
    "iotcache/mqtt/reader.py": ("length", "properties"),
    "simulator/iotcache_simulator/cachenode/__main__.py": ("found.memory_mb * MIB",),
    "tui/iotcache_tui/checks/servers.py": ("largest_bytes", "shown"),
    "tui/iotcache_tui/checks/store.py": ("shown",),
    "tui/iotcache_tui/cli/commands/plan.py": ("message_bytes", "_count(made.rows_per_day)"),
    "tui/iotcache_tui/cli/explaining.py": ("topics",),
    "tui/iotcache_tui/cli/simulating/fleet.py": ("spec.devices", "count", "needed"),
    "tui/iotcache_tui/feed/answers/keys.py": ("held.size",),
    "tui/iotcache_tui/state/problems/servers.py": ("its",),
}
"""Told of only where they are many, such as the bytes of what is too large; or no number at all."""


def _texts(path: Path) -> Iterator[tuple[int, str, str, str, str]]:
    """Each number in an f-string: line, expression, its format, the text before it and the text after it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.JoinedStr):
            continue
        before = ""
        for part, following in zip(node.values, [*node.values[1:], None], strict=True):
            if isinstance(part, ast.Constant):
                before = str(part.value)
            elif isinstance(part, ast.FormattedValue):
                after = str(following.value) if isinstance(following, ast.Constant) else ""
                form = ast.unparse(part.format_spec)[2:-1] if part.format_spec else ""
                yield part.lineno, ast.unparse(part.value), form, before, after
                before = ""


def _bare_plurals(path: Path) -> Iterator[str]:
    for line, expression, form, before, after in _texts(path):
        if (
            not _NOUN.match(after)
            or _FRACTION.fullmatch(form)
            or _LIMIT.fullmatch(expression)
            or re.search(r"; $", after)  # how many are too many
            or before.endswith(("none of ", "more than "))
            or expression in NEVER_ONE.get(path.relative_to(ROOT).as_posix(), ())
        ):
            continue
        yield f"{path.relative_to(ROOT)}:{line}: {{{expression}}}{after[:40]}"


def test_no_text_puts_a_number_before_a_plural_of_its_own_making() -> None:
    found = [
        text
        for source in SOURCES
        for path in sorted((ROOT / source).rglob("*.py"))
        for text in _bare_plurals(path)
    ]
    assert found == []


def test_one_is_one() -> None:
    assert [plural(number, "node") for number in (0, 1, 2, 1_000)] == [
        "0 nodes",
        "1 node",
        "2 nodes",
        "1,000 nodes",
    ]
    assert [plural(number, "entry", "entries") for number in (1, 2)] == ["1 entry", "2 entries"]
