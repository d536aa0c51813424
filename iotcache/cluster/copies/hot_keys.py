"""Which keys have copies: a part of the ring record, so that all clients know of the same; no socket.

A key that has copies is read from its owner or from one of the next nodes in its own order, at random, and
written to all of them before the write returns. **The rules.** The list of such keys is a part of the ring
record (`iotcache.cluster.rings.record`), so what is said there holds: what has stood on every node for a
lease is known to all clients, or they use no node.

===========  ============================  ===================================
stage        written to copies of          read from copies of
===========  ============================  ===================================
announced    these keys, and leaving ones  none
known        these keys, and leaving ones  none
read         these keys                    these keys
===========  ============================  ===================================

1. A stage begins when the one before it has stood on every node for a lease, or the node's outage marker has.
   Between *read* and another *read* two stages lie in which no copy is read: two records that were written at
   once, and one that a client which stood still puts too late, do no harm.
2. Before *read* begins an item is set on every node (as before a hand-over). What lies below its CAS unique
   is no copy: it may be left from a time when the key had copies before, or when the node stood in.
3. A write goes to the owner, and when it is confirmed there to the nodes with copies. It is confirmed when
   all of them have it. One that is out must have its outage marker for a lease: it is fenced before anybody
   uses it again. Sets are set there, deletes and compare-and-sets delete: the next reader brings what the
   owner has.
4. A reader that misses a copy takes a lease for it *before* it asks the owner, and stores over that lease
   alone. What is written in between takes the lease away, as it is written to the owner first.
5. One client's writes of such keys go one after the other: they would overtake each other otherwise.
6. A change of the ring begins with *announced*, and ends the list when the new ring is read.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

MOST_KEYS: Final = 16
"""Keys that have copies at the same time."""
MOST_COPIES: Final = 16
_MOST_LEAVING: Final = 64
_FIRST_EPOCH: Final = 1 << 40
"""Lists are numbered apart from rings."""
_MOST_KEY: Final = 250
_MOST_NUMBER: Final = 1 << 62


class HotStage(StrEnum):
    """How far clients go by the list."""

    ANNOUNCED = "announced"
    KNOWN = "known"
    READ = "read"


class HotKeys(Struct, frozen=True):
    """The keys that have copies, or are to have."""

    epoch: int
    """Of the list; no ring ever has it."""
    copies: int
    """On so many nodes each key is, its owner included: 2 or more."""
    keys: tuple[str, ...]
    leaving: tuple[str, ...] = ()
    """Keys that had copies: others may still read them."""
    stage: HotStage = HotStage.ANNOUNCED
    fenced: tuple[str, ...] = ()
    """Nodes that have the item of this epoch which bounds what counts as a copy."""
    wide: int = 0
    """On so many nodes the list before had them: others may still read those."""

    @property
    def written(self) -> frozenset[str]:
        """Keys whose copies are written."""
        return frozenset(self.keys + self.leaving)

    @property
    def nodes_written(self) -> int:
        """On so many nodes each key is written, its owner included."""
        return max(self.copies, self.wide)

    @property
    def read(self) -> frozenset[str]:
        """Keys whose copies are read."""
        return frozenset(self.keys) if self.stage is HotStage.READ else frozenset()


def unread(hot: HotKeys | None) -> HotKeys | None:
    """The same list, of which no copy is read."""
    return None if hot is None else replace(hot, stage=HotStage.ANNOUNCED, fenced=())


def sound_hot_keys(hot: HotKeys) -> bool:
    """Whether everything in it can be used: an item of a shared node may be anybody's."""
    return (
        0 <= hot.epoch < _MOST_NUMBER
        and 1 < hot.copies <= MOST_COPIES
        and 0 <= hot.wide <= MOST_COPIES
        and len(hot.keys) <= MOST_KEYS
        and len(hot.leaving) <= _MOST_LEAVING
        and all(0 < len(key) <= _MOST_KEY for key in hot.keys + hot.leaving)
    )


def announced(before: HotKeys | None, seq: int, keys: tuple[str, ...], copies: int) -> HotKeys:
    """Another list in place of ``before``; those that are on it no more are written for a while.

    ``seq``: of the record that announces it.
    """
    leaving = before.written.difference(keys) if before is not None else frozenset[str]()
    wide = before.nodes_written if before is not None else 0
    return HotKeys(_FIRST_EPOCH + seq, copies, keys, tuple(sorted(leaving)), wide=wide)


def following(hot: HotKeys, fenced: tuple[str, ...]) -> HotKeys | None:
    """The next stage of a list that has stood; ``None``: no key has copies any more."""
    if hot.stage is HotStage.ANNOUNCED:
        return replace(hot, stage=HotStage.KNOWN)
    return replace(hot, leaving=(), wide=0, stage=HotStage.READ, fenced=fenced) if hot.keys else None
