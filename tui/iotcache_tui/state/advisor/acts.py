"""How a piece of advice is carried out from here, and taken back."""

from __future__ import annotations

import re
from typing import Final

from iotcache.advisor.advice import Advice, Subject
from iotcache_tui.state.advisor.model import ChangeTtl
from iotcache_tui.state.nodes.model import ActOnNode, NodeAct

_LIFE: Final = re.compile(r": ([0-9.e+-]+) s$")
_JITTER: Final = re.compile(r"cache\.ttl\.jitter = ([0-9.e-]+)$")
_KINDS: Final = (
    (re.compile(r":latest$"), "latest"),
    (re.compile(r":#T#Z$"), "history"),
    (re.compile(r":meta$"), "meta"),
    (re.compile(r":cfg$"), "config"),
    (re.compile(r"agg:[^:]+:[^:]+:#?[a-z]+$"), "aggregate"),
)
"""By the form of its keys, every number in them a ``#``."""


def act_of(one: Advice, *, back: bool = False) -> ActOnNode | ChangeTtl | None:
    """What to ask of a node, or of the writers that the dashboard started.

    ``None`` where no command does it: weights and what readers do are settings of programs, and entries of
    other applications have lives of their own.
    """
    words = one.undo if back else one.do
    match one.subject, words.split():
        case Subject.MEMORY, ["cache_memlimit", megabytes]:
            return ActOnNode(one.about, NodeAct.MEMORY, (int(megabytes),))
        case Subject.LRU, ["lru", "mode", mode]:
            return ActOnNode(one.about, NodeAct.LRU_MODE, (mode,))
        case Subject.SLABS, ["slabs", "reassign", source, target]:
            return ActOnNode(one.about, NodeAct.REASSIGN, (int(source), int(target)))
        case Subject.TTL, _:
            return _ttl(one, back=back)
        case Subject.JITTER, _:
            spread = _JITTER.match(words)
            return ChangeTtl(jitter=float(spread[1])) if spread else None
    return None


def entries_of(group: str) -> str | None:
    """The kind of our entries that a group of keys is; ``None`` for another application's."""
    return next((kind for form, kind in _KINDS if form.search(group)), None)


def _ttl(one: Advice, *, back: bool) -> ChangeTtl | None:
    kind = entries_of(one.about)
    to, since = _LIFE.search(one.do), _LIFE.search(one.undo)
    if kind is None or to is None or since is None:
        return None
    factor = float(to[1]) / float(since[1])
    return ChangeTtl(kind, 1.0 / factor if back else factor)
