"""The text of a file of nodes: one a line, with comments. Pure."""

from __future__ import annotations

from typing import Final

from iotcache.config.urls import NodeAddress, parse_node
from iotcache.errors import ConfigError
from iotcache.nodelist.listing import NodeListError, checked

FILE_MAX_BYTES: Final = 1 << 20


def parse_file(content: bytes) -> tuple[NodeAddress, ...]:
    """The nodes of a file: ``host:port`` or ``host:port=weight`` a line, ``#`` begins a comment.

    The last line ends with a newline as all others do: without, it may be cut off, and ``cache3:112`` would
    pass for a node. Raises `NodeListError` with the line for anything else: half a list is no list.
    """
    if len(content) > FILE_MAX_BYTES:
        raise NodeListError(f"it has {len(content):,} bytes, and {FILE_MAX_BYTES:,} are allowed")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NodeListError(f"it is not UTF-8 text at byte {error.start}") from None
    lines = text.split("\n")
    if lines.pop():
        raise NodeListError(f"line {len(lines) + 1} may be half-written: it does not end with a newline")
    nodes = []
    for number, line in enumerate(lines, 1):
        entry = _without_comment(line.removesuffix("\r"))
        if entry:
            try:
                nodes.append(parse_node(entry))
            except ConfigError as error:
                raise NodeListError(f"line {number}: {error}") from None
    return checked(nodes)


def _without_comment(line: str) -> str:
    """A ``#`` counts at the beginning or after a blank."""
    if line.startswith("#"):
        return ""
    for blank in (" #", "\t#"):
        line = line.partition(blank)[0]
    return line.strip(" \t")
