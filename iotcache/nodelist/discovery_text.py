"""The answer of a managed cluster's configuration endpoint to ``config get cluster``. Pure.

Source: Amazon ElastiCache User Guide, "Adding Auto Discovery to your client library"; Memorystore for
Memcached answers alike. The value is the version of the list, a newline, and ``host|ip|port`` of each node
with blanks between them; engines older than 1.4.14 keep it under the key ``AmazonElastiCache:cluster``.
"""

from __future__ import annotations

import re
from typing import Final

from iotcache.config.urls import NodeAddress
from iotcache.nodelist.listing import NodeListError, checked, node_at
from iotcache.text import printable_bytes

VALUE_MAX_BYTES: Final = 256 * 1024
_HEAD: Final = re.compile(
    rb"(?:CONFIG cluster|VALUE AmazonElastiCache:cluster) [0-9]{1,10} ([0-9]{1,10})(?: [0-9]{1,20})?\r?\n"
)
_VERSION: Final = re.compile(r"[0-9]{1,15}")


def value_length(head: bytes) -> int:
    """How many bytes the value has, as the first line of the answer says. Raises `NodeListError`."""
    match = _HEAD.fullmatch(head)
    if not match:
        raise NodeListError(
            f"it answers {printable_bytes(head.strip(), 60)!r}, as no configuration endpoint does"
        )
    length = int(match[1])
    if length > VALUE_MAX_BYTES:
        raise NodeListError(f"its answer has {length:,} bytes, and {VALUE_MAX_BYTES:,} are allowed")
    return length


def parse_value(value: bytes) -> tuple[int, tuple[NodeAddress, ...]]:
    """The version and the nodes. Raises `NodeListError`.

    A node is named by its host name, as other clients of such clusters name it, and by its address where it
    has none: they place keys alike then.
    """
    try:
        lines = value.decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise NodeListError("its answer is not ASCII") from None
    if len(lines) < 2 or not _VERSION.fullmatch(lines[0].strip(" ")):
        raise NodeListError("its answer does not begin with a version and a list")
    if any(line.strip(" ") for line in lines[2:]):
        raise NodeListError("its answer goes on after the list")
    nodes = []
    for entry in lines[1].split(" "):
        if entry:
            parts = entry.split("|")
            if len(parts) != 3 or not re.fullmatch(r"[0-9]{1,5}", parts[2]):
                shown = printable_bytes(entry.encode(), 60)
                raise NodeListError(f"its answer holds {shown!r}, and an entry is host|ip|port")
            nodes.append(node_at(parts[0] or parts[1], int(parts[2])))
    return int(lines[0]), checked(nodes)
