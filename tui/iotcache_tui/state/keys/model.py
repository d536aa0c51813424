"""What lies in the nodes, key by key: what is asked, what comes back, and the columns it is kept in."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from math import inf
from typing import ClassVar, Final

from msgspec import Struct

from iotcache.keys import unescape
from iotcache_tui.state.requests import Request

KEYS_MAX: Final = 200_000
"""Keys that a browser holds; the totals count those beyond it, too."""
COSTLY_ITEMS: Final = 500_000
"""A crawl over more than this is worth a question first: about a second of a node's crawler thread for each
million items, and some 90 MB over the wire."""
CLASSES: Final = ("latest", "bucket", "meta", "cfg", "agg", "own", "foreign")
CLASS_LABELS: Final = {
    "latest": "newest readings",
    "bucket": "minutes of history",
    "meta": "metadata",
    "cfg": "configuration",
    "agg": "site aggregates",
    "own": "marks of iotcache itself",
    "foreign": "not of this program",
}
_BUCKET: Final = re.compile(r"[^:]+:[^:]+:\d{8}T\d{4}(?:\d\d)?Z")
_PARTS: Final = re.compile(r"[^:]+:[^:]+:latest")
_HASHED: Final = re.compile(r"#[0-9a-f]{32}$")
_NUMBERED: Final = re.compile(r"[-_. /#]*[0-9][0-9a-fA-F-]*$")
_SEPARATOR: Final = re.compile(r"[:/|.]")


def class_of(key: str, prefix: str = "") -> str:
    """Which of `CLASSES` a key belongs to, by its shape; see `iotcache.keys`."""
    if key.startswith("iotcache:"):
        return "own"
    if not key.startswith(prefix):
        return "foreign"
    rest = key[len(prefix) :]
    if rest.startswith("agg:") and rest.count(":") == 3:
        return "agg"
    if rest.endswith(":latest"):
        return "latest" if _PARTS.fullmatch(rest) else "foreign"
    if rest.endswith((":meta", ":cfg")) and rest.count(":") == 1 and rest[0] != ":":
        return "meta" if rest.endswith("meta") else "cfg"
    if rest.endswith("Z") and _BUCKET.fullmatch(rest):
        return "bucket"
    # Past 250 bytes a hash stands for the end of a key, and with it for what tells its class.
    return "own" if _HASHED.search(rest) and len(key) == 250 else "foreign"


def group_of(key: str, prefix: str = "") -> str:
    """What keys of a kind begin with: the device's name without its number, or the first part."""
    first = _SEPARATOR.split(key.removeprefix(prefix), 1)[0]
    if "%" in first:
        first = unescape(first)
    return _NUMBERED.sub("", first) or first


# Questions and acts


class CountKeys(Request, frozen=True):
    """How many items each node holds, by the cheapest question there is. Answers: one `KeyCounts`."""


class CrawlKeys(Request, frozen=True):
    """List the items of the nodes, one node after the other. Answers: many `CrawlStep`."""

    keys_max: int = KEYS_MAX


class CrawlAgain(CrawlKeys, frozen=True):
    """The same, to bring what is on show up to date. Left out of recordings: they would hold nothing else."""

    shows_payload: ClassVar[bool] = True


class FetchValue(Request, frozen=True):
    """What lies under a key. Answers: one `CachedValue`.

    The node counts it as one get; the item's last access, its place in the LRU and its fetched mark stay.
    """

    shows_payload: ClassVar[bool] = True
    key: bytes
    node: str
    """The node's name; empty for the one that owns the key."""


class DeleteKey(Request, frozen=True):
    """Delete one item on one node. Answers: one `Deleted`."""

    acts: ClassVar[bool] = True
    key: bytes
    node: str


class ChangeKeys(Request, frozen=True):
    """Delete items, or give them another life, node by node. Answers: `ActionProgress`."""

    acts: ClassVar[bool] = True
    keys: tuple[tuple[str, tuple[bytes, ...]], ...]
    """By node."""
    ttl_s: int = 0
    """Seconds to live from now; 0 deletes them."""


# Answers


