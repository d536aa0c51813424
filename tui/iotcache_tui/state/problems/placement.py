"""How two processes that use one cache differ in where they look for a key."""

from __future__ import annotations

from iotcache.published_stats import KeyPlacement
from iotcache.text import printable


def difference(one: KeyPlacement, other: KeyPlacement, here: str, there: str) -> str:
    """The weightiest difference in words; ``here`` and ``there`` are who has ``one`` and ``other``."""
    if one.scheme != other.scheme:
        return f"{_safe(one.scheme)} {_by(here)}, {_safe(other.scheme)} {_by(there)}"
    mine, theirs = dict(map(_node, one.nodes)), dict(map(_node, other.nodes))
    if extra := sorted(mine.keys() - theirs.keys()):
        return f"node {_safe(extra[0])} only {_by(here)}"
    if extra := sorted(theirs.keys() - mine.keys()):
        return f"node {_safe(extra[0])} only {_by(there)}"
    for name in sorted(mine):
        if mine[name] != theirs[name]:
            return f"weight of node {_safe(name)}: {mine[name]} {_by(here)}, {theirs[name]} {_by(there)}"
    return f"prefix “{_safe(one.prefix)}” {_by(here)}, “{_safe(other.prefix)}” {_by(there)}"


def _by(who: str) -> str:
    return who if who == "here" else f"by {who}"


def _safe(text: str) -> str:
    return printable(text, 100)


def _node(text: str) -> tuple[str, str]:
    name, _, weight = text.rpartition("=")
    return name, _safe(weight)