class NodeCrawl(Struct, frozen=True):
    """How far one node is."""

    name: str
    items: int = 0
    """As the node counts them; some of them may have expired."""
    seen: int = 0
    state: str = "waiting"
    """"waiting", "crawling", "done" or "failed"."""
    why: str = ""
    """Of a failure; safe to show."""


class KeyCounts(Struct, frozen=True):
    """Every node, with its ``items``."""

    nodes: tuple[NodeCrawl, ...]


class Deleted(Struct, frozen=True):
    """What became of a key."""

    there: bool
    """Whether there was anything to delete."""


class Total(Struct, frozen=True):
    """The sum over a class or a group of keys."""

    name: str
    items: int
    size: int
    """Bytes, memcached's own overhead included."""


class KeyChunk(Struct, frozen=True):
    """Keys in columns, as they cross the thread line. Times are wall time of this machine."""

    key: list[bytes]
    node: bytes
    """Places in the crawl's tuple of nodes; a node past the 255th shares the last place."""
    kind: bytes
    """Places in `CLASSES`."""
    size: list[int]
    expires_at: list[float]
    used_at: list[float]
    slab: bytes
    fetched: bytes


class CrawlStep(Struct, frozen=True):
    """How far a crawl is, and the keys that came since the step before."""

    nodes: tuple[NodeCrawl, ...]
    chunk: KeyChunk | None
    classes: tuple[Total, ...]
    groups: tuple[Total, ...]
    """The largest by bytes, the rest of them summed up in the last."""


class CachedValue(Struct, frozen=True):
    """What was found under a key."""

    key: bytes
    node: str
    found: bool
    at_s: float = 0.0
    """Wall time."""
    stored: bytes = b""
    """As it lies there, cut at a bound."""
    size: int = 0
    """Bytes of the whole value."""
    flags: int = 0
    ttl_s: float = inf
    inflated: bytes = b""
    form: str = ""
    """"JSON", "text" or "binary"."""
    meaning: str = ""
    """What a newest reading says, in a line; foreign text, not yet safe to show."""
    pretty: tuple[str, ...] = ()
    """Lines to read; foreign text, not yet safe to show."""
    problem: str = ""
    """Why it could not be made sense of; safe to show."""


# Kept


DELETED = 0.0
"""In place of the time at which an item expires: this program deleted it after the walk."""


class KeyColumns:
    """All keys of one crawl, a row each; a row's number never changes."""

    def __init__(self) -> None:
        self.nodes: tuple[str, ...] = ()
        self.key: list[bytes] = []
        self.node = bytearray()
        self.kind = bytearray()
        self.size: array[int] = array("Q")
        self.expires_at: array[float] = array("d")
        self.used_at: array[float] = array("d")
        self.slab = bytearray()
        self.fetched = bytearray()

    def __len__(self) -> int:
        return len(self.key)

    def extend(self, chunk: KeyChunk) -> None:
        """Take in what a step brought; a few copies of memory, whatever its size."""
        self.key += chunk.key
        self.node += chunk.node
        self.kind += chunk.kind
        self.size.extend(chunk.size)
        self.expires_at.extend(chunk.expires_at)
        self.used_at.extend(chunk.used_at)
        self.slab += chunk.slab
        self.fetched += chunk.fetched

    def node_name(self, row: int) -> str:
        place = self.node[row]
        return self.nodes[place] if place < len(self.nodes) else ""

    def find(self, key: bytes, node: str) -> int | None:
        """The row of a key on a node; ``None`` when it is not among them."""
        start = 0
        while True:
            try:
                row = self.key.index(key, start)
            except ValueError:
                return None
            if self.node_name(row) == node:
                return row
            start = row + 1

    def left_s(self, row: int, wall_s: float) -> float:
        """Seconds left, by the walk; below 0 where its time is over and nobody knows what is there now."""
        return self.expires_at[row] - wall_s


def crawled(nodes: Sequence[NodeCrawl]) -> tuple[int, int]:
    """Items seen and items expected."""
    return sum(node.seen for node in nodes), sum(
        max(node.items, node.seen) for node in nodes if node.state != "failed"
    )
